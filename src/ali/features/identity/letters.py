"""What the service writes to people, in English and Brazilian Portuguese: invitations, and links to a new password.

Plain text: a link that can be read is a link that can be judged. Nothing that a stranger wrote stands in a subject.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

Language = Literal["en", "pt-BR"]
_LONGEST_NAME: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A letter without its addresses. `text` contains a link that is a key: never log it."""

    name: str
    language: Language
    subject: str
    text: str = field(repr=False)


_INVITATION: Final[dict[Language, tuple[str, str]]] = {
    "en": (
        "You are invited to Ali",
        """\
Hello,

you are invited to join the organization "{organization}" on Ali.

Choose a password here; the link works once, and for {validity}:

{link}

If you did not expect this invitation, ignore this message: nothing happens.
""",
    ),
    "pt-BR": (
        "Convite para o Ali",
        """\
Olá,

você recebeu um convite para entrar na organização "{organization}" no Ali.

Escolha uma senha neste endereço; o link funciona uma única vez e vale por {validity}:

{link}

Se você não esperava este convite, ignore esta mensagem: nada acontece.
""",
    ),
}

_PASSWORD_RESET: Final[dict[Language, tuple[str, str]]] = {
    "en": (
        "A new password for Ali",
        """\
Hello,

somebody, we hope you, asked for a new password for your account on Ali.

Choose one here; the link works once, and for {validity}:

{link}

If it was not you, ignore this message: your password stays as it is. Nobody from Ali asks you for this link.
""",
    ),
    "pt-BR": (
        "Nova senha para o Ali",
        """\
Olá,

alguém, esperamos que você, pediu uma nova senha para a sua conta no Ali.

Escolha a senha neste endereço; o link funciona uma única vez e vale por {validity}:

{link}

Se não foi você, ignore esta mensagem: a sua senha continua a mesma. Ninguém do Ali vai pedir este link a você.
""",
    ),
}


def language_for(preference: str | None) -> Language:
    """The nearest language to a BCP 47 tag such as `pt`, `pt-PT` or `en-GB`; English where nothing is near."""
    return "pt-BR" if preference and preference.replace("_", "-").lower().split("-")[0] == "pt" else "en"


def invitation(*, organization: str, link: str, valid_for: timedelta, language: Language) -> Letter:
    """An invitation to an organization."""
    subject, text = _INVITATION[language]
    written = text.format(organization=_one_line(organization), link=link, validity=_duration(valid_for, language))
    return Letter(name="invitation", language=language, subject=subject, text=written)


def password_reset(*, link: str, valid_for: timedelta, language: Language) -> Letter:
    """A one-time link to a new password."""
    subject, text = _PASSWORD_RESET[language]
    written = text.format(link=link, validity=_duration(valid_for, language))
    return Letter(name="password_reset", language=language, subject=subject, text=written)


def _one_line(name: str) -> str:
    """A name that people chose, so that it can write neither further paragraphs nor a link that looks like ours."""
    printable = "".join(character if character.isprintable() else " " for character in name)
    return printable.replace("://", " ")[:_LONGEST_NAME].strip()


def _duration(span: timedelta, language: Language) -> str:
    """Whole days, else hours, else minutes, rounded down."""
    seconds = int(span.total_seconds())
    for unit_s, names in _UNITS.items():
        count = seconds // unit_s
        if count >= 1 or unit_s == 60:
            one, many = names[language]
            return f"{max(count, 1)} {one if count <= 1 else many}"
    raise AssertionError  # pragma: no cover - minutes always return


_UNITS: Final[dict[int, dict[Language, tuple[str, str]]]] = {
    86_400: {"en": ("day", "days"), "pt-BR": ("dia", "dias")},
    3_600: {"en": ("hour", "hours"), "pt-BR": ("hora", "horas")},
    60: {"en": ("minute", "minutes"), "pt-BR": ("minuto", "minutos")},
}
