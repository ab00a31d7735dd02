"""The arithmetic of a benchmark: percentiles, spreads over rounds, ratios by round, growth."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """One measure over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value. Raises ValueError for none."""
        if not values:
            raise ValueError("a spread needs at least one value")
        return cls(statistics.median(values), min(values), max(values))


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """The value below which `fraction` (0 to 1) of `ordered`, sorted ascending, lies: nearest rank.

    Raises ValueError for no values.
    """
    if not ordered:
        raise ValueError("a percentile needs at least one value")
    rank = max(1, math.ceil(fraction * len(ordered)))
    return ordered[min(rank, len(ordered)) - 1]


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """One ratio a round: a slow moment of the machine, which both saw, cancels. Rounds without both are left out."""
    return [above / below for above, below in zip(numerators, denominators, strict=False) if below]


def differences(minuends: Sequence[float], subtrahends: Sequence[float]) -> list[float]:
    """One difference a round, for the reason given at `ratios`."""
    return [one - other for one, other in zip(minuends, subtrahends, strict=False)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of y over x. Raises `statistics.StatisticsError` for fewer than two distinct x."""
    xs, ys = zip(*points, strict=True) if points else ((), ())
    return statistics.linear_regression(xs, ys).slope


def growth_per(requests: int, samples: Sequence[tuple[int, float]], *, warm_up: int) -> float:
    """Growth of a size over so many requests, from samples `(requests served, size)` after the first `warm_up`."""
    return slope([(served, size) for served, size in samples if served >= warm_up]) * requests
