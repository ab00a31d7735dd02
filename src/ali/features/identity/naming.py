"""How things are called outside: a prefix and the 32 hex digits of their UUIDv7, as OpenAI's dialect prints them."""

from enum import StrEnum
from uuid import UUID

from ali.kernel.ids import read_id, shown_id


class Kind(StrEnum):
    """What an identifier is of; the value is its prefix."""

    ORGANIZATION = "org-"
    PROJECT = "proj_"
    USER = "user-"
    INVITE = "invite-"
    SERVICE_ACCOUNT = "svc_acct_"
    API_KEY = "key_"
    AUDIT_EVENT = "audit_log-"
    APPROVAL = "appr_"
    SESSION = "session_"
    CONVERSATION = "conv_"
    RESPONSE = "resp_"


def named(kind: Kind, value: UUID) -> str:
    """`value` as the outside knows it."""
    return shown_id(kind.value, value)


def maybe_named(kind: Kind, value: UUID | None) -> str | None:
    """As `named`; None stays None."""
    return None if value is None else named(kind, value)


def read(kind: Kind, text: str) -> UUID | None:
    """The identifier that `named` wrote; None for anything else, however close."""
    return read_id(text, prefix=kind.value)


def read_any(kinds: tuple[Kind, ...], text: str) -> UUID | None:
    """As `read`, for an identifier of one of several kinds."""
    return next((found for kind in kinds if (found := read(kind, text)) is not None), None)
