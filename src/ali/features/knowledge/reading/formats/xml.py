"""Parts of containers as a stream of XML events: no document type, no entities, bounded depth, constant memory."""

from collections.abc import Iterable, Mapping
from typing import Protocol
from xml.parsers import expat

from ali.features.knowledge.reading.failures import INVALID, ReadingFailed

_MAX_DEPTH = 1000


class Handler(Protocol):
    """Hears of elements by their local names. Attributes have names with their namespace before a `|`, or plain."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""

    def end(self, tag: str) -> None:
        """An element ends."""

    def text(self, data: str) -> None:
        """Characters within the innermost element."""


def attribute(attributes: Mapping[str, str], name: str) -> str | None:
    """The attribute of this local name, in whatever namespace."""
    if name in attributes:
        return attributes[name]
    suffix = "|" + name
    return next((value for key, value in attributes.items() if key.endswith(suffix)), None)


def parse(blocks: Iterable[bytes], handler: Handler, *, name: str) -> None:
    """Tell `handler` what is in an XML document. Raises `ReadingFailed` where it is none, or declares a type.

    Documents of these formats never do: what a declaration is there for is entities that grow.
    """
    parser = expat.ParserCreate(namespace_separator="|")
    parser.buffer_text = True
    parser.buffer_size = 64 * 1024
    local: dict[str, str] = {}
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise ReadingFailed(INVALID, f"{name} is nested too deeply to be read. Save it anew.")
        handler.start(local.get(tag) or local.setdefault(tag, tag.rpartition("|")[2]), attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        handler.end(local[tag])

    def doctype(*_: object) -> None:
        raise ReadingFailed(INVALID, f"{name} declares a document type (DOCTYPE), which is not read. Save it anew.")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = handler.text
    parser.StartDoctypeDeclHandler = doctype
    try:
        for block in blocks:
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ReadingFailed(INVALID, f"{name} is damaged: a part of it is not XML. Save it anew.") from error


class Relations:
    """The relations of a part of an Office file: which other parts it names, by id and by kind."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.by_id: dict[str, str] = {}
        self.by_kind: dict[str, str] = {}

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """A relation, to a part within the file."""
        target = attributes.get("Target")
        if tag == "Relationship" and target and attributes.get("TargetMode") != "External":
            part = resolved(self._folder, target)
            self.by_id[attributes.get("Id", "")] = part
            self.by_kind.setdefault(attributes.get("Type", "").rpartition("/")[2], part)

    def end(self, tag: str) -> None:
        """Nothing to do."""

    def text(self, data: str) -> None:
        """Nothing to do."""


def resolved(folder: str, target: str) -> str:
    """A part's name from a target relative to `folder`; a name that leads out of the container leads to none."""
    if target.startswith("/"):
        return target[1:]
    steps = folder.split("/") if folder else []
    for step in target.split("/"):
        if step == "..":
            steps = steps[:-1]
        elif step not in {"", "."}:
            steps.append(step)
    return "/".join(steps)
