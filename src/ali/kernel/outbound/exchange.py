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


async def exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    method: str,
    destination: Destination,
    headers: Mapping[str, str],
    body: bytes,
    limit_bytes: int,
) -> OutboundReply:
    """Send a request and read its whole answer. Raises `OutboundFailed`, OSError, and ValueError for a header that
    is the caller's mistake. The deadline is the caller's too.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD_BYTES)
    writer.write(_request(connection, method=method, destination=destination, headers=headers, body=body))
    await writer.drain()
    try:
        return await _answer(connection, reader, limit_bytes=limit_bytes)
    except h11.RemoteProtocolError as error:
        raise OutboundFailed(
            f"{destination.host} answered with something that is not HTTP/1.1, or with a head without end. "
            "Check the address."
        ) from error


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


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader, *, limit_bytes: int) -> OutboundReply:
    head: h11.Response | None = None
    parts: list[bytes] = []
    size = interim = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.InformationalResponse):
            interim += 1
            if interim > _MOST_INTERIM_ANSWERS or event.status_code == 101:
                raise OutboundFailed("The address sent interim answers without end. Check the address.")
        elif isinstance(event, h11.Response):
            head = event
            _check_head(head, limit_bytes=limit_bytes)
        elif isinstance(event, h11.Data):
            size += len(event.data)
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return OutboundReply(status=head.status_code, headers=_headers_of(head), body=b"".join(parts))
        else:
            raise OutboundFailed("The address closed the connection before its answer was whole. Try again later.")


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
