"""What sign-in needs of an installation: settings that can be right, and a first key that signs access tokens."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from ali.features.identity.roles import ROLES
from ali.kernel.errors import Unavailable
from ali.kernel.openid_provider import OpenIdProvider
from ali.kernel.settings import Settings
from ali.ops.database import connect

Report = Callable[[str], None]

GOOGLE: Final = "https://accounts.google.com"
_LARGE: Final = frozenset({"owner", "admin"})


class SettingRefused(Unavailable):
    """A setting of sign-in cannot be right; the message names it."""

    code = "setting_refused"


def check_settings(settings: Settings) -> None:
    """Raises `SettingRefused` for what the types of settings cannot tell. Asks nobody."""
    for problem in problems(settings):
        raise SettingRefused(problem)


def problems(settings: Settings) -> Iterator[str]:
    """What is wrong with the settings of mail and of issuers, each with what to do."""
    if settings.smtp_url is not None:
        from ali.features.identity.mail import mailer_of  # noqa: PLC0415 - 5 ms that only those with mail spend

        try:
            mailer_of(settings)
        except ValueError as error:
            yield f"ALI_SMTP_URL or ALI_MAIL_FROM: {error}."
    for provider in settings.openid_providers:
        yield from _problems_of(provider)


def _problems_of(provider: OpenIdProvider) -> Iterator[str]:
    where = f"ALI_OPENID_PROVIDERS, {provider.name}"
    named = [*provider.group_roles.values(), *([provider.default_role] if provider.default_role else [])]
    unknown = sorted({role for role in named if role not in ROLES})
    if unknown:
        yield f"{where}: there is no role {unknown[0]!r}. The roles are: {', '.join(ROLES)}."
    if provider.default_role in _LARGE:
        yield f"{where}: default_role may not be {provider.default_role}. Map a group to it in group_roles."
    if provider.default_role is None and not provider.group_roles:
        yield f"{where}: nobody could sign in. Set group_roles, or default_role."
    if provider.issuer == GOOGLE and provider.default_role and not provider.allowed_email_domains:
        yield f"{where}: everybody with a Google account could sign in. Set allowed_email_domains."


def ensure_signing_key(dsn: str, *, hmac_secret: bytes, report: Report) -> None:
    """Where no key signs access tokens, make one. One query where there is one. The schema must be current.

    Raises `DatabaseUnreachable`.
    """
    with connect(dsn) as connection:
        if connection.execute(_SIGNS).fetchone() is not None:
            return
        from ali.features.identity.signing_keys import new_signing_key, wrap  # noqa: PLC0415 - a first start's alone

        with connection.transaction():
            # Two replicas may start on one empty database.
            connection.execute("lock table ali.signing_key in share row exclusive mode")
            if connection.execute(_SIGNS).fetchone() is not None:
                return
            report("Making the first key of access tokens")
            key = new_signing_key(now=datetime.now(UTC))
            connection.execute(
                "insert into ali.signing_key (kid, algorithm, wrapped, created_at) values (%s, %s, %s, %s)",
                (key.kid, key.algorithm, wrap(key, secret=hmac_secret), key.created_at),
            )


_SIGNS: Final = "select 1 from ali.signing_key where retired_at is null limit 1"
