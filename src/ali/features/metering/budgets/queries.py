"""Statements of budgets. The hot ones call functions with their owner's rights (migrations), one round trip each."""

from datetime import datetime
from typing import Final

from sqlalchemy import Select, and_, or_, select

from ali.features.metering.budgets.models import Budget, BudgetPeriod
from ali.features.metering.budgets.period import span_of
from ali.features.metering.scopes import Reach, within

LIST: Final = "select * from ali.list_budgets()"

RESERVE: Final = "select * from ali.reserve_budgets(%s, %s, %s, %s, %s)"
"""Request, instance, budgets, amount, moment. No row: reserved in all of them. Else in none, and what hinders it."""

RELEASE: Final = "select ali.release_reservations(%s)"

RELEASE_ORPHANS: Final = "select ali.release_orphaned_reservations(make_interval(secs => %s))"

FORGET: Final = "select ali.forget_budget_periods(make_interval(days => %s))"

CLAIM_NOTICES: Final = "select * from ali.claim_budget_notices(%s)"

FINISH_NOTICE: Final = "select ali.finish_budget_notice(%s, %s, %s::smallint)"

OPEN: Final = "select ali.open_budget(:budget, :moment)"

REARM: Final = "select ali.rearm_budget(:budget, :moment)"

CLEAR: Final = "select ali.clear_budget(:budget)"


def visible(reach: Reach) -> Select[Budget]:
    """The budgets that a caller sees: an organization's; or those in the projects that they reach, and their own."""
    found = select(Budget).where(Budget.organization_id == reach.organization_id)
    narrowed = within(reach, kind=Budget.scope_kind, scope_id=Budget.scope_id)
    return found if narrowed is None else found.where(narrowed)


def with_period(budgets: Select[Budget], *, now: datetime) -> "Select[Budget, BudgetPeriod]":
    """Each budget with the row of its present day or month; None where nothing was spent in it."""
    present = or_(
        *(
            and_(Budget.period == period, BudgetPeriod.period_start == span_of(period, now).day)
            for period in ("day", "month")
        )
    )
    return budgets.add_columns(BudgetPeriod).outerjoin(BudgetPeriod, and_(BudgetPeriod.budget_id == Budget.id, present))
