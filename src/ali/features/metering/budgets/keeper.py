"""What looks after budgets beside the requests: reservations that nobody will settle, and thresholds to be told of.

Two loops, so that a receiver which does not answer never keeps a reservation from being let go.
"""

import asyncio
from datetime import UTC, datetime

import psycopg
import psycopg_pool

from ali.features.metering.budgets import queries, webhook
from ali.features.metering.budgets.book import BudgetBook
from ali.features.metering.budgets.reservations import Reservations
from ali.features.metering.budgets.webhook import Notice, Post
from ali.kernel import log
from ali.kernel.db import Pool
from ali.kernel.errors import AliError
from ali.kernel.telemetry import Metrics

DEAD_AFTER_S = 45.0
"""A process that showed no life for so long will not settle what it holds. Heartbeats are the ledger's, 10 s apart."""
ORPHANS_EVERY_S = 10.0
"""With the above: a reservation outlives its process by at most 55 s."""
KEEP_DAYS = 400
MOST_ATTEMPTS = 30
"""Of sending one message; they are spread over about a day."""
_ROUND_S = 1.0
_FORGET_EVERY_S = 3600.0
_MOST_NOTICES = 16


class BudgetKeeper:
    """Runs beside `Reservations`, in every process. `post` None: messages are logged and counted, and not sent."""

    def __init__(
        self,
        pool: Pool,
        book: BudgetBook,
        reservations: Reservations,
        *,
        hmac_secret: bytes,
        post: Post | None,
        metrics: Metrics,
    ) -> None:
        self._pool = pool
        self._book = book
        self._reservations = reservations
        self._hmac_secret = hmac_secret
        self._post = post
        self._metrics = metrics

    async def keep_house(self) -> None:
        """Let go of what is adrift, of what dead processes hold, and of old periods. Runs until cancelled."""
        clock = asyncio.get_running_loop().time
        orphans_at_s = forget_at_s = clock()
        while True:
            try:
                async with asyncio.timeout(ORPHANS_EVERY_S):
                    await self._reservations.release_adrift()
                    if clock() >= orphans_at_s:
                        await self.release_orphans()
                        orphans_at_s = clock() + ORPHANS_EVERY_S
                    if clock() >= forget_at_s:
                        await self.forget_periods()
                        forget_at_s = clock() + _FORGET_EVERY_S
            except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError) as error:
                log.warning("budget.housekeeping_failed", error_type=type(error).__name__)
            await asyncio.sleep(_ROUND_S)

    async def tell_thresholds(self) -> None:
        """Log what was crossed, and send it to those who asked. Runs until cancelled."""
        while True:
            try:
                if self._book.any:
                    await self.send_due()
            except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
                log.warning("budget.notices_failed", error_type=type(error).__name__)
            await asyncio.sleep(_ROUND_S)

    async def release_orphans(self, *, dead_after_s: float = DEAD_AFTER_S) -> int:
        """Let go of what processes without a heartbeat hold, at most 1,000 requests'; how many reservations it was."""
        released = await self._count(queries.RELEASE_ORPHANS, dead_after_s)
        if released:
            log.warning("budget.reservations_orphaned", reservations=released)
            self._metrics.budget_orphans.inc(released)
        return released

    async def forget_periods(self, *, keep_days: int = KEEP_DAYS) -> int:
        """Delete what is older than `keep_days`, at most 1,000 rows at a time; how many it was."""
        total = 0
        while forgotten := await self._count(queries.FORGET, keep_days):
            total += forgotten
        return total

    async def _count(self, statement: str, argument: float) -> int:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(statement, (argument,))).fetchone()
        return int(row[0]) if row else 0

    async def send_due(self) -> int:
        """Tell of what is due, several at once; how many there were. One that fails is due again later.

        The database gives each to one process, and gives it again where that one does not say that it is done.
        """
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(queries.CLAIM_NOTICES, (_MOST_NOTICES,))).fetchall()
        notices = [
            Notice(
                **dict(
                    zip(
                        (
                            *("budget_id", "period_start", "percent", "organization_id", "scope_kind", "scope_id"),
                            *("period", "mode", "spent_microusd", "limit_microusd", "webhook_url", "attempts"),
                            "created_at",
                        ),
                        row,
                        strict=True,
                    )
                )
            )
            for row in rows
        ]
        async with asyncio.TaskGroup() as telling:
            for notice in notices:
                telling.create_task(self._tell(notice))
        return len(notices)

    async def _tell(self, notice: Notice) -> None:
        if notice.attempts == 1:
            log.warning(
                "budget.threshold_crossed",
                budget=notice.budget_id.hex,
                organization=notice.organization_id.hex,
                scope=notice.scope_kind,
                period=notice.period,
                percent=notice.percent,
                limit_microusd=notice.limit_microusd,
                spent_microusd=notice.spent_microusd,
            )
            self._metrics.budget_thresholds.labels(notice.scope_kind, notice.period).inc()
        if notice.webhook_url is not None and self._post is not None:
            delivered = await self._delivered(notice.webhook_url, notice, self._post)
            given_up = not delivered and notice.attempts >= MOST_ATTEMPTS
            self._metrics.budget_webhooks.labels(
                "delivered" if delivered else "given_up" if given_up else "failed"
            ).inc()
            if given_up:
                log.error("budget.webhook_given_up", budget=notice.budget_id.hex, attempts=notice.attempts)
            elif not delivered:
                return
        async with self._pool.connection() as connection:
            await connection.execute(queries.FINISH_NOTICE, (notice.budget_id, notice.period_start, notice.percent))

    async def _delivered(self, url: str, notice: Notice, post: Post) -> bool:
        body = webhook.body_of(notice)
        secret = webhook.secret_of(notice.organization_id, hmac_secret=self._hmac_secret)
        headers = webhook.signed_headers(notice.name, body, secret=secret, now=datetime.now(UTC))
        try:
            async with asyncio.timeout(webhook.DEADLINE_S):
                status = await post(url, body=body, headers=headers)
        except (AliError, OSError) as error:  # TimeoutError is one
            log.info("budget.webhook_failed", budget=notice.budget_id.hex, error_type=type(error).__name__)
            return False
        if not 200 <= status < 300:
            log.info("budget.webhook_failed", budget=notice.budget_id.hex, status=status)
            return False
        return True
