"""Making, changing, deleting and reading budgets. The caller's transaction; every change moves the access epoch."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Select, delete, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record
from ali.features.identity.paging import Page, Place, page_of_rows
from ali.features.keys.queries import ADVANCE_EPOCH
from ali.features.metering.budgets import queries
from ali.features.metering.budgets.drafts import BudgetChange, BudgetDraft
from ali.features.metering.budgets.models import Budget, BudgetPeriod
from ali.features.metering.budgets.naming import budget_name
from ali.features.metering.budgets.period import Span, span_of
from ali.features.metering.scopes import Reach, place, read_scope
from ali.kernel.errors import Conflict, InvalidRequest, NotFound
from ali.kernel.ids import uuid7

MOST_BUDGETS: Final = 10_000
"""Of one organization: every process keeps all of them in memory."""


class BudgetNotFound(NotFound):
    """404: no such budget, or none that this caller may see."""

    code = "budget_not_found"


class ScopeNotFound(NotFound):
    """404: what the budget is to be of is not there, or not for this caller to see."""

    code = "budget_scope_not_found"


class BudgetExists(Conflict):
    """409: that scope has a budget of this period and mode already."""

    code = "budget_exists"


class TooManyBudgets(Conflict):
    """409: the organization has as many budgets as one may have."""

    code = "too_many_budgets"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """A budget and how its present period stands."""

    budget: Budget
    span: Span
    spent_microusd: int
    reserved_microusd: int

    @property
    def remaining_microusd(self) -> int:
        """What may still be reserved; 0 where a soft budget is overspent."""
        return max(self.budget.limit_microusd - self.spent_microusd - self.reserved_microusd, 0)


async def create(
    session: AsyncSession, draft: BudgetDraft, *, reach: Reach, actor: Actor, now: datetime
) -> BudgetState:
    """A new budget, which starts from what its period has seen already; in force everywhere within a second.

    Raises `ScopeNotFound`, `BudgetExists` or `TooManyBudgets`. Settlement waits from here to the transaction's end.
    """
    scope_id = read_scope(draft.scope.kind, draft.scope.id)
    placed = await place(session, draft.scope.kind, scope_id, reach=reach)
    if scope_id is None or placed is None:
        raise ScopeNotFound(
            f"There is no such {draft.scope.kind} that this credential may set a budget for.", param="scope.id"
        )
    count = await session.scalar(
        select(func.count()).select_from(Budget).where(Budget.organization_id == reach.organization_id)
    )
    if count is not None and count >= MOST_BUDGETS:
        raise TooManyBudgets(f"An organization has at most {MOST_BUDGETS} budgets. Delete one that is not needed.")
    budget = Budget(
        id=uuid7(),
        organization_id=reach.organization_id,
        project_id=placed.project_id,
        scope_kind=draft.scope.kind,
        scope_id=scope_id,
        period=draft.period,
        mode=draft.mode,
        limit_microusd=draft.limit_microusd,
        warn_percents=draft.warn_percents,
        webhook_url=draft.webhook_url,
    )
    session.add(budget)
    await _flush(session)
    await session.execute(text(queries.OPEN), {"budget": budget.id, "moment": now})
    detail: dict[str, object] = {
        "scope": draft.scope.kind,
        "period": draft.period,
        "mode": draft.mode,
        "limit_microusd": draft.limit_microusd,
    }
    await _changed(session, budget, action="budget.created", actor=actor, detail=detail)
    return await read(session, budget.id, reach=reach, now=now)


async def change(
    session: AsyncSession, budget_id: UUID | None, wanted: BudgetChange, *, reach: Reach, actor: Actor, now: datetime
) -> BudgetState:
    """Change the fields that `wanted` sets. A threshold that a raised limit puts ahead again will be told again.

    Raises `BudgetNotFound`, `BudgetExists`, or `InvalidRequest` where nothing is to be changed.
    """
    fields = wanted.fields()
    if not fields:
        raise InvalidRequest(
            "Nothing is to be changed. Send at least one of limit_microusd, mode, warn_percents, webhook_url."
        )
    budget = await session.scalar(_one(budget_id, reach).with_for_update())
    if budget is None:
        raise _not_found()
    for name, value in fields.items():
        setattr(budget, name, value)
    budget.updated_at = now
    await _flush(session)
    await session.execute(text(queries.REARM), {"budget": budget.id, "moment": now})
    detail = {name: value for name, value in fields.items() if name != "webhook_url"}
    if "webhook_url" in fields:
        detail["webhook"] = fields["webhook_url"] is not None
    await _changed(session, budget, action="budget.changed", actor=actor, detail=detail)
    return await read(session, budget.id, reach=reach, now=now)


async def remove(session: AsyncSession, budget_id: UUID | None, *, reach: Reach, actor: Actor) -> None:
    """Delete a budget and what it has counted. Raises `BudgetNotFound`."""
    budget = await session.scalar(_one(budget_id, reach).with_for_update())
    if budget is None:
        raise _not_found()
    await session.execute(delete(Budget).where(Budget.id == budget.id))
    await session.execute(text(queries.CLEAR), {"budget": budget.id})
    await _changed(session, budget, action="budget.deleted", actor=actor, detail={"scope": budget.scope_kind})


async def read(session: AsyncSession, budget_id: UUID | None, *, reach: Reach, now: datetime) -> BudgetState:
    """One budget as it stands. Raises `BudgetNotFound`."""
    row = (await session.execute(queries.with_period(_one(budget_id, reach), now=now))).one_or_none()
    if row is None:
        raise _not_found()
    return _state(row[0], row[1], now=now)


async def listed(session: AsyncSession, *, reach: Reach, now: datetime, place: Place) -> Page[BudgetState]:
    """A page of the budgets within reach, as they stand."""
    statement = queries.with_period(queries.visible(reach), now=now)
    page = await page_of_rows(session, statement, key=Budget.id, place=place)
    return Page(rows=[_state(budget, period, now=now) for budget, period in page.rows], has_more=page.has_more)


def _one(budget_id: UUID | None, reach: Reach) -> Select[Budget]:
    visible = queries.visible(reach)
    return visible.where(Budget.id == budget_id)


def _state(budget: Budget, period: BudgetPeriod | None, *, now: datetime) -> BudgetState:
    return BudgetState(
        budget=budget,
        span=span_of(budget.period, now),
        spent_microusd=period.spent_microusd if period else 0,
        reserved_microusd=period.reserved_microusd if period else 0,
    )


def _not_found() -> BudgetNotFound:
    return BudgetNotFound("There is no such budget here. GET /v1/ali/budgets lists those you can see.")


async def _flush(session: AsyncSession) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        raise BudgetExists(
            "There is a budget of this scope, period and mode already. Change that one, or delete it first."
        ) from error


async def _changed(
    session: AsyncSession, budget: Budget, *, action: str, actor: Actor, detail: dict[str, object]
) -> None:
    event = AuditEvent(
        action=action,
        organization_id=budget.organization_id,
        project_id=budget.project_id,
        target_kind="budget",
        target_id=budget_name(budget.id),
        detail=detail,
    )
    await record(session, event, actor=actor)
    await session.execute(text(ADVANCE_EPOCH))
