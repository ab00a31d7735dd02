"""One connection to Redis for a whole process: many commands in flight, answered in order.

redis-py's asyncio client gives each command that waits a connection of its own, or, with one connection, has them wait
for one another; and costs three to five times the CPU (`./run bench limits`). Here a command is a future in a queue,
and those of one turn of the loop leave in one write. hiredis packs and reads; redis-py reads the URL.
"""

import asyncio
import ssl
from collections import deque
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import parse_url

from ali.features.metering.limiting.shared import StoreFailed

Argument = str | bytes | int
Reply = Any

_CONNECT_S: Final = 2.0
_WATCH_S: Final = 0.05


class RedisRefused(StoreFailed):
    """Redis answered with an error; `args[0]` is its first word, such as `NOSCRIPT` or `READONLY`."""


class RedisConnection(asyncio.Protocol):
    """A connection that is open from `connect` to `close`. `silence_s`: a longer wait for an answer breaks it."""

    def __init__(self, *, silence_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._silence_s = silence_s
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._overdue = False

    @classmethod
    async def connect(cls, url: str, *, silence_s: float) -> "RedisConnection":
        """Connect, authenticate and select as `url` says (redis://, rediss://, unix://). Raises `StoreFailed`."""
        options: dict[str, Any] = dict(parse_url(url))
        connection = cls(silence_s=silence_s)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await _open(connection, options)
                if options.get("password"):
                    user = [options["username"]] if options.get("username") else []
                    await connection.call("AUTH", *user, options["password"])
                if options.get("db"):
                    await connection.call("SELECT", options["db"])
        except (OSError, TimeoutError) as error:
            connection.close()
            raise StoreFailed(type(error).__name__) from error
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def alive(self) -> bool:
        """Whether it can still be used."""
        return self._transport is not None

    def call(self, *command: Argument) -> asyncio.Future[Reply]:
        """Send a command; the future gives its answer, or raises `StoreFailed`. Cancelling it stops only the wait."""
        if self._transport is None:
            raise StoreFailed("closed")
        answer: asyncio.Future[Reply] = self._loop.create_future()
        if not self._outgoing:
            self._loop.call_soon(self._send)
        self._outgoing.append(hiredis.pack_command(command))  # type: ignore[arg-type] # its stub says a tuple of one
        self._waiting.append((self._loop.time(), answer))
        if self._watch is None:
            self._watch = self._loop.call_later(_WATCH_S, self._look)
        return answer

    def _send(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _look(self) -> None:
        """Break a connection whose oldest command waits too long: one timer for all, however many there are.

        Only if it still does a moment later: where the loop itself stood still, the answer lies unread in the socket.
        """
        self._watch = None
        if not self._waiting:
            self._overdue = False
            return
        overdue = self._loop.time() - self._waiting[0][0] > self._silence_s
        if overdue and self._overdue:
            self._fail("silent")
            return
        self._overdue = overdue
        self._watch = self._loop.call_later(_WATCH_S / 5 if overdue else _WATCH_S, self._look)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there (asyncio's word)."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Give each answer to whoever waits for it."""
        self._reader.feed(data)
        try:
            while self._waiting and (reply := self._reader.gets()) is not False:
                _, answer = self._waiting.popleft()
                if answer.done():
                    continue
                if isinstance(reply, hiredis.ReplyError):
                    answer.set_exception(RedisRefused(str(reply).split(" ", 1)[0]))
                else:
                    answer.set_result(reply)
        except hiredis.ProtocolError:
            self._fail("protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        """Everybody who waits learns it at once."""
        self._fail(type(exc).__name__ if exc else "closed")

    def _fail(self, reason: str) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._outgoing.clear()
        while self._waiting:
            _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(StoreFailed(reason))

    def close(self) -> None:
        """Close; what still waits fails."""
        self._fail("closed")


async def _open(connection: RedisConnection, options: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    if path := options.get("path"):
        await loop.create_unix_connection(lambda: connection, path)
        return
    kind = options.get("connection_class")
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    secured = _tls(options) if kind is not None and kind.__name__.startswith("SSL") else None
    await loop.create_connection(lambda: connection, host, port, ssl=secured)


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    """As the URL says: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`, `ssl_cert_reqs=none`, `ssl_check_hostname`."""
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    if options.get("ssl_check_hostname") in {False, "false", "False"} or options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
    if options.get("ssl_cert_reqs") == "none":
        context.verify_mode = ssl.CERT_NONE
    return context
