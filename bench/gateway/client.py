"""A load generator on asyncio: closed loop, little parsing. Used where a run ends by count, or where wrk is missing."""

import asyncio
import contextlib
import re
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from bench.gateway.figures import percentile

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one run of a load generator saw."""

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def encode_request(
    *, port: int, headers: tuple[tuple[str, str], ...], body: bytes, path: str = "/v1/chat/completions"
) -> bytes:
    """A request as bytes, ready to be sent again and again."""
    lines = [("host", f"127.0.0.1:{port}"), ("content-type", "application/json"), *headers]
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"POST {path} HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


def response_end(received: bytes) -> int:
    """Where the first whole response ends, or -1: by its length, else by its last chunk (no answer here holds CRLF)."""
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return -1
    length = _LENGTH.search(received, 0, head)
    if length:
        end = head + 4 + int(length[1])
        return end if len(received) >= end else -1
    if _CHUNKED.search(received, 0, head):
        last = received.find(b"0\r\n\r\n", head + 4)
        return last + 5 if last >= 0 else -1
    return head + 4


@dataclass(slots=True)
class _Run:
    """What the connections of one run share."""

    request: bytes
    finished: asyncio.Event
    limit: int | None
    on_served: Callable[[int], None] | None
    started: int = 0
    served: int = 0
    errors: int = 0
    stopped: bool = False
    latencies_ns: "array[int]" = field(default_factory=lambda: array("q"))


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as an answer is whole."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._sent_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        end = response_end(self._received)
        if end < 0:
            return
        run = self._run
        run.latencies_ns.append(time.monotonic_ns() - self._sent_ns)
        run.served += 1
        if not self._received.startswith(b"HTTP/1.1 200"):
            run.errors += 1
        self._received = self._received[end:]
        if run.on_served:
            run.on_served(run.served)
        if run.limit is not None and run.served >= run.limit:
            run.finished.set()
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if not self._run.stopped:
            self._run.errors += 1
            self._run.finished.set()

    def _send(self) -> None:
        run = self._run
        if not run.stopped and (run.limit is None or run.started < run.limit):
            run.started += 1
            self._sent_ns = time.monotonic_ns()
            self._transport.write(run.request)


async def closed_loop(
    request: bytes,
    *,
    port: int,
    connections: int,
    duration_s: float,
    drain_s: float = 0.0,
    limit: int | None = None,
    on_served: Callable[[int], None] | None = None,
) -> Load:
    """Send `request` on so many connections at once, for `duration_s` or until `limit` answers, whichever is first.

    After `duration_s` the answers still due are waited for, up to `drain_s`. `on_served` is called with the count after
    each answer. A lost connection ends the run and counts as an error.
    """
    loop = asyncio.get_running_loop()
    run = _Run(request, asyncio.Event(), limit, on_served)
    started = time.monotonic()
    opened = [await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port) for _ in range(connections)]
    try:
        if not await _within(duration_s, run.finished):
            run.limit = run.started  # nothing more is sent
            if run.served < run.started:
                await _within(drain_s, run.finished)
    finally:
        run.stopped = True
        elapsed = time.monotonic() - started
        for transport, _ in opened:
            transport.abort()
    ordered = sorted(run.latencies_ns)
    return Load(
        requests=run.served,
        duration_s=elapsed,
        p50_ms=percentile(ordered, 0.5) / 1e6 if ordered else 0.0,
        p99_ms=percentile(ordered, 0.99) / 1e6 if ordered else 0.0,
        errors=run.errors,
    )


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Whether the event came in time."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
