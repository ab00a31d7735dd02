"""PDF: the text of its pages; text recognition where a page has almost none; its outline as titles."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ali.features.knowledge.reading.content import MAX_CHARACTERS, Content, Heading, is_empty, too_long
from ali.features.knowledge.reading.failures import INVALID, UNSUPPORTED, ReadingFailed
from ali.features.knowledge.reading.recognition import Gray, Recognition
from ali.features.knowledge.reading.watch import Watch
from ali.providers.extractive.layout import body_spans
from ali.providers.extractive.pdf import UnreadableDocument, opened_pdf, page_text, whole_words

if TYPE_CHECKING:
    import pypdfium2

_FEW_LETTERS = 16
"""A page with fewer letters and digits than this is looked at as a picture."""
_DPI = 200
_MAX_PIXELS = 8_000_000
_MAX_TITLES = 20_000
_MAX_DEPTH = 8


def read_pdf(
    path: Path, *, name: str, recognition: Recognition, watch: Watch, on_page: Callable[[int, int], None]
) -> Content:
    """The pages of a PDF. `on_page` is told (pages read, pages in all). Raises `ReadingFailed`.

    Cost: about 15 ms a page; where it is recognised, about 3 s.
    """
    watch.step(watch.by_size_s(path.stat().st_size))
    try:
        with opened_pdf(path, name=name) as pdf:
            pages: list[str] = []
            pictures: list[int] = []
            size = 0
            for number in range(len(pdf)):
                watch.step(watch.by_size_s(path.stat().st_size))
                text = page_text(pdf, number, name=name)
                if _letters(text) < _FEW_LETTERS and _shows_something(pdf, number):
                    pictures.append(number)
                    if recognition.available:
                        text = _recognised(pdf, number, recognition=recognition, watch=watch, name=name) or text
                pages.append(text)
                size += len(text)
                if size > MAX_CHARACTERS:
                    raise ReadingFailed(INVALID, too_long(name))
                on_page(number + 1, len(pdf))
            titles = _outline(pdf)
    except UnreadableDocument as error:
        raise ReadingFailed(INVALID, error.message) from error
    if is_empty(pages):
        raise _without_text(name, pages=len(pages), pictures=len(pictures), recognition=recognition)
    whole = whole_words(pages)
    return Content(pages=whole, bodies=_bodies(whole), paged=True, headings=_headings(whole, titles))


def _bodies(pages: Sequence[str]) -> list[tuple[int, int]]:
    """The pages without headers and footers; whole where these would be most of the text: labels, forms, slips."""
    bodies = body_spans(pages)
    kept = sum(end - start for start, end in bodies)
    return bodies if 2 * kept >= sum(map(len, pages)) else [(0, len(page)) for page in pages]


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text[:2000]))


def _shows_something(pdf: "pypdfium2.PdfDocument", number: int) -> bool:
    page = pdf[number]
    try:
        return next(page.get_objects(max_depth=1), None) is not None
    finally:
        page.close()


def _recognised(pdf: "pypdfium2.PdfDocument", number: int, *, recognition: Recognition, watch: Watch, name: str) -> str:
    """The text that is seen on a page. It is drawn with at most eight million pixels, however large it says it is."""
    page = pdf[number]
    try:
        width, height = page.get_size()
        scale = min(_DPI / 72, (_MAX_PIXELS / max(width * height, 1)) ** 0.5)
        if min(width, height) * scale < 8:
            return ""
        bitmap = page.render(
            scale=scale, grayscale=True, draw_annots=False, may_draw_forms=False, limit_image_cache=True
        )
        gray = Gray(bitmap.width, bitmap.height, bitmap.stride, bytes(bitmap.buffer), dpi=round(scale * 72))
        bitmap.close()
    finally:
        page.close()
    watch.pause()
    return recognition.text_of(gray, name=name)


def _without_text(name: str, *, pages: int, pictures: int, recognition: Recognition) -> ReadingFailed:
    if not pictures:
        return ReadingFailed(INVALID, f"{name} has no text: its {pages} pages are empty.")
    if not recognition.available:
        return ReadingFailed(UNSUPPORTED, f"{name} is scanned: {recognition.missing}")
    return ReadingFailed(INVALID, f"{name} has no text that could be recognised on its {pages} pages.")


def _outline(pdf: "pypdfium2.PdfDocument") -> list[tuple[int, int, str]]:
    """(page, level, title) of the outline's entries, in its order."""
    found: list[tuple[int, int, str]] = []
    for entry in pdf.get_toc(max_depth=_MAX_DEPTH):
        title = " ".join((entry.get_title() or "").replace("\x00", "").split())
        destination = entry.get_dest()
        page = destination.get_index() if destination else None
        if title and page is not None and 0 <= page < len(pdf):
            found.append((page, entry.level + 1, title[:300]))
        if len(found) >= _MAX_TITLES:
            break
    return found


def _headings(pages: Sequence[str], titles: Sequence[tuple[int, int, str]]) -> list[Heading]:
    """The outline's entries where they are printed on their page; at its beginning where they are not found."""
    headings: list[Heading] = []
    reached = (0, 0)
    for page, level, title in titles:
        begin = reached[1] if reached[0] == page else 0
        words = [re.escape(word) for word in title.split()[:12]]
        match = re.compile(r"\s+".join(words), re.IGNORECASE).search(pages[page], begin)
        start, end = match.span() if match else (begin, begin)
        if (page, start) < reached:
            continue
        headings.append(Heading(page, start, end, level, title))
        reached = (page, end)
    return headings
