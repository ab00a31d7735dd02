"""The second stage of lexical search: the best hundred or so that the index found, ordered by what it cannot see.

The index knows how often each term occurs in a chunk. A signature also tells whether a word is written as in the
question, which words stand side by side, and how much of the question one sentence covers. Weights were tuned on
Portuguese and English sets; docs/reference/retrieval.md has what each part is worth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ali.features.knowledge.analysis import AnalysedQuery, unpacked

K1, B = 1.2, 0.75
_UNSTEMMED, _PAIRS, _SENTENCE = 0.4, 0.2, 0.4
_END = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A chunk that may be the answer. `words` and `signature` are those of its `Analysed`.

    `bm25` is the index's own score, 0.0 where the index did not find it (a vector did): it is computed here anew.
    """

    number: int
    bm25: float
    words: int
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What is searched, as the index knows it: chunks, words in all of them, and in how many chunks each group occurs.

    `frequencies` are in the order of the query's groups: of a group of several terms, the sum of its terms', which
    here is cut at `chunks`.
    """

    chunks: int
    words: int
    frequencies: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A candidate with its score, from 0 to 1, and the parts of it, each from 0 to 1 as well."""

    number: int
    score: float
    scores: dict[str, float]


def inverse_frequency(*, chunks: int, frequency: int) -> float:
    """A term's weight in BM25, as Lucene has it: never negative."""
    frequency = min(frequency, chunks)
    return math.log(1 + (chunks - frequency + 0.5) / (frequency + 0.5))


def rank(query: AnalysedQuery, candidates: Sequence[Candidate], *, statistics: Statistics) -> list[Ranked]:
    """The candidates, the best first. Pure. Cost: about 25 µs a candidate."""
    weights = [
        group.weight * inverse_frequency(chunks=statistics.chunks, frequency=frequency)
        for group, frequency in zip(query.groups, statistics.frequencies, strict=True)
    ]
    if not any(weights):
        return [Ranked(number=each.number, score=0.0, scores={}) for each in candidates]
    average = max(1.0, statistics.words / max(1, statistics.chunks))
    ranked = [_ranked(query, candidate, weights, average) for candidate in candidates]
    return sorted(ranked, key=lambda each: (-each.score, each.number))


def _ranked(query: AnalysedQuery, candidate: Candidate, weights: Sequence[float], average: float) -> Ranked:
    stems, surfaces = unpacked(candidate.signature)
    group_of = {**query.short, 0: _END}.get
    found = [(at, group) for at, stem in enumerate(stems) if (group := group_of(stem)) is not None]
    counts: dict[int, int] = {}
    written: dict[int, int] = {}
    pairs: dict[tuple[int, int], int] = {}
    best = covered = 0.0
    sentence: set[int] = set()
    before_at, before = -2, _END
    for at, group in found:
        if group == _END:
            best = max(best, covered)
            covered = 0.0
            sentence.clear()
            continue
        counts[group] = counts.get(group, 0) + 1
        if surfaces[at] in query.surfaces[group]:
            written[group] = written.get(group, 0) + 1
        if group not in sentence:
            sentence.add(group)
            covered += weights[group]
        if at == before_at + 1 and (before, group) in query.pairs:
            pairs[before, group] = pairs.get((before, group), 0) + 1
        before_at, before = at, group
    best = max(best, covered)
    norm = K1 * (1 - B + B * candidate.words / average)
    total = sum(weights)
    scores = {
        "bm25": sum(weights[group] * count / (count + norm) for group, count in counts.items()) / total,
        "unstemmed": sum(weights[group] * count / (count + norm) for group, count in written.items()) / total,
        "pairs": sum((weights[left] + weights[right]) * c / (c + norm) for (left, right), c in pairs.items())
        / (sum(weights[left] + weights[right] for left, right in query.pairs) or 1.0),
        "sentence": best / total,
    }
    score = (
        scores["bm25"] + _UNSTEMMED * scores["unstemmed"] + _PAIRS * scores["pairs"] + _SENTENCE * scores["sentence"]
    ) / (1 + _UNSTEMMED + _PAIRS + _SENTENCE)
    return Ranked(number=candidate.number, score=score, scores=scores)
