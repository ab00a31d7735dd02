"""Each fault puts the promised bytes on a socket; each healthy one still carries the whole answer."""

import asyncio
import json
import re
import time
import zlib
from collections.abc import Callable

import pytest

from ali.ops.simulator import Answer, Fault, FaultLimits, Simulator
from ali.ops.simulator.faults import Applies
from ali.providers.contract import Dialect
from ali.providers.sse import EventSplitter, event_data
from tests.simulators.fixtures import KEY
from tests.unit.simulator.raw_http import Wire, request, talk

TERMINAL = {Dialect.OPENAI: b"[DONE]", Dialect.ANTHROPIC: b'{"type":"message_stop"}'}
ECHO = "The quick brown fox jumps over the lazy dog The quick brown fox jumps over the"
CASES = [
    pytest.param(fault, dialect, stream, id=f"{fault}-{dialect}-{'stream' if stream else 'plain'}")
    for fault in Fault
    for dialect in Dialect
    for stream in (False, True)
    if fault.changes(streamed=stream)
]


def datas(content: bytes) -> list[bytes]:
    splitter = EventSplitter(limit_bytes=1 << 30)
    found = [event_data(event) for event in splitter.feed(content.removeprefix(b"\xef\xbb\xbf"))]
    return [data for data in found if data is not None]


def streamed_text(dialect: Dialect, content: bytes) -> str:
    """The text of a stream up to its terminal event."""
    text = ""
    for data in datas(content):
        if data == TERMINAL[dialect]:
            break
        event = json.loads(data)
        if dialect is Dialect.OPENAI:
            text += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
        else:
            text += event.get("delta", {}).get("text", "")
    return text


def plain_text(dialect: Dialect, content: bytes) -> str:
    body = json.loads(content)
    return str(body["choices"][0]["message"]["content"] if dialect is Dialect.OPENAI else body["content"][0]["text"])


def broken_event(content: bytes) -> bool:
    try:
        for data in datas(content):
            if data != b"[DONE]":
                assert isinstance(json.loads(data), dict)
    except (ValueError, AssertionError, RecursionError):
        return True
    return False


def says_error(content: bytes) -> bool:
    return isinstance(json.loads(content).get("error"), dict)


def stalled(wire: Wire, *parts: bytes) -> bool:
    return all(part in wire.data for part in parts) and not wire.data.endswith(b"0\r\n\r\n")


def usage_numbers(content: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb'"(?:prompt|completion|input|output)_tokens":(-?\d+)', content)]


def inflated_bytes(wire: Wire, *, most: int) -> int:
    inflate = zlib.decompressobj(31)
    total, data = 0, unframed(wire)
    while data and total < most:
        total += len(inflate.decompress(data, 1 << 20))
        data = inflate.unconsumed_tail
    return total


def unframed(wire: Wire) -> bytes:
    """Chunks as far as they came whole."""
    data, content = wire.rest, b""
    while b"\r\n" in data:
        size, _, rest = data.partition(b"\r\n")
        if len(rest) < int(size, 16) + 2 or size == b"0":
            break
        content += rest[: int(size, 16)]
        data = rest[int(size, 16) + 2 :]
    return content


