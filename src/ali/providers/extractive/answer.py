"""Finding the sentences that answer a question: up to three, quoted as they stand, or none.

Two steps, so that thousands of pages cost little: regions of about two thousand characters are ranked by BM25; the
sentences of the best are then scored by how much of the question's informative weight they cover, alone and with their
neighbours and headings. Weights were tuned on Portuguese questions (FaQuAD) and read over on English manuals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ali.providers.extractive.analyser import WORD, Term, analyse, analyse_word, legal_terms
from ali.providers.extractive.documents import Document
from ali.providers.extractive.language import STOP_WORDS, Language, fold, language_of, languages_of
from ali.providers.extractive.layout import Region, regions_of
from ali.providers.extractive.question import DEFINITION, QueryTerm, Question, understand
from ali.providers.extractive.sentences import Role, Sentence, split

MAX_QUOTES = 3
CONFIDENT = 0.5
"""The least confidence with which anything is quoted."""

_CANDIDATE_REGIONS = 24
_LEAST_SHARE_OF_BEST = 0.45
_LIST_CHARACTERS = 700
_BACKGROUND_REGIONS = 200.0
_BACKGROUND_FREQUENCY = 0.004
_K1, _B = 1.2, 0.5
_UNSEEN = -2
_ROLE_WEIGHT = {Role.PROSE: 1.0, Role.ITEM: 0.95, Role.HEADING: 0.45, Role.QUESTION: 0.35, Role.DEBRIS: 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Why a sentence was found, each part from 0 to 1; `total` is their weighted sum.

    The share of the question's weight that the sentence itself covers; that with its neighbours and headings; the
    question's adjacent words that are adjacent here; its region's BM25 beside the best region's; whether it shows the
    kind of answer asked for (a date, a name, a number).
    """

    covered: float
    covered_in_context: float
    pairs: float
    region: float
    cue: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A span of a document's page, and why. `text` is byte-equal to `pages[page][start:end]`; `page` counts from 0."""

    document: int
    page: int
    start: int
    end: int
    text: str
    scores: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Up to three quotes, the best first; none where nothing covers the question (`abstained`).

    `confidence`, from 0 to 1, is the share of the question's informative weight that the best place covers; below
    `CONFIDENT` nothing is quoted. It tells questions on another subject apart well, and near misses hardly.
    """

    language: Language
    confidence: float
    quotes: tuple[Quote, ...] = field(default=())

    @property
    def abstained(self) -> bool:
        """Nothing is quoted."""
        return not self.quotes


@dataclass(frozen=True, slots=True)
class _Scored:
    region: Region
    sentence: Sentence
    position: int
    scores: Scores


def answer(question: str, documents: Sequence[Document]) -> Answer:
    """Answer `question` from `documents`. Pure. Cost: about 1 µs a word, some milliseconds for a 50-page document."""
    default = _main_language(documents)
    asked = understand(question, default=default)
    regions = regions_of(documents)
    if not asked.terms or not regions:
        return Answer(language=asked.language, confidence=0.0)
    return _Search(asked, documents, regions, default=default).answer()


def _main_language(documents: Sequence[Document]) -> Language:
    sample = "\n".join(page[:2000] for document in documents for page in document.pages[:20])
    counts = languages_of(sample[:40_000])
    return Language.PORTUGUESE if counts[Language.PORTUGUESE] > counts[Language.ENGLISH] else Language.ENGLISH


class _Search:
    """One question over one set of regions."""

    def __init__(
        self, asked: Question, documents: Sequence[Document], regions: Sequence[Region], *, default: Language
    ) -> None:
        self._asked = asked
        self._documents = documents
        self._regions = regions
        self._languages = [language_of(self._text(region), default=default) for region in regions]
        self._counts, self._lengths = self._count(asked.terms)
        self._weights = self._term_weights()
        self._total = sum(self._weights)
        self._splits: dict[int, list[Sentence]] = {}

    def _text(self, region: Region) -> str:
        return self._documents[region.document].pages[region.page][region.start : region.end]

    def _count(self, terms: Sequence[QueryTerm]) -> tuple[list[dict[int, int]], list[int]]:
        """How often each term occurs in each region, and the regions' lengths in words."""
        by_stem: dict[str, int] = {}
        by_surface: dict[str, int] = {}
        for number, term in enumerate(terms):
            by_surface[term.surface] = number
            for stem in term.stems:
                by_stem.setdefault(stem, number)
        self._by_stem, self._by_surface = by_stem, by_surface
        known: dict[Language, dict[str, int]] = {language: {} for language in Language}
        legal = any(":" in term.surface for term in terms)
        counts: list[dict[int, int]] = []
        lengths: list[int] = []
        for region, language in zip(self._regions, self._languages, strict=True):
            text = self._text(region)
            seen = known[language]
            found: dict[int, int] = {}
            words = WORD.findall(text)
            for word in words:
                number = seen.get(word, _UNSEEN)
                if number == _UNSEEN:
                    number = seen[word] = self._term_of(*analyse_word(word, language))
                if number >= 0:
                    found[number] = found.get(number, 0) + 1
            if legal:
                for _, cited in legal_terms(text):
                    if cited in by_surface:
                        found[by_surface[cited]] = found.get(by_surface[cited], 0) + 1
            counts.append(found)
            lengths.append(len(words))
        return counts, lengths

    def _term_of(self, surface: str, stem: str) -> int:
        """The number of the question's term that a word is, or -1."""
        number = self._by_surface.get(surface)
        return self._by_stem.get(stem, -1) if number is None else number

    def _term_weights(self) -> list[float]:
        """Each term's inverse document frequency over regions, smoothed as if among some hundred ordinary ones."""
        size = len(self._regions) + _BACKGROUND_REGIONS
        frequencies = [0.0] * len(self._asked.terms)
        for found in self._counts:
            for number in found:
                frequencies[number] += 1
        return [
            term.share * math.log(1 + size / (frequency + _BACKGROUND_REGIONS * _BACKGROUND_FREQUENCY))
            for term, frequency in zip(self._asked.terms, frequencies, strict=True)
        ]

    def answer(self) -> Answer:
        """Rank regions, then sentences; decide whether to quote."""
        average = sum(self._lengths) / len(self._lengths) or 1.0
        ranked = sorted(
            ((self._bm25(number, average), -number) for number in range(len(self._regions)) if self._counts[number]),
            reverse=True,
        )[:_CANDIDATE_REGIONS]
        if not ranked:
            return Answer(language=self._asked.language, confidence=0.0)
        top = ranked[0][0] or 1.0
        scored = [item for score, negative in ranked for item in self._score(-negative, score / top)]
        scored.sort(key=lambda item: item.scores.total, reverse=True)
        if not scored:
            return Answer(language=self._asked.language, confidence=0.0)
        confidence = max(item.scores.covered_in_context for item in scored[:MAX_QUOTES])
        quotes = self._chosen(scored) if confidence >= CONFIDENT else ()
        return Answer(language=self._asked.language, confidence=confidence, quotes=quotes)

    def _bm25(self, number: int, average: float) -> float:
        norm = _K1 * (1 - _B + _B * self._lengths[number] / average)
        score = sum(
            self._weights[term] * count * (_K1 + 1) / (count + norm) for term, count in self._counts[number].items()
        )
        return score * self._documents[self._regions[number].document].weight

    def _sentences(self, number: int) -> list[Sentence]:
        sentences = self._splits.get(number)
        if sentences is None:
            region = self._regions[number]
            page = self._documents[region.document].pages[region.page]
            sentences = self._splits[number] = split(page, region.start, region.end)
        return sentences

    def _score(self, number: int, region_score: float) -> list[_Scored]:
        """Every sentence of a region with its scores."""
        region = self._regions[number]
        document = self._documents[region.document]
        page = document.pages[region.page]
        sentences = self._sentences(number)
        analysed = [analyse(page[s.start : s.end], self._languages[number]) for s in sentences]
        sequences = [
            [self._term_of(term.surface, term.stem) for term in terms if not self._stop(term.surface)]
            for terms in analysed
        ]
        found = [{term for term in sequence if term >= 0} for sequence in sequences]
        around = set(self._counts[number])
        heading = self._heading_before(number)
        scored: list[_Scored] = []
        for position, sentence in enumerate(sentences):
            if sentence.role in {Role.HEADING, Role.QUESTION}:
                heading = (
                    found[position]
                    if sentence.role is Role.QUESTION
                    or position == 0
                    or sentences[position - 1].role is not Role.HEADING
                    else heading | found[position]
                )
            if sentence.role is Role.DEBRIS:
                continue
            before = found[position - 1] if position else set()
            after = found[position + 1] if position + 1 < len(found) else set()
            direct = self._weight(found[position])
            if not direct and not heading:
                continue
            context = sum(
                weight
                * (
                    1.0
                    if term in found[position]
                    else 0.75
                    if term in heading
                    else 0.7
                    if term in before
                    else 0.5
                    if term in after
                    else 0.25
                    if term in around
                    else 0.0
                )
                for term, weight in enumerate(self._weights)
            )
            body = page[sentence.start : sentence.end]
            if self._repeats_question(body):
                continue
            scores = self._scores(
                covered=direct / self._total,
                context=context / self._total,
                pairs=self._pairs(sequences[position]),
                region=region_score,
                cue=self._cue(body, analysed[position]),
                factor=_ROLE_WEIGHT[sentence.role] * document.weight * _length_factor(body),
            )
            scored.append(_Scored(region, sentence, number, scores))
        return scored

    def _scores(
        self, *, covered: float, context: float, pairs: float, region: float, cue: float, factor: float
    ) -> Scores:
        total = factor * (0.3 * covered + 0.4 * context + 0.15 * pairs + 0.3 * region + 0.15 * cue)
        return Scores(covered=covered, covered_in_context=context, pairs=pairs, region=region, cue=cue, total=total)

    def _cue(self, body: str, terms: Sequence[Term]) -> float:
        """1 where the sentence shows what the question asks for. A definition has the thing, then soon "is"."""
        if self._asked.cue is None:
            return 0.0
        if self._asked.cue is not DEFINITION:
            return 1.0 if self._asked.cue.search(body) else 0.0
        opening = (term for term in terms[:10] if self._term_of(term.surface, term.stem) >= 0)
        return 1.0 if any(DEFINITION.match(body, term.start) for term in opening) else 0.0

    def _stop(self, surface: str) -> bool:
        return surface not in self._by_surface and any(surface in words for words in STOP_WORDS.values())

    def _weight(self, terms: set[int]) -> float:
        return sum(self._weights[term] for term in terms)

    def _pairs(self, sequence: Sequence[int]) -> float:
        """The share of the question's adjacent word pairs, by weight, that are adjacent here too, in either order."""
        if not self._asked.pairs:
            return 0.0
        adjacent = {frozenset(pair) for pair in pairwise(sequence)}
        weights = [
            (self._weights[left] + self._weights[right], frozenset((left, right))) for left, right in self._asked.pairs
        ]
        return sum(weight for weight, pair in weights if pair in adjacent) / (
            sum(weight for weight, _ in weights) or 1.0
        )

    def _heading_before(self, number: int) -> set[int]:
        """The question's terms in the last heading before a region, looked for in the three regions before it."""
        region = self._regions[number]
        for earlier in range(number - 1, max(-1, number - 4), -1):
            previous = self._regions[earlier]
            if previous.document != region.document:
                break
            page = self._documents[previous.document].pages[previous.page]
            for sentence in reversed(self._sentences(earlier)):
                if sentence.role in {Role.HEADING, Role.QUESTION}:
                    terms = analyse(page[sentence.start : sentence.end], self._languages[earlier])
                    return {term for term in (self._term_of(t.surface, t.stem) for t in terms) if term >= 0}
        return set()

    def _repeats_question(self, body: str) -> bool:
        return len(body) < 2 * len(self._asked.text) + 20 and _plain(self._asked.text) in _plain(body)

    def _chosen(self, scored: Sequence[_Scored]) -> tuple[Quote, ...]:
        """The best sentences, each once, a list's items with the sentence that announces them."""
        quotes: list[Quote] = []
        seen: set[str] = set()
        least = scored[0].scores.total * _LEAST_SHARE_OF_BEST
        for item in scored:
            region = item.region
            start, end = item.sentence.start, self._list_end(item)
            text = self._documents[region.document].pages[region.page][start:end]
            inside = any(
                (q.document, q.page) == (region.document, region.page) and start < q.end and q.start < end
                for q in quotes
            )
            if inside or _plain(text) in seen:
                continue
            if len(quotes) == MAX_QUOTES or item.scores.total < least:
                break
            seen.add(_plain(text))
            quotes.append(
                Quote(document=region.document, page=region.page, start=start, end=end, text=text, scores=item.scores)
            )
        return tuple(quotes)

    def _list_end(self, item: _Scored) -> int:
        """Where the quote ends: after the items of the list that the sentence announces, if they are not too long."""
        page = self._documents[item.region.document].pages[item.region.page]
        end = item.sentence.end
        if page[end - 1] != ":":
            return end
        for sentence in self._sentences(item.position):
            if sentence.start < end:
                continue
            if sentence.role is not Role.ITEM or sentence.end - item.sentence.start > _LIST_CHARACTERS:
                break
            end = sentence.end
        return end


def _length_factor(body: str) -> float:
    """Very short sentences say little, very long ones are no quotes."""
    words = body.count(" ") + body.count("\n") + 1
    if words < 5:
        return 0.7 + 0.06 * words
    return 1.0 if words <= 60 else max(0.7, 1 - (words - 60) / 200)


def _plain(text: str) -> str:
    return " ".join(fold(match[0]) for match in WORD.finditer(text))
