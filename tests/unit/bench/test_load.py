import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from bench.gateway.client import closed_loop, encode_request, response_end
from bench.gateway.litellm import configuration
from bench.gateway.streams import Schedule, run_streams
from bench.gateway.upstream import STAMP, Upstream, request_body
from bench.gateway.wrk import parse_result, script


@asynccontextmanager
async def _upstream() -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(loop), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _exchange(port: int, *parts: bytes, until: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        return await asyncio.wait_for(reader.readuntil(until), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_the_upstream_answers_a_chat_request_that_comes_in_pieces() -> None:
    async with _upstream() as port:
        request = encode_request(port=port, headers=(), body=request_body())
        answer = await _exchange(port, request[:30], request[30:-10], request[-10:], until=b'"fp_bench"}')
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b'"chat.completion"' in body


async def test_the_upstream_keeps_to_the_delay_that_the_message_orders() -> None:
    async with _upstream() as port:
        request = encode_request(port=port, headers=(), body=request_body(delay_ms=60))
        began = time.monotonic()
        await _exchange(port, request, until=b"\r\n\r\n")
        assert time.monotonic() - began >= 0.06


async def test_a_body_without_a_length_is_refused() -> None:
    async with _upstream() as port:
        request = b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
        assert (await _exchange(port, request, until=b"\r\n")).startswith(b"HTTP/1.1 411")


@pytest.mark.parametrize("usage", [False, True])
async def test_a_stream_is_openais_wire_and_every_chunk_tells_when_it_was_sent(*, usage: bool) -> None:
    async with _upstream() as port:
        body = request_body(chunks=3, interval_ms=5)
        if usage:
            body = body[:-1] + b',"stream_options":{"include_usage":true}}'
        began = time.monotonic_ns()
        answer = await _exchange(port, encode_request(port=port, headers=(), body=body), until=b"\r\n0\r\n\r\n")
    stamps = [int(stamp) for stamp in STAMP.findall(answer)]
    assert len(stamps) == 3
    assert began < stamps[0] <= stamps[1] <= stamps[2] < time.monotonic_ns()
    events = [line[6:] for line in answer.split(b"\n") if line.startswith(b"data: ")]
    assert events.pop() == b"[DONE]"
    chunks = [json.loads(event) for event in events]
    assert [chunk["choices"] for chunk in chunks if "usage" in chunk] == ([[]] if usage else [])
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"


async def test_the_load_generator_stops_at_its_count_and_reports_each_answer() -> None:
    counted: list[int] = []
    async with _upstream() as port:
        request = encode_request(port=port, headers=(), body=request_body())
        load = await closed_loop(request, port=port, connections=4, duration_s=10, limit=50, on_served=counted.append)
    assert load.requests == 50
    assert counted == list(range(1, 51))
    assert load.errors == 0
    assert 0 < load.p50_ms <= load.p99_ms


async def test_answers_under_way_at_the_end_are_waited_for() -> None:
    async with _upstream() as port:
        request = encode_request(port=port, headers=(), body=request_body(delay_ms=100))
        load = await closed_loop(request, port=port, connections=3, duration_s=0.15, drain_s=5)
    assert load.requests == 6
    assert load.duration_s >= 0.2


async def test_the_load_generator_stops_at_its_time_and_counts_refusals() -> None:
    async with _upstream() as port:
        request = encode_request(port=port, headers=(), body=request_body()).replace(b"content-length", b"x-length")
        load = await closed_loop(request, port=port, connections=1, duration_s=2)
    assert load.errors >= 1


async def test_streams_are_counted_within_the_window_and_end() -> None:
    schedule = Schedule(streams=5, interval_ms=10, ramp_s=0.1, settle_s=0.05, window_s=0.3)
    marks: list[float] = []
    async with _upstream() as port:
        body = request_body(chunks=schedule.chunks, interval_ms=schedule.interval_ms)
        seen = await run_streams(
            encode_request(port=port, headers=(), body=body),
            port=port,
            schedule=schedule,
            at_window=lambda: marks.append(time.monotonic()),
            grace_s=5,
        )
    assert seen.streams == seen.ended == 5
    assert marks[1] - marks[0] >= 0.3
    assert 0 < seen.chunks <= seen.expected_chunks * 1.2
    assert 0 <= seen.p50_ms <= seen.p99_ms


def test_streams_are_opened_out_of_step() -> None:
    schedule = Schedule(streams=500, interval_ms=50, ramp_s=2.0, settle_s=1.0, window_s=15.0)
    openings = [schedule.opening_s(index) for index in range(500)]
    phases = sorted(opening % 0.05 for opening in openings)
    assert max(openings) <= 2.05
    assert max(later - earlier for earlier, later in pairwise(phases)) < 0.002
    assert schedule.chunks * 0.05 > 18


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-", -1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", -1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 40),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", -1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 59),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 27),
    ],
)
def test_the_end_of_a_response_is_found(received: bytes, expected: int) -> None:
    assert response_end(received) == expected


def test_wrks_script_carries_the_request_and_its_result_is_read() -> None:
    lua = script(headers=(("authorization", "Bearer sk-1"),), body=request_body())
    assert 'wrk.headers["authorization"] = "Bearer sk-1"' in lua
    assert 'string.format(\'RESULT {"requests":%d,' in lua
    load = parse_result(
        'Running 1s test\nRESULT {"requests":500,"duration_us":1000000,"p50_us":1500,"p99_us":9000,"errors":2}\n'
    )
    assert (load.requests, load.duration_s, load.p50_ms, load.p99_ms, load.errors) == (500, 1.0, 1.5, 9.0, 2)


def test_wrk_without_a_result_is_an_error_that_shows_its_output() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        parse_result("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_litellm_is_configured_for_the_same_upstream_with_a_key_and_without_a_database() -> None:
    text = configuration(upstream=18001)
    assert "api_base: http://127.0.0.1:18001/v1" in text
    assert "master_key: sk-" in text
    assert "database_url" not in text
