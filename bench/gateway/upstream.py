"""A provider that costs next to nothing: constant bytes, and streams whose every chunk says when it was sent.

Not the simulator that the tests use: that one obeys scripts, and its own CPU would be part of each figure here. What to
do is written in the request's message, which every gateway hands on: `bench delay_ms=0 chunks=0 interval_ms=0`.
"""

import argparse
import asyncio
import gc
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import uvloop

MODEL = "gpt-4o-mini"
STAMP = re.compile(rb"@(\d{18})")
"""A chunk's send time: CLOCK_MONOTONIC in nanoseconds, one clock for all processes of a machine."""
STAMP_BYTES = 19
_ORDER = re.compile(rb"bench delay_ms=(\d+) chunks=(\d+) interval_ms=(\d+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def request_body(*, delay_ms: int = 0, chunks: int = 0, interval_ms: int = 0) -> bytes:
    """A chat request that orders a whole answer after `delay_ms`, or a stream of `chunks`, one each `interval_ms`."""
    order = f"bench delay_ms={delay_ms} chunks={chunks} interval_ms={interval_ms}"
    stream = '"stream":true,' if chunks else ""
    return f'{{"model":"{MODEL}",{stream}"messages":[{{"role":"user","content":"{order}"}}]}}'.encode()


def _answer(body: bytes, *, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


def chunked(event: bytes) -> bytes:
    """An event as one chunk of a response."""
    return b"%x\r\n%b\r\n" % (len(event), event)


def _chunk(data: bytes) -> bytes:
    return chunked(b"data: %b\n\n" % data)


def _delta(choice: bytes, tail: bytes = b"") -> bytes:
    head = (
        b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"%b",' % MODEL.encode()
    )
    return head + b'"system_fingerprint":"fp_bench","choices":[%b]%b}' % (choice, tail)


_USAGE = b'"usage":{"prompt_tokens":12,"completion_tokens":24,"total_tokens":36}'
_COMPLETION = _answer(
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"%b","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog, and the benchmark goes on '
    b'as it did before.","refusal":null},"logprobs":null,"finish_reason":"stop"}],%b,"system_fingerprint":"fp_bench"}'
    % (MODEL.encode(), _USAGE)
)
_MODELS = _answer(b'{"object":"list","data":[{"id":"%b","object":"model","owned_by":"bench"}]}' % MODEL.encode())
_LENGTH_REQUIRED = _answer(b'{"error":{"message":"content-length is required"}}', status=b"411 Length Required")
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
_STREAM_FIRST = _chunk(
    _delta(b'{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}')
)
PLACE = b"@" + b"0" * 18
"""Where in a chunk its time is to stand."""
_STREAM_CHUNK = _chunk(_delta(b'{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":null}' % PLACE))
_STREAM_LAST = _chunk(_delta(b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}'))
_STREAM_USAGE = _chunk(_delta(b"", b"," + _USAGE))
_STREAM_END = _chunk(b"[DONE]") + b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Script:
    """A stream in one dialect: its first bytes, one chunk cut where its time stands, its last bytes."""

    first: bytes
    before: bytes
    after: bytes
    last: bytes

    @classmethod
    def of(cls, *, first: bytes, chunk: bytes, last: bytes) -> "Script":
        """`chunk` holds `PLACE` once."""
        before, after = chunk.split(PLACE)
        return cls(first, before, after, last)


_CHAT = Script.of(first=_STREAM_FIRST, chunk=_STREAM_CHUNK, last=_STREAM_LAST + _STREAM_END)
_CHAT_WITH_USAGE = Script.of(first=_STREAM_FIRST, chunk=_STREAM_CHUNK, last=_STREAM_LAST + _STREAM_USAGE + _STREAM_END)
_NO_OTHERS: Mapping[bytes, Script] = {}


class Upstream(asyncio.Protocol):
    """One connection from a gateway. `scripts`: of streams in other dialects than chat, by the end of the path."""

    def __init__(self, loop: asyncio.AbstractEventLoop, scripts: Mapping[bytes, Script] = _NO_OTHERS) -> None:
        self._loop = loop
        self._scripts = scripts
        self._script = _CHAT
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0
        self._interval_s = 0.0
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport: answers are written straight to it."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """The gateway hung up: whatever was still to be sent is not."""
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer every whole request in the bytes so far."""
        self._received = self._received + data if self._received else data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            if head.startswith(b"GET "):
                self._transport.write(_MODELS)
            elif length is None:
                self._transport.write(_LENGTH_REQUIRED)
                self._transport.close()
            else:
                self._obey(body, path=head.partition(b" HTTP/")[0])

    def _obey(self, body: bytes, *, path: bytes) -> None:
        order = _ORDER.search(body)
        delay_ms, chunks, interval_ms = map(int, order.groups()) if order else (0, 0, 0)
        if chunks:
            self._left, self._interval_s = chunks, interval_ms / 1000
            self._script = self._scripts.get(path.rpartition(b"/")[2]) or (
                _CHAT_WITH_USAGE if b'"include_usage"' in body else _CHAT
            )
            self._transport.write(_STREAM_HEAD + self._script.first)
            self._due = self._loop.time() + self._interval_s
            self._timer = self._loop.call_at(self._due, self._send_chunk)
        elif delay_ms:
            self._timer = self._loop.call_later(delay_ms / 1000, self._transport.write, _COMPLETION)
        else:
            self._transport.write(_COMPLETION)

    def _send_chunk(self) -> None:
        """One chunk, stamped as it is written: this process's own lateness is not the gateway's."""
        self._left -= 1
        self._transport.write(b"%b@%018d%b" % (self._script.before, time.monotonic_ns(), self._script.after))
        if self._left:
            self._due += self._interval_s
            self._timer = self._loop.call_at(self._due, self._send_chunk)
        else:
            self._transport.write(self._script.last)


async def serve(port: int, scripts: Mapping[bytes, Script] = _NO_OTHERS) -> None:
    """Serve on the loopback interface until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(loop, scripts), "127.0.0.1", port, backlog=1024)
    gc.freeze()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
