"""The chore that gives large stores an index over their vectors."""

import asyncio
from typing import Final

import psycopg
import psycopg_pool

from ali.features.knowledge.embedding.store import EXACT_UP_TO
from ali.kernel import log
from ali.kernel.db import Pool

SHELVE_EVERY_S: Final = 15.0
AT_ONCE: Final = 200
"""Vectors moved by one statement: about half a second, for which the store's writers wait."""
_STEP: Final = "select ali.shelve_vectors(%s, %s)"


class Shelving:
    """Moves the vectors of a store that has grown past `exact_up_to` to a partition of its own, which has an index.

    Some at a time: the store is searched and written meanwhile, and a process that dies leaves nothing half done. Any
    number of processes may do so at once.
    """

    def __init__(self, pool: Pool, *, exact_up_to: int = EXACT_UP_TO) -> None:
        self._pool = pool
        self._exact_up_to = exact_up_to

    async def run(self) -> None:
        """Move what is to be moved. Runs until cancelled."""
        while True:
            try:
                await self.sweep()
            except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
                log.warning("vectors.shelving_failed", error_type=type(error).__name__)
            await asyncio.sleep(SHELVE_EVERY_S)

    async def sweep(self) -> int:
        """Move until nothing is left to move; how many vectors were. Raises `psycopg.Error`, `PoolTimeout`."""
        moved = 0
        while True:
            async with self._pool.connection() as connection:
                row = await (await connection.execute(_STEP, (self._exact_up_to, AT_ONCE))).fetchone()
            if row is None or row[0] is None:
                return moved
            if row[0] == 0:
                log.info("vectors.shelving")
            moved += row[0]