Check = Callable[[Wire, Dialect, bool], bool]
PROMISES: dict[Fault, Check] = {
    Fault.MISSING_END: lambda w, d, _s: TERMINAL[d] not in w.content and w.data.endswith(b"0\r\n\r\n"),
    Fault.BAD_JSON: lambda w, _d, s: broken_event(w.content) if s else not _is_json(w.content),
    Fault.BAD_UTF8: lambda w, _d, _s: b"\xff\xfe" in w.content,
    Fault.ERROR_EVENT: lambda w, d, _s: (
        says_error(datas(w.content)[-1]) and "quick" in w.data.decode() and TERMINAL[d] not in w.data
    ),
    Fault.ERROR_EVENT_FIRST: lambda w, _d, _s: len(datas(w.content)) == 1 and says_error(datas(w.content)[0]),
    Fault.DUPLICATE_END: lambda w, d, _s: w.content.count(TERMINAL[d]) == 2,
    Fault.EVENTS_AFTER_END: lambda w, d, _s: datas(w.content)[-1] != TERMINAL[d],
    Fault.BOM: lambda w, _d, _s: w.content.startswith(b"\xef\xbb\xbf"),
    Fault.CRLF: lambda w, _d, _s: b"\n\n" not in w.content and b"\r\n\r\n" in w.content,
    Fault.COMMENTS: lambda w, _d, _s: b": keep-alive\n\n" in w.content,
    Fault.SPLIT_EVERY_BYTE: lambda w, _d, s: b"1\r\nd\r\n1\r\na\r\n" in w.data if s else True,
    Fault.JSON_ARRAY: lambda w, _d, s: broken_event(w.content) if s else isinstance(json.loads(w.content), list),
    Fault.DEEP_JSON: lambda w, _d, _s: b"[" * 100_000 in w.content,
    Fault.MISSING_USAGE: lambda w, _d, _s: b"_tokens" not in w.content,
    Fault.NEGATIVE_USAGE: lambda w, _d, _s: min(usage_numbers(w.content)) < 0,
    Fault.ABSURD_USAGE: lambda w, _d, _s: max(usage_numbers(w.content)) == 10**18,
    Fault.JSON_FOR_STREAM: lambda w, d, _s: b"application/json" in w.head and plain_text(d, w.content) == ECHO,
    Fault.STREAM_FOR_JSON: lambda w, d, _s: b"event-stream" in w.head and streamed_text(d, w.content) == ECHO,
    Fault.HTML: lambda w, _d, _s: w.status == 200 and b"text/html" in w.head and b"<html>" in w.content,
    Fault.OK_WITH_ERROR: lambda w, _d, _s: w.status == 200 and says_error(w.content),
    Fault.OK_EMPTY: lambda w, _d, _s: w.status == 200 and w.content == b"",
    Fault.HTTP_400: lambda w, _d, _s: w.status == 400 and says_error(w.content),
    Fault.HTTP_401: lambda w, _d, _s: w.status == 401 and says_error(w.content),
    Fault.HTTP_408: lambda w, _d, _s: w.status == 408 and says_error(w.content),
    Fault.HTTP_429: lambda w, _d, _s: w.status == 429 and b"\r\nretry-after: 1\r\nretry-after-ms: 1000" in w.head,
    Fault.HTTP_500: lambda w, _d, _s: w.status == 500 and says_error(w.content),
    Fault.HTTP_502_HTML: lambda w, _d, _s: w.status == 502 and b"<html>" in w.content,
    Fault.HTTP_503: lambda w, _d, _s: w.status == 503 and says_error(w.content),
    Fault.HTTP_529: lambda w, _d, _s: w.status == 529 and says_error(w.content),
    Fault.STALL_BEFORE_HEAD: lambda w, _d, _s: w.data == b"",
    Fault.STALL_AFTER_HEAD: lambda w, _d, _s: w.data.endswith(b"\r\n\r\n") and w.rest == b"",
    Fault.STALL_MID_STREAM: lambda w, _d, s: stalled(w, b"quick") if s else stalled(w, b"{"),
    Fault.SLOW_HEAD: lambda w, _d, _s: w.data.startswith(b"HTTP/1") and b"\r\n\r\n" not in w.data,
    Fault.SLOW_LORIS: lambda w, _d, _s: 3 < len(w.rest) < 100,
    Fault.ENDLESS_PINGS: lambda w, _d, _s: w.content.count(b"ping") > 5 and b"quick" not in w.content,
    Fault.ENORMOUS_LINE: lambda w, _d, _s: any(len(part) > 900_000 for part in w.content.split(b"\n")),
    Fault.ENDLESS_BODY: lambda w, _d, _s: len(w.data) >= 1 << 20,
    Fault.GZIP_BOMB: lambda w, _d, _s: (
        b"content-encoding: gzip" in w.head and inflated_bytes(w, most=1 << 24) >= 1 << 24
    ),
    Fault.CLOSED_ON_ACCEPT: lambda w, _d, _s: w.data == b"",
    Fault.RESET_BEFORE_HEAD: lambda w, _d, _s: w.reset and w.data == b"",
    Fault.RESET_MID_CHUNK: lambda w, _d, _s: w.reset and b"ffff\r\n" in w.data,
    Fault.HALF_CHUNK_THEN_FIN: lambda w, _d, _s: not w.reset and not w.silent and b"ffff\r\n" in w.data,
    Fault.CONTENT_LENGTH_TOO_LONG: lambda w, _d, _s: _promised(w) == len(w.rest) + 1000,
    Fault.WRONG_CHUNKED: lambda w, _d, _s: b"not-a-size\r\n" in w.data,
    Fault.GARBAGE: lambda w, _d, _s: not w.data.startswith(b"HTTP/1") and len(w.data) > 200,
}


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _promised(wire: Wire) -> int:
    found = re.search(rb"content-length: (\d+)", wire.head)
    return int(found[1]) if found else -1


