"""One request over a connection of its own, and its answer byte for byte: no client that would mend either."""

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

_OF_THE_MOMENT: Final = frozenset({"date", "x-request-id", "request-id", "openai-processing-ms"})
_REQUEST_ID: Final = re.compile(rb"req_[0-9a-f]{32}")
_DEADLINE_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked. `target`: path and query, as they stand in the request line."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def apart_from_its_moment(self) -> tuple[object, ...]:
        """All of it but the request's own identifier and time: what two equal answers have in common."""
        headers = [(name, "" if name in _OF_THE_MOMENT else value) for name, value in self.headers]
        return self.status, tuple(headers), _REQUEST_ID.sub(b"req_", self.body)

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Its body."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """A header's value."""
        return next((value for found, value in self.headers if found == name), None)


def with_key(request: Request, key: str) -> Request:
    """`request` with this Idempotency-Key instead of any other."""
    others = tuple(pair for pair in request.headers if pair[0] != "idempotency-key")
    return replace(request, headers=(*others, ("idempotency-key", key)))


async def ask(url: str, request: Request, *, secret: str | None) -> Answer:
    """Send `request` with `secret` as its credential, and read the answer to its end."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(_bytes_of(request, secret=secret))
        async with asyncio.timeout(_DEADLINE_S):
            return _read(await reader.read(-1))
    finally:
        writer.transport.abort()


def _bytes_of(request: Request, *, secret: str | None) -> bytes:
    headers = [("host", "ali.test"), ("connection", "close"), *request.headers]
    if secret is not None:
        headers.append(("authorization", f"Bearer {secret}"))
    if request.body is not None:
        if "content-type" not in dict(request.headers):
            headers.append(("content-type", "application/json"))
        headers.append(("content-length", str(len(request.body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{request.method} {request.target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (request.body or b"")


def _read(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    headers = tuple((name.lower(), value) for name, _, value in pairs)
    if ("transfer-encoding", "chunked") in headers:
        body = b"".join(_chunks(body))
    return Answer(int(first.split(" ", 2)[1]), headers, body)


def _chunks(body: bytes) -> Iterable[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        yield rest[:length]
        body = rest[length + 2 :] if length else b""
