"""Words and meaning weighed against each other: what vectors may change, and what they may not."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.features.knowledge.embedding.store import Similar
from ali.features.knowledge.retrieval.fusion import Hit
from ali.features.knowledge.retrieval.meaning import Weights, weighed, weight_of

STORE = uuid4()
MEAN, DEVIATION = 0.3, 0.1


def hit(number: int, score: float, store: UUID = STORE) -> Hit:
    return Hit(store=store, number=number, score=score, scores={"bm25": score})


def near(number: int, deviations: float, store: UUID = STORE) -> Similar:
    """A chunk whose likeness is so many deviations above the store's."""
    return Similar(
        vector_store_id=store,
        number=number,
        similarity=MEAN + deviations * DEVIATION,
        mean=MEAN,
        deviation=DEVIATION,
        words=10,
        signature=b"",
    )


def numbers(hits: list[Hit]) -> list[int]:
    return [each.number for each in hits]


def test_without_vectors_the_words_decide() -> None:
    hits = [hit(1, 0.5), hit(2, 0.4)]
    assert weighed(hits, []) == hits


def test_vectors_that_understand_bring_forward_what_is_near() -> None:
    hits = [hit(1, 0.5), hit(2, 0.48), hit(3, 0.0)]
    assert numbers(weighed(hits, [near(1, 3), near(2, 5), near(3, 4)])) == [2, 1, 3]


def test_vectors_to_which_the_words_best_are_like_any_other_chunk_say_nothing() -> None:
    hits = [hit(1, 0.5), hit(2, 0.49), hit(3, 0.48), hit(4, 0.0)]
    similar = [near(1, 0.1), near(2, 0.5), near(3, -0.4), near(4, 3.5)]
    assert numbers(weighed(hits, similar)) == [1, 2, 3, 4]
    assert [each.score for each in weighed(hits, similar)] == [0.5, 0.49, 0.48, 0.0]


def test_where_the_words_find_nothing_meaning_decides() -> None:
    found = weighed([hit(1, 0.0), hit(2, 0.0)], [near(1, 2), near(2, 4)])
    assert numbers(found) == [2, 1]
    assert 0 < found[1].score < found[0].score < 1


def test_where_the_words_leave_nothing_open_meaning_changes_little() -> None:
    def lead(top: float) -> float:
        first, second = weighed([hit(1, top), hit(2, top)], [near(1, 5), near(2, 4)])
        return (first.score - second.score) / top

    assert lead(0.99) < lead(0.6) < lead(0.2)
    assert lead(0.99) < 0.01


def test_a_chunk_without_a_vector_is_not_put_back_for_it() -> None:
    hits = [hit(1, 0.5), hit(2, 0.5), hit(3, 0.1)]
    assert numbers(weighed(hits, [near(2, 3), near(3, 3)])) == [1, 2, 3]


def test_each_store_is_measured_by_its_own_chunks() -> None:
    other = uuid4()
    alike = Similar(vector_store_id=other, number=1, similarity=0.9, mean=0.85, deviation=0.1, words=1, signature=b"")
    found = weighed([hit(1, 0.5), hit(1, 0.5, other)], [near(1, 4), alike])
    assert [each.store for each in found] == [STORE, other]


def test_the_callers_weights_stand() -> None:
    hits, similar = [hit(1, 0.5), hit(2, 0.1)], [near(1, 1), near(2, 5)]
    assert numbers(weighed(hits, similar, weights=Weights(embedding=0, text=1))) == [1, 2]
    assert numbers(weighed(hits, similar, weights=Weights(embedding=1, text=0))) == [2, 1]
    even = weighed(hits, similar, weights=Weights(embedding=1, text=1))
    assert [each.score for each in even] == pytest.approx([0.6, 0.6])


def test_a_result_says_how_alike_it_is() -> None:
    (found, *_) = weighed([hit(1, 0.5)], [near(1, 3)])
    assert found.scores == {"bm25": 0.5, "vector": pytest.approx(0.6)}


def test_meaning_weighs_more_the_more_the_words_best_are_near_and_never_more_than_they() -> None:
    weights = [weight_of(agreement / 10) for agreement in range(-20, 100)]
    assert weights == sorted(weights)
    assert weights[0] == weight_of(0.5) == 0.0
    assert weight_of(1.5) == weight_of(2.0) == 0.3
    assert max(weights) == 1.0


@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    deviations=st.lists(st.none() | st.floats(-9, 9), min_size=30, max_size=30),
    weights=st.none() | st.builds(Weights, embedding=st.floats(0, 10), text=st.floats(0.1, 10)),
)
def test_nothing_is_lost_and_scores_are_in_order_from_0_to_1(
    scores: list[float], deviations: list[float | None], weights: Weights | None
) -> None:
    hits = [hit(number, score) for number, score in enumerate(scores)]
    similar = [near(each.number, at) for each, at in zip(hits, deviations, strict=False) if at is not None]
    found = weighed(hits, similar, weights=weights)
    assert sorted(numbers(found)) == sorted(numbers(hits))
    told = [each.score for each in found]
    assert not similar or told == sorted(told, reverse=True)
    assert all(0 <= score <= 1 for score in told)
