"""Rate limits in process: a moving window over fine buckets.

A window of 60 s is kept as 120 buckets, so a check costs the same whatever the rate, and memory does not grow with the
limit. Buckets that overlap the window count whole: never one request too many, at most 1/120 of the limit too few.
"""

from collections import deque
from dataclasses import dataclass

_BUCKETS = 120


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a limit says of one more request.

    `reset_s`: until the window is empty again. `retry_after_s`: until the same request would pass, 0 where it passed.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float


class MovingWindow:
    """At most `limit` hits in any `window_s` seconds. Times are monotonic seconds and must not go back."""

    __slots__ = ("_buckets", "_limit", "_total", "_width_s")

    def __init__(self, *, limit: int, window_s: float = 60.0) -> None:
        self._limit = limit
        self._width_s = window_s / _BUCKETS
        self._buckets: deque[list[int]] = deque()
        self._total = 0

    def hit(self, *, now_s: float) -> Verdict:
        """Count one request if it is allowed, and say so. Amortised constant time."""
        index = int(now_s / self._width_s)
        buckets = self._buckets
        while buckets and buckets[0][0] <= index - _BUCKETS - 1:
            self._total -= buckets.popleft()[1]
        if self._total >= self._limit:
            oldest = buckets[0][0]
            wait_s = (oldest + _BUCKETS + 1) * self._width_s - now_s
            return Verdict(
                allowed=False,
                limit=self._limit,
                remaining=0,
                reset_s=self._reset_s(now_s),
                retry_after_s=max(wait_s, 0.001),
            )
        if buckets and buckets[-1][0] == index:
            buckets[-1][1] += 1
        else:
            buckets.append([index, 1])
        self._total += 1
        return Verdict(
            allowed=True,
            limit=self._limit,
            remaining=self._limit - self._total,
            reset_s=self._reset_s(now_s),
            retry_after_s=0.0,
        )

    def _reset_s(self, now_s: float) -> float:
        return (self._buckets[-1][0] + _BUCKETS + 1) * self._width_s - now_s

    def idle(self, *, now_s: float) -> bool:
        """Nothing in the window: the object may be forgotten."""
        return not self._buckets or self._buckets[-1][0] <= int(now_s / self._width_s) - _BUCKETS - 1


class RateLimiter:
    """One moving window for each of many keys; idle ones are forgotten as new ones come."""

    def __init__(self, *, limit: int, window_s: float = 60.0) -> None:
        self._limit = limit
        self._window_s = window_s
        self._windows: dict[object, MovingWindow] = {}
        self._sweep_at = 1024

    def hit(self, key: object, *, now_s: float) -> Verdict:
        """One request of `key`."""
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self._sweep_at:
                self._windows = {k: w for k, w in self._windows.items() if not w.idle(now_s=now_s)}
                self._sweep_at = max(1024, 2 * len(self._windows))
            window = self._windows[key] = MovingWindow(limit=self._limit, window_s=self._window_s)
        return window.hit(now_s=now_s)
