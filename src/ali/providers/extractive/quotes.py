"""What an answer is: quotes, where each stands, and why it was found."""

from dataclasses import dataclass, field

from ali.providers.extractive.language import Language

MAX_QUOTES = 3
CONFIDENT = 0.5
"""The least confidence with which anything is quoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Why a sentence was found, each part from 0 to 1; `total` is their weighted sum.

    The share of the question's weight that the sentence itself covers; that with its neighbours and headings; the
    question's adjacent words that are adjacent here; its region's BM25 beside the best region's; how well the heading
    right before it fits the question; whether it shows the kind of answer asked for (a date, a name, a number).
    """

    covered: float
    covered_in_context: float
    pairs: float
    region: float
    heading: float
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
