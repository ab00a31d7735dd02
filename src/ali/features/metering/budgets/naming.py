"""How budgets are called outside."""

from typing import Final
from uuid import UUID

from ali.kernel.ids import read_id, shown_id

BUDGET: Final = "budget_"


def budget_name(budget_id: UUID) -> str:
    """The identifier of a budget, as callers see it."""
    return shown_id(BUDGET, budget_id)


def read_budget(text: str) -> UUID | None:
    """The UUID that `budget_name` wrote; None for anything else."""
    return read_id(text, prefix=BUDGET)
