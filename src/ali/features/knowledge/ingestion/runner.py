"""Reads the files of all tenants' vector stores, beside or instead of serving requests."""

import asyncio
from contextlib import suppress
from typing import Final
from uuid import UUID

import psycopg
import psycopg_pool

from ali.features.files.naming import file_name
from ali.features.knowledge.ingestion.book import Job
from ali.features.knowledge.ingestion.run import Means, Progress, carry_out
from ali.kernel import log

POLL_S: Final = 0.5
"""Within which a reading that nobody wants any more is stopped, and progress is told."""
_CRASH_PAUSE_S: Final = 60.0
_DATABASE_AWAY: Final = (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError)


class Ingestion:
    """Takes files and reads them, at most `at_once`. `run` must be running; `drain` comes before its end."""

    def __init__(self, means: Means, *, at_once: int) -> None:
        self._means = means
        self._at_once = at_once
        self._runs: dict[UUID, asyncio.Task[None]] = {}
        self._progress: Progress = {}
        self._to_release: dict[UUID, float] = {}
        self._ended = asyncio.Event()
        self._watched_s = 0.0
        self._draining = False

    @property
    def running(self) -> int:
        """How many files are being read here."""
        return len(self._runs)

    async def run(self) -> None:
        """Take what waits and read it, until cancelled; then nothing of it is read any more."""
        try:
            while True:
                try:
                    await self._release_ended()
                    await self._take()
                    await self._pause()
                    await self._watch()
                except _DATABASE_AWAY as error:
                    log.warning("ingestion.database_away", error_type=type(error).__name__)
                    await asyncio.sleep(POLL_S)
        finally:
            await self._stop_all()

    async def drain(self, *, deadline_s: float) -> None:
        """Take nothing more, and leave what is being read to others: a reading cannot be handed on, only begun anew.

        What ends within `deadline_s` is kept.
        """
        self._draining = True
        if self._runs:
            await asyncio.wait(self._runs.values(), timeout=deadline_s)
        await self._stop_all()
        try:
            async with asyncio.timeout(2):
                await self._release_ended()
        except _DATABASE_AWAY as error:
            log.warning("ingestion.release_failed", error_type=type(error).__name__)

    async def _stop_all(self) -> None:
        tasks = list(self._runs.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pause(self) -> None:
        """Until a reading has ended, and there is room for another; at most `POLL_S`."""
        self._ended.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._ended.wait()

    async def _watch(self) -> None:
        """Tell how far the files are, and stop reading those that are not this process's any more."""
        now_s = asyncio.get_running_loop().time()
        if not self._runs or now_s < self._watched_s + POLL_S / 2:
            return
        self._watched_s = now_s
        told = {job: self._progress.get(job, (0, None)) for job in self._runs}
        ours = await self._means.book.report(told)
        for job in told.keys() - ours:
            if (task := self._runs.get(job)) is not None:
                task.cancel()

    async def _take(self) -> None:
        free = self._at_once - len(self._runs)
        if self._draining or free <= 0:
            return
        for job in await self._means.book.take(free):
            self._runs[job.id] = asyncio.create_task(self._carry(job))

    async def _carry(self, job: Job) -> None:
        """One reading; whatever becomes of it, this process holds the file no longer than it reads it."""
        try:
            await carry_out(job, self._means, self._progress)
        except asyncio.CancelledError:
            self._to_release[job.id] = 0.0
        except _DATABASE_AWAY as error:
            self._to_release[job.id] = POLL_S
            log.warning("store_file.not_noted", file=file_name(job.file_id), error_type=type(error).__name__)
        except Exception:
            self._to_release[job.id] = _CRASH_PAUSE_S
            log.exception("store_file.crashed", file=file_name(job.file_id))
        finally:
            self._runs.pop(job.id, None)
            self._progress.pop(job.id, None)
            self._ended.set()

    async def _release_ended(self) -> None:
        """Give back what this process holds and does not read; one that has ended is nobody's already."""
        for job, pause_s in list(self._to_release.items()):
            await self._means.book.release(job, pause_s=pause_s, counted=pause_s == _CRASH_PAUSE_S)
            self._to_release.pop(job, None)  # `drain` may have done so meanwhile
