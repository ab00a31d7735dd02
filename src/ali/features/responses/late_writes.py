"""What the database did not take, tried again until it does: endings, and rows that are to leave no trace.

Without it a living process would leave responses unfinished and conversations claimed after an outage: others only end
what dead processes left. What a crash loses of it, the others end.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import psycopg

from ali.features.responses.errors import StateUnavailable, TakenOver
from ali.kernel import log

_RETRY_S: Final = 0.5

Write = Callable[[], Awaitable[None]]
"""Raises `StateUnavailable` where it is to be tried again."""


class LateWrites:
    """Writes that are due, oldest first. `run` must be running; `drain` at the end."""

    def __init__(self) -> None:
        self._due: deque[tuple[UUID, Write]] = deque()
        self._wake = asyncio.Event()

    @property
    def pending(self) -> int:
        """How many are still to be done."""
        return len(self._due)

    def add(self, response_id: UUID, write: Write) -> None:
        """Do `write` as soon as the database answers."""
        self._due.append((response_id, write))
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                if await self._done(*self._due[0]):
                    self._due.popleft()
                else:
                    await asyncio.sleep(_RETRY_S)

    async def drain(self, *, deadline_s: float) -> None:
        """Try what is due once more, for so long at most. `run` must have ended."""
        try:
            async with asyncio.timeout(deadline_s):
                while self._due and await self._done(*self._due[0]):
                    self._due.popleft()
        except TimeoutError:
            pass
        if self._due:
            log.error("response.endings_lost", responses=len(self._due))

    async def _done(self, response_id: UUID, write: Write) -> bool:
        try:
            await write()
        except TakenOver:
            log.warning("response.taken_over", response=response_id.hex)
        except StateUnavailable:
            return False
        except psycopg.Error:
            log.exception("response.ending_refused", response=response_id.hex)
        return True
