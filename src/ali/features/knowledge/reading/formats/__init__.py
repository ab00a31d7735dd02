"""The formats of files, each read into a `Content`. Imported by the child process alone."""

from collections.abc import Callable
from pathlib import Path

from ali.features.knowledge.reading.content import Content
from ali.features.knowledge.reading.failures import UNSUPPORTED, ReadingFailed
from ali.features.knowledge.reading.formats.pdf import read_pdf
from ali.features.knowledge.reading.formats.text import read_text
from ali.features.knowledge.reading.kinds import Kind, kind_of
from ali.features.knowledge.reading.recognition import Recognition
from ali.features.knowledge.reading.watch import Watch


def read_content(
    path: Path, *, name: str, recognition: Recognition, watch: Watch, on_page: Callable[[int, int], None]
) -> Content:
    """What a file says. `on_page` is told (pages read, pages in all) of a PDF. Raises `ReadingFailed`."""
    with path.open("rb") as file:
        kind = kind_of(file, name=name)
    if kind is Kind.PDF:
        return read_pdf(path, name=name, recognition=recognition, watch=watch, on_page=on_page)
    watch.step(watch.by_size_s(path.stat().st_size))
    if kind in {Kind.TEXT, Kind.MARKDOWN, Kind.TABLE}:
        return read_text(path, name=name, kind=kind)
    raise ReadingFailed(UNSUPPORTED, f"{name} is not read yet.")
