"""A file sent as `multipart/form-data`, taken apart as it comes: its fields are small, its bytes are passed on.

Sources: RFC 7578; OpenAI's API reference, "Upload file". Fields may stand before and after the file.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from ali.features.files.naming import MOST_BATCH_BYTES, UPLOADED
from ali.kernel.errors import InvalidRequest, PayloadTooLarge

BATCH_TTL_S: Final = 30 * 86_400
"""What is for a batch, or comes of one, expires after so long unless its sender says otherwise."""
SHORTEST_TTL_S: Final = 3600
LONGEST_TTL_S: Final = 2_592_000
_MOST_PARTS: Final = 16
_MOST_FIELD_BYTES: Final = 1024
_MOST_NAME_CHARS: Final = 512
_BAD_IN_NAMES: Final = re.compile(r"[\x00-\x1f\x7f]")
_FILE: Final = b"file"


class UploadMalformed(InvalidRequest):
    """400: the body is no form with a file in it."""

    code = "upload_malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a form asks for. `ttl_s`: how long the file is kept; None: until it is deleted."""

    name: str
    purpose: str
    ttl_s: int | None
    media_type: str | None = None


@dataclass(slots=True)
class _Part:
    """A part of the form whose head, or more, has come."""

    head: list[bytes] = field(default_factory=list)
    """Names and values of its headers, in turn."""
    name: bytes = b""
    text: bytes = b""


class Upload:
    """The form in `body`. Read `file` to its end, then ask for `wishes`. Raises `UploadMalformed`."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        from python_multipart import exceptions, multipart  # noqa: PLC0415 - 25 ms of import, for uploads alone

        kind, options = multipart.parse_options_header(content_type)
        if kind.lower() != b"multipart/form-data" or not options.get(b"boundary"):
            raise UploadMalformed("Send the file as multipart/form-data, with the fields `file` and `purpose`.")
        self._body = body
        self._options = multipart.parse_options_header
        self._malformed = exceptions.FormParserError
        self._part = _Part()
        self._parts = 0
        self._fields: dict[bytes, str] = {}
        self._file_name: str | None = None
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

    def wishes(self, *, size_bytes: int) -> Wishes:
        """What is asked for a file of this size. Raises `InvalidRequest`, `PayloadTooLarge`."""
        if self._file_name is None:
            raise UploadMalformed("The form has no field `file` with a file in it.", param="file")
        purpose = self._fields.get(b"purpose", "")
        if purpose not in UPLOADED:
            raise InvalidRequest(f"purpose is one of: {', '.join(UPLOADED)}.", param="purpose")
        if purpose == "batch" and size_bytes > MOST_BATCH_BYTES:
            raise PayloadTooLarge(f"The input of a batch has at most {MOST_BATCH_BYTES} bytes. Split it.", param="file")
        return Wishes(name=self._file_name, purpose=purpose, ttl_s=self._ttl_s(purpose))

    def _ttl_s(self, purpose: str) -> int | None:
        anchor = self._fields.get(b"expires_after[anchor]")
        seconds = self._fields.get(b"expires_after[seconds]")
        if anchor is None and seconds is None:
            return BATCH_TTL_S if purpose == "batch" else None
        if anchor != "created_at":
            raise InvalidRequest("expires_after.anchor is created_at.", param="expires_after.anchor")
        if seconds is None or not re.fullmatch(r"[0-9]{1,8}", seconds):
            raise InvalidRequest("expires_after.seconds is a whole number.", param="expires_after.seconds")
        if not SHORTEST_TTL_S <= int(seconds) <= LONGEST_TTL_S:
            raise InvalidRequest(
                f"expires_after.seconds is from {SHORTEST_TTL_S} to {LONGEST_TTL_S}.", param="expires_after.seconds"
            )
        return int(seconds)

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
        for name, value in zip(head[::2], head[1::2], strict=False):
            if name.lower() == b"content-disposition":
                _, options = self._options(value)
                self._part.name = options.get(b"name", b"")
                if self._part.name == _FILE and b"filename" in options:
                    self._begin_file(options[b"filename"])

    def _begin_file(self, name: bytes) -> None:
        if self._file_name is not None:
            raise UploadMalformed("The form has several files. Send one a request.", param="file")
        text = _BAD_IN_NAMES.sub("", name.decode("utf-8", "replace"))[:_MOST_NAME_CHARS]
        self._file_name = text or "file"

    def _data(self, data: bytes) -> None:
        if self._part.name == _FILE and self._file_name is not None:
            self._pieces.append(data)
            return
        self._part.text += data
        if len(self._part.text) > _MOST_FIELD_BYTES:
            raise UploadMalformed(
                f"A field of the form has more than {_MOST_FIELD_BYTES} bytes. A file needs a filename in its part."
            )

    def _end_part(self) -> None:
        if self._part.name != _FILE:
            self._fields[self._part.name] = self._part.text.decode("utf-8", "replace")

    def _end(self) -> None:
        self._ended = True
