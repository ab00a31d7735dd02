"""Text as it is: plain text, code, Markdown and separated values. Not a character is changed but line ends."""

import re
from pathlib import Path

from ali.features.knowledge.reading.content import MAX_CHARACTERS, Content, Heading, Table, too_long
from ali.features.knowledge.reading.failures import INVALID, UNSUPPORTED, ReadingFailed
from ali.features.knowledge.reading.kinds import Kind
from ali.providers.extractive.documents import decode_text
from ali.providers.extractive.pdf import UnreadableDocument

_MARKDOWN = re.compile(
    r"""^(?:
        [ ]{0,3}(?P<fence>`{3,}|~{3,})
      | [ ]{0,3}(?P<marks>\#{1,6})[ \t]+(?P<title>[^\n]*?)[ \t]*\#*[ \t]*$
      | (?P<under>[^\s\#>|`~=-][^\n]*)\n[ ]{0,3}(?P<line>=+|--+)[ \t]*$
      | (?P<head>[ ]{0,3}\|?[^\n|]*\|[^\n]*)\n[ ]{0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*(?:\n|\Z)
    )""",
    re.VERBOSE | re.MULTILINE,
)
_MATTER = re.compile(r"---[ \t]*\n(?:(?!---[ \t]*\n)[^\n]*\n){0,200}---[ \t]*(?:\n|\Z)")
_ROWS = re.compile(r"(?:[^\n]*\|[^\n]*(?:\n|\Z))*")


def read_text(path: Path, *, name: str, kind: Kind) -> Content:
    """A text, Markdown with its titles and tables, or separated values as a table. Raises `ReadingFailed`."""
    data = path.read_bytes()
    try:
        text = decode_text(data, name=name)
    except UnreadableDocument as error:
        raise ReadingFailed(
            UNSUPPORTED,
            f"{name} is of no kind that is read. Add PDF, Word, Excel, PowerPoint, OpenDocument, EPUB, HTML, Markdown, "
            "e-mail (.eml), RTF, CSV or text.",
        ) from error
    del data
    if len(text) > MAX_CHARACTERS:
        raise ReadingFailed(INVALID, too_long(name))
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x00" in text:
        text = text.replace("\x00", "")
    headings, tables = markdown_structure(text) if kind is Kind.MARKDOWN else ([], [])
    if kind is Kind.TABLE:
        tables = _whole_table(text)
    return Content(pages=[text], bodies=[(0, len(text))], headings=headings, tables=tables)


def _whole_table(text: str) -> list[Table]:
    start = len(text) - len(text.lstrip("\n"))
    head_end = text.find("\n", start)
    return [Table(0, start, head_end, len(text))] if head_end > start else []


def markdown_structure(text: str) -> tuple[list[Heading], list[Table]]:
    """The titles and the tables of a Markdown text, outside its blocks of code."""
    headings: list[Heading] = []
    tables: list[Table] = []
    matter = _MATTER.match(text)
    at = matter.end() if matter else 0
    while match := _MARKDOWN.search(text, at):
        at = max(match.end(), at + 1)
        if match["fence"]:
            closed = re.compile(rf"^[ ]{{0,3}}{match['fence']}[`~]*[ \t]*$", re.MULTILINE).search(text, at)
            at = closed.end() if closed else len(text)
        elif match["head"]:
            end = _ROWS.match(text, match.end())
            at = end.end() if end else match.end()
            if at > match.end():
                tables.append(Table(0, match.start(), match.end("head"), at))
        else:
            title = (match["title"] or match["under"] or "").strip(" *_`")
            level = len(match["marks"]) if match["marks"] else 1 if match["line"].startswith("=") else 2
            if title:
                headings.append(Heading(0, match.start(), match.end(), level, title[:300]))
    return headings, tables
