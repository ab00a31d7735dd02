"""The metrics of ended requests, with the children of each label set found once."""

from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import Counter, Histogram

from ali.features.metering import OpenRecord
from ali.kernel.telemetry import Metrics


@dataclass(slots=True)
class _Ended:
    requests: Counter
    duration: Histogram
    first_token: Histogram


@dataclass(slots=True)
class _Spent:
    input: Counter
    cached_input: Counter
    output: Counter
    cost: Counter


class Tally:
    """Counts ended requests. Labels are bounded: they are the code's and the operator's words, never a caller's."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._ended = lru_cache(maxsize=None)(self._find_ended)
        self._spent = lru_cache(maxsize=None)(self._find_spent)
        self.attempt = lru_cache(maxsize=None)(self._find_attempt)

    def _find_ended(self, operation: str, outcome: str) -> _Ended:
        metrics = self._metrics
        return _Ended(
            metrics.requests.labels(operation, outcome),
            metrics.duration.labels(operation),
            metrics.first_token.labels(operation),
        )

    def _find_spent(self, provider: str) -> _Spent:
        tokens = self._metrics.tokens
        return _Spent(
            tokens.labels(provider, "input"),
            tokens.labels(provider, "cached_input"),
            tokens.labels(provider, "output"),
            self._metrics.cost.labels(provider),
        )

    def _find_attempt(self, provider: str, result: str) -> Counter:
        return self._metrics.attempts.labels(provider, result)

    def count(self, record: OpenRecord, *, elapsed_s: float) -> None:
        """One ended request. About 6 µs."""
        ended = self._ended(record.operation, record.outcome)
        ended.requests.inc()
        ended.duration.observe(elapsed_s)
        if record.first_token_ms is not None:
            ended.first_token.observe(record.first_token_ms / 1000)
        usage = record.usage
        if record.provider is None or not usage.input_tokens:
            return
        spent = self._spent(record.provider)
        spent.input.inc(usage.input_tokens)
        spent.output.inc(usage.output_tokens)
        if usage.cached_input_tokens:
            spent.cached_input.inc(usage.cached_input_tokens)
        if record.cost_microusd:
            spent.cost.inc(record.cost_microusd)
