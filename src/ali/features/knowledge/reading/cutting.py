"""From a document's pages to its chunks.

Chunks are cut by size, at the best boundary within reach: a title, an article, a paragraph, a sentence, a line, a word.
To cut at every article instead finds less (measured: docs/explanation/reading-documents.md); where articles begin is
recorded for citations.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from ali.features.knowledge.chunk import Chunk, Span
from ali.features.knowledge.reading import law
from ali.features.knowledge.reading.content import Content, Table
from ali.features.knowledge.reading.failures import FAULT, ReadingFailed
from ali.providers.extractive.language import Language, language_of
from ali.providers.extractive.tokens import word_pieces

AUTO = "auto"
_LEAST, _MOST = 1000, 1600
_OVERLAP = 200
_TAIL = 400
"""A document's last chunk is not shorter than this, where that can be."""
_SNAP_SHARE = 8
"""A chunk of so many tokens may be shorter by an eighth, to end with a sentence."""
_PIECE_CHARACTERS = 12
"""A token is looked for in at most so many characters a token; more are white space or rules."""
_TABLE = 600
"""Characters from which on a table is kept apart from the prose around it."""
_LONGEST_HEAD = 400
_SAMPLE = 20_000
_BOUNDARIES = (
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"""[.!?;:]["'\u201d\u2019»)\]]*[ \t]*\n\s*(?=[^\sa-z\u00df-\u00ff])"""),
    re.compile(r"""(?<=\w{2})[.!?;]["'\u201d\u2019»)\]]*\s+(?=[^\sa-z\u00df-\u00ff])"""),
    re.compile(r"\n\s*"),
    re.compile(r"\s+"),
    re.compile(r"(?<=[,;})\]>])"),
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """OpenAI's static strategy: chunks of so many tokens, each repeating the end of the one before."""

    size: int
    overlap: int


def read_chunking(text: str) -> Tokens | None:
    """`SIZE/OVERLAP` in tokens; None for `auto`. Raises `ReadingFailed` for anything else: its writer's fault."""
    if text == AUTO:
        return None
    match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)
    if match is None or not int(match[1]) > 0 or int(match[2]) * 2 > int(match[1]):
        raise ReadingFailed(FAULT, "This way of cutting is not known. This is a fault of the service.")
    return Tokens(int(match[1]), int(match[2]))


def chunks_of(content: Content, *, tokens: Tokens | None = None) -> Iterator[Chunk]:
    """The chunks of a document, in order; none where it has no text. Cost: about 0.4 ms a chunk."""
    cutter = _Cutter(content)
    ends = cutter.by_tokens(tokens) if tokens else cutter.by_size()
    for start, end in ends:
        chunk = cutter.chunk(start, end)
        if chunk is not None:
            yield chunk


