"""Documents that are ZIP containers: which of them one is, by what it holds."""

import re
from pathlib import Path
from typing import Final

from ali.features.knowledge.reading.content import Content
from ali.features.knowledge.reading.failures import INVALID, UNSUPPORTED, ReadingFailed
from ali.features.knowledge.reading.formats import book, opendocument
from ali.features.knowledge.reading.formats.archive import Archive, opened_archive
from ali.features.knowledge.reading.formats.sheets import read_sheets
from ali.features.knowledge.reading.formats.slides import read_slides
from ali.features.knowledge.reading.formats.word import read_word
from ali.features.knowledge.reading.watch import Watch

_OFFICE: Final = {"word/document.xml": read_word, "xl/workbook.xml": read_sheets, "ppt/presentation.xml": read_slides}
_OPENDOCUMENT: Final = re.compile(rb"application/vnd\.oasis\.opendocument\.(text|spreadsheet|presentation)")
_MOST_TYPE_BYTES = 200


def read_container(path: Path, *, name: str, watch: Watch) -> Content:
    """The text of a document of Word, Excel, PowerPoint, OpenDocument or EPUB. Raises `ReadingFailed`."""
    with opened_archive(path, name=name) as archive:
        watch.step(watch.by_size_s(archive.text_bytes))
        mimetype = archive.read("mimetype", most_bytes=_MOST_TYPE_BYTES) if "mimetype" in archive else b""
        office = [part for part in _OFFICE if part in archive]
        found = len(office) + (opendocument.PART in archive) + (book.CONTAINER in archive)
        if found > 1:
            raise ReadingFailed(
                INVALID, f"{name} is files of two kinds in one, which is not read. Save it anew as one."
            )
        if office:
            return _OFFICE[office[0]](archive, part=office[0], name=name)
        if opendocument.PART in archive and (kind := _OPENDOCUMENT.match(mimetype)):
            _refuse_locked(archive, name=name)
            return opendocument.read_opendocument(archive, kind=kind[1].decode(), name=name)
        if book.CONTAINER in archive:
            if book.ENCRYPTION in archive:
                raise _locked(name)
            return book.read_book(archive, name=name)
    raise ReadingFailed(
        UNSUPPORTED,
        f"{name} is a ZIP archive and no document of Word, Excel, PowerPoint, OpenDocument or EPUB. Unpack it, and add "
        "what is inside.",
    )


def _refuse_locked(archive: Archive, *, name: str) -> None:
    """An OpenDocument file with a password has its parts encrypted, and says so in its manifest."""
    manifest = "META-INF/manifest.xml"
    if manifest in archive and b"encryption-data" in archive.read(manifest, most_bytes=1 << 20):
        raise _locked(name)


def _locked(name: str) -> ReadingFailed:
    return ReadingFailed(INVALID, f"{name} is encrypted: save it without a password and add that.")
