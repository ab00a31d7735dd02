"""Faults of transport: what a connection sends, how fast, and how it ends, whatever the content."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, repeat

from ali.ops.simulator.event_faults import spoiled
from ali.ops.simulator.faults import Fault
from ali.ops.simulator.reply import CHUNKED, HTML, LAST_CHUNK, Ending, Reply, Step, chunks
from ali.providers.contract import Dialect
from ali.providers.sse import anthropic_event

_BLOCK_BYTES = 64 * 1024
_MIB = 1024 * 1024
_RESET_AFTER_S = 0.05  # a reset sent sooner would overtake the bytes before it
_PAGE = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLimits:
    """How far faults go: `fault_limit_s` ends whatever would not end, `drip_s` lies between dripped bytes and between
    pings, and the sizes are those of an enormous line, an endless body and an unpacked bomb.
    """

    fault_limit_s: float = 30.0
    drip_s: float = 0.05
    enormous_bytes: int = 48 * _MIB
    endless_bytes: int = 4096 * _MIB
    bomb_bytes: int = 2048 * _MIB


def faulty_steps(reply: Reply, fault: Fault, *, limits: FaultLimits) -> Iterator[Step]:
    """How `reply` is sent under `fault`; as it should be, where the fault has no plan here."""
    spoilt = spoiled(reply, fault)
    if spoilt is not None:
        return spoilt.steps()
    plan = _PLANS.get(fault)
    if plan is None:
        return reply.steps()
    return chain((reply.latency_s,), plan(reply, limits)) if reply.latency_s else plan(reply, limits)


def page(reply: Reply, *, status: int) -> Reply:
    """An HTML page in the place of `reply`."""
    return replace(reply, status=status, content_type=HTML, body=_PAGE, events=None)


def _start(reply: Reply) -> bytes:
    """Head and the first half of the content, in HTTP chunks."""
    if reply.events is None:
        return reply.head(CHUNKED) + chunks((reply.body[: len(reply.body) // 2],))
    half = reply.events.deltas[: len(reply.events.deltas) // 2]
    return reply.head(CHUNKED) + chunks(reply.events.opening) + chunks(half)


def _stall_before_head(_: Reply, limits: FaultLimits) -> Iterator[Step]:
    yield limits.fault_limit_s
    yield Ending.CLOSE


def _stall_after_head(reply: Reply, limits: FaultLimits) -> Iterator[Step]:
    yield reply.head(CHUNKED)
    yield limits.fault_limit_s
    yield Ending.CLOSE


def _stall_mid_stream(reply: Reply, limits: FaultLimits) -> Iterator[Step]:
    yield _start(reply)
    yield limits.fault_limit_s
    yield Ending.CLOSE


def _slow_head(reply: Reply, limits: FaultLimits) -> Iterator[Step]:
    return _drip(reply.head(CHUNKED), limits.drip_s)


def _slow_loris(reply: Reply, limits: FaultLimits) -> Iterator[Step]:
    if reply.events is None:
        yield reply.sized_head()
        yield from _drip(reply.body, limits.drip_s)
    else:
        yield reply.head(CHUNKED)
        yield from _drip(chunks(reply.events) + LAST_CHUNK, limits.drip_s)


def _drip(data: bytes, every_s: float) -> Iterator[Step]:
    for position in range(len(data)):
        yield data[position : position + 1]
        yield every_s
    yield Ending.CLOSE


def _split_every_byte(reply: Reply, _: FaultLimits) -> Iterator[Step]:
    if reply.events is None:
        yield reply.sized_head()
        for position in range(len(reply.body)):
            yield 0.0
            yield reply.body[position : position + 1]
    else:
        yield reply.head(CHUNKED)
        for byte in b"".join(reply.events):
            yield 0.0
            yield b"1\r\n%c\r\n" % byte
        yield LAST_CHUNK
    yield Ending.KEEP


def _endless_pings(reply: Reply, limits: FaultLimits) -> Iterator[Step]:
    opening = reply.events.opening if reply.events else ()
    yield reply.head(CHUNKED) + chunks(opening)
    openai = reply.dialect is Dialect.OPENAI
    ping = chunks((b": ping\n\n" if openai else anthropic_event(b"ping", b'{"type": "ping"}'),))
    while True:
        yield limits.drip_s
        yield ping


def _enormous_line(reply: Reply, limits: FaultLimits) -> Iterator[Step]:
    yield _start(reply) + chunks((b'data: {"id":"',))
    yield from repeat(chunks((b"a" * _BLOCK_BYTES,)), limits.enormous_bytes // _BLOCK_BYTES)
    yield chunks((b'"}\n\n', *(reply.events.closing if reply.events else ()))) + LAST_CHUNK
    yield Ending.KEEP


def _endless_body(reply: Reply, limits: FaultLimits) -> Iterator[Step]:
    if reply.events is None:
        yield reply.head(CHUNKED) + chunks((b'{"id":"',))
        block = chunks((b"a" * _BLOCK_BYTES,))
    else:
        yield _start(reply)
        delta = (reply.events.deltas or reply.events.opening)[-1]
        block = chunks((delta * (_BLOCK_BYTES // len(delta) + 1),))
    yield from repeat(block, limits.endless_bytes // _BLOCK_BYTES)
    yield Ending.CLOSE


def _gzip_bomb(reply: Reply, limits: FaultLimits) -> Iterator[Step]:
    # A full flush makes deflate output repeatable: one block of spaces, compressed once, is sent over and over. The
    # checksum at the end is wrong, for a right one would cost seconds: a reader that gets there has lost already.
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = b"" if reply.events is None else b"".join(reply.events.opening) + b":"
    start = squeeze.compress(first) + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = squeeze.compress(b" " * _MIB) + squeeze.flush(zlib.Z_FULL_FLUSH)
    rest = reply.body if reply.events is None else b"\n\n" + b"".join((*reply.events.deltas, *reply.events.closing))
    end = squeeze.compress(rest) + squeeze.flush()
    yield reply.head(CHUNKED + b"content-encoding: gzip\r\n") + chunks((start,))
    yield from repeat(chunks((block,)), limits.bomb_bytes // _MIB)
    yield chunks((end,)) + LAST_CHUNK
    yield Ending.CLOSE


def _closed_on_accept(_: Reply, _limits: FaultLimits) -> Iterator[Step]:
    yield Ending.CLOSE


def _reset_before_head(_: Reply, _limits: FaultLimits) -> Iterator[Step]:
    yield Ending.RESET


def _half_chunk(reply: Reply) -> bytes:
    """The first half, and a chunk that promises more than it brings."""
    return _start(reply) + b"ffff\r\n" + (b'data: {"id":"' if reply.events else b'"')


def _reset_mid_chunk(reply: Reply, _: FaultLimits) -> Iterator[Step]:
    yield _half_chunk(reply)
    yield _RESET_AFTER_S
    yield Ending.RESET


def _half_chunk_then_fin(reply: Reply, _: FaultLimits) -> Iterator[Step]:
    yield _half_chunk(reply)
    yield Ending.CLOSE


def _content_length_too_long(reply: Reply, _: FaultLimits) -> Iterator[Step]:
    if reply.events is not None:  # without its closing events, which would end the stream for its reader
        reply = replace(reply, body=b"".join((*reply.events.opening, *reply.events.deltas)))
    yield reply.sized_head(extra_bytes=1000) + reply.body
    yield Ending.CLOSE


def _wrong_chunked(reply: Reply, _: FaultLimits) -> Iterator[Step]:
    yield _start(reply) + b"not-a-size\r\ndata\r\n"
    yield Ending.CLOSE


def _garbage(_: Reply, _limits: FaultLimits) -> Iterator[Step]:
    yield b"\x16\x03\x01\x00\xff" + bytes(range(256)) + b"\r\n\r\n"
    yield Ending.CLOSE


_PLANS: dict[Fault, Callable[[Reply, FaultLimits], Iterator[Step]]] = {
    Fault.STALL_BEFORE_HEAD: _stall_before_head,
    Fault.STALL_AFTER_HEAD: _stall_after_head,
    Fault.STALL_MID_STREAM: _stall_mid_stream,
    Fault.SLOW_HEAD: _slow_head,
    Fault.SLOW_LORIS: _slow_loris,
    Fault.SPLIT_EVERY_BYTE: _split_every_byte,
    Fault.ENDLESS_PINGS: _endless_pings,
    Fault.ENORMOUS_LINE: _enormous_line,
    Fault.ENDLESS_BODY: _endless_body,
    Fault.GZIP_BOMB: _gzip_bomb,
    Fault.CLOSED_ON_ACCEPT: _closed_on_accept,
    Fault.RESET_BEFORE_HEAD: _reset_before_head,
    Fault.RESET_MID_CHUNK: _reset_mid_chunk,
    Fault.HALF_CHUNK_THEN_FIN: _half_chunk_then_fin,
    Fault.CONTENT_LENGTH_TOO_LONG: _content_length_too_long,
    Fault.WRONG_CHUNKED: _wrong_chunked,
    Fault.GARBAGE: _garbage,
}
