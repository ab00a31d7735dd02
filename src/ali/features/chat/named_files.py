"""Files of the project that a request names by identifier: their content goes in the place of the name.

Source: Anthropic's API reference, "Files" (`document` and `image` blocks), OpenAI's, "Chat" (`file` parts). A provider
is never told an identifier: with the installation's key it would find whatever the installation has there, whoever
asks. So each is found here, or refused; and a body that names one in any other place is refused as well.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol
from uuid import UUID

import orjson

from ali.features.chat.envelope import CitedFiles, RequestEnvelope, refuse_repeated_keys
from ali.features.files.kinds import IMAGES, PDF, media_type_of
from ali.kernel.errors import InvalidRequest, PayloadTooLarge
from ali.providers.contract import Dialect
from ali.providers.extractive import UnreadableDocument
from ali.providers.extractive.documents import decode_text

Json = dict[str, Any]

_LONGEST_TITLE: Final = 500
_CALLS: Final = ("tool_use", "server_tool_use", "mcp_tool_use")
"""Blocks whose `input` is the caller's own, whatever its fields are called."""
_MADE_BY_CODE: Final = ("code_execution_output", "bash_code_execution_output")
"""Blocks of a provider's own tool, sent back with the history: they say that a file was made, and read none."""


class Files(Protocol):
    """Where files are kept."""

    async def fetch(
        self, *, organization_id: UUID, project_id: UUID, name: str, most_bytes: int, param: str
    ) -> tuple[str, bytes]:
        """A file's own name and its bytes. Raises `NotFound` for none of the project's, `PayloadTooLarge`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a file is named. `show` puts a file in its place: its name and its content to the title that it has."""

    file_id: str
    param: str
    show: Callable[[str, bytes], str]
    document: int | None = None
    """Which of the request's documents it is."""


@dataclass(slots=True)
class _Reading:
    """What has been found in the order of the request."""

    places: list[_Place] = field(default_factory=list)
    sources: list[Json] = field(default_factory=list)
    """What names them, which is not to be refused as named elsewhere."""
    documents: int = 0
    changed: bool = False


