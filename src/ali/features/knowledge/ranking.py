"""The second stage of lexical search: the best hundred or so that the index found, ordered by what it cannot see.

The index knows how often each term occurs in a chunk. A signature also tells whether a word is written as in the
question or is only of its family, which words stand side by side, and how much of the question one sentence covers, how
briefly, and whether it shows what is asked for. Weights were tuned on Portuguese and English sets;
docs/reference/retrieval.md has what each part is worth.
"""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ali.features.knowledge.analysis import AnalysedQuery
from ali.features.knowledge.signature import SENTENCE_END, Trait, Word, likeness, same_stem, same_word, unpack

K1, B = 1.2, 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What each part counts. The first four are those of the parts, beside each other; `rank` divides by their sum."""

    words: float = 2.2
    """BM25's, its counts being sums of how alike the words are. k1 + 1, so that the others compare with plain BM25."""
    pairs: float = 0.4
    sentence: float = 1.6
    coverage: float = 0.25
    same_stem: float = 0.8
    """What a word counts that is written otherwise than in the question; as it is there it counts 1."""
    family: float = 1.0
    """Scales what a word of another stem counts that begins alike: 0.1 to 0.4."""
    heading: float = 1.5
    """How often a word of a heading counts."""
    first: float = 0.3
    """Of a sentence: that it begins with what is asked about."""
    trait: float = 0.3
    """Of a sentence: that it shows what is asked for: a date, a name, a number."""
    company: float = 0.1
    """What a chunk gains from the others of its document that were found, so that of two equal ones that comes first
    whose document has more to say."""
    brevity: float = 0.3
    """Of a sentence: how much a long one loses."""