def test_every_fault_has_a_promise_a_summary_and_a_usable_name() -> None:
    assert set(PROMISES) == set(Fault)
    assert all(fault.summary and re.fullmatch(r"[a-z0-9_]+", fault) for fault in Fault)
    assert Fault.BOM.applies is Applies.STREAMED
    assert Fault.named("Bad_JSON") is Fault.BAD_JSON
    with pytest.raises(ValueError, match="stall_mid_stream"):
        Fault.named("nonsense")


@pytest.mark.parametrize(("fault", "dialect", "stream"), CASES)
async def test_a_fault_puts_the_promised_bytes_on_the_socket(fault: Fault, dialect: Dialect, *, stream: bool) -> None:
    limits = FaultLimits(
        fault_limit_s=0.4, drip_s=0.01, enormous_bytes=2 << 20, endless_bytes=4 << 20, bomb_bytes=64 << 20
    )
    async with Simulator(api_key=KEY, limits=limits) as simulator:
        simulator.answer(fault)
        options = {"include_usage": True} if stream and dialect is Dialect.OPENAI else None
        wire = await talk(simulator, request(dialect, stream=stream, stream_options=options))
        assert PROMISES[fault](wire, dialect, stream), wire.data[:3000]
        if fault.healthy:
            read = streamed_text if stream else plain_text
            assert read(dialect, wire.content) == ECHO
            assert not stream or TERMINAL[dialect] in datas(wire.content)
        await simulator.until(lambda: simulator.counters.open_connections == 0)
        assert simulator.counters.in_flight == 0
        assert simulator.queued == 0


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault.applies is not Applies.BOTH])
async def test_a_fault_leaves_the_answers_alone_that_it_does_not_apply_to(simulator: Simulator, fault: Fault) -> None:
    stream = fault.applies is Applies.PLAIN
    simulator.answer(fault)
    wire = await talk(simulator, request(Dialect.OPENAI, stream=stream))
    assert (streamed_text if stream else plain_text)(Dialect.OPENAI, wire.content) == ECHO


async def test_what_never_ends_is_ended_after_the_limit() -> None:
    async with Simulator(limits=FaultLimits(fault_limit_s=0.2)) as simulator:
        for fault in (Fault.STALL_BEFORE_HEAD, Fault.STALL_MID_STREAM, Fault.ENDLESS_PINGS, Fault.SLOW_LORIS):
            simulator.answer(fault)
            started = time.monotonic()
            wire = await talk(simulator, request(Dialect.ANTHROPIC, stream=True))
            assert not wire.silent
            assert 0.15 < time.monotonic() - started < 1.5
        assert simulator.counters.cut == 4
        assert simulator.counters.disconnects == 0


async def test_an_endless_body_stops_while_nobody_reads_and_ends_with_the_limit() -> None:
    async with Simulator(limits=FaultLimits(fault_limit_s=0.5)) as simulator:
        simulator.answer(Fault.ENDLESS_BODY)
        _, writer = await asyncio.open_connection("127.0.0.1", simulator.port, limit=1024)
        writer.write(request(Dialect.OPENAI, stream=True))
        await simulator.until(lambda: simulator.counters.in_flight == 1)
        await simulator.until(lambda: simulator.counters.open_connections == 0)
        assert simulator.counters.cut == 1
        writer.transport.abort()


async def test_leaving_closes_stalled_connections_at_once() -> None:
    simulator = Simulator()
    await simulator.start()
    simulator.default = Answer(fault=Fault.STALL_AFTER_HEAD)
    talks = [asyncio.create_task(talk(simulator, request(Dialect.OPENAI))) for _ in range(5)]
    await simulator.until(lambda: simulator.counters.in_flight == 5)
    started = time.monotonic()
    await simulator.close()
    wires = await asyncio.gather(*talks)
    assert time.monotonic() - started < 1
    assert all(wire.status == 200 for wire in wires)
    assert simulator.counters.open_connections == 0


async def test_a_default_of_closed_on_accept_closes_before_any_request_is_read() -> None:
    async with Simulator(default=Answer(fault=Fault.CLOSED_ON_ACCEPT)) as simulator:
        wire = await talk(simulator, request(Dialect.OPENAI))
        assert wire.data == b""
        assert simulator.counters.accepted == 1
        assert simulator.counters.requests == 0
