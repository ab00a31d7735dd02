"""What a document becomes: chunks that know where they came from, and chunks as they are found again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a chunk that stands as it is in the document.

    The chunk's text from `at` on, `end - start` characters long, is `pages[page][start:end]`. `page` counts from 0;
    None where the document has no pages, and offsets are those of its whole text.
    """

    at: int
    page: int | None
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage of a document, in the document's order. What stands between two spans of its text is one line end.

    `headings`: the titles above it, outermost first. `law`: of an act of law, the path to where the chunk begins, as
    printed in a citation ("Título II", "Capítulo I", "Art. 7º", "§ 3º", "IV", "a"); `articles`: where in the text
    further articles (or their parts) begin, each with its whole path. `table`: the text is rows of a table.
    """

    text: str
    spans: tuple[Span, ...]
    headings: tuple[str, ...] = ()
    law: tuple[str, ...] = ()
    articles: tuple[tuple[int, tuple[str, ...]], ...] = ()
    table: bool = False
    language: str = "en"
    """`pt` or `en`: how its words are stemmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """A chunk as the index keeps it, without its words: only keyed hashes of them.

    `terms` are distinct signed 64-bit hashes, `counts` how often each occurs (1 to 15, more counts as 15), `words` the
    chunk's length. `signature` is its sequence of words as the second stage of ranking reads it.
    """

    terms: tuple[int, ...]
    counts: tuple[int, ...]
    words: int
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A chunk ready to be written."""

    chunk: Chunk
    analysed: Analysed


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A chunk that a search found. `score` is from 0 to 1; `scores` says what it is made of."""

    vector_store_id: UUID
    file_id: UUID
    filename: str
    attributes: Mapping[str, Any]
    number: int
    """Its number in the vector store."""
    position: int
    """Its place in the document, from 0."""
    chunk: Chunk
    score: float
    scores: Mapping[str, float] = field(default_factory=dict)
