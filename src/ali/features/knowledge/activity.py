"""When a vector store was last used, which its expiry counts from."""

import time
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import psycopg
import psycopg_pool

from ali.kernel import log
from ali.kernel.db import Pool

TOUCHED_S: Final = 60.0
"""A store's last use is known this exactly."""
_MOST_KEPT: Final = 10_000
_TOUCH: Final = "select ali.touch_vector_stores(%s, %s, make_interval(secs => %s))"


class Activity:
    """Notes uses, each store's at most once in `TOUCHED_S`; so most of them cost nothing."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._noted: dict[UUID, float] = {}

    async def note(self, project_id: UUID, stores: Sequence[UUID]) -> None:
        """These stores of a project are used now. Never raises for a database that is away: the next use is noted."""
        now_s = time.monotonic()
        due = [store for store in stores if now_s - self._noted.get(store, -TOUCHED_S) >= TOUCHED_S]
        if not due:
            return
        if len(self._noted) > _MOST_KEPT:
            self._noted.clear()
        try:
            async with self._pool.connection() as connection:
                await connection.execute(_TOUCH, (project_id, due, TOUCHED_S))
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            log.warning("vector_stores.activity_not_noted", error_type=type(error).__name__)
            return
        self._noted.update(dict.fromkeys(due, now_s))