class _Cutter:
    """A document's running text, its pages' bodies joined by line ends, and where in it everything stands."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._bodies = {
            number: trimmed
            for number, page in enumerate(content.pages)
            if (trimmed := _without_space(page, *content.bodies[number])) is not None
        }
        self._pages = list(self._bodies)
        bodies = [content.pages[number][start:end] for number, (start, end) in self._bodies.items()]
        self._text = bodies[0] if len(bodies) == 1 else "\n".join(bodies)
        self._begins = list(accumulate((len(body) + 1 for body in bodies[:-1]), initial=0))
        del bodies
        self._language = language_of(self._text[:_SAMPLE])
        self._headings = [(self._at(each.page, each.start), each) for each in content.headings]
        self._heading_places = [at for at, _ in self._headings]
        self._tables = [
            (self._at(each.page, each.start), self._at(each.page, each.end), each) for each in content.tables
        ]
        self._table_places = [at for at, _, _ in self._tables]
        self._provisions = list(law.provisions(self._text)) if law.is_act(self._text) else []
        self._provision_places = [at for at, _ in self._provisions]
        self._titles: list[tuple[int, str]] = []
        self._titles_read = 0

    def _at(self, page: int, offset: int) -> int:
        """A place of a page in the running text."""
        place = bisect_left(self._pages, page)
        if place == len(self._pages):
            return len(self._text)
        if self._pages[place] != page:
            return self._begins[place]
        start, end = self._bodies[page]
        return self._begins[place] + min(max(offset - start, 0), end - start)

    def by_size(self) -> Iterator[tuple[int, int]]:
        """Spans of about 1,000 to 1,600 characters."""
        start = self._skip_space(0)
        while start < len(self._text):
            end = self._end(start)
            yield start, end
            start = self._skip_space(end if end >= len(self._text) else self._overlapped(start, end))

    def _end(self, start: int) -> int:
        """Where a chunk that begins at `start` ends best."""
        left = len(self._text) - start
        most = left if left <= _MOST else min(_MOST, left - _TAIL)
        low, high = start + min(_LEAST, most), start + most
        apart = self._table_edge(start, high)
        if apart is not None:
            return apart
        if left <= _MOST:
            return len(self._text)
        titles = self._headings[bisect_left(self._heading_places, low) : bisect_right(self._heading_places, high)]
        if titles:
            highest = min(each.level for _, each in titles)
            return max(at for at, each in titles if each.level == highest)
        provisions = self._provisions[
            bisect_left(self._provision_places, low) : bisect_right(self._provision_places, high)
        ]
        if provisions:
            shallowest = min(len(path) for _, path in provisions)
            return max(at for at, path in provisions if len(path) == shallowest)
        return self._boundary(low, high)

    def _table_edge(self, start: int, high: int) -> int | None:
        """Where a large table says that the chunk ends: before it, at its end, or after one of its rows."""
        place = bisect_right(self._table_places, start) - 1
        if place >= 0 and start < self._tables[place][1]:
            begin, end, _ = self._tables[place]
            if end - begin < _TABLE:
                return None
            if end <= high:
                return end
            row = self._text.rfind("\n", start + 1, high)
            return row if row > start else self._boundary(start + _LEAST, high)
        place += 1
        if place < len(self._tables):
            begin, end, _ = self._tables[place]
            if start + _TAIL < begin <= high and end - begin >= _TABLE:
                return begin
        return None

    def _boundary(self, low: int, high: int) -> int:
        """The last of the best boundaries between `low` and `high`."""
        for pattern in _BOUNDARIES:
            last = None
            for last in pattern.finditer(self._text, low, high):  # noqa: B007 - the last one is wanted
                pass
            if last is not None and last.end() > low:
                return last.end()
        return high

    def _overlapped(self, start: int, end: int) -> int:
        """Where the next chunk begins: up to 200 characters before this one's end, at a sentence.

        At the end itself where a title or rows of a table follow.
        """
        title = bisect_left(self._heading_places, end)
        if self._table_at(end - 1) or self._heading_places[title : title + 1] == [end]:
            return end
        low = max(start + 1, end - _OVERLAP)
        for pattern in _BOUNDARIES[:3]:
            match = pattern.search(self._text, low, end)
            if match is not None:
                return match.end()
        return end

    def by_tokens(self, tokens: Tokens) -> Iterator[tuple[int, int]]:
        """Spans of at most so many tokens, each beginning with the last tokens of the one before."""
        start = self._skip_space(0)
        while start < len(self._text):
            window = start + tokens.size * _PIECE_CHARACTERS
            pieces = word_pieces(self._text, start, window, most=tokens.size + 1)
            if len(pieces) <= tokens.size:
                end = min(window, len(self._text))
            else:
                low, end = pieces[tokens.size - tokens.size // _SNAP_SHARE], self._word_start(pieces[-1], start)
                match = None
                for match in _BOUNDARIES[2].finditer(self._text, low, end):  # noqa: B007 - the last one is wanted
                    pass
                end = match.end() if match is not None else end
            yield start, end
            if end >= len(self._text):
                return
            kept = bisect_left(pieces, end) - tokens.overlap
            begin = self._word_start(pieces[kept], start) if tokens.overlap and kept > 0 else end
            start = self._skip_space(begin if begin > start else end)

    def _word_start(self, at: int, after: int) -> int:
        """The beginning of the word that `at` is in; `at` itself in a very long one."""
        begin = at
        while begin > after and at - begin < 100 and self._text[begin - 1].isalnum():
            begin -= 1
        return begin if after < begin and at - begin < 100 else at

    def _skip_space(self, at: int) -> int:
        text = self._text
        while at < len(text) and text[at].isspace():
            at += 1
        return at

    def chunk(self, start: int, end: int) -> Chunk | None:
        """The chunk of a span of the running text, without the white space around it."""
        while end > start and self._text[end - 1].isspace():
            end -= 1
        if end <= start:
            return None
        table = self._table_at(start)
        head, spans = "", []
        if table is not None and table[0] < start and table[2].head_end - table[2].start <= _LONGEST_HEAD:
            named = table[2]
            head = self._content.pages[named.page][named.start : named.head_end] + "\n"
            spans.append(Span(0, self._shown(named.page), named.start, named.head_end))
        spans += self._spans(start, end, shift=len(head))
        text = head + self._text[start:end]
        first = bisect_right(self._provision_places, start)
        last = bisect_left(self._provision_places, end)
        return Chunk(
            text=text,
            spans=tuple(spans),
            headings=self._headings_above(start),
            law=self._provisions[first - 1][1] if first else (),
            articles=tuple((at - start + len(head), path) for at, path in self._provisions[first:last]),
            table=table is not None and end <= table[1],
            language=language_of(text, default=Language(self._language)).value,
        )

    def _table_at(self, at: int) -> tuple[int, int, Table] | None:
        place = bisect_right(self._table_places, at) - 1
        return self._tables[place] if place >= 0 and at < self._tables[place][1] else None

    def _spans(self, start: int, end: int, *, shift: int) -> Iterator[Span]:
        """The slices of pages that the running text from `start` to `end` consists of."""
        place = bisect_right(self._begins, start) - 1
        while place < len(self._begins) and (begin := self._begins[place]) < end:
            page = self._pages[place]
            body_start, body_end = self._bodies[page]
            left = max(start - begin, 0)
            right = min(end - begin, body_end - body_start)
            if right > left:
                yield Span(shift + begin + left - start, self._shown(page), body_start + left, body_start + right)
            place += 1

    def _shown(self, page: int) -> int | None:
        return page if self._content.paged else None

    def _headings_above(self, at: int) -> tuple[str, ...]:
        """The titles above a place, or at it. Asked for in order."""
        last = bisect_right(self._heading_places, at)
        for _, heading in self._headings[self._titles_read : last]:
            while self._titles and self._titles[-1][0] >= heading.level:
                self._titles.pop()
            self._titles.append((heading.level, heading.title))
        self._titles_read = max(last, self._titles_read)
        return tuple(title for _, title in self._titles)


def _without_space(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span without the white space at its ends; None where it has nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if end > start else None
