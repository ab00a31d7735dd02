"""The text of a PDF's pages, as pypdfium2 gives it with three changes, made once, here.

Line ends are LF, words divided at a line's end are put together, NUL is dropped. Of the readers that were measured it
keeps the most text in the right order, and is the fastest.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ali.kernel.errors import InvalidRequest
from ali.providers.extractive.language import word_set

if TYPE_CHECKING:
    import pypdfium2

MAX_PAGES = 20_000
MAX_CHARACTERS = 60_000_000

_CLITICS = word_set("se me te lhe lhes nos vos lo la los las")
_PDF_PASSWORD, _PDF_SECURITY = 4, 5
_TAIL_BYTES = 65_536


class UnreadableDocument(InvalidRequest):
    """400: a document that is damaged, locked, empty, or of a type that is not read."""

    code = "unreadable_document"


@contextmanager
def opened_pdf(source: bytes | Path, *, name: str) -> Iterator["pypdfium2.PdfDocument"]:
    """A PDF, from its bytes or its file (which is then read piece by piece). Raises `UnreadableDocument`."""
    head, tail, size = _ends(source)
    linearized = re.search(rb"/Linearized\s.{0,80}?/L\s+(\d{1,12})\b", head, re.DOTALL)
    if b"%%EOF" not in tail or (linearized and int(linearized[1]) > size):
        raise UnreadableDocument(f"{name} is truncated: the end of the PDF is missing. Copy or download it again.")
    import pypdfium2  # noqa: PLC0415 - 4 MB, which the process that serves does not need: its child reads

    try:
        pdf = pypdfium2.PdfDocument(source)
    except pypdfium2.PdfiumError as error:
        if error.err_code in {_PDF_PASSWORD, _PDF_SECURITY}:
            raise UnreadableDocument(f"{name} is encrypted: save it without a password and send that.") from error
        raise UnreadableDocument(
            f"{name} is damaged: it cannot be opened as a PDF. Save or download it again."
        ) from error
    try:
        count = len(pdf)
        if count > MAX_PAGES:
            raise UnreadableDocument(f"{name} has {count} pages; at most {MAX_PAGES} are read. Send a part of it.")
        yield pdf
    finally:
        pdf.close()


def _ends(source: bytes | Path) -> tuple[bytes, bytes, int]:
    """The beginning and the end of a PDF, and its size."""
    if isinstance(source, bytes):
        return source[:2048], source[-_TAIL_BYTES:], len(source)
    file: IO[bytes]
    with source.open("rb") as file:
        head = file.read(2048)
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        return head, file.read(), size


def page_text(pdf: "pypdfium2.PdfDocument", number: int, *, name: str) -> str:
    """The text of one page, divided words still marked by U+FFFE for `whole_words`.

    Raises `UnreadableDocument` for a page that cannot be loaded, rather than leaving it out in silence.
    """
    from pypdfium2 import PdfiumError  # noqa: PLC0415 - as above

    try:
        page = pdf[number]
        text_page = page.get_textpage()
    except PdfiumError as error:
        raise UnreadableDocument(f"{name} is damaged: page {number + 1} cannot be read. Save it again.") from error
    text: str = text_page.get_text_range(errors="replace")
    text_page.close()
    page.close()
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "").replace("\x02", "\ufffe")


def whole_words(pages: list[str]) -> tuple[str, ...]:
    """Pages with divided words put together; the reader marks each division with U+FFFE.

    The hyphen stays where the document has the word with it elsewhere ("guarda-chuva"), before a Portuguese pronoun
    ("tornou-se"), and beside anything but letters ("32-bit").
    """
    if not any("\ufffe" in page for page in pages):
        return tuple(pages)
    words = {word.lower() for page in pages for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", page)}

    def join(match: re.Match[str]) -> str:
        left, right = match[1], match[2]
        if not left or not right or not (left + right).isalpha():
            return f"{left}-{right}" if left or right else ""
        if (left + right).lower() in words:
            return left + right
        keep = f"{left}-{right}".lower() in words or right in _CLITICS or right[0].isupper()
        return f"{left}-{right}" if keep else left + right

    return tuple(re.sub(r"([^\W_]*)\ufffe([^\W_]*)", join, page) for page in pages)
