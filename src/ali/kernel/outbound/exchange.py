"""One HTTP/1.1 exchange on a connection that is made already, with caps on whatever the peer sends.

h11 does the protocol: it is strict, does no I/O, and is small enough to be read. Nothing is decompressed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import h11

from ali.kernel.outbound.destination import Destination
from ali.kernel.outbound.errors import OutboundFailed

MOST_HEAD_BYTES: Final = 64 * 1024
MOST_HEADERS: Final = 100
_MOST_INTERIM_ANSWERS: Final = 8
_READ_BYTES: Final = 64 * 1024
_OURS: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "expect"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundReply:
    """A whole answer. Header names are lower-case; of equal names the first counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Events:
    """What the peer sends, as h11's events. Whatever breaks on the way is `OutboundFailed`."""

    __slots__ = ("_connection", "_host", "_reader")

    def __init__(self, connection: h11.Connection, reader: asyncio.StreamReader, *, host: str) -> None:
        self._connection = connection
        self._reader = reader
        self._host = host

    def received(self) -> object:
        """The next event, of what has come already; `h11.NEED_DATA` where it holds no more."""
        try:
            return self._connection.next_event()
        except h11.RemoteProtocolError as error:
            raise OutboundFailed(
                f"{self._host} answered with something that is not HTTP/1.1, or with a head without end. "
                "Check the address."
            ) from error

    async def following(self) -> object:
        """The next event, waited for."""
        while (event := self.received()) is h11.NEED_DATA:
            try:
                data = await self._reader.read(_READ_BYTES)
            except OSError as error:
                raise _broken_off(self._host) from error
            self._connection.receive_data(data)
        return event


class OutboundAnswer:
    """An answer whose head is here, and whose body is read as it comes. Header names are as in `OutboundReply`."""

    __slots__ = ("_ended", "_events", "_left_bytes", "_limit_bytes", "headers", "status")

    def __init__(self, head: h11.Response, events: _Events, *, limit_bytes: int) -> None:
        self.status: int = head.status_code
        self.headers: Mapping[str, str] = _headers_of(head)
        self._events = events
        self._ended = False
        self._limit_bytes = self._left_bytes = limit_bytes

    async def read(self) -> bytes:
        """What has come of the body, waited for; empty at its end. Raises `OutboundFailed`, also past the limit.

        Small chunks that came together are one part, so that cutting a body finely buys its sender nothing.
        """
        parts: list[bytes] = []
        while not self._ended:
            event = self._events.received() if parts else await self._events.following()
            if isinstance(event, h11.Data):
                self._left_bytes -= len(event.data)
                if self._left_bytes < 0:
                    raise _too_large(self._limit_bytes)
                if event.data:
                    parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._ended = True
            elif event is h11.NEED_DATA:
                break
            else:
                raise _cut_off()
        return b"".join(parts)

    async def whole(self) -> OutboundReply:
        """The answer with all that is left of its body. Raises as `read`."""
        parts = []
        while part := await self.read():
            parts.append(part)
        return OutboundReply(status=self.status, headers=self.headers, body=b"".join(parts))


async def exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    method: str,
    destination: Destination,
    headers: Mapping[str, str],
    body: bytes,
    limit_bytes: int,
) -> OutboundAnswer:
    """Send a request and read the head of its answer. Raises `OutboundFailed`, and ValueError for a header that is the
    caller's mistake. The deadline is the caller's too.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD_BYTES)
    writer.write(_request(connection, method=method, destination=destination, headers=headers, body=body))
    try:
        await writer.drain()
    except OSError as error:
        raise _broken_off(destination.host) from error
    events = _Events(connection, reader, host=destination.host)
    head = await _head(events)
    _check_head(head, limit_bytes=limit_bytes)
    return OutboundAnswer(head, events, limit_bytes=limit_bytes)


def _request(
    connection: h11.Connection, *, method: str, destination: Destination, headers: Mapping[str, str], body: bytes
) -> bytes:
    names = {name.lower() for name in headers}
    if names & _OURS:
        raise ValueError(f"not the caller's to set: {', '.join(sorted(names & _OURS))}")
    sent = {
        "host": destination.authority,
        "connection": "close",
        "accept-encoding": "identity",
        "user-agent": "ali-api",
        **{name.lower(): value for name, value in headers.items()},
    }
    if body or method not in {"GET", "HEAD"}:
        sent["content-length"] = str(len(body))
    try:
        head = h11.Request(method=method, target=destination.target, headers=list(sent.items()))
        parts = [connection.send(head), connection.send(h11.Data(data=body)), connection.send(h11.EndOfMessage())]
    except h11.LocalProtocolError as error:
        raise ValueError(str(error)) from error
    return b"".join(part for part in parts if part)


async def _head(events: _Events) -> h11.Response:
    interim = 0
    while True:
        event = await events.following()
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise _cut_off()
        interim += 1
        if interim > _MOST_INTERIM_ANSWERS or event.status_code == 101:
            raise OutboundFailed("The address sent interim answers without end. Check the address.")


def _check_head(head: h11.Response, *, limit_bytes: int) -> None:
    if len(head.headers) > MOST_HEADERS:
        raise OutboundFailed(f"The address answered with more than {MOST_HEADERS} headers.")
    headers = _headers_of(head)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise OutboundFailed("The address answered with a compressed body, which was not asked for and is not opened.")
    if int(headers.get("content-length", "0")) > limit_bytes:
        raise _too_large(limit_bytes)


def _headers_of(head: h11.Response) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in head.headers:
        found.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return found


def _too_large(limit_bytes: int) -> OutboundFailed:
    return OutboundFailed(f"The address answered with more than the {limit_bytes} bytes that are taken from it.")


def _cut_off() -> OutboundFailed:
    return OutboundFailed("The address closed the connection before its answer was whole. Try again later.")


def _broken_off(host: str) -> OutboundFailed:
    return OutboundFailed(f"{host} broke the connection off. Try again later.")
