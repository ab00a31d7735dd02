"""PowerPoint presentations (PresentationML, ISO/IEC 29500-1): each slide a page, with its title, tables and notes."""

from collections.abc import Mapping

from ali.features.knowledge.reading.content import Content, Writer
from ali.features.knowledge.reading.formats.archive import Archive
from ali.features.knowledge.reading.formats.xml import Relations, attribute, parse

_NUMBERS = {"sldNum", "dt", "ftr", "hdr", "sldImg"}
"""Placeholders that repeat on every slide."""


def read_slides(archive: Archive, *, part: str, name: str) -> Content:
    """The slides of the presentation whose main part is `part`. Raises `ReadingFailed`."""
    relations, presentation = _relations(archive, part, name=name), _Presentation()
    parse(archive.blocks(part), presentation, name=name)
    writer = Writer(name)
    first = True
    for relation in presentation.slides:
        slide = relations.by_id.get(relation)
        if not slide or slide not in archive:
            continue
        if not first:
            writer.next_page()
        first = False
        parse(archive.blocks(slide), _Shapes(writer), name=name)
        notes = _relations(archive, slide, name=name).by_kind.get("notesSlide")
        if notes and notes in archive:
            parse(archive.blocks(notes), _Shapes(writer, notes=True), name=name)
    return writer.finished(paged=True)


def _relations(archive: Archive, part: str, *, name: str) -> Relations:
    folder, _, file = part.rpartition("/")
    relations = Relations(folder)
    rels = f"{folder}/_rels/{file}.rels".lstrip("/")
    if rels in archive:
        parse(archive.blocks(rels), relations, name=name)
    return relations


class _Presentation:
    """The slides, in order."""

    def __init__(self) -> None:
        self.slides: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "sldId":
            self.slides += [value for key, value in attributes.items() if key.endswith("relationships|id")]

    def end(self, tag: str) -> None:
        pass

    def text(self, data: str) -> None:
        pass


class _Shapes:
    """Writes the texts of a slide, or of its notes."""

    def __init__(self, writer: Writer, *, notes: bool = False) -> None:
        self._writer = writer
        self._notes = notes
        self._placeholder: str | None = None
        self._paragraph: list[str] | None = None
        self._in_text = False
        self._cell: list[str] | None = None
        self._skipping = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._skipping or tag == "Fallback":
            self._skipping += 1
            return
        match tag:
            case "sp":
                self._placeholder = None
            case "ph":
                self._placeholder = attribute(attributes, "type") or "body"
            case "p":
                self._paragraph = []
            case "t":
                self._in_text = True
            case "br" if self._paragraph is not None:
                self._paragraph.append("\n")
            case "tab" if self._paragraph is not None:
                self._paragraph.append("\t")
            case "tbl":
                self._writer.end_table()
            case "tr":
                self._row: list[str] = []
            case "tc":
                self._cell = []

    def end(self, tag: str) -> None:
        if self._skipping:
            self._skipping -= 1
            return
        match tag:
            case "t":
                self._in_text = False
            case "p" if self._paragraph is not None:
                self._write("".join(self._paragraph).strip())
                self._paragraph = None
            case "tc" if self._cell is not None:
                self._row.append(" ".join(self._cell))
                self._cell = None
            case "tr":
                self._writer.row(self._row)
            case "tbl":
                self._writer.end_table()

    def text(self, data: str) -> None:
        if self._in_text and self._paragraph is not None and not self._skipping:
            self._paragraph.append(data)

    def _write(self, text: str) -> None:
        if self._cell is not None:
            self._cell.append(text)
        elif self._notes:
            if self._placeholder == "body":
                self._writer.paragraph(text)
        elif self._placeholder in {"title", "ctrTitle"}:
            self._writer.heading(text, level=1)
        elif self._placeholder not in _NUMBERS:
            self._writer.paragraph(text, close=True)
