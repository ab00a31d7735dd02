"""The installation's limiter: which store counts, what happens when it fails, and what is done after an answer.

Redis is preferred where there is one. If it does not answer within 0.2 s, its connection is given up, PostgreSQL counts
from zero, and Redis is tried in the background until it counts again. So at a change-over at most one more limit passes
in that window, however many replicas there are; a request never fails for it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from ali.features.metering.limiting.claims import Amendment, Claim, Verdict
from ali.features.metering.limiting.in_process import ProcessStore
from ali.features.metering.limiting.shared import SharedStore, StoreFailed
from ali.kernel import log
from ali.kernel.errors import Unavailable
from ali.kernel.telemetry import Metrics

LEASE_S: Final = 45.0
"""How long a stream counts after its process was last heard of."""
_PROBE_S: Final = 0.5
_TIDY_S: Final = 30.0
_BATCH: Final = 200
_MOST_PENDING: Final = 50_000


class LimitsUnavailable(Unavailable):
    """503: the limits cannot be checked now, because neither store answers."""

    code = "limits_unavailable"


class Limiter:
    """Checks claims. `run` must be running, for corrections, leases and recovery.

    `stores`: one process store; or the shared ones, most preferred first, each standing in for the one before.
    `hold_s`: how long a store that failed is left alone at least.
    """

    def __init__(
        self,
        stores: ProcessStore | Sequence[SharedStore],
        *,
        metrics: Metrics,
        lease_s: float = LEASE_S,
        hold_s: float = 2.0,
    ) -> None:
        self._process = stores if isinstance(stores, ProcessStore) else None
        self._shared: tuple[SharedStore, ...] = () if isinstance(stores, ProcessStore) else tuple(stores)
        self._serving = 0
        self._metrics = metrics
        self._lease_s = lease_s
        self._hold_s = hold_s
        self._failed_s = 0.0
        self._held: dict[bytes, tuple[Claim, ...]] = {}
        self._amendments: deque[tuple[str, Amendment]] = deque()
        self._releases: deque[tuple[Claim, bytes]] = deque()
        self._due = asyncio.Event()
        self._renew_due = asyncio.Event()
        self._telling = asyncio.Lock()  # one batch at once; a renewal must not overtake the release of the same lease
        self._show()

    @property
    def store(self) -> str:
        """The name of the store that counts now."""
        return self._process.name if self._process is not None else self._shared[self._serving].name

    @property
    def degraded(self) -> tuple[str, ...]:
        """The names of stores that should count and do not, for `/readyz`."""
        return tuple(store.name for store in self._shared[: self._serving])

    async def open(self) -> None:
        """Connect. A preferred store that cannot be reached is stood in for from the start."""
        for position, store in enumerate(self._shared):
            try:
                await store.open()
            except StoreFailed as error:
                if position + 1 < len(self._shared):
                    self._fail_over(store, error)
                continue
            return

    def check_now(self, claims: Sequence[Claim], *, lease: bytes = b"") -> Verdict | None:
        """As `check`, where that takes no await (the process store); else None."""
        if self._process is None:
            return None
        return self._noted(self._process.check(claims, now_us=_now_us(), lease=lease))

    async def check(self, claims: Sequence[Claim], *, lease: bytes = b"") -> Verdict:
        """Count all of `claims`, or none: at most one round trip, and one more when a store has just failed.

        A claim on streams is held as `lease` (16 bytes that nobody else uses) until `settle`, or until this process
        has not been heard of for `lease_s`. Raises `LimitsUnavailable` when no store answers.
        """
        if (verdict := self.check_now(claims, lease=lease)) is not None:
            return verdict
        for position in range(self._serving, len(self._shared)):
            if position < self._serving:  # another request was quicker to find out
                continue
            store = self._shared[position]
            try:
                return self._noted(await store.check(claims, lease=lease))
            except StoreFailed as error:
                self._fail_over(store, error)
        raise LimitsUnavailable(
            "The service cannot check its rate limits now, because what counts them does not answer. Try again shortly."
        )

    def settle(self, verdict: Verdict, *, tokens: int | None = None) -> None:
        """After an answer: `tokens` is what it used beyond the estimate that was claimed (negative: less), and its
        stream is over. No await; shared stores learn it within moments, from `run`.
        """
        if tokens:
            amendments = [
                Amendment(standing.claim, tokens, verdict.at_us)
                for standing in verdict.standings
                if standing.claim.kind == "tokens"
            ]
            if self._process is not None:
                self._process.amend(amendments, now_us=_now_us())
            elif len(self._amendments) < _MOST_PENDING:
                self._amendments.extend((verdict.store, amendment) for amendment in amendments)
                self._due.set()
        for claim in self._held.pop(verdict.lease, ()):
            if self._process is not None:
                self._process.release(((claim, verdict.lease),))
            else:
                self._releases.append((claim, verdict.lease))
                self._due.set()

    async def run(self) -> None:
        """Bring corrections to the store, renew leases, clean, and win a failed store back. Runs until cancelled."""
        async with asyncio.TaskGroup() as chores:
            chores.create_task(self._renew_leases())
            if self._process is None:
                chores.create_task(self._bring())
                chores.create_task(self._win_back())
                chores.create_task(self._tidy())

    async def drain(self) -> None:
        """Bring what is still to be brought, once: for the end of the process."""
        if self._process is not None:
            return  # it was told at once
        try:
            await self._bring_batch(self._shared[self._serving])  # behind one that is under way, which is in no queue
            while self._amendments or self._releases:
                await self._bring_batch(self._shared[self._serving])
        except StoreFailed as error:
            log.warning("limits.drain_incomplete", error_type=error.args[0])

    async def close(self) -> None:
        """Let go of connections."""
        for store in self._shared:
            await store.close()

    def _noted(self, verdict: Verdict) -> Verdict:
        """Remember the leases of a request that passes; count one that does not."""
        if not verdict.allowed:
            if claim := verdict.refusing:
                self._metrics.limit_refusals.labels(claim.scope, claim.kind).inc()
        elif verdict.lease:
            streams = tuple(standing.claim for standing in verdict.standings if standing.claim.kind == "streams")
            if streams:
                self._held[verdict.lease] = streams
        return verdict

    def _fail_over(self, store: SharedStore, error: StoreFailed) -> None:
        """Count a failure; and let the next store serve, if it was the serving one's and there is a next."""
        self._metrics.limiter_failures.labels(store.name).inc()
        position = self._shared.index(store)
        if position != self._serving or position + 1 == len(self._shared):
            return
        self._serving += 1
        self._failed_s = time.monotonic()
        self._show()
        self._renew_due.set()
        log.warning("limits.store_failed", store=store.name, error_type=error.args[0], serving=self.store)

    def _show(self) -> None:
        names = [self._process.name] if self._process is not None else [store.name for store in self._shared]
        for name in names:
            self._metrics.limiter_store.labels(name).set(name == self.store)

    async def _win_back(self) -> None:
        """Notice a preferred store's end even where no request does, and its return."""
        while True:
            await asyncio.sleep(_PROBE_S)
            serving = self._shared[self._serving]
            if not serving.alive:
                self._fail_over(serving, StoreFailed("closed"))
            if self._serving == 0 or time.monotonic() - self._failed_s < self._hold_s:
                continue
            preferred = self._shared[self._serving - 1]
            try:
                await preferred.open()
            except StoreFailed:
                continue
            self._serving -= 1
            self._show()
            self._renew_due.set()
            log.info("limits.store_recovered", store=preferred.name)

    async def _renew_leases(self) -> None:
        """Show that streams run: three times within a lease, and at once when another store takes over."""
        while True:
            try:
                async with asyncio.timeout(self._lease_s / 3):
                    await self._renew_due.wait()
            except TimeoutError:
                pass
            self._renew_due.clear()
            leases = list(self._held)
            for start in range(0, len(leases), _BATCH):
                await self._renew(leases[start : start + _BATCH])

    async def _renew(self, leases: list[bytes]) -> None:
        async with self._telling:
            held = [(claim, lease) for lease in leases for claim in self._held.get(lease, ())]
            if self._process is not None:
                self._process.renew(held, now_us=_now_us())
            elif held:
                store = self._shared[self._serving]
                try:
                    await store.renew(held)
                except StoreFailed as error:
                    self._fail_over(store, error)

    async def _bring(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            while self._amendments or self._releases:
                store = self._shared[self._serving]
                try:
                    await self._bring_batch(store)
                except StoreFailed as error:
                    self._fail_over(store, error)
                    await asyncio.sleep(_PROBE_S)

    async def _bring_batch(self, store: SharedStore) -> None:
        """One round trip each for corrections and releases. A correction that may have arrived is not sent again."""
        async with self._telling:
            amendments = [self._amendments.popleft() for _ in range(min(_BATCH, len(self._amendments)))]
            # What was counted elsewhere cannot be taken back here; what was used beyond it counts here too.
            fitting = [amendment for name, amendment in amendments if name == store.name or amendment.delta > 0]
            if fitting:
                await store.amend(fitting)
            releases = list(islice(self._releases, _BATCH))
            if releases:
                await store.release(releases)
                for _ in releases:
                    self._releases.popleft()

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_S)
            for store in self._shared:
                try:
                    await store.tidy()
                except StoreFailed as error:
                    log.warning("limits.tidy_failed", store=store.name, error_type=error.args[0])


def _now_us() -> int:
    return time.monotonic_ns() // 1000
