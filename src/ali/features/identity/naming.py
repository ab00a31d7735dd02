"""How things are called outside: a prefix and the 32 hex digits of their UUIDv7, as OpenAI's dialect prints them."""

import re
from enum import StrEnum
from typing import Final
from uuid import UUID


class Kind(StrEnum):
    """What an identifier is of; the value is its prefix."""

    ORGANIZATION = "org-"
    PROJECT = "proj_"
    USER = "user-"
    INVITE = "invite-"
    SERVICE_ACCOUNT = "svc_acct_"
    API_KEY = "key_"
    AUDIT_EVENT = "audit_log-"


_HEX: Final = re.compile(r"[0-9a-f]{32}")


def named(kind: Kind, value: UUID) -> str:
    """`value` as the outside knows it."""
    return kind.value + value.hex


def maybe_named(kind: Kind, value: UUID | None) -> str | None:
    """As `named`; None stays None."""
    return None if value is None else named(kind, value)


def read(kind: Kind, text: str) -> UUID | None:
    """The identifier that `named` wrote; None for anything else, however close."""
    digits = text.removeprefix(kind.value)
    return UUID(digits) if digits != text and _HEX.fullmatch(digits) else None


def read_any(kinds: tuple[Kind, ...], text: str) -> UUID | None:
    """As `read`, for an identifier of one of several kinds."""
    return next((found for kind in kinds if (found := read(kind, text)) is not None), None)
