"""Excel workbooks (SpreadsheetML, ISO/IEC 29500-1): each sheet a title and its rows; hidden sheets are left out.

Values are as Excel keeps them: numbers with a point, dates as ISO 8601, shares of a hundred with their sign.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ali.features.knowledge.reading.content import Content, Writer
from ali.features.knowledge.reading.formats.archive import Archive
from ali.features.knowledge.reading.formats.xml import Relations, parse

_DAYS = {*range(14, 18), 22, *range(27, 32), *range(50, 59)}
_TIMES = {*range(18, 22), *range(45, 48)}
_SHARES = {9, 10}
_QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a sheet's dates have no zone
_EPOCH_1904 = datetime(1904, 1, 1)  # noqa: DTZ001 - as above
_MOST_COLUMNS = 256
"""Columns that keep their place though cells before them are empty."""
_LAST_DAY = 2_958_465
_MOST_CELL = 32_767


def read_sheets(archive: Archive, *, part: str, name: str) -> Content:
    """The sheets of the workbook whose main part is `part`. Raises `ReadingFailed`."""
    folder, _, file = part.rpartition("/")
    relations, workbook, strings, styles = Relations(folder), _Workbook(), _Strings(), _Formats()
    parse(archive.blocks(f"{folder}/_rels/{file}.rels".lstrip("/")), relations, name=name)
    parse(archive.blocks(part), workbook, name=name)
    for kind, handler in (("sharedStrings", strings), ("styles", styles)):
        if (of_kind := relations.by_kind.get(kind)) and of_kind in archive:
            parse(archive.blocks(of_kind), handler, name=name)
    writer = Writer(name)
    for title, relation in workbook.sheets:
        sheet = relations.by_id.get(relation)
        if sheet and sheet in archive and "/chartsheets/" not in f"/{sheet}":
            writer.heading(title, level=1)
            rows = _Rows(writer, strings.all, styles.kinds, epoch=_EPOCH_1904 if workbook.from_1904 else _EPOCH)
            parse(archive.blocks(sheet), rows, name=name)
            writer.end_table()
    return writer.finished()


class _Workbook:
    """The sheets that are shown, in order, and from when dates count."""

    def __init__(self) -> None:
        self.sheets: list[tuple[str, str]] = []
        self.from_1904 = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "sheet" and attributes.get("state", "visible") == "visible":
            relation = next((value for key, value in attributes.items() if key.endswith("relationships|id")), "")
            self.sheets.append((attributes.get("name", ""), relation))
        elif tag == "workbookPr":
            self.from_1904 = attributes.get("date1904") in {"1", "true"}

    def end(self, tag: str) -> None:
        pass

    def text(self, data: str) -> None:
        pass


class _Strings:
    """The texts that cells refer to by number."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._parts: list[str] = []
        self._in_text = False
        self._phonetic = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:  # noqa: ARG002 - a handler of XML
        if tag == "t":
            self._in_text = not self._phonetic
        elif tag == "rPh":
            self._phonetic = True
        elif tag == "si":
            self._parts = []

    def end(self, tag: str) -> None:
        if tag == "t":
            self._in_text = False
        elif tag == "rPh":
            self._phonetic = False
        elif tag == "si":
            self.all.append("".join(self._parts)[:_MOST_CELL])

    def text(self, data: str) -> None:
        if self._in_text:
            self._parts.append(data)


class _Formats:
    """Whether a style of cells shows a day, a time, a share of a hundred, or the number as it is."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self._custom: dict[str, str] = {}
        self._in_cells = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "numFmt":
            self._custom[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif tag == "cellXfs":
            self._in_cells = True
        elif tag == "xf" and self._in_cells:
            self.kinds.append(self._kind(attributes.get("numFmtId", "0")))

    def end(self, tag: str) -> None:
        if tag == "cellXfs":
            self._in_cells = False

    def text(self, data: str) -> None:
        pass

    def _kind(self, number: str) -> str:
        if number in self._custom:
            code = _QUOTED.sub("", self._custom[number][:255]).split(";")[0].lower()
            day, time = bool(re.search(r"[yd]", code)), bool(re.search(r"[hs]", code))
            return "day" if day else "time" if time else "share" if "%" in code else ""
        built_in = int(number) if number.isdecimal() else 0
        return "day" if built_in in _DAYS else "time" if built_in in _TIMES else "share" if built_in in _SHARES else ""


class _Rows:
    """Writes the rows of a sheet; an empty row ends a table."""

    def __init__(self, writer: Writer, strings: Sequence[str], kinds: Sequence[str], *, epoch: datetime) -> None:
        self._writer = writer
        self._strings = strings
        self._kinds = kinds
        self._epoch = epoch
        self._cells: dict[int, str] = {}
        self._column = 0
        self._row = 0
        self._last_written = 0
        self._type = ""
        self._style = ""
        self._parts: list[str] = []
        self._in_value = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "row":
            number = attributes.get("r", "")
            self._row = int(number) if number.isdecimal() and len(number) < 9 else self._row + 1
            self._cells, self._column = {}, 0
        elif tag == "c":
            self._column = _column_of(attributes.get("r", "")) or self._column + 1
            self._type, self._style = attributes.get("t", "n"), attributes.get("s", "")
            self._parts = []
        elif tag == "v" or (tag == "t" and self._type == "inlineStr"):
            self._in_value = True

    def end(self, tag: str) -> None:
        if tag in {"v", "t"}:
            self._in_value = False
        elif tag == "c":
            value = self._value("".join(self._parts)[:_MOST_CELL])
            if value.strip():
                self._cells[self._column] = value
        elif tag == "row" and self._cells:
            if self._row > self._last_written + 1:
                self._writer.end_table()
            self._last_written = self._row
            last = max(self._cells)
            placed = range(1, last + 1) if last <= _MOST_COLUMNS else sorted(self._cells)
            self._writer.row([self._cells.get(column, "") for column in placed])

    def text(self, data: str) -> None:
        if self._in_value:
            self._parts.append(data)

    def _value(self, raw: str) -> str:
        match self._type:
            case "s":
                return self._strings[int(raw)] if raw.isdecimal() and int(raw) < len(self._strings) else ""
            case "b":
                return "TRUE" if raw == "1" else "FALSE" if raw else ""
            case "n":
                style = int(self._style) if self._style.isdecimal() else 0
                return self._number(raw, self._kinds[style] if style < len(self._kinds) else "")
        return raw

    def _number(self, raw: str, kind: str) -> str:
        try:
            number = float(raw)
        except ValueError:
            return raw
        if kind in {"day", "time"} and 0 <= number <= _LAST_DAY:
            moment = self._epoch + timedelta(seconds=round(number * 86_400))
            if kind == "time":
                return moment.strftime("%H:%M:%S")
            return moment.isoformat(" ") if number % 1 else moment.date().isoformat()
        if kind == "share" and abs(number) < 1e9:
            return f"{number * 100:.10g}%"
        return f"{number:.15g}" if abs(number) < 1e15 else raw


def _column_of(reference: str) -> int:
    """The number of a cell's column, "B7" is in the second; 0 where the reference does not tell."""
    number = 0
    for letter in reference[:3]:
        if not "A" <= letter <= "Z":
            break
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
