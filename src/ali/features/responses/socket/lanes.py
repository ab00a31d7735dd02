"""The lanes of a socket: what is asked for on one is carried out in order, different ones side by side."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from ali.features.responses.socket.errors import LaneFull
from ali.features.responses.socket.messages import Create

MOST_LANES: Final = 16
MOST_WAITING: Final = 64
_RETRY_S: Final = 1.0


@dataclass(slots=True)
class _Lane:
    waiting: deque[Create] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class Lanes:
    """Carries requests out by `carry`, which raises nothing but on cancellation. `on_idle` is awaited whenever nothing
    is left to do. A lane is there while it has something to do.
    """

    def __init__(
        self, carry: Callable[[Create], Awaitable[None]], on_idle: Callable[[], Awaitable[None]], *, most_bytes: int
    ) -> None:
        self._carry = carry
        self._on_idle = on_idle
        self._most_bytes = most_bytes
        self._lanes: dict[str | None, _Lane] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._lanes

    def add(self, request: Create) -> None:
        """Carry `request` out when its lane gets to it. Raises `LaneFull`."""
        lane = self._lanes.get(request.stream_id)
        if lane is None and len(self._lanes) >= MOST_LANES:
            raise LaneFull(
                f"{MOST_LANES} lanes of this connection are at work. Wait until one of them has ended, or open another "
                "connection.",
                retry_after_s=_RETRY_S,
            )
        waiting = [each for every in self._lanes.values() for each in every.waiting]
        size_bytes = request.size_bytes + sum(each.size_bytes for each in waiting)
        if waiting and (len(waiting) >= MOST_WAITING or size_bytes > self._most_bytes):
            raise LaneFull(
                "Too many requests wait on this connection. Wait until some of them have ended.", retry_after_s=_RETRY_S
            )
        if lane is None:
            lane = self._lanes[request.stream_id] = _Lane()
        lane.waiting.append(request)
        if lane.task is None:
            lane.task = asyncio.create_task(self._work(request.stream_id, lane))

    async def _work(self, name: str | None, lane: _Lane) -> None:
        try:
            while lane.waiting:
                await self._carry(lane.waiting.popleft())
        finally:
            del self._lanes[name]
        if self.idle:
            await self._on_idle()

    async def cancel(self) -> None:
        """Cancel what runs, forget what waits, and wait until all of it has ended."""
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
