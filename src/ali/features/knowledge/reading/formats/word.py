"""Word documents (WordprocessingML, ISO/IEC 29500-1): paragraphs, titles, numbered lists, tables, notes.

Left out: headers and footers, comments, what was struck out, deleted or moved away, and the codes of fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ali.features.knowledge.reading.content import Content, Writer
from ali.features.knowledge.reading.formats.archive import Archive
from ali.features.knowledge.reading.formats.numbering import numeral
from ali.features.knowledge.reading.formats.xml import Relations, attribute, parse

_SKIPPED = {
    *("del", "moveFrom", "Fallback", "instrText", "delText", "delInstrText", "sectPr", "tblPr", "trPr", "tcPr"),
    *("pPrChange", "rPrChange", "txbxContent_", "fldData"),
}
_OFF = {"0", "false", "off", "none"}


def read_word(archive: Archive, *, part: str, name: str) -> Content:
    """The text of a document whose main part is `part`. Raises `ReadingFailed`."""
    folder = part.rpartition("/")[0]
    relations = Relations(folder)
    rels = f"{folder}/_rels/{part.rpartition('/')[2]}.rels".lstrip("/")
    if rels in archive:
        parse(archive.blocks(rels), relations, name=name)
    styles, lists = _Styles(), _Lists()
    for kind, handler in (("styles", styles), ("numbering", lists)):
        if (of_kind := relations.by_kind.get(kind)) and of_kind in archive:
            parse(archive.blocks(of_kind), handler, name=name)
    writer = Writer(name)
    parse(archive.blocks(part), _Body(writer, styles, lists), name=name)
    for kind in ("footnotes", "endnotes"):
        if (of_kind := relations.by_kind.get(kind)) and of_kind in archive:
            parse(archive.blocks(of_kind), _Body(writer, styles, lists), name=name)
    return writer.finished()


@dataclass(slots=True)
class _Style:
    based_on: str = ""
    level: int | None = None
    """As a title: 0 the document's, then 1 and deeper."""
    list_id: str = ""
    list_level: int | None = None


class _Styles:
    """Which styles are titles, and which are numbered."""

    def __init__(self) -> None:
        self._styles: dict[str, _Style] = {}
        self._style = _Style()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        value = attribute(attributes, "val") or ""
        if tag == "style":
            self._style = self._styles.setdefault(attribute(attributes, "styleId") or "", _Style())
        elif tag == "name":
            words = value.lower().split()
            if words == ["title"]:
                self._style.level = 0
            elif len(words) == 2 and words[0] == "heading" and words[1].isdecimal():
                self._style.level = int(words[1])
        elif tag == "basedOn":
            self._style.based_on = value
        elif tag == "outlineLvl" and value in set("012345678"):
            self._style.level = int(value) + 1
        elif tag == "numId":
            self._style.list_id = value
        elif tag == "ilvl" and value.isdecimal():
            self._style.list_level = int(value)

    def end(self, tag: str) -> None:
        if tag == "style":
            self._style = _Style()

    def text(self, data: str) -> None:
        pass

    def of(self, style_id: str) -> _Style:
        """A style with what it takes from those that it is based on."""
        found = _Style()
        for _ in range(12):
            style = self._styles.get(style_id)
            if style is None:
                break
            found.level = style.level if found.level is None else found.level
            found.list_id = found.list_id or style.list_id
            found.list_level = style.list_level if found.list_level is None else found.list_level
            style_id = style.based_on
        return found


@dataclass(slots=True)
class _Level:
    start: int = 1
    form: str = "decimal"
    text: str = ""


