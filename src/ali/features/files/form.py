"""A file sent as `multipart/form-data`, taken apart as it comes: its fields are small, its bytes are passed on.

Sources: RFC 7578; OpenAI's API reference, "Upload file"; Anthropic's, "Upload File". Fields may stand before and after
the file.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ali.kernel.errors import InvalidRequest

_MOST_PARTS: Final = 16
_MOST_FIELD_BYTES: Final = 1024
_MOST_NAME_CHARS: Final = 512
_BAD_IN_NAMES: Final = re.compile(r"[\x00-\x1f\x7f]")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,90}")
_OF_NO_SAID_KIND: Final = "application/octet-stream"


class UploadMalformed(InvalidRequest):
    """400: the body is no form with a file in it."""

    code = "upload_malformed"


@dataclass(slots=True)
class _Part:
    """A part of the form whose head, or more, has come."""

    head: list[bytes] = field(default_factory=list)
    """Names and values of its headers, in turn."""
    name: bytes = b""
    text: bytes = b""


class FileForm:
    """The form in `body`, whose field `field_name` is a file. Read `file` to its end, then ask for the rest.

    `nameless`: it is one also where its part has no file name. Raises `UploadMalformed`.
    """

    def __init__(
        self, content_type: str, body: AsyncIterator[bytes], *, field_name: str = "file", nameless: bool = False
    ) -> None:
        from python_multipart import exceptions, multipart  # noqa: PLC0415 - 25 ms of import, for uploads alone

        kind, options = multipart.parse_options_header(content_type)
        if kind.lower() != b"multipart/form-data" or not options.get(b"boundary"):
            raise UploadMalformed(f"Send the file as multipart/form-data, in a field `{field_name}`.")
        self.field_name = field_name
        self._file = field_name.encode()
        self._nameless = nameless
        self._body = body
        self._options = multipart.parse_options_header
        self._malformed = exceptions.FormParserError
        self._part = _Part()
        self._parts = 0
        self._fields: dict[str, str] = {}
        self._file_name: str | None = None
        self._media_type: str | None = None
        self._pieces: list[bytes] = []
        self._ended = False
        try:
            self._parser: Any = multipart.MultipartParser(options[b"boundary"], self._callbacks())
        except exceptions.FormParserError as error:
            raise UploadMalformed("The boundary of the multipart body is too long.") from error

    async def file(self) -> AsyncIterator[bytes]:
        """The file's bytes as they come; the whole body is read."""
        async for data in self._body:
            try:
                self._parser.write(data)
            except self._malformed as error:
                raise UploadMalformed("The multipart body is malformed.") from error
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                yield piece
        if not self._ended:
            raise UploadMalformed("The multipart body ends before its end.")

    def require_file(self) -> str:
        """What the file is called, perhaps nothing. Raises `UploadMalformed` where there was none."""
        if self._file_name is None:
            raise UploadMalformed(
                f"The form has no field `{self.field_name}` with a file in it.", param=self.field_name
            )
        return self._file_name

    @property
    def media_type(self) -> str | None:
        """What the file is said to be; None where nothing is said."""
        return self._media_type

    @property
    def fields(self) -> Mapping[str, str]:
        """The other fields."""
        return self._fields

    def _callbacks(self) -> Any:  # noqa: ANN401 - the parser's own dictionary of callbacks
        return {
            "on_part_begin": self._begin_part,
            "on_header_begin": lambda: self._part.head.append(b""),
            "on_header_field": lambda data, start, end: self._head(data[start:end]),
            "on_header_value": lambda data, start, end: self._value(data[start:end]),
            "on_headers_finished": self._read_head,
            "on_part_data": lambda data, start, end: self._data(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise UploadMalformed(f"The form has more than {_MOST_PARTS} parts.")
        self._part = _Part()

    def _head(self, data: bytes) -> None:
        self._part.head[-1] += data

    def _value(self, data: bytes) -> None:
        if len(self._part.head) % 2:
            self._part.head.append(b"")
        self._part.head[-1] += data

    def _read_head(self) -> None:
        head = self._part.head
        said = {name.lower(): value for name, value in zip(head[::2], head[1::2], strict=False)}
        _, options = self._options(said.get(b"content-disposition", b""))
        self._part.name = options.get(b"name", b"")
        if self._part.name == self._file and (b"filename" in options or self._nameless):
            self._begin_file(options.get(b"filename", b""))
            self._media_type = read_media_type(said.get(b"content-type", b"").decode("latin-1"))

    def _begin_file(self, name: bytes) -> None:
        if self._file_name is not None:
            raise UploadMalformed("The form has several files. Send one a request.", param=self.field_name)
        self._file_name = cleaned_name(name.decode("utf-8", "replace"))

    def _data(self, data: bytes) -> None:
        if self._part.name == self._file and self._file_name is not None:
            self._pieces.append(data)
            return
        self._part.text += data
        if len(self._part.text) > _MOST_FIELD_BYTES:
            raise UploadMalformed(
                f"A field of the form has more than {_MOST_FIELD_BYTES} bytes. A file needs a filename in its part."
            )

    def _end_part(self) -> None:
        if self._part.name != self._file:
            self._fields[self._part.name.decode("utf-8", "replace")] = self._part.text.decode("utf-8", "replace")

    def _end(self) -> None:
        self._ended = True


def cleaned_name(name: str) -> str:
    """A file's name without what would break the lines that it is written into, and no longer than anybody needs."""
    return _BAD_IN_NAMES.sub("", name)[:_MOST_NAME_CHARS]


def read_media_type(said: str) -> str | None:
    """A media type without its parameters; None for what is none, or says nothing."""
    media_type = said.partition(";")[0].strip().lower()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) and media_type != _OF_NO_SAID_KIND else None
