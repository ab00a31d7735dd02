"""Measures of retrieval, as trec_eval and BEIR compute them (linear gain)."""

import math
from collections.abc import Mapping, Sequence


def ndcg(found: Sequence[str], grades: Mapping[str, float], *, at: int = 10) -> float:
    """Normalised discounted cumulative gain of the first `at`."""
    gain = sum(grades.get(document, 0.0) / math.log2(place + 2) for place, document in enumerate(found[:at]))
    ideal = sorted(grades.values(), reverse=True)[:at]
    return gain / sum(grade / math.log2(place + 2) for place, grade in enumerate(ideal))


def recall(found: Sequence[str], grades: Mapping[str, float], *, at: int) -> float:
    """The share of the documents that answer that are among the first `at`."""
    return sum(document in grades for document in found[:at]) / len(grades)


def reciprocal_rank(found: Sequence[str], grades: Mapping[str, float], *, at: int = 10) -> float:
    """1 by the place of the first that answers; 0 where none of the first `at` does."""
    return next((1 / place for place, document in enumerate(found[:at], start=1) if document in grades), 0.0)


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """How often one of `higher` is above one of `lower`, ties being half."""
    wins = sum((one > other) + 0.5 * (one == other) for one in higher for other in lower)
    return wins / (len(higher) * len(lower))


def mean(values: Sequence[float]) -> float:
    """The mean; 0 of none."""
    return sum(values) / len(values) if values else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
