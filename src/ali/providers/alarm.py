"""A deadline that moves with each wait on a peer, for the price of an assignment."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

_GRAIN_S: Final = 0.002
"""An event loop's clock and timers count milliseconds: what is due within so much is due."""


class Alarm:
    """Calls `ring` once the deadline in force has passed.

    `asyncio.timeout` makes a timer for each wait and takes it back, which is 4 µs (measured) twice a request and once a
    chunk. Here one timer runs on from wait to wait, and when it is due, looks whether the deadline has moved meanwhile.
    """

    __slots__ = ("_deadline_s", "_due_s", "_loop", "_ring", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._deadline_s = self._due_s = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, deadline_s: float) -> None:
        """Ring at `deadline_s` on the loop's clock, and not at any earlier deadline."""
        self._deadline_s = deadline_s
        if deadline_s < self._due_s:
            self._look_at(deadline_s)

    def stop(self) -> None:
        """Do not ring: nobody waits."""
        self._deadline_s = math.inf

    def close(self) -> None:
        """Never ring again; nothing of this is left in the loop."""
        self.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due_s = due_s
        self._timer = self._loop.call_at(due_s, self._look)

    def _look(self) -> None:
        self._timer, self._due_s = None, math.inf
        deadline_s = self._deadline_s
        if deadline_s - self._loop.time() <= _GRAIN_S:
            self.stop()
            self._ring()
        elif deadline_s < math.inf:
            self._look_at(deadline_s)
