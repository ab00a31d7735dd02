"""What every format is read into: pages of text, and where in them titles and tables stand."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ali.features.knowledge.reading.failures import INVALID, ReadingFailed

MAX_CHARACTERS = 60_000_000
_LONG_CELL = 600
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]+")


@dataclass(frozen=True, slots=True)
class Heading:
    """A title: `pages[page][start:end]`. `level` 1 is the highest."""

    page: int
    start: int
    end: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, one a line: `pages[page][start:end]`. The first line, up to `head_end`, names the columns."""

    page: int
    start: int
    head_end: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A document as read.

    `paged` says whether its pages are the document's own; else there is one, with the whole text. `bodies` are the
    spans of the pages without their headers and footers. Headings and tables are in the document's order.
    """

    pages: Sequence[str]
    bodies: Sequence[tuple[int, int]]
    paged: bool = False
    headings: Sequence[Heading] = ()
    tables: Sequence[Table] = ()


@dataclass(slots=True)
class Writer:
    """Writes a `Content` block by block. Blocks stand apart by an empty line, so that each ends a sentence.

    Raises `ReadingFailed` where the text grows beyond what is read.
    """

    name: str
    _pages: list[str] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _length: int = 0
    _total: int = 0
    _headings: list[Heading] = field(default_factory=list)
    _tables: list[Table] = field(default_factory=list)
    _table: tuple[int, int, int] | None = None
    """Of the table that is being written: where it begins, where its first row ends, and its rows."""

    def paragraph(self, text: str, *, close: bool = False) -> None:
        """A block of text; a `close` one (an item of a list) stands on the line after the one before."""
        self.end_table()
        under_title = self._headings and self._headings[-1].end == self._length > 0
        self._block(_clean(text), "\n" if close and not under_title else "\n\n")

    def heading(self, text: str, *, level: int) -> None:
        """A title, on one line."""
        self.end_table()
        title = " ".join(_clean(text).split())
        if not title:
            return
        start = self._block(title, "\n\n")
        self._headings.append(Heading(len(self._pages), start, self._length, level, title))

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows of cells, the first naming the columns. What is laid out by a table, but is none, becomes paragraphs."""
        lines = [[" ".join(_clean(cell).split()) for cell in row] for row in rows]
        lines = [row for row in lines if any(row)]
        if len(lines) < 2 or max(map(len, lines)) < 2 or any(len(cell) > _LONG_CELL for row in lines for cell in row):
            for row in rows:
                for cell in row:
                    self.paragraph(cell)
            return
        self.end_table()
        for row in lines:
            self.row(row)
        self.end_table()

    def row(self, cells: Sequence[str]) -> None:
        """A row of a table: the first one, which names the columns, or one after it. `end_table` comes last."""
        line = _row([" ".join(_clean(cell).split()) for cell in cells])
        if not line:
            return
        start = self._block(line, "\n" if self._table else "\n\n")
        head = self._table or (start, self._length, 0)
        self._table = (head[0], head[1], head[2] + 1)

    def end_table(self) -> None:
        """No further row follows. One row alone was none."""
        if self._table and self._table[2] > 1:
            self._tables.append(Table(len(self._pages), self._table[0], self._table[1], self._length))
        self._table = None

    def next_page(self) -> None:
        """What follows stands on another page."""
        self.end_table()
        self._pages.append("".join(self._parts))
        self._parts.clear()
        self._length = 0

    def finished(self, *, paged: bool = False) -> Content:
        """All that was written. Nothing may be written after."""
        self.next_page()
        return Content(
            pages=self._pages,
            bodies=[(0, len(page)) for page in self._pages],
            paged=paged,
            headings=self._headings,
            tables=self._tables,
        )

    def _block(self, text: str, gap: str) -> int:
        """Append; where the block begins."""
        text = text.strip()
        if not text:
            return self._length
        if self._parts:
            self._parts.append(gap)
            self._length += len(gap)
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        self._total += len(text)
        if self._total > MAX_CHARACTERS:
            raise ReadingFailed(INVALID, too_long(self.name))
        return start


def is_empty(pages: Sequence[str]) -> bool:
    """Whether no page has a letter or a digit."""
    return not any(char.isalnum() for page in pages for char in page)


def too_long(name: str) -> str:
    """What is said of a document with too much text."""
    return f"{name} has more than {MAX_CHARACTERS:,} characters of text. Split it, and add the parts."


def _row(cells: Sequence[str]) -> str:
    return " | ".join(cells).rstrip(" |")


def _clean(text: str) -> str:
    """Without control characters, and with nothing that UTF-8 cannot say."""
    text = _CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
