"""One connection of the simulator: HTTP/1.1 in, steps out."""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import httptools

from ali.ops.simulator.received import ReceivedRequest
from ali.ops.simulator.reply import Ending, Paced, Step
from ali.ops.simulator.wheel import TimerWheel

_FLUSH_BYTES = 64 * 1024
_LINGER_ZERO = struct.pack("ii", 1, 0)  # close() sends RST instead of FIN
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(slots=True)
class Counters:
    """What the simulator counts. `disconnects` are clients that left before their answer was whole; `cut` are answers
    that a fault's own end, or its time limit, left without a next request on the connection.
    """

    accepted: int = 0
    open_connections: int = 0
    requests: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    completed: int = 0
    disconnects: int = 0
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """What connections share."""

    loop: asyncio.AbstractEventLoop
    wheel: TimerWheel
    counters: Counters
    connections: "set[Connection]"
    answer: Callable[[ReceivedRequest], Iterator[Step]]
    closes_on_accept: Callable[[], bool]
    remember: Callable[[ReceivedRequest], None]
    fault_limit_s: float


class Connection(asyncio.Protocol):
    """Reads requests, has each answered, and plays the answer's steps; requests sent ahead wait for their turn.

    No task and no future: a step that waits is a callback of the wheel, backpressure is `resume_writing`.
    """

    __slots__ = (
        "_body",
        "_due_s",
        "_headers",
        "_held",
        "_keep_alive",
        "_paced",
        "_parser",
        "_paused",
        "_request",
        "_service",
        "_steps",
        "_transport",
        "_url",
        "_waiting",
    )

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpRequestParser | None = None
        self._request: ReceivedRequest | None = None
        self._steps: Iterator[Step] | None = None
        self._paced: Paced | None = None
        self._waiting: deque[tuple[ReceivedRequest, bool]] = deque()
        self._due_s = 0.0
        self._paused = False
        self._held = False
        self._keep_alive = True
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start reading; or close at once, where that is the fault asked for."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases
        self._service.connections.add(self)
        self._service.counters.accepted += 1
        self._service.counters.open_connections += 1
        if self._service.closes_on_accept():
            self._service.counters.cut += 1
            self._transport.abort()
            return
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        if self._parser is None or self._transport is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self.abort()  # a fault of ours, or of a test's own `default` function: the loop's handler reports it
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._parser = None
            self._transport.write(_BAD_REQUEST)
            self._transport.close()

    def eof_received(self) -> None:
        """The client has closed: whatever it was being sent, it wants no more of it."""
        if self._request is not None and self._transport is not None:
            self._note_disconnect(self._request)
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it was lost makes no difference
        """Forget everything; an answer under way was cut by the client."""
        if self._request is not None:
            self._note_disconnect(self._request)
        self._service.counters.open_connections -= 1
        self._service.connections.discard(self)
        self._transport = self._parser = self._steps = self._paced = None
        self._waiting.clear()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on where `pause_writing` stopped."""
        self._paused = False
        if self._held:
            self._held = False
            if self._paced is None:
                self._advance()
            else:
                self._send_paced()

    def abort(self) -> None:
        """Cut the connection; its answer under way does not count as the client's disconnect."""
        if self._transport is not None:
            self._finish_request(cut=True)
            self._transport.abort()

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        """A request begins."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole: a client that asks first whether to send its body is told to."""
        if self._transport is not None and (b"expect", b"100-continue") in self._headers:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        parser = self._parser
        if parser is None:
            return
        request = ReceivedRequest(
            method=parser.get_method().decode(),
            path=self._url.decode("latin-1"),
            raw_headers=tuple(self._headers),
            body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
            received_at_s=self._service.loop.time(),
        )
        self._url = b""
        self._headers = []
        self._body = []
        if self._request is None:
            self._begin(request, keep_alive=parser.should_keep_alive())
        else:
            self._waiting.append((request, parser.should_keep_alive()))

    # Answering.

    def _begin(self, request: ReceivedRequest, *, keep_alive: bool) -> None:
        counters = self._service.counters
        counters.requests += 1
        counters.in_flight += 1
        counters.most_in_flight = max(counters.most_in_flight, counters.in_flight)
        self._request = request
        self._keep_alive = keep_alive
        self._service.remember(request)
        self._steps = self._service.answer(request)
        self._due_s = request.received_at_s
        if request.fault is not None:
            self._service.wheel.at(request.received_at_s + self._service.fault_limit_s, lambda: self._expire(request))
        self._advance()

    def _advance(self) -> None:
        """Play steps up to the next wait, or until the socket is full."""
        transport, steps = self._transport, self._steps
        if transport is None or steps is None or self._is_held():
            return
        output = b""
        for step in steps:
            if type(step) is bytes:
                output = output + step if output else step
                if len(output) >= _FLUSH_BYTES:
                    transport.write(output)
                    output = b""
                    if self._is_held() or transport.is_closing():
                        return
            else:
                if output:
                    transport.write(output)
                self._wait_or_end(step)
                return
        if output:
            transport.write(output)
        self._end(Ending.CLOSE)

    def _send_paced(self) -> None:
        """The next chunk of a paced stream: the hot path under load."""
        transport, paced = self._transport, self._paced
        if transport is None or paced is None or self._is_held():
            return
        event = paced.backwards.pop()
        transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        if paced.backwards:
            self._due_s = due_s = self._due_s + paced.interval_s
            self._service.wheel.at(due_s, self._send_paced)
        else:
            self._paced = None
            self._advance()

    def _is_held(self) -> bool:
        """Whether the socket is full, perhaps since the last write; `resume_writing` then goes on."""
        self._held = self._paused
        return self._paused

    def _wait_or_end(self, step: Step) -> None:
        if isinstance(step, Ending):
            self._end(step)
        elif isinstance(step, Paced):
            self._paced = step
            self._due_s += step.interval_s
            self._service.wheel.at(self._due_s, self._send_paced)
        elif step:
            self._due_s += float(step)  # from the last due time: a late chunk does not make all the later ones late
            self._service.wheel.at(self._due_s, self._advance)
        else:
            self._service.loop.call_soon(self._advance)

    def _expire(self, request: ReceivedRequest) -> None:
        """The fault has lasted long enough."""
        if self._request is request:
            self._end(Ending.CLOSE)
            if self._transport is not None:
                self._transport.abort()

    def _end(self, ending: Ending) -> None:
        transport = self._transport
        self._steps = None
        self._finish_request(cut=ending is not Ending.KEEP)
        if transport is None:
            return
        if ending is Ending.RESET:
            _reset(transport)
        elif ending is Ending.CLOSE or not self._keep_alive:
            transport.close()
        elif self._waiting:
            request, keep_alive = self._waiting.popleft()
            self._begin(request, keep_alive=keep_alive)

    def _finish_request(self, *, cut: bool) -> None:
        request, self._request = self._request, None
        if request is None:
            return
        self._service.counters.in_flight -= 1
        if cut:
            self._service.counters.cut += 1
        else:
            self._service.counters.completed += 1
            request.finished_at_s = self._service.loop.time()

    def _note_disconnect(self, request: ReceivedRequest) -> None:
        self._request = self._steps = self._paced = None
        request.disconnected_at_s = self._service.loop.time()
        self._service.counters.in_flight -= 1
        self._service.counters.disconnects += 1


def _reset(transport: asyncio.Transport) -> None:
    """Close with RST."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # the client may have been quicker
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
