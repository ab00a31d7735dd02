"""Finding the sentences that answer a question: up to three, quoted as they stand, or none.

Two steps, so that thousands of pages cost little: regions of about two thousand characters are ranked by BM25; the
sentences of the best are then scored by how much of the question's informative weight they cover, alone and with their
neighbours and headings. Weights were tuned on Portuguese questions (FaQuAD) and read over on English manuals.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ali.providers.extractive.analyser import WORD, analyse, analyse_word, article_begun, legal_terms
from ali.providers.extractive.documents import Document
from ali.providers.extractive.language import STOP_WORDS, Language, fold, language_of, languages_of
from ali.providers.extractive.layout import Region, regions_of
from ali.providers.extractive.question import QueryTerm, Question, shows_answer, understand
from ali.providers.extractive.quotes import CONFIDENT, MAX_QUOTES, Answer, Quote, Scores
from ali.providers.extractive.sentences import Role, Sentence, split

_CANDIDATE_REGIONS = 24
_LEAST_SHARE_OF_BEST = 0.45
_LIST_CHARACTERS = 700
_BACKGROUND_REGIONS = 200.0
_BACKGROUND_FREQUENCY = 0.004
_K1, _B = 1.2, 0.5
_UNSEEN = -2
_FAMILY = 5
"""Words that begin with so many equal letters are of one family: "construir", "construção"."""
_OF_KIN = 0.6
"""What a word of a term's family counts beside the term itself."""
_LANGUAGE_CHARACTERS = 600
_QUESTION_CHARACTERS = 4000
_ARTICLE = re.compile(r"(?:^|(?<=[.)]\s))Art(?:igo)?\.?\s*\d[\d.]*(?:[ºª°o]|-[A-Z])*", re.MULTILINE)
_AFTER_HEADING = (0.0, 1.0, 0.6, 0.3)
"""What a heading that asks the same lends to itself and to the sentences after it."""
_ROLE_WEIGHT = {Role.PROSE: 1.0, Role.ITEM: 0.95, Role.HEADING: 0.45, Role.QUESTION: 0.35, Role.DEBRIS: 0.0}


@dataclass(frozen=True, slots=True)
class _Scored:
    region: Region
    sentence: Sentence
    position: int
    scores: Scores


