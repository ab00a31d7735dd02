"""How fast a batch goes: behind whoever waits for an answer.

A request of a batch is let go only while less than half of the caller's limits is in use, by whomever; the other half
is always there for those who are waiting. Where there is no limit, only the number of requests at once is bounded.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Final

SHARE: Final = 0.5
"""Of a limit, what must be free for a batch to go on."""
_SHORTEST_S: Final = 1.0
_LONGEST_S: Final = 30.0
_PAIRS: Final = tuple(
    (form.format("limit", kind).encode(), form.format("remaining", kind).encode())
    for kind in ("requests", "tokens")
    for form in ("x-ratelimit-{}-{}", "anthropic-ratelimit-{1}-{0}")
)


class Lane:
    """The pace of one batch: it listens to answers, and says when the next request may go."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._until_s = 0.0
        self._pause_s = 0.0

    def heard(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        """Take note of an answer: one that was refused for a limit, or one that shows how much of it is left."""
        if status == 429:
            self._hold(at_least_s=_seconds(headers.get(b"retry-after")))
        elif any(_is_short(headers, limit, remaining) for limit, remaining in _PAIRS):
            self._hold(at_least_s=0.0)
        else:
            self._pause_s = 0.0

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when a request may go, or when `stop` is set."""
        loop = asyncio.get_running_loop()
        while not stop.is_set() and (left_s := self._until_s - loop.time()) > 0:
            await pause(left_s, stop)

    def _hold(self, *, at_least_s: float) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._until_s:
            return  # several that were under way tell the same
        self._pause_s = min(max(self._pause_s * 2, _SHORTEST_S), _LONGEST_S)
        wait_s = max(min(at_least_s, 300.0), self._pause_s)
        self._until_s = now_s + wait_s * self._rng.uniform(1.0, 1.25)


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Sleep, but no longer than until `stop` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _is_short(headers: Mapping[bytes, bytes], limit: bytes, remaining: bytes) -> bool:
    most, left = headers.get(limit, b""), headers.get(remaining, b"")
    return most.isdigit() and left.isdigit() and int(left) < int(most) * SHARE


def _seconds(value: bytes | None) -> float:
    return float(value) if value is not None and value.isdigit() and len(value) < 6 else 0.0
