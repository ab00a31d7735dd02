"""Marks by which a model cites what it was given, taken out of its text as it streams, and told as annotations.

    … dura trinta dias 【c3】. E   →   "… dura trinta dias", the annotation of c3 at 22, ". E"

Every source that a model is shown has a handle, `c1`, `c2` …, unique in the response; the model puts the handles of
what it rests on between 【 and 】. Such brackets are rare in text and known to every tokenizer, so models copy them
faithfully and little else looks like them. A handle that was never given is dropped and counted: no citation leads to
nothing. OpenAI's models at times write their own service's marks (`【4:0†source】`), which are dropped as well.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, Protocol

Json = dict[str, Any]
Piece = str | Json
"""What is due to be shown: a text, or an annotation of it."""

MARK_LIMIT: Final = 120
"""Characters between the brackets, at most: what is longer is text."""
_OPENING: Final = "【"
_CLOSING: Final = "】"
# A handle and whatever is said behind it ("c3, c5", "c3, p. 12"); or a mark as OpenAI's own service has them.
_BODY: Final = re.compile(
    r"[ \u00a0]*(?:c\d{1,6}(?:[^\w【\n][^【\n]*)?|\d{1,6}:\d{1,6}(?:†[^【\n]*)?|\d{1,6}†[^【\n]*)", re.IGNORECASE
)
# What may still become one.
_BEGINNING: Final = re.compile(
    r"[ \u00a0]*(?:c?|c\d{1,6}(?:[^\w【\n][^【\n]*)?|\d{1,6}(?::\d{0,6})?(?:†[^【\n]*)?)", re.IGNORECASE
)
_HANDLE: Final = re.compile(r"(?<!\w)c(\d{1,6})(?!\w)", re.IGNORECASE)
_OFFSETS: Final = ("index", "start_index", "end_index")
_BEGUN_HANDLE: Final = re.compile(r" *【[ \u00a0]*(?:c\d|\d+[:†])", re.IGNORECASE)


class Source(Protocol):
    """Something that a model may cite."""

    def annotation(self, *, span: tuple[int, int] | None = None) -> Json:
        """The annotation that says so, but for its `index`; fresh at each call. `span`: of the source's text, where
        the citation says which part it means.
        """
        ...


class Citations:
    """The sources of one response by their handles, and how often they were cited."""

    __slots__ = ("_sources", "cited", "dropped")

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self.cited = 0
        self.dropped = 0
        """Handles that were never given, and marks without any."""

    def give(self, source: Source) -> str:
        """The handle of `source`, as the model is to write it between the brackets."""
        self._sources.append(source)
        return f"c{len(self._sources)}"

    def cite(self, handle: str, *, span: tuple[int, int] | None = None) -> Json | None:
        """The annotation of what has `handle`, but for its `index`; None where it was never given."""
        found = _HANDLE.fullmatch(handle)
        source = self._at(int(found[1])) if found else None
        if source is None:
            return None
        self.cited += 1
        return source.annotation(span=span)

    def _at(self, number: int) -> Source | None:
        return self._sources[number - 1] if 0 < number <= len(self._sources) else None

    def cited_by(self, body: str) -> Iterator[tuple[int, Source]]:
        """The sources that stand in a mark, with their numbers; what else stands there is counted as dropped."""
        numbers = [int(number) for number in _HANDLE.findall(body)]
        if not numbers:
            self.dropped += 1
        for number in numbers:
            source = self._at(number)
            if source is None:
                self.dropped += 1
            else:
                yield number, source


def mark(handle: str) -> str:
    """How a model cites the source of `handle`."""
    return f"{_OPENING}{handle}{_CLOSING}"


def without_marks(text: str) -> str:
    """`text` so that nothing in it looks like a mark: it is another's, and must not cite for the model."""
    return re.sub(r"【(?=[ \u00a0]*(?:c?\d))", "[", text, flags=re.IGNORECASE)


class CitedText:
    """One text of the model while it streams: what may be shown of it, and where it cites.

    A mark goes with the spaces before it. Only what could still be a mark is held back: at most `MARK_LIMIT` characters
    and the spaces before them. How the text is cut into pieces makes no difference. Offsets count code points.
    """

    __slots__ = ("_at", "_citations", "_cuts", "_held", "_here", "length", "taken")

    def __init__(self, citations: Citations) -> None:
        self._citations = citations
        self._held = ""
        self._cuts: list[tuple[int, int]] = []  # of the model's text: from where to where it is not shown
        self._at = 0  # the last place that was cited,
        self._here: set[int] = set()  # and what was cited there
        self.length = 0
        """Characters shown so far."""
        self.taken = 0
        """Characters of the model so far."""

    def feed(self, delta: str) -> list[Piece]:
        """More of the model's text: what is to be shown now, texts and annotations in their order."""
        self.taken += len(delta)
        if not self._held and _OPENING not in delta and not delta.endswith(" "):
            self.length += len(delta)
            return [delta] if delta else []
        return self._read(self._held + delta)

    def end(self) -> list[Piece]:
        """Nothing more comes: what was held back is text, but for a mark that was cut off in its handle."""
        held, self._held = self._held, ""
        if _BEGUN_HANDLE.match(held):
            self._citations.dropped += 1
            self._cuts.append((self.taken - len(held), self.taken))
            return []
        self.length += len(held)
        return [held] if held else []

    def shown_at(self, offset: int) -> int:
        """Where that which stands at `offset` in the model's text is in what is shown."""
        return offset - sum(min(end, offset) - start for start, end in self._cuts if start < offset)

    def _read(self, text: str) -> list[Piece]:
        due: list[Piece] = []
        self._held = ""
        begins = self.taken - len(text)  # where `text` stands in all of the model's
        start = position = 0
        while (opening := text.find(_OPENING, position)) >= 0:
            closing = text.find(_CLOSING, opening, opening + MARK_LIMIT + 2)
            body = text[opening + 1 : closing if closing >= 0 else opening + MARK_LIMIT + 2]
            if closing >= 0 and _BODY.fullmatch(body):
                before = text[start:opening].rstrip(" ")
                self._show(before, due)
                self._cuts.append((begins + start + len(before), begins + closing + 1))
                due += self._cite(body)
                start = position = closing + 1
            elif closing < 0 and len(body) <= MARK_LIMIT and _BEGINNING.fullmatch(body):
                break
            else:
                position = opening + 1
        rest = text[start:] if opening < 0 else text[start:opening]
        shown = rest.rstrip(" ")
        self._show(shown, due)
        self._held = text[start + len(shown) :]
        return due

    def _show(self, text: str, due: list[Piece]) -> None:
        if text:
            self.length += len(text)
            due.append(text)

    def _cite(self, body: str) -> Iterator[Json]:
        if self._at != self.length:
            self._at, self._here = self.length, set()
        for number, source in self._citations.cited_by(body):
            if number not in self._here:
                self._here.add(number)
                self._citations.cited += 1
                yield {**source.annotation(), "index": self.length}


def moved(annotation: Json, text: CitedText) -> Json:
    """An annotation by the model's own text, as one of what is shown of it."""
    places = {name: annotation[name] for name in _OFFSETS if isinstance(annotation.get(name), int)}
    return {**annotation, **{name: text.shown_at(place) for name, place in places.items()}}
