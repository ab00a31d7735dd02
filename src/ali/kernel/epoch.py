"""Whether what processes remember of access is still true: one counter in the database, polled.

A poll was chosen over LISTEN/NOTIFY because it works behind a pooler in transaction mode; it bounds how long a revoked
key lives in another process to the poll's interval (0.5 s) and one round trip.
"""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import psycopg_pool

from ali.kernel import log
from ali.kernel.db import Pool

POLL_INTERVAL_S = 0.5
BLIND_LIMIT_S = 10.0
"""How long what is remembered is believed while the database cannot be asked; then nothing is."""

ADVANCE_EPOCH = "select ali.advance_access_epoch()"
"""What a transaction that changes access says last: it waits for others that do the same."""

_EPOCH = "select value from ali.access_epoch"


class EpochWatch:
    """Follows the counter. `run` must be running; the callbacks are given before."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.value = -1
        """The epoch last heard; -1 before the first word, and no memory may be kept under it."""
        self._last_heard_s = 0.0
        self._forgets: list[Callable[[], object]] = []
        self._reloads: list[Callable[[], Awaitable[None]]] = []
        self._chores: list[Callable[[], Awaitable[None]]] = []

    def on_change(self, forget: Callable[[], object]) -> None:
        """Have `forget` called when the epoch has moved, and after `BLIND_LIMIT_S` without word."""
        self._forgets.append(forget)

    def reload_on_change(self, reload: Callable[[], Awaitable[None]]) -> None:
        """Have `reload` awaited when the epoch has moved; a failing one is tried again at the next poll."""
        self._reloads.append(reload)

    def beside(self, chore: Callable[[], Awaitable[None]]) -> None:
        """Have `chore` awaited at every poll: small writes that need no timing of their own."""
        self._chores.append(chore)

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self.poll()
            await asyncio.sleep(POLL_INTERVAL_S)

    async def poll(self) -> None:
        """Ask once, and do what follows; before the first request, so that nothing is served without its rules.

        Never raises for a database that does not answer: what is remembered is forgotten when that lasts.
        """
        now_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(POLL_INTERVAL_S * 4):
                async with self._pool.connection() as connection:
                    cursor = await connection.execute(_EPOCH)
                    row = await cursor.fetchone()
                await self.heard(row[0] if row else -1, now_s=now_s)
                for chore in self._chores:
                    await chore()
        except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError) as error:
            if now_s - self._last_heard_s > BLIND_LIMIT_S and self.value >= 0:
                self._forget()
                log.warning("access.forgotten", reason=type(error).__name__)

    async def heard(self, epoch: int, *, now_s: float) -> None:
        """Take word of the database's epoch."""
        self._last_heard_s = now_s
        if epoch == self.value:
            return
        self._forget()
        self.value = epoch  # before reloading: what is asked of the database from now on may be remembered
        try:
            for reload in self._reloads:
                await reload()
        except BaseException:
            self.value = -1
            raise

    def _forget(self) -> None:
        self.value = -1
        for forget in self._forgets:
            forget()