async def with_files(
    envelope: RequestEnvelope, files: Files, *, organization_id: UUID, project_id: UUID, most_bytes: int
) -> RequestEnvelope:
    """`envelope` with the content of the files that it names, in at most `most_bytes`.

    Raises `NotFound`, `InvalidRequest`, `PayloadTooLarge`, and what the object store's failing is.
    """
    try:
        document = orjson.loads(envelope.body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("The body is not valid JSON. Send a JSON object in UTF-8.") from error
    reading = _Reading()
    _read_messages(document, reading, dialect=envelope.operation.dialect)
    _refuse_elsewhere(document, reading)
    if not (reading.places or reading.changed):
        refuse_repeated_keys(envelope.body)  # the provider may read the one that was not read here
        return envelope
    cited = await _fill(
        *(reading, files),
        organization_id=organization_id,
        project_id=project_id,
        most_bytes=most_bytes - len(envelope.body),
    )
    try:
        body = orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest("The request is nested too deeply, or holds a number beyond 64 bits.") from error
    return replace(envelope, body=body, cited_files=cited, _document=None)


async def _fill(
    reading: _Reading, files: Files, *, organization_id: UUID, project_id: UUID, most_bytes: int
) -> CitedFiles:
    """Read each file once and show it wherever it is named. The documents' files and titles, in their order."""
    read: dict[str, tuple[str, bytes]] = {}
    cited: list[tuple[str, str] | None] = [None] * reading.documents
    left = most_bytes * 3 // 4  # base64 makes four bytes of three
    for place in reading.places:
        if place.file_id not in read:
            read[place.file_id] = await files.fetch(
                organization_id=organization_id,
                project_id=project_id,
                name=place.file_id,
                most_bytes=max(left, 0),
                param=place.param,
            )
        name, content = read[place.file_id]
        left -= len(content)
        if left < 0:
            raise PayloadTooLarge(
                f"The files that this request names make it larger than the {most_bytes} bytes that are left for them. "
                "Name fewer, or smaller ones.",
                param=place.param,
            )
        title = place.show(name, content)
        if place.document is not None:
            cited[place.document] = (place.file_id, title)
    return tuple(cited) if any(cited) else ()


def _read_messages(document: Any, reading: _Reading, *, dialect: Dialect) -> None:  # noqa: ANN401 - untrusted JSON
    """Every block or part of the messages, in their order."""
    for number, message in enumerate(_list(document.get("messages")) if isinstance(document, dict) else ()):
        if not isinstance(message, dict):
            continue
        for index, block in enumerate(_list(message.get("content"))):
            if not isinstance(block, dict):
                continue
            if dialect is Dialect.ANTHROPIC:
                _read_block(block, reading, param=f"messages.{number}.content.{index}")
            else:
                _read_part(block, reading, param=f"messages[{number}].content[{index}]")
        for cited in _objects(message.get("citations")):  # our extension, of an earlier answer
            if isinstance(cited.get("citation"), dict):
                _forget_file(cited["citation"], reading)


def _read_block(block: Json, reading: _Reading, *, param: str) -> None:
    """A block of a Messages request."""
    match block.get("type"):
        case "document":
            _read_document(block, reading, param=param)
        case "image":
            _read_image(block, reading, param=param)
        case "tool_result":
            for index, inner in enumerate(_list(block.get("content"))):
                if isinstance(inner, dict) and inner.get("type") in ("document", "image"):
                    _read_block(inner, reading, param=f"{param}.content.{index}")
        case "text":
            for citation in _objects(block.get("citations")):
                _forget_file(citation, reading)
        case "container_upload":
            raise InvalidRequest(
                f"{param}: files here are this service's, and a provider's container cannot read them. Send the file "
                "in a document or image block.",
                param=param,
            )
        case _:
            pass


def _read_document(block: Json, reading: _Reading, *, param: str) -> None:
    number = reading.documents
    reading.documents += 1
    source = block.get("source")
    if not isinstance(source, dict):
        return
    for index, inner in enumerate(_objects(source.get("content"))):
        if inner.get("type") == "image":
            _read_image(inner, reading, param=f"{param}.source.content.{index}")

    def show(name: str, content: bytes) -> str:
        given = block.get("title")
        title = given if isinstance(given, str) and given.strip() else (name.strip() or "file")[:_LONGEST_TITLE]
        block["title"] = title
        block["source"] = _document_source(title, name, content, param=param)
        return title

    _name(source, show, reading, param=param, document=number)


def _read_image(block: Json, reading: _Reading, *, param: str) -> None:
    def show(name: str, content: bytes) -> str:
        media_type = media_type_of(name, content)
        if media_type not in IMAGES:
            raise InvalidRequest(f"{name} is no JPEG, PNG, GIF or WebP image.", param=f"{param}.source.file_id")
        block["source"] = {"type": "base64", "media_type": media_type, "data": base64.b64encode(content).decode()}
        return name

    source = block.get("source")
    if isinstance(source, dict):
        _name(source, show, reading, param=param, document=None)


def _name(
    source: Json, show: Callable[[str, bytes], str], reading: _Reading, *, param: str, document: int | None
) -> None:
    """A source that names a file is a place of it."""
    file_id = source.get("file_id")
    if source.get("type") == "file" and isinstance(file_id, str):
        where = f"{param}.source.file_id"
        reading.places.append(_Place(file_id=file_id, param=where, show=show, document=document))
        reading.sources.append(source)


def _document_source(title: str, name: str, content: bytes, *, param: str) -> Json:
    media_type = media_type_of(name, content)
    if media_type == PDF:
        return {"type": "base64", "media_type": PDF, "data": base64.b64encode(content).decode()}
    return {
        "type": "text",
        "media_type": "text/plain",
        "data": _text_of(title, content, param=f"{param}.source.file_id"),
    }


def _text_of(name: str, content: bytes, *, param: str) -> str:
    """Raises `UnreadableDocument`, with where the file is named."""
    try:
        return decode_text(content, name=name)
    except UnreadableDocument as error:
        raise UnreadableDocument(error.message, param=param) from error


def _read_part(part: Json, reading: _Reading, *, param: str) -> None:
    """A part of a chat request's message."""
    if part.get("type") != "file":
        return
    number = reading.documents
    reading.documents += 1
    file = part.get("file")
    if not isinstance(file, dict) or "file_id" not in file:
        return
    if file.get("file_data"):
        _forget_file(file, reading)
        return
    file_id = file["file_id"]
    if not isinstance(file_id, str):
        return

    def show(name: str, content: bytes) -> str:
        given = file.get("filename")
        title = given if isinstance(given, str) and given.strip() else name.strip() or "file"
        media_type = media_type_of(name, content)
        if media_type.startswith("text/"):
            content = _text_of(name, content, param=f"{param}.file.file_id").encode()
            media_type = "text/plain"
        del file["file_id"]
        file["filename"] = title
        file["file_data"] = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
        return title

    reading.places.append(_Place(file_id=file_id, param=f"{param}.file.file_id", show=show, document=number))
    reading.sources.append(file)


def _forget_file(thing: Json, reading: _Reading) -> None:
    """The identifier of a file that is not asked for: content stands beside it, or it is of an earlier citation."""
    if thing.pop("file_id", None) is not None:
        reading.changed = True


def _refuse_elsewhere(document: Any, reading: _Reading) -> None:  # noqa: ANN401 - untrusted JSON
    """Raises `InvalidRequest` for an identifier of a file in any other place of the messages that a provider reads."""
    expected = {id(source) for source in reading.sources}
    waiting: list[Any] = [document.get("messages"), document.get("system")] if isinstance(document, dict) else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            kind = value.get("type")
            if value.get("file_id") is not None and id(value) not in expected and kind not in _MADE_BY_CODE:
                raise InvalidRequest(
                    "A file can be named in a document or image block's source (`type` is `file`), or in a chat "
                    "request's file part. Take file_id out of other places.",
                    param="messages",
                )
            waiting.extend(inner for name, inner in value.items() if name != "input" or kind not in _CALLS)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: object) -> list[Json]:
    return [each for each in _list(value) if isinstance(each, dict)]
