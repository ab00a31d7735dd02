"""Documents as they are searched: pages of text, exactly as extracted, with a name to cite them by.

PDF through `pdf`, text and Markdown as they are. Quotes are cut from this text and not altered.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ali.providers.extractive.pdf import MAX_CHARACTERS, UnreadableDocument, opened_pdf, page_text, whole_words

_FOREIGN = (
    (b"PK\x03\x04", "a ZIP container (Word, Excel, PowerPoint, ODT, EPUB are such)"),
    (b"\xd0\xcf\x11\xe0", "an old Office file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"II*\x00", "a picture"),
    (b"MM\x00*", "a picture"),
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"BZh", "compressed (bzip2)"),
    (b"\xfd7zXZ", "compressed (xz)"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)"),
    (b"7z\xbc\xaf", "compressed (7z)"),
    (b"{\\rtf", "rich text (RTF)"),
    (b"\x7fELF", "a program"),
)


class Kind(StrEnum):
    """What a document's `pages` are, which decides how a place in it is named."""

    PDF = "pdf"
    """Pages of a PDF."""
    TEXT = "text"
    """One page: the whole text."""
    BLOCKS = "blocks"
    """Content blocks given one by one."""
    SEARCH_RESULT = "search_result"
    """Content blocks of a search result."""
    MESSAGE = "message"
    """One page: the text of a message, a tool's result, or the system text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text that can be quoted.

    `index` is where it stands among those of its kind in the request. `weight` scales its sentences' scores. `hidden`
    are spans (start, end) of a one-page document that are never quoted. `cited`: the request wants citations of it.
    `places`, of a passage that was searched for: from which offset of its text on it stands where ("p. 3, Art. 7º").
    """

    name: str
    pages: tuple[str, ...]
    kind: Kind = Kind.TEXT
    index: int = 0
    source: str = ""
    weight: float = 1.0
    hidden: tuple[tuple[int, int], ...] = ()
    cited: bool = True
    places: tuple[tuple[int, str], ...] = ()


def read_document(data: bytes, *, name: str, on_page: Callable[[int, int], None] | None = None) -> Document:
    """Read a PDF, Markdown or plain text; its content decides which, not its name.

    `on_page` is told (pages read, pages in all) of a PDF. Raises `UnreadableDocument`. Cost: about 1 ms a PDF page.
    """
    if not data.strip():
        raise UnreadableDocument(f"{name} is empty.")
    if b"%PDF-" in data[:1024]:
        return Document(name=name, pages=_read_pdf(data, name=name, on_page=on_page), kind=Kind.PDF)
    for magic, what in _FOREIGN:
        if data.startswith(magic):
            raise UnreadableDocument(
                f"{name} is {what}, which is not read yet. Send PDF, Markdown or plain text: save or print it as one."
            )
    text = decode_text(data, name=name)
    if re.match(r"\s*(?:<!doctype html|<html)\b", text[:1000], re.IGNORECASE):
        raise UnreadableDocument(f"{name} is HTML, which is not read yet. Print it to PDF, or save it as text.")
    return Document(name=name, pages=(text,), kind=Kind.TEXT)


def decode_text(data: bytes, *, name: str) -> str:
    """Bytes as text: UTF-8 with or without its mark, UTF-16 with one, else Windows-1252.

    Raises `UnreadableDocument`.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings: Sequence[str] = ("utf-16",)
    elif b"\x00" in data:
        raise UnreadableDocument(f"{name} is neither a PDF nor text. Send PDF, Markdown or plain text.")
    else:
        encodings = ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _mostly_written(text):
            return text
    raise UnreadableDocument(f"{name} is not text in UTF-8, UTF-16 or Windows-1252. Save it as UTF-8.")


def _mostly_written(text: str) -> bool:
    """Whether `text` has few control characters: bytes that are no text decode too."""
    sample = text[:20_000]
    return sum(char < " " and char not in "\t\n\r\f" for char in sample) <= len(sample) * 0.01


def _read_pdf(data: bytes, *, name: str, on_page: Callable[[int, int], None] | None) -> tuple[str, ...]:
    with opened_pdf(data, name=name) as pdf:
        count = len(pdf)
        pages: list[str] = []
        size = 0
        for number in range(count):
            pages.append(page_text(pdf, number, name=name))
            size += len(pages[-1])
            if size > MAX_CHARACTERS:
                raise UnreadableDocument(f"{name} has more than {MAX_CHARACTERS} characters. Send a part of it.")
            if on_page is not None:
                on_page(number + 1, count)
    if not any(char.isalnum() for page in pages for char in page):
        raise UnreadableDocument(
            f"{name} has no text layer: its {count} pages are pictures. "
            "Run text recognition (OCR) over it and send that."
        )
    return whole_words(pages)
