"""HTTP/1.1 as this service reads it: uvicorn's protocol on llhttp, with the doors closed that llhttp leaves open.

llhttp refuses most of what request smuggling is made of (two lengths, folded or malformed headers, bare line feeds,
sloppy chunks). Left to us, each tried over a raw socket in `tests/edge/test_smuggling.py`: other transfer codings than
`chunked`, chunks in HTTP/1.0, versions that are none, several `Host` headers, absolute targets, trailers (uvicorn adds
them to the headers while the application runs), bodies beside `Upgrade` (uvicorn drops them, and takes what comes next
for a request), heads without end, and senders that dribble. One request may leave HTTP: the handshake of a WebSocket
(`ali.cli.handshake`), whole, alone on its connection, and followed by nothing before it is answered.

Whatever is refused here is answered in the dialect of its path, and the connection is closed.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ali.cli.answer_writer import AnswerWriter
from ali.cli.handshake import asks_for_socket, handshake_problem
from ali.kernel import log
from ali.kernel.departure import CONNECTION
from ali.kernel.edge import HeadersTooLarge, MalformedRequest, RequestTooSlow, refusal
from ali.kernel.errors import AliError

MOST_HEAD_BYTES: Final = 64 * 1024
MOST_HEADERS: Final = 100
PATIENCE_S: Final = 30.0
"""How often a connection is looked at: one that still waits for the same request, and got less than `LEAST_BYTES` of it
since the last look, is given up."""
LEAST_BYTES: Final = 1024
LINGER_S: Final = 1.0
"""After a refusal, what still comes is thrown away for so long: closing at once would reset the connection, and the
caller would never see why (RFC 9112, 9.6).
"""

_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(?::[0-9]{0,5})?")
_WATCHED: Final = frozenset({b"host", b"transfer-encoding", b"expect", b"upgrade"})


class _Refused(Exception):
    """Ends the parsing; the reason is in `HttpProtocol._refusal`."""


class HttpProtocol(HttpToolsProtocol):
    """A connection. Costs about 2 µs a request more than uvicorn's own (measured)."""

    patience_s = PATIENCE_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own arguments
        super().__init__(*args, **kwargs)
        self.ws_protocol_class = None
        self._refusal: AliError | None = None
        self._in_head = True
        self._idle = True
        self._unused_bytes = 0
        self._received_bytes = 0
        self._message = 0
        self._seen = (0, 0)
        self._hosts: list[bytes] = []
        self._codings: list[bytes] = []
        self._asked_protocols: list[bytes] = []
        self._opens_socket = False
        self._good_host: bytes | None = None
        self._upgrades = False
        self._over = False
        self.is_gone = False
        self.when_gone: Callable[[], None] | None = None
        """Called once when the caller's connection ends; of the request that is being answered."""
        self.when_stopping: Callable[[], None] | None = None
        """Called when the server begins to stop; of the same request."""
        self._watch: asyncio.TimerHandle | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Connected; a first request may take as long as a next one."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone: who watches is told first."""
        self.is_gone = True
        if self.when_gone is not None:
            self.when_gone()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: this answer may end, and is the connection's last."""
        super().shutdown()
        if self.when_stopping is not None:
            self.when_stopping()

    def data_received(self, data: bytes) -> None:
        """Parse; refuse what is malformed, and bytes that lead to nothing."""
        if self.transport.is_closing():
            return
        if self._upgrades or self._over:
            return  # what follows a refusal, or a request to upgrade, is in no protocol that was agreed on
        self._unset_keepalive_if_required()
        self._unused_bytes += len(data)
        self._received_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrades = True
            if self._opens_socket:
                self._open_socket(early=len(data) > upgrade.args[0])
        except httptools.HttpParserError as error:
            reason = self._refusal or MalformedRequest("The request is not well-formed HTTP/1.1.")
            self._refuse(reason, why=str(error)[:100])
        else:
            if self._unused_bytes > MOST_HEAD_BYTES:
                self._refuse(_head_too_large(), why="no end")

    # llhttp's callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._idle = False
        self._message += 1
        self._hosts = []
        self._codings = []
        self._asked_protocols = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the head. Trailers are dropped: no proxy has checked them as it checks a head."""
        if not self._in_head:
            return
        name = name.lower()
        if name in _WATCHED:
            self._note(name, value)
        self.headers.append((name, value))

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts.append(value)
        elif name == b"transfer-encoding":
            self._codings.append(value)
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        else:
            self._asked_protocols.append(value)

    def on_headers_complete(self) -> None:
        """The head is whole: judge it, then let it through to the application."""
        problem = self._problem()
        if problem is not None:
            self._refusal = problem
            raise _Refused
        self._in_head = False
        self._unused_bytes = 0
        super().on_headers_complete()
        cast("dict[str, Any]", self.scope)[CONNECTION] = self
        if self._opens_socket:
            return
        self.cycle.transport = AnswerWriter(self.transport, self.cycle)  # type: ignore[assignment] # all that it uses
        if self._asked_protocols and self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """More of the body."""
        self._unused_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unused_bytes = 0
        self._in_head = self._idle = True
        super().on_message_complete()

    def _problem(self) -> AliError | None:
        """Why a head is refused, or None."""
        version = self.parser.get_http_version()
        hosts = self._hosts
        if version not in {"1.1", "1.0"}:
            return MalformedRequest("This service speaks HTTP/1.1.")
        if len(hosts) != 1 and (hosts or version == "1.1"):
            return MalformedRequest("Send exactly one Host header.")
        if hosts and hosts[0] != self._good_host:  # on a kept connection it hardly changes
            if not _HOST.fullmatch(hosts[0]):
                return MalformedRequest("The Host header is not a host name.")
            self._good_host = hosts[0]
        if self._codings and (version == "1.0" or [coding.lower() for coding in self._codings] != [b"chunked"]):
            return MalformedRequest("Transfer-Encoding may only be chunked, said once, in HTTP/1.1.")
        if not self.url.startswith(b"/") or b"#" in self.url:
            return MalformedRequest("The request's target must be a path.")
        if len(self.headers) > MOST_HEADERS or (
            self._unused_bytes > MOST_HEAD_BYTES and self._size() > MOST_HEAD_BYTES
        ):
            return _head_too_large()
        if self._asked_protocols and self.parser.should_upgrade():
            return self._upgrade_problem(version)
        return None

    def _upgrade_problem(self, version: str) -> AliError | None:
        if self._codings or self._has_length():
            return MalformedRequest("This service speaks HTTP/1.1 alone. Send the request without Upgrade.")
        if version != "1.1" or not asks_for_socket(self.parser.get_method(), self.url, self._asked_protocols):
            return None
        cycle: Any = self.cycle  # None until a first head was whole, whatever uvicorn declares
        if cycle is not None and not cycle.response_complete:
            return MalformedRequest("Another request is still being answered. Open the socket on its own connection.")
        problem = handshake_problem(self.headers)
        self._opens_socket = problem is None
        return problem

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _has_length(self) -> bool:
        return any(name == b"content-length" and value.strip(b"0 \t") for name, value in self.headers)

    # Leaving HTTP

    def _should_upgrade(self) -> bool:
        """Asked by uvicorn while it parses: whether the request is no request for its HTTP side."""
        return self._opens_socket

    def _open_socket(self, *, early: bool) -> None:
        """The connection is a WebSocket's from here on. `early`: bytes came before the handshake was answered."""
        if early:
            self._refuse(MalformedRequest("Wait for the answer to the handshake before sending more."), why="early")
            return
        from ali.cli.socket_protocol import open_socket  # noqa: PLC0415 - imports websockets, which most never need

        self._over = True
        if self._watch is not None:
            self._watch.cancel()
        self.connections.discard(self)
        open_socket(self, self.headers, self.url.partition(b"?")[2])

    # Refusing

    def _refuse(self, error: AliError, *, why: str) -> None:
        """Answer `error` where an answer is due, and close. Within another answer it would become part of that."""
        log.info("request.malformed", status=error.http_status, error=error.error_code, why=why)
        cycle: Any = self.cycle  # None until a first head was whole, whatever uvicorn declares
        running = cycle is not None and not cycle.response_complete
        if not cycle.response_started if running else self._in_head:
            url = getattr(self, "url", b"").decode("latin-1")
            status, headers, body = refusal(error, anthropic=url.startswith("/v1/messages"))
            lines = [b"%s: %s\r\n" % header for header in [*headers, (b"connection", b"close")]]
            self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self.pipeline.clear()
        if running:  # the application learns that nobody waits any more, and cannot answer a second time
            cycle.disconnected = True
            cycle.message_event.set()
        self._end()

    def _end(self) -> None:
        self._over = True
        if self._watch is not None:
            self._watch.cancel()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._watch = self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()

    def _look_again(self) -> None:
        self._seen = (self._message, self._received_bytes)
        self._watch = self.loop.call_later(self.patience_s, self._look)

    def _look(self) -> None:
        """Once in a while, so that it costs nothing in between."""
        message, received_bytes = self._seen
        waits = self._unused_bytes > 0 or not self._idle
        slow = self._message == message and self._received_bytes - received_bytes < LEAST_BYTES
        if waits and slow and not self.flow.read_paused and not self.transport.is_closing():
            self._refuse(RequestTooSlow("The request did not arrive in time. Send it again."), why="slow")
        else:
            self._look_again()


def _head_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(
        f"The request's head is larger than {MOST_HEAD_BYTES} bytes or {MOST_HEADERS} headers. "
        "Send fewer or shorter ones."
    )
