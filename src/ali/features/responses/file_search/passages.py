"""Passages: what a search found, as an item tells it, as a model is shown it, and as a citation points at it.

A passage is a chunk of a file. It is cut where its page or article changes: each such stretch has a handle of its own,
so that a citation names the page and article of what it rests on and not of where the chunk begins.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ali.features.files.naming import file_name
from ali.features.knowledge.chunk import Chunk, Found
from ali.features.knowledge.naming import store_name
from ali.features.knowledge.reading.places import place_of

Json = dict[str, Any]

_LINE: Final = " > "


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of a passage's text with one place. `page` counts from 1; `law` is in the form of a citation, or empty."""

    start: int
    end: int
    page: int | None
    law: str

    @property
    def place(self) -> str:
        """For people and models: "p. 3, Art. 7º, § 3º"."""
        return ", ".join(part for part in (f"p. {self.page}" if self.page else "", self.law) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A passage. `spans`: which of its text stands where in the document, as `knowledge.chunk.Span`."""

    file_id: str
    filename: str
    text: str
    score: float
    attributes: Mapping[str, Any] = field(default_factory=dict)
    vector_store_id: str = ""
    headings: tuple[str, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    spans: tuple[tuple[int, int | None, int, int], ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same passage when it is found again."""
        return self.file_id, self.text

    def stretch_at(self, offset: int) -> Stretch:
        """The stretch that has the character at `offset`."""
        return next((one for one in reversed(self.stretches) if one.start <= offset), self.stretches[0])


def passage_of(found: Found) -> Passage:
    """What a search found, as a passage."""
    chunk = found.chunk
    return Passage(
        file_id=file_name(found.file_id),
        filename=found.filename,
        text=chunk.text,
        score=round(found.score, 4),
        attributes=dict(found.attributes),
        vector_store_id=store_name(found.vector_store_id),
        headings=chunk.headings,
        stretches=tuple(_stretches(chunk)),
        spans=tuple((span.at, span.page, span.start, span.end) for span in chunk.spans),
        scores={name: round(value, 4) for name, value in found.scores.items()},
    )


def _stretches(chunk: Chunk) -> Iterator[Stretch]:
    """The chunk cut where its page changes, or its article or paragraph; deeper steps do not cut."""
    offsets = sorted({0, *(span.at for span in chunk.spans), *(at for at, _ in chunk.articles)})
    cuts: list[tuple[int, int | None, str]] = []
    for offset in offsets:
        if offset >= len(chunk.text):
            break
        place = place_of(chunk, offset)
        page = None if place.page is None else place.page + 1
        if not cuts or (page, _paragraph(place.law)) != (cuts[-1][1], _paragraph(cuts[-1][2])):
            cuts.append((offset, page, place.law))
    for at, (start, page, law) in enumerate(cuts):
        end = cuts[at + 1][0] if at + 1 < len(cuts) else len(chunk.text)
        if chunk.text[start:end].strip():
            yield Stretch(start=start, end=end, page=page, law=law)


def _paragraph(law: str) -> tuple[str, ...]:
    """An article and its paragraph, of a citation that may go deeper."""
    return tuple(law.split(", ")[:2]) if "§" in law or "parágrafo" in law.lower() else (law.split(", ", maxsplit=1)[0],)


# As an item's results


def result_of(passage: Passage) -> Json:
    """A passage as an entry of `results`; `passage` is our extension, from which `read_result` makes it again."""
    return {
        "file_id": passage.file_id,
        "filename": passage.filename,
        "score": passage.score,
        "text": passage.text,
        "attributes": dict(passage.attributes),
        "passage": {
            "vector_store_id": passage.vector_store_id,
            "headings": list(passage.headings),
            "places": [[one.start, one.page, one.law] for one in passage.stretches],
            "spans": [list(span) for span in passage.spans],
            "scores": dict(passage.scores),
        },
    }


def read_result(result: object) -> Passage | None:
    """The passage of an entry of `results`, which may have come from the caller; None for what has no text."""
    if not isinstance(result, dict) or not isinstance(text := result.get("text"), str) or not text.strip():
        return None
    more = result.get("passage")
    more = more if isinstance(more, dict) else {}
    score = result.get("score")
    headings = more.get("headings")
    return Passage(
        file_id=_text(result.get("file_id")),
        filename=_text(result.get("filename")),
        text=text,
        score=float(score) if isinstance(score, (int, float)) else 0.0,
        vector_store_id=_text(more.get("vector_store_id")),
        headings=tuple(filter(None, map(_text, headings))) if isinstance(headings, list) else (),
        stretches=_read_stretches(more.get("places"), text),
        spans=tuple(_read_spans(more.get("spans"), text)),
    )


def _read_stretches(raw: object, text: str) -> tuple[Stretch, ...]:
    """The stretches; one without a place where they do not cover the text in order."""
    cuts: list[tuple[int, int | None, str]] = []
    for entry in raw if isinstance(raw, list) else ():
        match entry:
            case [int(start), int() | None as page, str(law)] if (cuts[-1][0] if cuts else -1) < start < len(text):
                cuts.append((start, page, law))
            case _:
                cuts = []
                break
    if not cuts:
        cuts = [(0, None, "")]
    ends = [*(start for start, _, _ in cuts[1:]), len(text)]
    return tuple(
        Stretch(start=start, end=end, page=page, law=law) for (start, page, law), end in zip(cuts, ends, strict=True)
    )


def _read_spans(raw: object, text: str) -> Iterator[tuple[int, int | None, int, int]]:
    for entry in raw if isinstance(raw, list) else ():
        match entry:
            case [int(at), int() | None as page, int(start), int(end)] if 0 <= at < len(text) and 0 <= start < end:
                yield at, page, start, end
            case _:
                return


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# As a citation


def annotation_of(passage: Passage, start: int, end: int) -> Json:
    """A `file_citation` of `passage.text[start:end]`, but for its `index`.

    Its `citation`, our extension, says what was cited and where it stands: `cited_text` is made of the `slices` of the
    document's pages, byte for byte, with a line end between two.
    """
    start, end = _trimmed(passage.text, start, end)
    stretch = passage.stretch_at(start)
    return {
        "type": "file_citation",
        "file_id": passage.file_id,
        "filename": passage.filename,
        "citation": {
            "type": "passage",
            "cited_text": passage.text[start:end],
            "page": stretch.page,
            "article": stretch.law or None,
            "headings": list(passage.headings),
            "slices": [
                {"page": None if page is None else page + 1, "start": first, "end": last}
                for page, first, last in slices_of(passage, start, end)
            ],
            "vector_store_id": passage.vector_store_id or None,
            "score": passage.score,
        },
    }


def slices_of(passage: Passage, start: int, end: int) -> Iterator[tuple[int | None, int, int]]:
    """Which stretches of the document `passage.text[start:end]` is: page from 0 (None: the whole text), start, end."""
    for at, page, first, last in passage.spans:
        low, high = max(start, at), min(end, at + last - first)
        if low < high:
            yield page, first + low - at, first + high - at


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    start, end = max(0, min(start, len(text))), max(0, min(end, len(text)))
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


# As a title


def title_of(passage: Passage) -> str:
    """The file, and what stands above the passage in it, on one line."""
    name = " ".join(passage.filename.split()) or passage.file_id or "file"
    return _LINE.join([name, *(" ".join(heading.split()) for heading in passage.headings)])


def within(passages: Sequence[Passage], *, most_bytes: int) -> list[Passage]:
    """The best of `passages`, which come in their order, that have no more than so many bytes; one at least."""
    kept: list[Passage] = []
    for passage in passages:
        most_bytes -= len(passage.text.encode())
        if kept and most_bytes < 0:
            break
        kept.append(passage)
    return kept
