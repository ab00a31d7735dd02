"""Merging small segments of the index into larger ones, in the background."""

import asyncio
from typing import Final
from uuid import UUID

import psycopg
import psycopg_pool

from ali.kernel import log
from ali.kernel.db import Pool
from ali.kernel.telemetry import Metrics

MERGE_EVERY_S: Final = 2.0
_STORES: Final = "select * from ali.stores_to_merge(%s, %s)"
_MERGE: Final = "select ali.merge_segments(%s)"
_AT_ONCE: Final = 100
_FIRST: Final = UUID(int=0)


async def merge_some(pool: Pool, *, store: UUID) -> int:
    """One merge in one store, in a transaction of its own: how many segments became one, 0 where none was due.

    Any number of processes may do so at once, and any may die at it. Cost: about 0.1 ms a chunk, at most about 30 s.
    """
    async with pool.connection() as connection:
        row = await (await connection.execute(_MERGE, (store,))).fetchone()
    return row[0] if row is not None else 0


class Merger:
    """The chore that keeps the segments of every store few. One process with it is enough; several do no harm."""

    def __init__(self, pool: Pool, *, metrics: Metrics) -> None:
        self._pool = pool
        self._merges = metrics.index_merges

    async def run(self) -> None:
        """Merge what is due. Runs until cancelled."""
        while True:
            try:
                await self.sweep()
            except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
                log.warning("index.merge_failed", error_type=type(error).__name__)
            await asyncio.sleep(MERGE_EVERY_S)

    async def sweep(self) -> int:
        """Merge in every store until nothing is due; a merge in each by turns. Returns how many merges there were."""
        merges, after = 0, _FIRST
        while True:
            async with self._pool.connection() as connection:
                stores = [row[0] for row in await (await connection.execute(_STORES, (after, _AT_ONCE))).fetchall()]
            for store in stores:
                while segments := await merge_some(self._pool, store=store):
                    merges += 1
                    self._merges.inc()
                    log.info("index.merged", vector_store_id=str(store), segments=segments)
            if len(stores) < _AT_ONCE:
                return merges
            after = stores[-1]
