"""What a file is: by its content, and by its name only where its content is text of one sort or another.

A file that is two things at once is none: readers of it would not agree on what it says.
"""

import re
from enum import StrEnum
from pathlib import PurePath
from typing import IO

from ali.features.knowledge.reading.failures import INVALID, UNSUPPORTED, ReadingFailed

HEAD_BYTES = 64 * 1024
_TAIL_BYTES = 64 * 1024 + 22


class Kind(StrEnum):
    """The kinds of files that are read."""

    PDF = "pdf"
    CONTAINER = "container"
    """A ZIP container: a document of Word, Excel, PowerPoint, OpenDocument or EPUB."""
    PICTURE = "picture"
    RICH_TEXT = "rich text"
    MAIL = "mail"
    HTML = "html"
    MARKDOWN = "markdown"
    TABLE = "table"
    """Comma-separated values, or with another separator."""
    TEXT = "text"
    """Text as it is: code, JSON, XML, logs among it."""


_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
_SIGNATURES = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a file of an old Office", "Save it as .docx, .xlsx, .pptx or PDF."),
    (b"\x1f\x8b", "compressed (gzip)", "Unpack it, and add what is inside."),
    (b"BZh", "compressed (bzip2)", "Unpack it, and add what is inside."),
    (b"\xfd7zXZ", "compressed (xz)", "Unpack it, and add what is inside."),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", "Unpack it, and add what is inside."),
    (b"7z\xbc\xaf\x27\x1c", "compressed (7z)", "Unpack it, and add what is inside."),
    (b"Rar!\x1a\x07", "compressed (RAR)", "Unpack it, and add what is inside."),
    (b"\x7fELF", "a program", "Add documents."),
    (b"MZ", "a program", "Add documents."),
    (b"\x00asm", "a program", "Add documents."),
    (b"\xca\xfe\xba\xbe", "a program", "Add documents."),
    (b"OggS", "a recording", "Add its transcript."),
    (b"ID3", "a recording", "Add its transcript."),
    (b"fLaC", "a recording", "Add its transcript."),
    (b"SQLite format 3\x00", "a database", "Export it to CSV or text."),
)
_MAIL_HEADER = re.compile(rb"\A(?:[A-Za-z0-9-]{2,60}:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*){2,}", re.IGNORECASE)
_MAIL_FIELDS = re.compile(
    rb"^(?:From|To|Subject|Date|Received|Return-Path|Message-ID|MIME-Version|Delivered-To):",
    re.MULTILINE | re.IGNORECASE,
)
_BEFORE_ROOT = r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--.{0,2000}?-->\s*)?"
_HTML = re.compile(_BEFORE_ROOT + r"(?:<!doctype\s+html|<html)\b", re.IGNORECASE | re.DOTALL)
_SVG = re.compile(_BEFORE_ROOT + r"(?:<!doctype\s+svg|<svg)\b", re.IGNORECASE | re.DOTALL)
_ENTITY = re.compile(r"\A\s*<[?!].*?<!ENTITY", re.DOTALL)


def kind_of(file: IO[bytes], *, name: str) -> Kind:
    """The kind of an open file; its position is left anywhere.

    Raises `ReadingFailed` where it is empty, of no kind that is read, or of two at once.
    """
    head = file.read(HEAD_BYTES)
    if not head.strip():
        raise ReadingFailed(INVALID, f"{name} is empty.")
    file.seek(0, 2)
    file.seek(max(0, file.tell() - _TAIL_BYTES))
    tail = file.read()
    pdf_at = head[:1024].find(b"%PDF-")
    for signature, what, advice in _SIGNATURES:
        if head.startswith(signature) and (signature != b"MZ" or b"\x00" in head[:64]):
            raise ReadingFailed(UNSUPPORTED, f"{name} is {what}, which is not read. {advice}")
    if head[4:8] == b"ftyp":
        raise ReadingFailed(UNSUPPORTED, f"{name} is a film, a recording or a HEIF picture. Add text, or PNG or JPEG.")
    packed = head.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    picture = _is_picture(head)
    if pdf_at >= 0:
        if packed or picture or head.startswith(b"{\\rtf") or _has_zip_end(tail):
            raise _two_at_once(name)
        return Kind.PDF
    if packed:
        return Kind.CONTAINER
    if _has_zip_end(tail):
        raise _two_at_once(name)
    if picture:
        return Kind.PICTURE
    if head.startswith(b"{\\rtf"):
        return Kind.RICH_TEXT
    return _kind_of_text(head, name=name)


def _is_picture(head: bytes) -> bool:
    if head.startswith(b"BM"):
        return b"\x00" in head[:64]
    return head.startswith(_PICTURES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")


def _has_zip_end(tail: bytes) -> bool:
    """Whether the file ends as a ZIP archive does: its last record tells that nothing but a comment follows."""
    at = tail.rfind(b"PK\x05\x06")
    return at >= 0 and len(tail) - at >= 22 and int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail) - at - 22


def _two_at_once(name: str) -> ReadingFailed:
    return ReadingFailed(
        INVALID, f"{name} is files of two kinds in one, which is not read. Save it anew as one of them."
    )


def _kind_of_text(head: bytes, *, name: str) -> Kind:
    suffix = PurePath(name).suffix.lower()
    if suffix in {".eml", ".mht", ".mhtml"} or (
        _MAIL_HEADER.match(head) and len(set(map(bytes.lower, _MAIL_FIELDS.findall(head[:8192])))) >= 3
    ):
        return Kind.MAIL
    text = head.decode("utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig", "replace")
    if _SVG.match(text) or suffix == ".svg":
        raise ReadingFailed(UNSUPPORTED, f"{name} is a drawing (SVG), which is not read. Save it as PDF.")
    if _ENTITY.match(text):
        raise ReadingFailed(INVALID, f"{name} declares XML entities, which are not read. Save it without a DOCTYPE.")
    if _HTML.match(text) or (suffix in {".html", ".htm", ".xhtml"} and "<" in text):
        return Kind.HTML
    if suffix in {".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd"}:
        return Kind.MARKDOWN
    if suffix in {".csv", ".tsv", ".tab"}:
        return Kind.TABLE
    return Kind.TEXT
