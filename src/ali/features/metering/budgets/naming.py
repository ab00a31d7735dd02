"""How budgets and what they are of are called outside: a prefix and 32 hex digits, as OpenAI's dialect prints them."""

from typing import Final, Literal
from uuid import UUID

BUDGET: Final = "budget_"

Scope = Literal["organization", "project", "key", "user"]

PREFIXES: Final[dict[str, str]] = {"organization": "org-", "project": "proj_", "key": "key_", "user": "user-"}
"""Of the identifiers that each kind of scope takes."""


def scope_name(kind: str, scope_id: UUID) -> str:
    """The identifier of what a budget is of."""
    return PREFIXES[kind] + scope_id.hex


def read_id(text: str, *, prefix: str) -> UUID | None:
    """The UUID of an identifier, with or without its prefix; None for what is none."""
    try:
        return UUID(text.removeprefix(prefix))
    except ValueError:
        return None
