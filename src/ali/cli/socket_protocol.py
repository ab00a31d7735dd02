"""A WebSocket connection: uvicorn's protocol on `websockets`, with the bounds that it leaves open.

Left to us: no compression (a small message could become a large one), a bound on fragments, nothing read before the
handshake is accepted nor from a peer who does not read, and an end that lets running responses end first.

The application is told of that end by an ASGI message of ours, `ali.stopping`, which it answers by closing.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from ali.cli.handshake import canonical_handshake

PING_INTERVAL_S: Final = 20.0
PING_TIMEOUT_S: Final = 60.0
"""A peer who neither answers pings nor reads for so long is given up. Longer than the usual 20 s: a caller who runs a
tool between two messages may block its own event loop."""
MOST_FRAGMENTS: Final = 1024
_CLOSE_S: Final = 2.0
"""How long a peer has to answer our close."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """A connection whose handshake has been judged (`ali.cli.handshake`). `begin` starts it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own arguments
        super().__init__(*args, **kwargs)
        self.conn.available_extensions = []
        self.ping_interval, self.ping_timeout = PING_INTERVAL_S, PING_TIMEOUT_S
        self.close_timeout = _CLOSE_S
        self._head: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")

    def begin(self, headers: Sequence[tuple[bytes, bytes]], query_string: bytes) -> None:
        """Start the application with the handshake's headers; nothing more is read until it has accepted."""
        self._head = (list(headers), query_string)
        self.transport.pause_reading()
        self.data_received(canonical_handshake(headers))

    def handle_connect(self, event: Request) -> None:
        """The application sees the head as it came, not as it was repeated to the second parser."""
        super().handle_connect(event)
        self.scope["headers"], self.scope["query_string"] = self._head

    async def send(self, message: Any) -> None:  # noqa: ANN401 - any ASGI message
        """ASGI."""
        await super().send(message)
        if message["type"] == "websocket.accept" and not self.transport.is_closing():
            self.transport.resume_reading()

    async def receive(self) -> Any:  # noqa: ANN401 - any ASGI message
        """ASGI. What comes next is read once this was taken, and the peer takes what it is sent."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._read_on()
        return message

    # A peer who does not read is not read either: else its pings would pile up as our pongs

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer reads again."""
        super().resume_writing()
        self._read_on()

    def _read_on(self) -> None:
        if not self.read_paused and self.writable.is_set() and not self.transport.is_closing():
            self.transport.resume_reading()

    def handle_cont(self, event: Frame) -> None:
        """More of a message. Fragments are bounded in number: empty ones would take memory without counting."""
        if len(self.frames) < MOST_FRAGMENTS:
            super().handle_cont(event)
            return
        self.conn.fail(1009, "too many fragments")
        self.handle_parser_exception()

    def keepalive_timeout(self) -> None:
        """The peer is gone, or stuck. What it has not taken would keep the connection open."""
        super().keepalive_timeout()
        self.transport.abort()

    def shutdown(self) -> None:
        """The service stops: the application may end what runs, and closes."""
        if self.close_sent or self.disconnected:
            super().shutdown()
        else:
            self.queue.put_nowait(cast(Any, {"type": "ali.stopping"}))

    async def run_asgi(self) -> None:
        """Run the application; a peer who does not take what is left when it has ended is cut off."""
        await super().run_asgi()
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)


def open_socket(http: Any, headers: Sequence[tuple[bytes, bytes]], query_string: bytes) -> None:  # noqa: ANN401 - uvicorn's HTTP protocol
    """Hand the connection of `http` over to a socket."""
    protocol = SocketProtocol(
        config=http.config, server_state=http.server_state, app_state=http.app_state, _loop=http.loop
    )
    transport: asyncio.Transport = http.transport
    protocol.connection_made(transport)
    transport.set_protocol(protocol)
    protocol.begin(headers, query_string)
