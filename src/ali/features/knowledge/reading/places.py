"""Where a passage stands, as a citation says it, and passages put together to the text they were cut from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ali.features.knowledge.chunk import Chunk, Span
from ali.features.knowledge.reading.law import citation


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a document. `page` counts from 0, as in `Span`; `law` is in the form of a citation, or ""."""

    page: int | None
    headings: tuple[str, ...]
    law: str


def place_of(chunk: Chunk, offset: int) -> Place:
    """The place of the character at `offset` of a chunk's text. "Art. 7º, § 3º" is `law` of what stands under it."""
    span = span_at(chunk, offset)
    path = chunk.law
    for at, further in chunk.articles:
        if at > offset:
            break
        path = further
    return Place(page=span.page if span else None, headings=chunk.headings, law=citation(path))


def span_at(chunk: Chunk, offset: int) -> Span | None:
    """The span that has the character at `offset`; the one before where it falls between two; None without spans."""
    found = None
    for span in chunk.spans:
        if span.at > offset:
            break
        found = span
    return found or (chunk.spans[0] if chunk.spans else None)


def merged_text(chunks: Iterable[Chunk]) -> Iterator[str]:
    """The text that a document's chunks were cut from, in pieces: what overlaps, and rows that name columns, once.

    `chunks` are in the document's order. What was left out between two (white space, headers of pages) is a line end.
    """
    page, reached = -1, 0
    for chunk in chunks:
        for span in chunk.spans:
            of_span = 0 if span.page is None else span.page
            begin = span.start
            if of_span < page or (of_span == page and span.end <= reached):
                continue
            if of_span == page and begin < reached:
                begin = reached
            elif page >= 0 and (of_span > page or begin > reached):
                yield "\n"
            at = span.at + begin - span.start
            yield chunk.text[at : span.at + span.end - span.start]
            page, reached = of_span, span.end
