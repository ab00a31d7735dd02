"""The ledger of usage: records written in groups, durable before the caller sees the end of an answer.

One writer a process. While one batch commits, the next gathers; so a lone request waits for one commit, and many share
one. A call that lasts longer than `OPEN_AFTER_S` is also written when it opens, so that a crash leaves a record.
"""

import asyncio
import time
from collections import deque
from typing import Any
from uuid import UUID

import orjson
import psycopg
import psycopg_pool

from ali.features.metering import queries
from ali.features.metering.record import OpenRecord
from ali.kernel import log
from ali.kernel.db import Pool
from ali.kernel.errors import Unavailable
from ali.kernel.statement import StatementConnection
from ali.kernel.telemetry import Metrics

OPEN_AFTER_S = 0.025
SETTLE_DEADLINE_S = 5.0
HEARTBEAT_S = 10.0
DEAD_AFTER_S = 45.0
_BATCH = 500
_MOST_PENDING = 20_000
_RETRY_S = 0.5


Settling = tuple[OpenRecord, asyncio.Future[None] | None]


class LedgerUnavailable(Unavailable):
    """503: usage cannot be recorded now, so nothing may be spent."""

    code = "ledger_unavailable"


class Ledger:
    """Writes usage records. `run` must be running; `drain` at the end. `prepares`: as `StatementConnection` has it."""

    def __init__(self, dsn: str, pool: Pool, *, instance_id: UUID, metrics: Metrics, prepares: bool) -> None:
        self._dsn = dsn
        self._prepares = prepares
        self._pool = pool
        self._writer: StatementConnection | None = None
        self._instance_id = instance_id
        self._metrics = metrics
        self._settling: deque[Settling] = deque()
        self._opening: deque[OpenRecord] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None
        self._open_due = False
        self._failing = False

    def admit(self, record: OpenRecord) -> None:
        """Take note of a call that begins. Raises `LedgerUnavailable` while records cannot be written.

        No await, no write of its own: calls that end quickly are written once, at their end.
        """
        if self._failing or len(self._settling) > _MOST_PENDING:
            raise LedgerUnavailable(
                "The service cannot record usage now, because its database does not answer; so it takes no requests "
                "that cost. Try again shortly."
            )
        self._opening.append(record)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(OPEN_AFTER_S, self._open_lapsed)

    def _open_lapsed(self) -> None:
        """See whether the oldest call that is still open has lasted long enough, or when it will have."""
        self._timer = None
        opening = self._opening
        while opening and opening[0].outcome != "open":
            opening.popleft()
        if not opening:
            return
        left_s = opening[0].started_s + OPEN_AFTER_S - time.monotonic()
        if left_s > 0:
            self._timer = asyncio.get_running_loop().call_later(left_s, self._open_lapsed)
            return
        self._open_due = True
        self._wake.set()

    async def settle(self, record: OpenRecord) -> None:
        """Write a finished record and wait for its commit. Raises `LedgerUnavailable` after `SETTLE_DEADLINE_S`.

        Cancelling the wait does not cancel the write.
        """
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settling.append((record, committed))
        self._wake.set()
        await committed  # the writer holds the deadline, for all who wait at once

    def settle_soon(self, record: OpenRecord) -> None:
        """Write a finished record without waiting: for callers who are gone."""
        self._settling.append((record, None))
        self._wake.set()

    async def run(self) -> None:
        """Write batches until cancelled; a batch that fails is kept and tried again."""
        try:
            await self._write_batches()
        finally:
            await self._disconnect()

    async def _write_batches(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._settling or self._open_due:
                self._idle.clear()
                settling = [self._settling.popleft() for _ in range(min(_BATCH, len(self._settling)))]
                opening = self._take_opening()
                if settling or opening:
                    await self._commit_until_done(settling, opening)
            self._idle.set()

    def _take_opening(self) -> list[OpenRecord]:
        if not self._open_due:
            return []
        still_open = deque(record for record in self._opening if record.outcome == "open")
        lasting: list[OpenRecord] = []
        since_s = time.monotonic() - OPEN_AFTER_S
        while still_open and still_open[0].started_s <= since_s and len(lasting) < _BATCH:
            lasting.append(still_open.popleft())
        self._opening = still_open
        self._open_due = len(lasting) == _BATCH
        if not self._open_due and self._timer is None:
            self._open_lapsed()
        return lasting

    async def _commit_until_done(self, settling: list[Settling], opening: list[OpenRecord]) -> None:
        """Commit one batch, however often it takes. A record that the database refuses for what it holds is told apart
        from its batch by halving, logged whole and given up, so that one poisoned record never stops the ledger.
        """
        # By id: a call that is cut off while it waits for its commit is settled twice, and one row may come but once.
        records = {record.id: record for record in (*opening, *(record for record, _ in settling))}
        rows = [record.row(self._instance_id) for record in records.values()]
        batch = orjson.dumps(rows)
        while True:
            try:
                async with asyncio.timeout(SETTLE_DEADLINE_S):
                    await self._write(batch)
                break
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                await self._disconnect()
                await self._halve(settling, opening, error=error, rows=rows)
                return
            except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError) as error:
                self._metrics.ledger_failures.inc()
                self._metrics.ledger_pending.set(len(self._settling) + len(settling))
                if not self._failing:
                    log.exception("ledger.failing", error_type=type(error).__name__, records=len(rows))
                self._failing = True
                self._tell_waiting(settling)
                await self._disconnect()
                await asyncio.sleep(_RETRY_S)
        if self._failing:
            self._failing = False
            log.info("ledger.recovered", records=len(rows))
            self._metrics.ledger_pending.set(0)
        for _, committed in settling:
            if committed is not None and not committed.done():
                committed.set_result(None)

    def _tell_waiting(self, settling: list[Settling]) -> None:
        """Whoever waits for a commit waits no longer; the records stay."""
        for _, committed in (*settling, *self._settling):
            if committed is not None and not committed.done():
                committed.set_exception(
                    LedgerUnavailable(
                        "The answer is there, but its usage could not be recorded, because the database does not "
                        "answer; so it is withheld. Try again shortly."
                    )
                )

    async def _write(self, batch: bytes) -> None:
        if self._writer is None:
            self._writer = await StatementConnection.connect(self._dsn, prepares=self._prepares)
        await self._writer.execute(queries.WRITE, batch)

    async def _disconnect(self) -> None:
        if self._writer is not None:
            await self._writer.close()
            self._writer = None

    async def _halve(
        self,
        settling: list[Settling],
        opening: list[OpenRecord],
        *,
        error: psycopg.Error,
        rows: list[dict[str, Any]],
    ) -> None:
        if len(rows) == 1:
            log.error("ledger.record_refused", error_type=type(error).__name__, record=rows[0])
            for _, committed in settling:
                if committed is not None and not committed.done():
                    committed.set_exception(
                        LedgerUnavailable("The usage of this request could not be recorded; report its request id.")
                    )
            return
        half, open_half = len(settling) // 2, (len(opening) + 1) // 2
        await self._commit_until_done(settling[:half], opening[:open_half])
        await self._commit_until_done(settling[half:], opening[open_half:])

    async def keep_house(self) -> None:
        """Show that this process lives, and close what dead ones left open. Runs until cancelled."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    async with self._pool.connection() as connection:
                        await connection.execute(queries.HEARTBEAT, (self._instance_id,))
                        await connection.execute(queries.FORGET_INSTANCES)
                    await self.close_orphans()
            except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError) as error:
                log.warning("ledger.heartbeat_failed", error_type=type(error).__name__)
            await asyncio.sleep(HEARTBEAT_S)

    async def close_orphans(self) -> None:
        """Close what processes without a heartbeat left open, at most 1,000 records."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(queries.CLOSE_ORPHANS, (DEAD_AFTER_S,))
            row = await cursor.fetchone()
        if row and row[0]:
            log.warning("ledger.orphans_closed", records=row[0])

    async def drain(self, *, deadline_s: float) -> bool:
        """Wait until nothing is pending; False if that took longer than `deadline_s`."""
        try:
            async with asyncio.timeout(deadline_s):
                while self._settling or not self._idle.is_set():
                    self._wake.set()
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            log.error("ledger.drain_incomplete", records=len(self._settling))  # noqa: TRY400 - the timeout says nothing
            return False
        return True