def answer(question: str, documents: Sequence[Document]) -> Answer:
    """Answer `question` from `documents`. Pure. Cost: about 1 µs a word, some milliseconds for a 50-page document."""
    default = _main_language(documents)
    asked = understand(question[-_QUESTION_CHARACTERS:], default=default)
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
        self._languages = [
            language_of(self._text(region)[:_LANGUAGE_CHARACTERS], default=default) for region in regions
        ]
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
        self._kin = {
            term.surface[:_FAMILY]: number
            for number, term in enumerate(terms)
            if len(term.surface) >= _FAMILY and term.surface.isalpha()
        }
        known: dict[Language, dict[str, int]] = {language: {} for language in Language}
        legal = any(":" in term.surface for term in terms)
        counts: list[dict[int, int]] = []
        self._articles: list[int] = []
        article = -1
        lengths: list[int] = []
        for region, language in zip(self._regions, self._languages, strict=True):
            text = self._text(region)
            seen = known[language]
            found: dict[int, int] = {}
            words = WORD.findall(text)
            article = -1 if region.start == 0 and region.page == 0 else article
            self._articles.append(article)
            for word in words:
                number = seen.get(word, _UNSEEN)
                if number == _UNSEEN:
                    number = seen[word] = self._term_of(*analyse_word(word, language))
                if number >= 0:
                    found[number] = found.get(number, 0) + 1
            if legal:
                for match in _ARTICLE.finditer(text):
                    article = self._article(match[0].lstrip(), article)
                for _, cited in legal_terms(text):
                    if cited in by_surface:
                        found[by_surface[cited]] = found.get(by_surface[cited], 0) + 1
                if self._articles[-1] >= 0:
                    found.setdefault(self._articles[-1], 1)
            counts.append(found)
            lengths.append(len(words))
        return counts, lengths

    def _article(self, text: str, current: int) -> int:
        """The article that holds from a sentence on, as the number of the question's term; -1: not one asked about."""
        begun = article_begun(text)
        return current if begun is None else self._by_surface.get(begun, -1)

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
        kin = [
            {self._kin[t.surface[:_FAMILY]] for t in terms if t.surface[:_FAMILY] in self._kin} for terms in analysed
        ]
        article = self._articles[number]
        for position, sentence in enumerate(sentences):
            article = self._article(page[sentence.start : sentence.end], article)
            if article >= 0:
                found[position].add(article)
        around = set(self._counts[number])
        heading, aptness, since_heading = self._heading_before(number)
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
                aptness = self._aptness(heading, sequences[position])
                since_heading = 0
            if sentence.role is Role.DEBRIS:
                continue
            since_heading += sentence.role in {Role.PROSE, Role.ITEM}
            before = found[position - 1] if position else set()
            after = found[position + 1] if position + 1 < len(found) else set()
            direct = self._weight(found[position]) + _OF_KIN * self._weight(kin[position] - found[position])
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
                    else _OF_KIN
                    if term in kin[position]
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
            lent = aptness * (_AFTER_HEADING[since_heading] if since_heading < len(_AFTER_HEADING) else 0.0)
            scores = self._scores(
                covered=max(direct / self._total, lent),
                context=context / self._total,
                pairs=self._pairs(sequences[position]),
                region=region_score,
                heading=lent,
                cue=shows_answer(
                    self._asked.cue,
                    body,
                    asked=[t.start for t in analysed[position] if self._term_of(t.surface, t.stem) >= 0],
                ),
                factor=_ROLE_WEIGHT[sentence.role] * document.weight * _prose_factor(body),
            )
            scored.append(_Scored(region, sentence, number, scores))
        return scored

    def _scores(
        self, *, covered: float, context: float, pairs: float, region: float, heading: float, cue: float, factor: float
    ) -> Scores:
        total = factor * (0.3 * covered + 0.4 * context + 0.15 * pairs + 0.3 * region + 0.35 * heading + 0.2 * cue)
        return Scores(
            covered=covered,
            covered_in_context=context,
            pairs=pairs,
            region=region,
            heading=heading,
            cue=cue,
            total=total,
        )

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

    def _heading_before(self, number: int) -> tuple[set[int], float, int]:
        """Of the last heading before a region, looked for in the three regions before it: the question's terms, its
        aptness, and how many sentences stand since.
        """
        region = self._regions[number]
        since = 0
        for earlier in range(number - 1, max(-1, number - 4), -1):
            previous = self._regions[earlier]
            if previous.document != region.document:
                break
            page = self._documents[previous.document].pages[previous.page]
            for sentence in reversed(self._sentences(earlier)):
                if sentence.role in {Role.HEADING, Role.QUESTION}:
                    sequence = self._sequence(page[sentence.start : sentence.end], earlier)
                    terms = {term for term in sequence if term >= 0}
                    return terms, self._aptness(terms, sequence), since
                since += sentence.role in {Role.PROSE, Role.ITEM}
        return set(), 0.0, since

    def _aptness(self, heading: set[int], sequence: Sequence[int]) -> float:
        """How far a heading is the question: the weight it covers, times the share of its words that it has."""
        return self._weight(heading) / self._total * min(1.0, 1.5 * len(heading) / max(1, len(sequence)))

    def _sequence(self, text: str, number: int) -> list[int]:
        """The words of a text, without stop words, as numbers of the question's terms, -1 for others."""
        return [
            self._term_of(term.surface, term.stem)
            for term in analyse(text, self._languages[number])
            if not self._stop(term.surface)
        ]

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


def _prose_factor(body: str) -> float:
    """Less for what reads badly: few words, a very long sentence, program text, a sentence without its beginning."""
    symbols = sum(char in "<>{}[]=$|\\@#_~^`/%&+*" for char in body)
    factor = 1.0 if symbols <= 2 + 0.04 * len(body) else 0.6
    if body[0].islower():
        factor *= 0.93
    if body[-1].isalnum() and body.count(" ") < 10:
        factor *= 0.75  # a title, an entry of a table of contents
    return factor * _length_factor(body)


def _length_factor(body: str) -> float:
    words = body.count(" ") + body.count("\n") + 1
    if words < 5:
        return 0.7 + 0.06 * words
    return 1.0 if words <= 60 else max(0.7, 1 - (words - 60) / 200)


def _plain(text: str) -> str:
    return " ".join(fold(match[0]) for match in WORD.finditer(text))
