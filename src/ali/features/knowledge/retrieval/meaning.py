"""Words and meaning weighed against each other: what a search by words found, and what vectors say of it.

A vector's likeness means nothing by itself: how near is near depends on the model, the language and the question. So it
is counted in deviations from what chunks of the store have on the whole with this question, and the score by words as a
share of the best. How much meaning weighs is asked of the question's own results: where what the words found is near by
meaning as well, the vectors understand these texts; where it is no nearer than any other chunk, they do not, and say
nothing. And meaning weighs on what the words leave open: the less, the more of the question the best of them has.
Measured: docs/adr/0022-vectors.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from ali.features.knowledge.embedding.store import Similar
from ali.features.knowledge.retrieval.fusion import Hit

Key = tuple[UUID, int]

_NEAREST: Final = 6.0
"""Deviations: as near as the very passage that a question is about is to it."""
_LEAST_DEVIATION: Final = 0.01
_BEST: Final = 3
_DEAF, _HEARS, _UNDERSTANDS = 0.5, 1.5, 2.0
"""Of the agreement: up to the first vectors weigh nothing, from the second on `_WEIGHT`, above the third more."""
_WEIGHT: Final = 0.3
_MORE: Final = 0.2
_MOST: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What the caller says that meaning and words weigh; not both are 0."""

    embedding: float
    text: float


def weighed(hits: Sequence[Hit], similar: Sequence[Similar], *, weights: Weights | None = None) -> list[Hit]:
    """The hits, the best first, by words (`score`, as `ranking.rank` has it) and by meaning together. Pure.

    `hits` has every chunk of `similar`; a chunk without a vector counts as near as those are that the words found.
    Without any vector the hits stay as they are.
    """
    near = {(each.vector_store_id, each.number): each for each in similar}
    if not near:
        return list(hits)
    deviations = {key: _deviations(each) for key, each in near.items()}
    by_words = sorted(hits, key=lambda hit: -hit.score)
    top = by_words[0].score
    agreement = _agreement(by_words, deviations)
    unknown = max(deviations.values()) if agreement is None else agreement
    if weights is None:
        weight = (_MOST if agreement is None else weight_of(agreement)) * (1 - top) / _NEAREST
        scale = top or 1.0
        scored = {_key(hit): hit.score + scale * weight * deviations.get(_key(hit), unknown) for hit in by_words}
    else:
        nearest = max(*deviations.values(), _LEAST_DEVIATION)
        total = weights.embedding + weights.text
        scored = {
            _key(hit): (
                weights.text * hit.score / (top or 1.0)
                + weights.embedding * deviations.get(_key(hit), unknown) / nearest
            )
            / total
            for hit in by_words
        }
    # Sorted by what may lie above 1 or below 0; stable, so that what is equal stays as the words have it.
    ordered = sorted(by_words, key=lambda hit: -scored[_key(hit)])
    return [
        replace(
            hit,
            score=min(max(scored[_key(hit)], 0.0), 1.0),
            scores={**hit.scores, **_told(near.get(_key(hit)))},
        )
        for hit in ordered
    ]


def weight_of(agreement: float) -> float:
    """What meaning weighs against the best by words: 0 to 1, by how near the words' best are, in deviations."""
    heard = min(max((agreement - _DEAF) / (_HEARS - _DEAF), 0.0), 1.0)
    return min(_WEIGHT * heard + _MORE * max(agreement - _UNDERSTANDS, 0.0), _MOST)


def _agreement(by_words: Sequence[Hit], deviations: Mapping[Key, float]) -> float | None:
    """How near the best by words are, as the words weigh them; None where the words found nothing that has a vector."""
    best = [hit for hit in by_words if hit.score > 0 and _key(hit) in deviations][:_BEST]
    total = sum(hit.score for hit in best)
    return sum(hit.score * deviations[_key(hit)] for hit in best) / total if total else None


def _deviations(similar: Similar) -> float:
    return (similar.similarity - similar.mean) / max(similar.deviation, _LEAST_DEVIATION)


def _told(similar: Similar | None) -> dict[str, float]:
    return {} if similar is None else {"vector": min(max(similar.similarity, 0.0), 1.0)}


def _key(hit: Hit) -> Key:
    return hit.store, hit.number
