"""One timer for thousands of paced streams."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush


class TimerWheel:
    """Calls back at given times, all that fall into one tick together, on a single timer of the event loop.

    A timer handle or a task for each stream would cost more than the chunk that it sends. Granularity is `tick_s`:
    a callback is due at the end of its tick, never early. There is no cancelling; a callback that is no longer wanted
    sees that itself. Cost: a dictionary look-up to schedule, and a heap operation for each tick in use.
    """

    __slots__ = ("_loop", "_slots", "_ticks", "_ticks_per_s", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, tick_s: float = 0.002) -> None:
        self._loop = loop
        self._ticks_per_s = 1.0 / tick_s
        self._slots: dict[int, list[Callable[[], None]]] = {}
        self._ticks: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def at(self, due_s: float, callback: Callable[[], None]) -> None:
        """Call `callback` at `due_s` on the event loop's clock."""
        tick = int(due_s * self._ticks_per_s) + 1
        slot = self._slots.get(tick)
        if slot is not None:
            slot.append(callback)
            return
        self._slots[tick] = [callback]
        heappush(self._ticks, tick)
        if self._ticks[0] == tick:
            self._arm(tick)

    def close(self) -> None:
        """Forget everything that is scheduled."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._slots.clear()
        self._ticks.clear()

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(tick / self._ticks_per_s, self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = int(self._loop.time() * self._ticks_per_s + 1e-6)
        due: list[Callable[[], None]] = []
        while self._ticks and self._ticks[0] <= now:
            due += self._slots.pop(heappop(self._ticks))
        if self._ticks:
            self._arm(self._ticks[0])
        for callback in due:
            callback()
