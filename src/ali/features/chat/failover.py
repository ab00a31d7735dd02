"""From one target to the next: who is tried, how often, and what the caller is told when nobody answers."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ali.features.chat.attempt import RelayedRefusal
from ali.features.chat.resilience import RetryBudget
from ali.features.chat.routing import Route, Target
from ali.features.chat.tally import Tally
from ali.features.metering import OpenRecord
from ali.kernel.errors import AliError, InvalidRequest
from ali.providers.contract import UpstreamError, UpstreamMalformed, UpstreamTimeout

Answer = TypeVar("Answer")
Attempt = Callable[[Target], Awaitable[Answer]]
"""One call to one target. Raises `UpstreamError`, or `InvalidRequest` for what cannot be said in its dialect."""

_SAME_TARGET_PAUSE_S = (0.05, 0.2)


class CircuitOpen(UpstreamError):
    """503: the provider has failed several times in a row and is left alone for a moment."""

    status = 503
    code = "upstream_circuit_open"


class Failover:
    """Tries a route's targets in order. Only before the first byte has reached the caller."""

    def __init__(self, *, budget: RetryBudget, tally: Tally, rng: random.Random) -> None:
        self._budget = budget
        self._tally = tally
        self._rng = rng

    async def answer(self, route: Route, attempt: Attempt[Answer], record: OpenRecord) -> tuple[Target, Answer]:
        """The first answer that a target gives. Raises the last target's failure when none does."""
        self._budget.request()
        loop = asyncio.get_running_loop()
        targets = self._in_order(route, now_s=loop.time())
        failure: AliError | None = None
        for target in targets:
            if not target.breaker.admits(now_s=loop.time()):
                failure = failure or self._circuit_open(target, now_s=loop.time())
                continue
            if record.attempts and not self._budget.spend():
                target.breaker.abandoned()
                break
            try:
                return target, await self._attempt(target, attempt, record)
            except UpstreamError as error:
                if not error.retryable:
                    raise
                failure = error
            except InvalidRequest:
                if failure is None:
                    raise  # else: the stand-in cannot be asked this; the first target's failure says more
        if failure is None:
            raise AssertionError("a route has at least one target")
        if record.attempts and self._worth_another(failure) and targets[-1].breaker.admits(now_s=loop.time()):
            if self._budget.spend():
                await asyncio.sleep(self._rng.uniform(*_SAME_TARGET_PAUSE_S))
                return targets[-1], await self._attempt(targets[-1], attempt, record)
            targets[-1].breaker.abandoned()
        raise failure

    def _in_order(self, route: Route, *, now_s: float) -> tuple[Target, ...]:
        """As the route says, but targets that asked to be left alone come last."""
        targets = route.order(self._rng)
        if len(targets) == 1:
            return targets
        return tuple(sorted(targets, key=lambda target: target.breaker.resting(now_s=now_s)))

    @staticmethod
    def _worth_another(failure: AliError) -> bool:
        """A second try at the same target helps against a hiccup, not against a limit, a long wait or nonsense."""
        if not isinstance(failure, UpstreamError) or isinstance(failure, (UpstreamTimeout, UpstreamMalformed)):
            return False
        return failure.retryable and failure.http_status != 429 and failure.code != "upstream_credential_refused"

    async def _attempt(self, target: Target, attempt: Attempt[Answer], record: OpenRecord) -> Answer:
        """One attempt, counted, its outcome told to the target's circuit breaker."""
        loop = asyncio.get_running_loop()
        provider = target.upstream.name
        record.attempts += 1
        record.provider, record.upstream_model = provider, target.model
        try:
            answer = await attempt(target)
        except UpstreamError as error:
            self._tally.attempt(provider, error.code).inc()
            if isinstance(error, RelayedRefusal) or not error.retryable or error.http_status == 429:
                target.breaker.succeeded()
            else:
                target.breaker.failed(now_s=loop.time())
            if error.retry_after_s is not None:
                target.breaker.rest(until_s=loop.time() + error.retry_after_s)
            raise
        except BaseException:
            target.breaker.abandoned()
            raise
        self._tally.attempt(provider, "ok").inc()
        target.breaker.succeeded()
        return answer

    @staticmethod
    def _circuit_open(target: Target, *, now_s: float) -> CircuitOpen:
        wait_s = max(target.breaker.open_until_s - now_s, 0.5)
        return CircuitOpen(
            f"Provider {target.upstream.name} failed several times in a row for {target.model}, "
            f"so it is left alone for a moment. Try again in {wait_s:.0f} s.",
            provider=target.upstream.name,
            retry_after_s=wait_s,
        )
