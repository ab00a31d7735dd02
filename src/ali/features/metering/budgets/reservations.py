"""What a request may cost is held before it goes to a provider, and let go when its record is settled."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import psycopg_pool

from ali.features.metering.budgets import queries
from ali.features.metering.budgets.book import BudgetBook, HardBudget
from ali.features.metering.budgets.period import span_of
from ali.features.metering.record import OpenRecord
from ali.kernel import log
from ali.kernel.db import Pool
from ali.kernel.errors import RateLimited, Unavailable
from ali.kernel.telemetry import Metrics

Answer = TypeVar("Answer")

RESERVE_DEADLINE_S = 5.0
RUNNING_RETRY_S = 1.0
"""When to come back where only running calls stand in the way."""


class BudgetExhausted(RateLimited):
    """429: a hard budget does not cover what the request could cost; the message says which, and when it renews."""

    code = "insufficient_quota"
    openai_type = "insufficient_quota"


class BudgetsUnavailable(Unavailable):
    """503: the budgets cannot be asked now, so nothing may be spent."""

    code = "budgets_unavailable"


class Reservations:
    """Holds and lets go. `keeper.BudgetKeeper` must run beside it."""

    def __init__(self, pool: Pool, book: BudgetBook, *, instance_id: UUID, metrics: Metrics) -> None:
        self._pool = pool
        self._book = book
        self._instance_id = instance_id
        self._metrics = metrics
        self._adrift: set[UUID] = set()

    async def hold(self, record: OpenRecord, *, most_microusd: Callable[[], int]) -> None:
        """Reserve what `record`'s request costs at most in every hard budget that binds it, or in none.

        No await where none does; else `most_microusd` is asked, and one round trip made unless the answer is 0. The
        reservation ends with the record's settlement, or by `release_soon`. Raises `BudgetExhausted`,
        `BudgetsUnavailable`, and whatever `most_microusd` does.
        """
        if not self._book.loaded:
            await self._asked(self._book.load_once())
        budgets = self._book.binding(
            organization_id=record.organization_id,
            project_id=record.project_id,
            key_id=record.api_key_id,
            user_id=record.user_id,
        )
        if not budgets or not (amount := most_microusd()):
            return
        try:
            hindrances = await self._asked(self._reserve(record, budgets, amount))
        except BaseException:
            self.release_soon(record.id)  # it may have been committed all the same
            raise
        if hindrances:
            raise self._refusal(record, budgets, hindrances, amount)
        record.reserved_microusd = amount

    async def _reserve(self, record: OpenRecord, budgets: Iterable[HardBudget], amount: int) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                queries.RESERVE,
                (record.id, self._instance_id, [budget.id for budget in budgets], amount, record.started_at),
            )
            return await cursor.fetchall()

    @staticmethod
    async def _asked(asking: Awaitable[Answer]) -> Answer:
        try:
            async with asyncio.timeout(RESERVE_DEADLINE_S):
                return await asking
        except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError) as error:
            log.warning("budget.unavailable", error_type=type(error).__name__)
            raise BudgetsUnavailable(
                "The service's database does not answer, so the budgets cannot be asked, and it takes no requests that "
                "cost. Try again shortly."
            ) from error

    def _refusal(
        self, record: OpenRecord, budgets: Sequence[HardBudget], hindrances: list[tuple[Any, ...]], amount: int
    ) -> BudgetExhausted:
        """The refusal by the budget that stands in the way for longest."""
        by_id = {budget.id: budget for budget in budgets}
        refusing = [(by_id[budget_id], hindrance) for budget_id, hindrance in hindrances]
        for budget, _ in refusing:
            self._metrics.budget_refusals.labels(budget.scope_kind, budget.period).inc()
        spent = [budget for budget, hindrance in refusing if hindrance == "spent"]
        budget = max(spent or [budget for budget, _ in refusing], key=lambda budget: budget.period == "month")
        which = f"{budget.scope_kind}'s budget for this {budget.period}"
        if not spent:
            message = (
                f"What is left of the {which} is held for calls that are running now. Try again in a moment, or ask "
                "for fewer tokens."
            )
            retry_after_s = RUNNING_RETRY_S
        else:
            end = span_of(budget.period, record.started_at).end
            message = (
                f"The {which} does not cover this request, which could cost up to ${amount / 1e6:.6f}. Ask for fewer "
                f"tokens, have the budget raised, or wait until it renews at {end:%Y-%m-%dT%H:%M:%SZ}."
            )
            retry_after_s = (end - record.started_at).total_seconds()
        return BudgetExhausted(
            message,
            retry_after_s=retry_after_s,
            headers=(
                ("x-should-retry", "false" if spent else "true"),
                ("x-ali-budget", f"{budget.scope_kind}/{budget.period}"),
            ),
        )

    def release_soon(self, request_id: UUID) -> None:
        """Let go of what a request may hold that leaves no record. No await: `release_adrift` does it."""
        self._adrift.add(request_id)

    async def release_adrift(self) -> None:
        """Let go of what `release_soon` named. One round trip, none where there is nothing."""
        if not self._adrift:
            return
        adrift = list(self._adrift)
        async with self._pool.connection() as connection:
            await connection.execute(queries.RELEASE, (adrift,))
        self._adrift.difference_update(adrift)
