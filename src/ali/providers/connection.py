"""One HTTP/1.1 connection to a provider: a request written, its answer parsed as it arrives, kept for the next.

Our own, on llhttp (httptools), because the client is half of what the hot path costs: about 110 µs a call with aiohttp
against 20 µs here, measured side by side (docs/adr/0008-own-http-client.md). Only what calls to providers need: no
redirects, no cookies, no compression, no pipelining, no proxies.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from typing import cast

import httptools

from ali.providers.alarm import Alarm

_PAUSE_AT_BYTES = 256 * 1024
_HEAD_LIMIT_BYTES = 64 * 1024


class ConnectionBroken(OSError):
    """The provider closed or reset the connection before its answer was whole."""


class NotHttp(ValueError):
    """What came is not an HTTP/1.1 answer."""


class Headers(Mapping[str, str]):
    """Response headers; names are lower-case, looking one up ignores case, the first of equal names counts."""

    __slots__ = ("_values",)

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            self._values.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Connection(asyncio.Protocol):
    """A connection that carries one exchange at a time.

    `exchange` writes a request and waits for the head of the answer; `read` gives the body as it comes, b"" at its end.
    Both wait until `by_s` on the loop's clock, and raise TimeoutError then; the connection is cut.
    """

    __slots__ = (
        "_alarm", "_body", "_buffered", "_complete", "_failure", "_head", "_head_bytes", "_headers", "_loop",
        "_parser", "_paused", "_transport", "_waiter", "clock_s", "idle_since_s", "reusable", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        # Kept: asking for the running loop is a system call each time (`getpid`, in Python 3.11).
        self._loop = asyncio.get_running_loop()
        self.clock_s = self._loop.time
        self._alarm = Alarm(self._loop, self._too_late)
        self.idle_since_s = 0.0
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._head: asyncio.Future[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._body: deque[bytes] = deque()
        self._buffered = 0
        self._head_bytes = 0
        self._complete = False
        self._paused = False
        self._failure: Exception | None = None
        self.reusable = False
        self.status = 0

    # What callers use.

    @property
    def closed(self) -> bool:
        """The connection cannot carry another exchange."""
        return self._transport is None or self._transport.is_closing() or self._failure is not None

    async def exchange(self, request: bytes, *, by_s: float) -> Headers:
        """Send a whole request; the headers of its answer. Raises `ConnectionBroken`, `NotHttp` and TimeoutError."""
        transport = self._transport
        if transport is None or self.closed:
            raise ConnectionBroken("closed")
        self._reset()
        self._head = self._loop.create_future()
        transport.write(request)
        self._alarm.set(by_s)
        try:
            await self._head
        finally:
            self._alarm.stop()
        return Headers(self._headers)

    def buffered(self) -> bytes:
        """What of the body is here already; perhaps nothing."""
        body = self._body
        if not body:
            return b""
        chunk = body.popleft() if len(body) == 1 else b"".join(body)
        body.clear()
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    @property
    def ended(self) -> bool:
        """The whole body has been read."""
        return self._complete and not self._body

    async def read(self, *, by_s: float) -> bytes:
        """More of the body, b"" at its end. Raises `ConnectionBroken`, `NotHttp` and TimeoutError."""
        while not self._body:
            if self._complete:
                return b""
            if self._failure is not None:
                raise self._failure
            self._waiter = self._loop.create_future()
            self._alarm.set(by_s)
            try:
                await self._waiter
            finally:
                self._waiter = None
                self._alarm.stop()
        return self.buffered()

    def abort(self) -> None:
        """Cut the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are transports by shape, not by class

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer; anything that comes unasked ends the connection."""
        if self._head is None or self._complete:
            self._fail(NotHttp("bytes that no request asked for"))
            return
        if not self._head.done():
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_LIMIT_BYTES + len(data):
                self._fail(NotHttp("a head without end"))
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(NotHttp("an upgrade"))
        except httptools.HttpParserError as error:
            self._fail(NotHttp(str(error)[:100]))

    def eof_received(self) -> bool:
        """The provider closed its side: the end of a body that had no length, else a break."""
        if self._head is not None and self._head.done() and not self._complete and self._ends_with_connection():
            self.on_message_complete()
        return False

    def _ends_with_connection(self) -> bool:
        names = {name.lower() for name, _ in self._headers}
        return not names & {b"content-length", b"transfer-encoding"}

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        self._transport = None
        self._alarm.close()
        if not self._complete:
            self._fail(ConnectionBroken(type(exc).__name__ if exc else "closed early"))

    def _too_late(self) -> None:
        awaited = self._waiter or self._head
        if awaited is not None and not awaited.done():
            self._fail(TimeoutError())

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        if self._head is not None and not self._head.done():
            self._head.set_exception(self._failure)
        self._wake()
        self.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole; an interim answer's (RFC 9110, 15.2) is forgotten."""
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        if self._head is not None and not self._head.done():
            self._head.set_result(None)

    def on_body(self, body: bytes) -> None:
        """More of the body; a reader who is slow slows the provider down."""
        self._body.append(body)
        self._buffered += len(body)
        if self._buffered > _PAUSE_AT_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.status < 200:
            self._headers = []
            return
        self.reusable = self._parser.should_keep_alive()
        self._complete = True
        self._wake()
