"""HTML as a reader sees it, without its menus: paragraphs, titles, lists, tables, preformatted text.

Left out: scripts, styles, what is hidden, navigation, and what is struck out (in published laws, what no longer holds).
"""

import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from ali.features.knowledge.reading.content import Content, Writer
from ali.features.knowledge.reading.formats.numbering import numeral
from ali.providers.extractive.language import word_set

_SKIPPED = word_set("script style template noscript svg canvas iframe object nav title strike s del select math")
_BLOCKS = word_set(
    """p div section article aside main header footer address blockquote figure figcaption form fieldset hr dl dt dd
    ul ol table caption thead tbody tfoot body html center details summary"""
)
_TITLES = {f"h{level}": level for level in range(1, 7)}
_VOID = word_set("area base br col embed hr img input link meta source track wbr")
_CHARSET = re.compile(
    rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE
)
_SPACE = re.compile(r"\s+")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_NUMERALS: Final[Mapping[str, str]] = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_SLICE = 1 << 16


def read_html(path: Path, *, name: str) -> Content:
    """The text of a page. Raises `ReadingFailed`."""
    writer = Writer(name)
    write_html(decoded(path.read_bytes()), writer)
    return writer.finished()


def decoded(data: bytes) -> str:
    """Text in the encoding that the page names; in UTF-8, else Windows-1252, where it names none that is known."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    named = _CHARSET.search(data[:4096])
    wanted = named[1].decode("ascii").lower() if named else "utf-8"
    # What calls itself Latin-1 is read as Windows-1252 (WHATWG Encoding Standard, 4.2).
    for encoding in ({"iso-8859-1": "cp1252", "us-ascii": "cp1252"}.get(wanted, wanted), "utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    return data.decode("cp1252", "replace")


def write_html(text: str, writer: Writer) -> None:
    """Write what a page shows."""
    page = _Page(writer)
    for start in range(0, len(text), _SLICE):
        page.feed(text[start : start + _SLICE])
    page.close()
    page.finish()


class _Page(HTMLParser):
    """Writes blocks as they end; what is not closed ends with what follows, as in a browser."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(convert_charrefs=True)
        self._writer = writer
        self._parts: list[str] = []
        self._title: int | None = None
        self._skipped = ""
        self._skipping = 0
        self._preformatted = 0
        self._lists: list[tuple[str, int]] = []
        self._label = ""
        self._tables: list[list[list[str]]] = []
        self._around: list[list[str]] = []
        """What the cells that the open tables stand in say before them."""
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """An element begins."""
        if self._skipping:
            self._skipping += tag == self._skipped
            return
        attributes = dict(attrs)
        if tag in _SKIPPED or (tag not in _VOID and _is_hidden(attributes)):
            self._skipped, self._skipping = tag, 1
        elif tag == "br":
            self._parts.append("\n")
        elif tag in _TITLES:
            self._flush()
            self._title = _TITLES[tag]
        elif tag == "pre":
            self._flush()
            self._preformatted += 1
        elif tag == "li":
            self._flush()
            self._label = self._next_label()
        elif tag in {"tr", "td", "th"}:
            self._start_in_table(tag)
        elif tag in _BLOCKS:
            self._flush()
            if tag in {"ul", "ol"}:
                start = attributes.get("start") or ""
                first = int(start) if start.isdecimal() and len(start) < 6 else 1
                self._lists.append((attributes.get("type") or "1" if tag == "ol" else "", first))
            elif tag == "table":
                self._tables.append([])
                self._around.append(self._parts)
                self._parts, self._in_cell = [], False

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """`<br/>`; any other such element is one that begins, as in a browser, unless it cannot hold anything."""
        if tag not in _SKIPPED:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        if self._skipping:
            self._skipping -= tag == self._skipped
            return
        if tag in _TITLES or tag in {"li", "pre"}:
            self._flush()
            self._title = None
            self._label = ""
            self._preformatted = max(self._preformatted - (tag == "pre"), 0)
        elif tag in {"td", "th", "tr"}:
            self._end_cell()
        elif tag in _BLOCKS:
            self._flush()
            if tag in {"ul", "ol"} and self._lists:
                self._lists.pop()
            elif tag == "table":
                self._end_table()

    def handle_data(self, data: str) -> None:
        """Characters."""
        if not self._skipping:
            self._parts.append(data if self._preformatted else _SPACE.sub(" ", data))

    def finish(self) -> None:
        """The page ends, and with it all that was not closed."""
        while self._tables:
            self._end_table()
        self._flush()

    def _start_in_table(self, tag: str) -> None:
        self._end_cell()
        if not self._tables:
            self._flush()
        elif tag == "tr":
            self._tables[-1].append([])
        else:
            if not self._tables[-1]:
                self._tables[-1].append([])
            self._parts.clear()
            self._in_cell = True

    def _end_cell(self) -> None:
        if self._in_cell and self._tables and self._tables[-1]:
            self._tables[-1][-1].append(self._text())
            self._parts.clear()
        self._in_cell = False

    def _end_table(self) -> None:
        if not self._tables:
            return
        self._end_cell()
        rows = self._tables.pop()
        self._parts = self._around.pop()
        if self._tables:  # a table in a cell is part of its text
            self._parts.append("\n".join("\n".join(row) for row in rows))
            self._in_cell = bool(self._tables[-1])
        else:
            self._writer.table(rows)

    def _flush(self) -> None:
        """A block ends. In a cell it becomes a line of it."""
        if self._in_cell:
            self._parts.append("\n")
            return
        text = self._text()
        self._parts.clear()
        if not text:
            return
        if self._title is not None:
            self._writer.heading(text, level=self._title)
        else:
            self._writer.paragraph(f"{self._label} {text}" if self._label else text, close=bool(self._lists))
            self._label = ""

    def _text(self) -> str:
        text = "".join(self._parts)
        if self._preformatted:
            return text.strip("\n")
        return "\n".join(line for each in text.split("\n") if (line := " ".join(each.split())))

    def _next_label(self) -> str:
        """The number of a list's next item; "" where it has none."""
        if not self._lists or not self._lists[-1][0]:
            return ""
        form, number = self._lists[-1]
        self._lists[-1] = (form, number + 1)
        return f"{numeral(number, _NUMERALS.get(form, 'decimal'))}."


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    return "hidden" in attributes or bool(_HIDDEN.search(attributes.get("style") or ""))
