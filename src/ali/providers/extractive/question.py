"""A question as weighted terms, and the kind of answer that it asks for."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ali.providers.extractive.analyser import WORD, analyse_word, legal_terms
from ali.providers.extractive.language import GENERIC_WORDS, STOP_WORDS, Language, fold, language_of, word_set

_LEGAL_WORDS = word_set("art artigo artigos arts article lei decreto paragrafo inciso resolucao portaria r us")
_GENERIC_SHARE = 0.25
_LEGAL_SHARE = 1.6

NAME = re.compile(
    r"(?<![.!?]\s)(?<!^)\b[A-Z\u00c0-\u00dd][\w\u00c0-\u00ff]+(?:\s(?:d[aeo]s?\s)?[A-Z\u00c0-\u00dd][\w\u00c0-\u00ff]+)+"
)
DATE = re.compile(
    r"\b(?:1[5-9]|20)\d{2}\b|\b\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}\b|\bs[ée]culo\s[IVX]+|\b\d{1,2}(?:st|nd|rd|th)\scentury"
    r"|\b\d{1,2}º?\sde\s(?:jan|fev|mar|abr|mai|jun|jul|ago|set|out|nov|dez)|\b(?:January|February|March|April|May|June"
    r"|July|August|September|October|November|December)\b|\b\d+\s(?:dias?|horas?|meses|anos?|days?|hours?|weeks?|months?|years?)\b"
)
NUMBER = re.compile(
    r"\d|\b(?:dois|duas|tr[êe]s|quatro|cinco|seis|sete|oito|nove|dez|cem|mil|milh[õo]es|metade|ter[çc]o"
    r"|two|three|four|five|six|seven|eight|nine|ten|hundred|thousand|million|half|third)\b",
    re.IGNORECASE,
)
REASON = re.compile(
    r"\b(?:porque|pois|devido|raz[ãa]o|motivo|visto que|uma vez que|para que|a fim de|causa|gra[çc]as"
    r"|because|due to|since|so that|in order to|reason|therefore|as a result)\b",
    re.IGNORECASE,
)
DEFINITION = re.compile(
    r"""[\w-]{1,60}[\s"'\u201d\u2019*_]{0,60}(?:\([^)]{1,80}\)\s*)?(?:[\w-]{1,60},?\s+){0,2}?
        (?:é\b|s[ãa]o\b|consiste|refere-se|denomina|chama|significa|define|considera-se|entende-se|trata-se|pode\sser
        |is\b|are\b|means\b|refers|denotes|consists|can\sbe\b|:|[\u2013\u2014]\s)""",
    re.VERBOSE | re.IGNORECASE,
)
"""To be matched where the thing defined begins. Its repetitions are bounded: a long run of letters is no word."""
CUES: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = (
    (re.compile(r"\b(?:quem|who|whom|whose)\b"), NAME),
    (
        re.compile(
            r"\b(?:quando|que ano|qual ano|que data|qual (?:e |foi )?a data|que dia|que seculo|prazo|quanto tempo"
            r"|when|what year|which year|what date|how long|deadline)\b"
        ),
        DATE,
    ),
    (
        re.compile(
            r"\b(?:quant[oa]s?|qual (?:e )?o (?:numero|valor|total)|que percentual"
            r"|how (?:many|much|old|far|large|big|often)|what percentage|percent)\b"
        ),
        NUMBER,
    ),
    (re.compile(r"\b(?:por que|porque|por qual motivo|qual (?:a |o )?(?:razao|motivo)|why)\b"), REASON),
    (
        re.compile(
            r"^\W*(?:o que (?:e|sao|significa)|que e|defina|qual (?:e )?a definicao|what (?:is|are|does)|define)\b"
        ),
        DEFINITION,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryTerm:
    """One thing asked about: any of `stems`, or the folded `surface` itself. `share` scales its weight."""

    surface: str
    stems: frozenset[str]
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question taken apart. `pairs` are indexes of terms that stand side by side; `cue` is what an answer shows."""

    text: str
    language: Language
    terms: tuple[QueryTerm, ...]
    pairs: tuple[tuple[int, int], ...]
    cue: re.Pattern[str] | None


def shows_answer(cue: re.Pattern[str] | None, body: str, *, asked: Sequence[int]) -> float:
    """Whether a sentence shows what the question asks for, from 0 to 1; `asked`: where its terms begin in `body`.

    A definition has the thing, then soon "is". A number stands right before what is counted ("59100 pacotes"); any
    other number is worth half.
    """
    if cue is None:
        return 0.0
    if cue is DEFINITION:
        return 1.0 if any(DEFINITION.match(body, start) for start in asked if body.count(" ", 0, start) < 10) else 0.0
    found = [match.start() for match in cue.finditer(body)]
    if cue is not NUMBER or not found:
        return 1.0 if found else 0.0
    near = any(start - number > 0 and body.count(" ", number, start) <= 3 for number in found for start in asked)
    return 1.0 if near else 0.5


def understand(text: str, *, default: Language) -> Question:
    """Take a question apart; `default` is its language where its words do not tell."""
    language = language_of(text, default=default)
    words = [match[0] for match in WORD.finditer(text)]
    terms = list(_terms(words, stop_words=STOP_WORDS[language]))
    positions: dict[str, int] = {}
    distinct: list[QueryTerm] = []
    for term in terms:
        if term.surface not in positions:
            positions[term.surface] = len(distinct)
            distinct.append(term)
    pairs = {
        (positions[left.surface], positions[right.surface])
        for left, right in pairwise(terms)
        if left.surface != right.surface
    }
    distinct.extend(
        QueryTerm(surface=term, stems=frozenset({term}), share=_LEGAL_SHARE)
        for term in {t for _, t in legal_terms(text)}
    )
    folded = fold(text)
    cue = next((answer for asked, answer in CUES if asked.search(folded)), None)
    return Question(text=text, language=language, terms=tuple(distinct), pairs=tuple(sorted(pairs)), cue=cue)


def _terms(words: Iterable[str], *, stop_words: frozenset[str]) -> Iterable[QueryTerm]:
    for word in words:
        surface, portuguese = analyse_word(word, Language.PORTUGUESE)
        if surface in stop_words or (len(surface) == 1 and not (surface.isdigit() or word.isupper())):
            continue
        _, english = analyse_word(word, Language.ENGLISH)
        stems = {portuguese, english}
        if word.isascii() and surface.endswith(("cao", "coes", "sao", "soes")):
            stems.add(analyse_word(with_accents(surface), Language.PORTUGUESE)[1])
        generic = surface in GENERIC_WORDS or surface in _LEGAL_WORDS
        yield QueryTerm(surface=surface, stems=frozenset(stems), share=_GENERIC_SHARE if generic else 1.0)


def with_accents(surface: str) -> str:
    """The accents that people leave out most, put back, because the stemmer needs them: "informacao" → "informação"."""
    for bare, accented in (("cao", "ção"), ("coes", "ções"), ("sao", "são"), ("soes", "sões")):
        if surface.endswith(bare):
            return surface.removesuffix(bare) + accented
    return surface
