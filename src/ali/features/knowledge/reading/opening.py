"""From a file to its content, by the reader of its kind."""

from collections.abc import Callable
from pathlib import Path

from ali.features.knowledge.reading.content import Content
from ali.features.knowledge.reading.formats.container import read_container
from ali.features.knowledge.reading.formats.html import read_html
from ali.features.knowledge.reading.formats.mail import read_mail
from ali.features.knowledge.reading.formats.pdf import read_pdf
from ali.features.knowledge.reading.formats.picture import read_picture
from ali.features.knowledge.reading.formats.richtext import read_rich_text
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
    watch.step(watch.by_size_s(path.stat().st_size))
    match kind:
        case Kind.PDF:
            return read_pdf(path, name=name, recognition=recognition, watch=watch, on_page=on_page)
        case Kind.CONTAINER:
            return read_container(path, name=name, watch=watch)
        case Kind.HTML:
            return read_html(path, name=name)
        case Kind.MAIL:
            return read_mail(path, name=name)
        case Kind.RICH_TEXT:
            return read_rich_text(path, name=name)
        case Kind.PICTURE:
            watch.pause()
            return read_picture(path, name=name, recognition=recognition)
        case Kind.TEXT | Kind.MARKDOWN | Kind.TABLE:
            return read_text(path, name=name, kind=kind)
