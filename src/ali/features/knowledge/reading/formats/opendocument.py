"""OpenDocument texts, sheets and slides (ISO/IEC 26300): what `content.xml` says, but for deletions and comments."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ali.features.knowledge.reading.content import Content, Writer
from ali.features.knowledge.reading.formats.archive import Archive
from ali.features.knowledge.reading.formats.xml import attribute, parse

PART = "content.xml"
_SKIPPED = {"tracked-changes", "annotation", "annotation-end", "forms", "desc", "title", "note-citation", "scripts"}
_MOST_SPACES = 100
_MOST_REPEATED = 64
"""A cell that is repeated to fill a sheet is written so many times, and an empty one not at all."""
_IN_PARAGRAPH = {"p", "h"}


def read_opendocument(archive: Archive, *, kind: str, name: str) -> Content:
    """The text of a document of this `kind`: `text`, `spreadsheet` or `presentation`. Raises `ReadingFailed`."""
    writer = Writer(name)
    parse(archive.blocks(PART), _Body(writer, kind=kind), name=name)
    return writer.finished(paged=kind == "presentation")


@dataclass(slots=True)
class _Row:
    cells: list[str] = field(default_factory=list)
    empty: int = 0
    parts: list[str] = field(default_factory=list)
    repeated: int = 1


class _Body:
    """Writes what `content.xml` says."""

    def __init__(self, writer: Writer, *, kind: str) -> None:
        self._writer = writer
        self._kind = kind
        self._paragraphs: list[tuple[list[str], int | None]] = []
        self._rows: list[_Row] = []
        self._tables = 0
        self._skipping = 0
        self._items = 0
        self._pages = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._skipping or tag in _SKIPPED:
            self._skipping += 1
            return
        match tag:
            case "p":
                self._paragraphs.append(([], None))
            case "h":
                self._paragraphs.append(([], _number(attributes, "outline-level", most=10)))
            case "s" if self._paragraphs:
                self._paragraphs[-1][0].append(" " * _number(attributes, "c", most=_MOST_SPACES))
            case "tab" if self._paragraphs:
                self._paragraphs[-1][0].append("\t")
            case "line-break" if self._paragraphs:
                self._paragraphs[-1][0].append("\n")
            case "list-item":
                self._items += 1
            case "table":
                self._tables += 1
                if self._kind == "spreadsheet" and self._tables == 1:
                    self._writer.heading(attribute(attributes, "name") or "", level=1)
            case "table-row":
                self._rows.append(_Row())
            case "table-cell" | "covered-table-cell" if self._rows:
                self._rows[-1].repeated = _number(attributes, "number-columns-repeated", most=1 << 20)
            case "page" if self._kind == "presentation":
                self._pages += 1
                if self._pages > 1:
                    self._writer.next_page()

    def end(self, tag: str) -> None:
        if self._skipping:
            self._skipping -= 1
            return
        match tag:
            case "p" | "h" if self._paragraphs:
                parts, level = self._paragraphs.pop()
                self._write("".join(parts), level)
            case "list-item":
                self._items -= 1
            case "table-cell" | "covered-table-cell" if self._rows:
                self._end_cell(self._rows[-1])
            case "table-row" if self._rows:
                self._end_row(self._rows.pop())
            case "table":
                self._tables -= 1
                if not self._tables:
                    self._writer.end_table()

    def text(self, data: str) -> None:
        if self._paragraphs and not self._skipping:
            self._paragraphs[-1][0].append(data)

    def _write(self, text: str, level: int | None) -> None:
        if self._rows:
            self._rows[-1].parts.append(text.strip())
        elif level is not None:
            self._writer.heading(text, level=level)
        else:
            self._writer.paragraph(text, close=self._items > 0)

    @staticmethod
    def _end_cell(row: _Row) -> None:
        text = "\n".join(filter(None, row.parts))
        row.parts.clear()
        if not text:
            row.empty += row.repeated
            return
        row.cells += [""] * min(row.empty, _MOST_REPEATED)
        row.cells += [text] * min(row.repeated, _MOST_REPEATED)
        row.empty = 0

    def _end_row(self, row: _Row) -> None:
        if self._rows:
            self._rows[-1].parts.append(" ".join(filter(None, row.cells)))
        elif row.cells:
            self._writer.row(row.cells)
        else:
            self._writer.end_table()


def _number(attributes: Mapping[str, str], name: str, *, most: int) -> int:
    """A count from 1 to `most`; 1 where it is not told."""
    text = attribute(attributes, name) or "1"
    return min(max(int(text), 1), most) if text.isdecimal() and len(text) < 10 else 1