WEIGHTS = Weights()
_BRIEF_WORDS = 12
_HEADING, _DEFINITION = int(Trait.HEADING), int(Trait.DEFINITION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A chunk that may be the answer. `words` and `signature` are those of its `Analysed`.

    `bm25` is the index's own score, 0.0 where the index did not find it (a vector did); `rank` does not read it.
    """

    number: int
    bm25: float
    words: int
    signature: bytes
    document: Hashable = None
    """What it is of; None where that is not known."""


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


def rank(
    query: AnalysedQuery, candidates: Sequence[Candidate], *, statistics: Statistics, weights: Weights = WEIGHTS
) -> list[Ranked]:
    """The candidates, the best first. Pure. Cost: about 25 µs a candidate."""
    scorer = _Scorer(query, statistics, weights)
    ranked = sorted(map(scorer.ranked, candidates), key=_place)
    documents = {candidate.number: candidate.document for candidate in candidates}
    return sorted(_with_company(ranked, documents, weight=weights.company), key=_place)


def _place(each: Ranked) -> tuple[float, int]:
    return -each.score, each.number


def _with_company(ranked: list[Ranked], documents: Mapping[int, Hashable], *, weight: float) -> Iterator[Ranked]:
    """Let each gain from those of its document that come after it: half as much from each next one."""
    after: dict[Hashable, float] = {}
    most = 1 + 2 * weight
    for each in reversed(ranked):
        document = documents[each.number]
        company = after.get(document, 0.0) if document is not None else 0.0
        after[document] = each.score + company / 2
        yield replace(
            each, score=(each.score + weight * company) / most, scores={**each.scores, "company": company / 2}
        )


_Hit = tuple[int, int, float]
"""Where in a signature, which group, how alike."""


@dataclass(slots=True)
class _Tally:
    """What a candidate has of the question: by group, how often, and how alike at best; pairs; its best sentence."""

    counts: dict[int, float] = field(default_factory=dict)
    best: dict[int, float] = field(default_factory=dict)
    pairs: dict[tuple[int, int], float] = field(default_factory=dict)
    sentence: float = 0.0


class _Matches(dict[Word, tuple[int, float]]):
    """Words of signatures to (group of the question, how alike from 0 to 1)."""

    def __init__(self, query: AnalysedQuery, weights: Weights) -> None:
        super().__init__()
        self._weights = weights
        self._asked: dict[int, list[tuple[int, int]]] = {}
        for word in query.words:
            for key, mark in word.forms:
                self._asked.setdefault(key, []).append((word.group, mark))
        self.keys_asked = frozenset((*self._asked, SENTENCE_END))

    def __missing__(self, word: Word) -> tuple[int, float]:
        asked = [(self._alike(word[1], mark), group) for group, mark in self._asked[word[0]]]
        alike, group = max(asked)
        self[word] = found = (group, alike)
        return found

    def _alike(self, mark: int, asked: int) -> float:
        if same_stem(mark, asked):
            return 1.0 if same_word(mark, asked) else self._weights.same_stem
        return self._weights.family * likeness(mark, asked)


class _Scorer:
    """One question over any number of candidates."""

    def __init__(self, query: AnalysedQuery, statistics: Statistics, weights: Weights) -> None:
        self._asked = int(query.asked)
        self._weights = weights
        inverse = [
            inverse_frequency(chunks=statistics.chunks, frequency=frequency) for frequency in statistics.frequencies
        ]
        values = [group.weight * value for group, value in zip(query.groups, inverse, strict=True)]
        total = sum(values) or 1.0
        self._values = [value / total for value in values]
        pairs = {pair: count * (inverse[pair[0]] + inverse[pair[1]]) for pair, count in query.pairs.items()}
        total = sum(pairs.values()) or 1.0
        self._pair_values = {pair: value / total for pair, value in pairs.items()}
        self._average = max(1.0, statistics.words / max(1, statistics.chunks))
        self._matches = _Matches(query, weights)

    def ranked(self, candidate: Candidate) -> Ranked:
        """Score one candidate."""
        tally = self._read(candidate.signature)
        norm = K1 * (1 - B + B * candidate.words / self._average)
        values, weights = self._values, self._weights
        scores = {
            "words": sum(values[group] * count / (count + norm) for group, count in tally.counts.items()),
            "pairs": sum(self._pair_values[pair] * count / (count + norm) for pair, count in tally.pairs.items()),
            "sentence": tally.sentence,
            "coverage": sum(values[group] * alike for group, alike in tally.best.items()),
        }
        score = (
            weights.words * scores["words"]
            + weights.pairs * scores["pairs"]
            + weights.sentence * scores["sentence"]
            + weights.coverage * scores["coverage"]
        ) / (weights.words + weights.pairs + weights.sentence + weights.coverage)
        return Ranked(number=candidate.number, score=min(1.0, score), scores=scores)

    def _read(self, signature: bytes) -> _Tally:
        tally = _Tally()
        run: list[_Hit] = []
        begins = 0
        keys, marks = unpack(signature)
        asked, matches = self._matches.keys_asked, self._matches
        for at in [at for at, key in enumerate(keys) if key in asked]:
            key = keys[at]
            if key:
                group, alike = matches[key, marks[at]]
                if alike:
                    run.append((at, group, alike))
                continue
            if run:
                self._add(run, tally, begins=begins, ends=at, traits=marks[at])
                run = []
            begins = at + 1
        return tally

    def _add(self, run: list[_Hit], tally: _Tally, *, begins: int, ends: int, traits: int) -> None:
        """Count what a sentence has of the question."""
        factor = self._weights.heading if traits & _HEADING else 1.0
        counts, pair_values = tally.counts, self._pair_values
        here: dict[int, float] = {}
        before, before_at, before_alike = -1, -2, 0.0
        for at, group, alike in run:
            counts[group] = counts.get(group, 0.0) + factor * alike
            if alike > here.get(group, 0.0):
                here[group] = alike
            if at == before_at + 1 and (before, group) in pair_values:
                tally.pairs[before, group] = tally.pairs.get((before, group), 0.0) + alike * before_alike
            before, before_at, before_alike = group, at, alike
        best, values, covered = tally.best, self._values, 0.0
        for group, alike in here.items():
            covered += values[group] * alike
            if alike > best.get(group, 0.0):
                best[group] = alike
        tally.sentence = max(tally.sentence, self._sentence(run[0], covered, begins=begins, ends=ends, traits=traits))

    def _sentence(self, hit: _Hit, covered: float, *, begins: int, ends: int, traits: int) -> float:
        """From 0 to 1: the square of what it covers, for one that covers all is worth more than two that cover half."""
        weights = self._weights
        covered *= 1 - weights.brevity + weights.brevity * min(1.0, _BRIEF_WORDS / (ends - begins))
        score = covered * covered
        at, group, alike = hit
        if at == begins:
            score += weights.first * self._values[group] * alike
        if self._asked & traits and (self._asked != _DEFINITION or at <= begins + 1):
            score += weights.trait * covered
        return score / (1 + weights.first + weights.trait)
