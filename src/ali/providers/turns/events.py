"""Events of the Responses API, numbered as they are written, into a buffer of server-sent events."""

from typing import Any

import orjson


class EventWriter:
    """Numbers events and keeps them until they are taken. `first_number`: of the next one."""

    __slots__ = ("_buffer", "_number")

    def __init__(self, *, first_number: int = 0) -> None:
        self._number = first_number
        self._buffer: list[bytes] = []

    @property
    def next_number(self) -> int:
        """The `sequence_number` that the next event will have."""
        return self._number

    def take(self) -> bytes:
        """The events written since the last call, as server-sent events."""
        buffer = self._buffer
        if not buffer:
            return b""
        due = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        return due

    def event(self, kind: str, **fields: object) -> None:
        """An event of any kind: lifecycle events, and those of tools that run on the server."""
        self._emit(kind.encode(), orjson.dumps(fields)[1:-1])

    def forward(self, kind: str, fields: dict[str, Any]) -> None:
        """An upstream's event under our number: `fields` are the others, at least one. `kind` is a plain word."""
        self._emit(kind.encode(), orjson.dumps(fields)[1:-1])

    def splice(self, head: bytes, tail: bytes) -> None:
        """An upstream's event as whole bytes, cut where its number stood."""
        self._buffer.append(b"%b%d%b" % (head, self._number, tail))
        self._number += 1

    def _emit(self, kind: bytes, fields: bytes) -> None:
        self._buffer.append(
            b'event: %b\ndata: {"type":"%b",%b,"sequence_number":%d}\n\n' % (kind, kind, fields, self._number)
        )
        self._number += 1