class _Lists:
    """Lists, and how far each has counted."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[int, _Level]] = {}
        self._kind_of: dict[str, str] = {}
        self._starts: dict[tuple[str, int], int] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._levels: dict[int, _Level] = {}
        self._level = _Level()
        self._list = ""
        self._override = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        value = attribute(attributes, "val") or ""
        if tag == "abstractNum":
            self._levels = self._kinds.setdefault(attribute(attributes, "abstractNumId") or "", {})
        elif tag == "lvl":
            level = attribute(attributes, "ilvl") or "0"
            self._level = _Level()
            if not self._list and level.isdecimal():
                self._levels[int(level)] = self._level
        elif tag == "start" and value.isdecimal():
            self._level.start = int(value)
        elif tag == "numFmt":
            self._level.form = value
        elif tag == "lvlText":
            self._level.text = value
        elif tag == "num":
            self._list = attribute(attributes, "numId") or ""
        elif tag == "abstractNumId" and self._list:
            self._kind_of[self._list] = value
        elif tag == "lvlOverride":
            level = attribute(attributes, "ilvl") or "0"
            self._override = int(level) if level.isdecimal() else 0
        elif tag == "startOverride" and value.isdecimal():
            self._starts[self._list, self._override] = int(value)

    def end(self, tag: str) -> None:
        if tag == "num":
            self._list = ""

    def text(self, data: str) -> None:
        pass

    def next_label(self, list_id: str, level: int) -> str:
        """The number of the next paragraph of a list at this level; "" where it has none."""
        kind = self._kind_of.get(list_id)
        levels = self._kinds.get(kind or "")
        if kind is None or not levels or level not in levels:
            return ""
        counts = self._counts.setdefault(kind, {})
        start = self._starts.pop((list_id, level), None)
        if start is not None:
            counts[level] = start
        else:
            counts[level] = counts.get(level, levels[level].start - 1) + 1
        for deeper in [each for each in counts if each > level]:
            del counts[deeper]
        if levels[level].form == "bullet":
            return "•"
        label = levels[level].text
        for above in range(level + 1):
            of_level = levels.get(above, _Level())
            label = label.replace(f"%{above + 1}", numeral(counts.get(above, of_level.start), of_level.form))
        return label[:40]


@dataclass(slots=True)
class _Paragraph:
    parts: list[str] = field(default_factory=list)
    style: str = ""
    level: int | None = None
    list_id: str = ""
    list_level: int | None = None


@dataclass(slots=True)
class _Table:
    rows: list[list[str]] = field(default_factory=list)
    cell: list[str] = field(default_factory=list)


class _Body:
    """Writes what the main part, or the notes, say."""

    def __init__(self, writer: Writer, styles: _Styles, lists: _Lists) -> None:
        self._writer = writer
        self._styles = styles
        self._lists = lists
        self._paragraphs: list[_Paragraph] = []
        self._tables: list[_Table] = []
        self._skipping = 0
        self._in_run = 0
        self._in_text = 0
        self._hidden = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:  # noqa: C901, PLR0912 - one case an element
        if self._skipping or tag in _SKIPPED or self._is_separator(tag, attributes):
            self._skipping += 1
            return
        paragraph = self._paragraphs[-1] if self._paragraphs else None
        value = attribute(attributes, "val") or ""
        match tag:
            case "p":
                self._paragraphs.append(_Paragraph())
            case "tbl":
                self._tables.append(_Table())
            case "tr" if self._tables:
                self._tables[-1].rows.append([])
            case "tc" if self._tables:
                self._tables[-1].cell = []
            case "r":
                self._in_run += 1
                self._hidden = False
            case "strike" | "dstrike" | "vanish" if self._in_run and value not in _OFF:
                self._hidden = True
            case "t":
                self._in_text += 1
            case _ if paragraph is None:
                pass
            case "tab" | "ptab" if self._in_run:
                paragraph.parts.append("\t")
            case "br" | "cr" if self._in_run:
                paragraph.parts.append("\n")
            case "noBreakHyphen":
                paragraph.parts.append("-")
            case "pStyle":
                paragraph.style = value
            case "outlineLvl" if value in set("012345678"):
                paragraph.level = int(value) + 1
            case "numId":
                paragraph.list_id = value
            case "ilvl" if value.isdecimal():
                paragraph.list_level = int(value)

    @staticmethod
    def _is_separator(tag: str, attributes: Mapping[str, str]) -> bool:
        """A line between text and notes, which is kept as a note."""
        return tag in {"footnote", "endnote"} and attribute(attributes, "type") not in {None, "normal"}

    def end(self, tag: str) -> None:
        if self._skipping:
            self._skipping -= 1
            return
        match tag:
            case "p" if self._paragraphs:
                self._write(self._paragraphs.pop())
            case "tc" if self._tables and self._tables[-1].rows:
                self._tables[-1].rows[-1].append("\n".join(self._tables[-1].cell))
            case "tbl" if self._tables:
                rows = self._tables.pop().rows
                if self._tables:
                    self._tables[-1].cell += [" ".join(filter(None, row)) for row in rows]
                else:
                    self._writer.table(rows)
            case "r":
                self._in_run -= 1
                self._hidden = False
            case "t":
                self._in_text -= 1

    def text(self, data: str) -> None:
        if self._in_text and self._paragraphs and not (self._skipping or self._hidden):
            self._paragraphs[-1].parts.append(data)

    def _write(self, paragraph: _Paragraph) -> None:
        text = "".join(paragraph.parts).strip()
        style = self._styles.of(paragraph.style)
        level = style.level if paragraph.level is None else paragraph.level
        list_id = paragraph.list_id or style.list_id
        at = paragraph.list_level if paragraph.list_level is not None else style.list_level or 0
        if not text:
            return
        label = self._lists.next_label(list_id, at) if list_id and list_id != "0" else ""
        line = f"{label} {text}" if label else text
        if self._tables:
            self._tables[-1].cell.append(line)
        elif level is not None:
            self._writer.heading(line, level=level)
        else:
            self._writer.paragraph(line, close=bool(label))
