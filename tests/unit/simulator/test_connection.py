"""Sockets: keep-alive, requests sent ahead, pace, clients that leave, the program itself."""

import asyncio
import time
from typing import Any

import pytest
import typer

from ali.cli.simulate import simulate_provider
from ali.ops.simulator import Answer, Fault, Pace, Simulator
from ali.ops.simulator.command import SimulationOptions, run
from ali.providers.contract import Dialect
from tests.simulators.fixtures import simulator_process, threaded_simulator
from tests.unit.simulator.raw_http import request, talk


def kept(data: bytes) -> bytes:
    return data.replace(b"connection: close\r\n", b"")


async def read_reply(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)


async def test_a_connection_serves_many_requests_in_order_even_when_sent_ahead(simulator: Simulator) -> None:
    simulator.script(Answer(text="one", latency_s=0.05), "two", "three")
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(kept(request(Dialect.OPENAI)) * 2)
    replies = [await read_reply(reader), await read_reply(reader)]
    data = kept(request(Dialect.OPENAI))
    for position in range(0, len(data), 7):
        writer.write(data[position : position + 7])
        await asyncio.sleep(0)
    replies.append(await read_reply(reader))
    assert [word in reply for word, reply in zip((b"one", b"two", b"three"), replies, strict=True)] == [True] * 3
    assert (simulator.counters.accepted, simulator.counters.completed) == (1, 3)
    writer.close()
    await simulator.until(lambda: simulator.counters.open_connections == 0)
    assert simulator.counters.disconnects == 0


async def test_a_body_may_be_chunked_and_announced(simulator: Simulator) -> None:
    head, _, body = kept(request(Dialect.OPENAI)).partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"content-length")]
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(b"\r\n".join([*lines, b"transfer-encoding: chunked", b"expect: 100-continue"]) + b"\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert b"quick brown fox" in await read_reply(reader)
    assert simulator.last.body == body
    writer.close()


async def test_what_is_not_http_is_answered_with_400_and_closed(simulator: Simulator) -> None:
    assert (await talk(simulator, b"\x16\x03\x01 not http\r\n\r\n")).status == 400


async def test_a_default_that_fails_is_reported_and_cuts_the_connection(simulator: Simulator) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    simulator.default = lambda request: Answer(text=str(request.json["no such field"]))
    wire = await talk(simulator, request(Dialect.OPENAI))
    assert wire.data == b""
    assert reported
    assert simulator.counters.in_flight == 0


async def test_streams_keep_their_pace_together(simulator: Simulator) -> None:
    simulator.default = Answer(tokens=11, tokens_per_second=50)
    started = time.monotonic()
    wires = await asyncio.gather(*(talk(simulator, request(Dialect.OPENAI, stream=True)) for _ in range(50)))
    took_s = time.monotonic() - started
    assert 0.18 < took_s < 1.5  # ten waits of 20 ms
    assert all(wire.content.endswith(b"data: [DONE]\n\n") for wire in wires)
    assert simulator.counters.most_in_flight == 50


async def test_the_first_byte_waits_for_the_latency(simulator: Simulator) -> None:
    started = time.monotonic()
    await talk(simulator, request(Dialect.ANTHROPIC, text="[[latency:0.2]] hi"))
    assert time.monotonic() - started > 0.19


@pytest.mark.parametrize("answer", [Answer(tokens=1000, tokens_per_second=100), Answer(fault=Fault.STALL_BEFORE_HEAD)])
async def test_a_client_that_leaves_mid_answer_is_noticed_at_once(simulator: Simulator, answer: Answer) -> None:
    simulator.answer(answer)
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(request(Dialect.OPENAI, stream=True))
    if answer.fault is None:
        await reader.readuntil(b"\r\n\r\n")
    await simulator.until(lambda: simulator.counters.in_flight == 1)
    left = time.monotonic()
    writer.close()
    await simulator.until(lambda: simulator.counters.in_flight == 0)
    assert time.monotonic() - left < 0.5
    assert simulator.last.disconnected
    assert simulator.last.finished_at_s is None
    assert (simulator.counters.disconnects, simulator.counters.completed) == (1, 0)


async def test_a_slow_reader_gets_every_byte_of_a_stream_in_order(simulator: Simulator) -> None:
    simulator.answer(Answer(body=tuple(b"data: %06d%b\n\n" % (n, b"x" * 20_000) for n in range(400))))
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port, limit=4096)
    writer.write(request(Dialect.OPENAI, stream=True))
    await asyncio.sleep(0.1)
    received = await reader.read(-1)
    numbers = [int(part[:6]) for part in received.split(b"data: ")[1:]]
    assert numbers == list(range(400))
    writer.close()


async def test_a_paced_stream_to_a_reader_that_stops_and_goes_on_loses_and_doubles_nothing(
    simulator: Simulator,
) -> None:
    pieces = tuple(b"data: %06d%b\n\n" % (n, b"x" * 200_000) for n in range(60))
    simulator.answer(Answer(body=pieces, tokens_per_second=500))
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port, limit=4096)
    writer.write(request(Dialect.OPENAI, stream=True))
    await asyncio.sleep(0.3)
    received = await reader.read(-1)
    assert [int(part[:6]) for part in received.split(b"data: ")[1:]] == list(range(60))
    writer.close()


async def test_the_program_takes_its_options_and_stops_on_interrupt() -> None:
    with simulator_process("--tokens", "2", "--model", "tiny") as process:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(process.url.rpartition(":")[2]))
        writer.write(request(Dialect.OPENAI, text="um dois quatro", model="tiny"))
        assert b'"content":"um dois"' in await reader.read(-1)
        writer.close()
    assert process.exit_codes == [0]


def test_a_thread_serves_clients_that_block() -> None:
    with threaded_simulator(pace=Pace(tokens=1)) as simulator:
        assert simulator.openai_base_url.endswith("/v1")
        assert simulator.anthropic_base_url == simulator.url


def test_a_port_that_is_taken_is_an_error_that_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with threaded_simulator() as simulator:
        with pytest.raises(OSError, match="ddress already in use"):
            run(SimulationOptions(port=simulator.port))
        with pytest.raises(typer.Exit):
            simulate_provider(port=simulator.port)
    assert "Choose another with --port" in capsys.readouterr().err


def test_the_command_lists_the_faults(capsys: pytest.CaptureFixture[str]) -> None:
    simulate_provider(list_faults=True)
    listed = capsys.readouterr().out
    assert all(f"{fault} " in listed and fault.summary in listed for fault in Fault)
