"""Runs the batches of all tenants, beside or instead of serving requests."""

import asyncio
import random
from collections import defaultdict
from typing import Final
from uuid import UUID

import psycopg
import psycopg_pool

from ali.features.batches.book import Taken
from ali.features.batches.lane import Lane
from ali.features.batches.run import BatchRun, Means
from ali.kernel import log
from ali.kernel.errors import Unavailable

POLL_S: Final = 1.0
MOST_BATCHES: Final = 32
"""How many batches a process runs at once; each waits for its turn at the lines."""
_PAUSE_S: Final = 10.0
_DATABASE_AWAY: Final = (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError)


class BatchRunner:
    """Takes batches and runs them. `run` must be running; `drain` comes before its end.

    `lines_per_project`: how many lines of one project run at once, in this process.
    """

    def __init__(self, means: Means, *, lines_per_project: int, rng: random.Random) -> None:
        self._means = means
        self._lines_per_project = lines_per_project
        self._rng = rng
        self._seats: defaultdict[UUID, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(lines_per_project))
        self._runs: dict[UUID, tuple[BatchRun, asyncio.Task[None]]] = {}
        self._to_release: dict[UUID, float] = {}
        self._draining = False

    async def run(self) -> None:
        """Take what waits and run it, until cancelled; then nothing of it runs any more."""
        try:
            while True:
                try:
                    await self._release_ended()
                    await self._take()
                except _DATABASE_AWAY as error:
                    log.warning("batches.database_away", error_type=type(error).__name__)
                await asyncio.sleep(POLL_S)
        finally:
            tasks = [task for _, task in self._runs.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, *, deadline_s: float) -> None:
        """Take nothing more, let the lines under way end, and leave the batches to others."""
        self._draining = True
        tasks = [task for _, task in self._runs.values()]
        for run, _ in self._runs.values():
            run.hand_over()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(deadline_s, 0.01))
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(2):
                await self._release_ended()
        except _DATABASE_AWAY as error:
            log.warning("batches.release_failed", error_type=type(error).__name__)

    async def _take(self) -> None:
        free = MOST_BATCHES - len(self._runs)
        if self._draining or free <= 0:
            return
        for batch in await self._means.book.take(free):
            run = BatchRun(
                batch,
                self._means,
                seats=self._seats[batch.project_id],
                workers=self._lines_per_project,
                lane=Lane(self._rng),
            )
            self._runs[batch.id] = run, asyncio.create_task(self._carry(batch, run))

    async def _carry(self, batch: Taken, run: BatchRun) -> None:
        """One run; whatever becomes of it, this process holds the batch no longer than it runs it."""
        pause_s = 0.0
        try:
            if await run.run():
                return
        except* (*_DATABASE_AWAY, Unavailable) as group:
            pause_s = _PAUSE_S
            log.warning("batch.paused", batch=batch.id.hex, error_type=type(group.exceptions[0]).__name__)
        except* Exception:
            pause_s = _PAUSE_S * 6
            log.exception("batch.crashed", batch=batch.id.hex)
        finally:
            del self._runs[batch.id]
            self._to_release[batch.id] = pause_s
            if not any(batch.project_id == project for project in self._projects()):
                self._seats.pop(batch.project_id, None)

    def _projects(self) -> list[UUID]:
        return [run.project_id for run, _ in self._runs.values()]

    async def _release_ended(self) -> None:
        """Give back what this process holds and does not run; one that has ended is nobody's already."""
        for batch, pause_s in list(self._to_release.items()):
            await self._means.book.release(batch, pause_s=pause_s)
            self._to_release.pop(batch, None)  # `drain` may have done so meanwhile
