"""What several queries, or several ways of searching, found: one list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk of a store with its score, from 0 to 1, and what that is made of."""

    store: UUID
    number: int
    score: float
    scores: Mapping[str, float]


def fuse(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The chunks of several queries' lists, each once, with its best score; the best first. Pure."""
    best: dict[tuple[UUID, int], Hit] = {}
    for hit in (hit for hits in lists for hit in hits):
        known = best.get((hit.store, hit.number))
        if known is None or hit.score > known.score:
            best[hit.store, hit.number] = hit
    return sorted(best.values(), key=lambda hit: (-hit.score, hit.store, hit.number))
