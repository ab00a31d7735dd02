"""Electronic books (EPUB 3): the pages of the spine, in its order."""

from collections.abc import Mapping

from ali.features.knowledge.reading.content import Content, Writer
from ali.features.knowledge.reading.formats.archive import Archive, damaged
from ali.features.knowledge.reading.formats.html import decoded, write_html
from ali.features.knowledge.reading.formats.xml import parse, resolved

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
_MOST_PAGE_BYTES = 32 << 20
_PAGES = {"application/xhtml+xml", "text/html"}


def read_book(archive: Archive, *, name: str) -> Content:
    """The text of a book. Raises `ReadingFailed`."""
    container, package = _Container(), _Package()
    parse(archive.blocks(CONTAINER), container, name=name)
    if not container.package:
        raise damaged(name)
    parse(archive.blocks(container.package), package, name=name)
    folder = container.package.rpartition("/")[0]
    writer = Writer(name)
    for item in package.spine:
        page = resolved(folder, package.pages.get(item, ""))
        if page in archive:
            write_html(decoded(archive.read(page, most_bytes=_MOST_PAGE_BYTES)), writer)
    return writer.finished()


class _Container:
    """Where the package document is."""

    def __init__(self) -> None:
        self.package = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "rootfile" and not self.package:
            self.package = resolved("", attributes.get("full-path", ""))

    def end(self, tag: str) -> None:
        pass

    def text(self, data: str) -> None:
        pass


class _Package:
    """The pages, and the order in which they are read."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.spine: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "item" and attributes.get("media-type") in _PAGES:
            self.pages[attributes.get("id", "")] = attributes.get("href", "")
        elif tag == "itemref":
            self.spine.append(attributes.get("idref", ""))

    def end(self, tag: str) -> None:
        pass

    def text(self, data: str) -> None:
        pass
