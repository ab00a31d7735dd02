"""The lexical index: what is found is what BM25's formula says, at every moment."""

import random
from collections.abc import Sequence

import pytest

from ali.features.knowledge.analysis import TermGroup
from ali.features.knowledge.index import Candidates
from tests.fixtures.database import Tenant
from tests.knowledge.shelf import Oracle, Shelf, Words, one


@pytest.fixture
def shelf(tenant: Tenant) -> Shelf:
    return Shelf(tenant=tenant).make()


def some_chunks(rng: random.Random, count: int, *, vocabulary: int = 60) -> list[Words]:
    """Chunks whose terms are some common and most rare, with negative ones as hashes are."""
    return [
        {
            int(vocabulary ** rng.random()) * (1 if rng.random() < 0.8 else -1): min(15, int(rng.expovariate(0.7)) + 1)
            for _ in range(rng.randint(1, 30))
        }
        for _ in range(count)
    ]


def agrees(found: Candidates, oracle: Oracle, groups: Sequence[TermGroup], *, most: int = 100) -> None:
    """The candidates are the best there are, with the right scores, and so are the statistics."""
    expected = oracle.scores(*groups)
    assert len(found.found) == min(most, len(expected))
    scores = [each.bm25 for each in found.found]
    assert scores == pytest.approx(sorted(expected.values(), reverse=True)[:most])
    for candidate, (_, number) in zip(found.found, found.chunks, strict=True):
        assert candidate.bm25 == pytest.approx(expected[number])
        assert candidate.words == oracle.chunks[number][1]
    if expected:
        assert found.statistics.chunks == len(oracle.chunks)
        assert found.statistics.words == sum(length for _, length in oracle.chunks.values())
        assert found.statistics.frequencies == tuple(map(oracle.frequency, groups))


async def test_candidates_are_those_that_score_highest_by_the_formula(shelf: Shelf) -> None:
    rng, oracle = random.Random(1), Oracle()
    for _ in range(12):
        chunks = some_chunks(rng, rng.randint(1, 20))
        oracle.add((await shelf.add(chunks)).first_number, chunks)
    for groups in (
        [one(3), one(17), one(-5, weight=0.25)],
        [one(1)],
        [TermGroup(terms=(2, 4), weight=1.0), TermGroup(terms=(1, 9999), weight=1.6), one(8)],
        [one(10**12)],
    ):
        agrees(await shelf.candidates(*groups), oracle, groups)
        agrees(await shelf.candidates(*groups, most=7), oracle, groups, most=7)
