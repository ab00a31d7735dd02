"""What each part of ranking is worth: the same candidates ranked without it.

In this process, over all chunks of a set, with the index's formula written down once more: BM25, Lucene's inverse
document frequency, a group's count the sum of its terms'.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from ali.features.knowledge.analysis import AnalysedQuery, analyse_query
from ali.features.knowledge.chunk import Analysed
from ali.features.knowledge.ranking import K1, WEIGHTS, B, Candidate, Statistics, Weights, inverse_frequency, rank
from ali.features.knowledge.signature import Trait
from bench.retrieval.measures import mean, ndcg
from bench.retrieval.sets import EvaluationSet
from bench.retrieval.store import prepared

_KEY: Final = b"the benchmark's key"
_CANDIDATES: Final = 100
Change = Callable[[AnalysedQuery, Weights], tuple[AnalysedQuery, Weights]]


def _weights(**changed: float) -> Change:
    return lambda query, weights: (query, replace(weights, **changed))


def _once(query: AnalysedQuery, weights: Weights) -> tuple[AnalysedQuery, Weights]:
    return replace(query, groups=tuple(replace(each, weight=min(1.0, each.weight)) for each in query.groups)), weights


def _alike(query: AnalysedQuery, weights: Weights) -> tuple[AnalysedQuery, Weights]:
    return replace(query, groups=tuple(replace(each, weight=max(1.0, each.weight)) for each in query.groups)), weights


_CHANGES: Final[dict[str, Change]] = {
    "all of it": _weights(),
    "without the best sentence": _weights(sentence=0),
    "without its brevity": _weights(brevity=0),
    "without what it begins with": _weights(first=0),
    "without what it shows (date, name, number, reason, definition)": lambda query, weights: (
        replace(query, asked=Trait(0)),
        weights,
    ),
    "without pairs of words": _weights(pairs=0),
    "without other passages of the document": _weights(company=0),
    "without coverage": _weights(coverage=0),
    "without telling written forms apart": _weights(same_stem=1.0),
    "without words of one family": _weights(family=0),
    "headings as other text": _weights(heading=1),
    "repeated words once": _once,
    "generic words as others": _alike,
}


class _Index:
    """All chunks of a set, in memory."""

    def __init__(self, chunks: Sequence[tuple[str, Analysed]]) -> None:
        self.chunks = chunks
        self.words = sum(chunk.words for _, chunk in chunks)
        self._postings: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, (_, chunk) in enumerate(chunks):
            for term, count in zip(chunk.terms, chunk.counts, strict=True):
                self._postings[term].append((number, count))

    def candidates(self, query: AnalysedQuery) -> tuple[list[Candidate], Statistics]:
        """The best hundred, as the index finds them."""
        scores: dict[int, float] = defaultdict(float)
        frequencies: list[int] = []
        average = self.words / len(self.chunks)
        for group in query.groups:
            counts: dict[int, int] = defaultdict(int)
            postings = [posting for term in group.terms for posting in self._postings.get(term, ())]
            for number, count in postings:
                counts[number] += count
            frequencies.append(len(postings))
            weight = group.weight * inverse_frequency(chunks=len(self.chunks), frequency=len(postings))
            for number, count in counts.items():
                norm = K1 * (1 - B + B * self.chunks[number][1].words / average)
                scores[number] += weight * count * (K1 + 1) / (count + norm)
        best = sorted(scores, key=lambda number: (-scores[number], number))[:_CANDIDATES]
        found = [
            Candidate(
                number=number, bm25=scores[number], words=chunk.words, signature=chunk.signature, document=document
            )
            for number in best
            for document, chunk in (self.chunks[number],)
        ]
        return found, Statistics(chunks=len(self.chunks), words=self.words, frequencies=tuple(frequencies))


def ablate(chosen: EvaluationSet) -> Iterator[tuple[str, float]]:
    """(what is left out, nDCG@10) for each part, BM25 alone first."""
    index = _Index(
        [(document.id, each.analysed) for document in chosen.documents for each in prepared(document, key=_KEY)]
    )
    asked = [(question, analyse_query(question.text, key=_KEY)) for question in chosen.questions]
    plain = [([each.number for each in index.candidates(query)[0]], question.grades) for question, query in asked]
    yield "BM25 alone", mean([ndcg(_documents(index, numbers), grades) for numbers, grades in plain])
    for name, change in _CHANGES.items():
        gains: list[float] = []
        for question, query in asked:
            changed, weights = change(query, WEIGHTS)
            candidates, statistics = index.candidates(changed)
            ranked = rank(changed, candidates, statistics=statistics, weights=weights)
            gains.append(ndcg(_documents(index, [each.number for each in ranked]), question.grades))
        yield name, mean(gains)


def _documents(index: _Index, numbers: Sequence[int]) -> list[str]:
    return list(dict.fromkeys(index.chunks[number][0] for number in numbers))
