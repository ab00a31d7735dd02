"""Lanes of a socket, what waits on them, readers who do not read, and the service's own end."""

import asyncio
import contextlib
import resource
from collections import Counter
from itertools import pairwise

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ali.features.responses.socket.lanes import MOST_LANES, MOST_WAITING
from ali.ops.simulator import Answer, Simulator
from tests.contract.judges import openai_client
from tests.fixtures.service import Serve, Service
from tests.responses.conftest import behind
from tests.responses.sockets import socket

MODEL = "gpt-4.1"
LINGERING = "[[tokens:40]] [[rate:80]]"
"""Half a second."""
SLOW = "[[tokens:400]] [[rate:40]]"


async def test_a_lane_is_first_in_first_out_and_lanes_run_side_by_side(service: Service) -> None:
    async with socket(service) as heard:
        await heard.ask(model=MODEL, input=f"{LINGERING} one", stream_id="slow")
        await heard.ask(model=MODEL, input="two", stream_id="slow")
        await heard.ask(model=MODEL, input="three", stream_id="quick")
        await heard.ask(model=MODEL, input="four")
        ended = [await heard.until() for _ in range(4)]
        assert [event.stream_id for event in ended[-2:]] == ["slow", "slow"]
        assert "one" in ended[-2].response.output_text
        assert "two" in ended[-1].response.output_text
        assert {event.stream_id for event in ended[:2]} == {"quick", None}
        for lane in ("slow", "quick", None):
            numbers = [event.sequence_number for event in heard.events if event.stream_id == lane]
            starts = [at for at, number in enumerate(numbers) if number == 0] + [len(numbers)]
            for start, end in pairwise(starts):
                assert numbers[start:end] == list(range(end - start))


async def test_a_lane_can_fork_what_another_has_said(service: Service, simulator: Simulator) -> None:
    async with socket(service) as heard:
        made = await heard.answer(model=MODEL, input="I am Iracema.", store=False, stream_id="a")
        await heard.answer(model=MODEL, input="Who?", store=False, previous_response_id=made.response.id, stream_id="b")
    assert b"Iracema" in simulator.requests[-1].body


async def test_lanes_and_what_waits_on_them_are_bounded(service: Service, simulator: Simulator) -> None:
    async with socket(service) as heard:
        for lane in range(MOST_LANES):
            await heard.ask(model=MODEL, input=SLOW, stream_id=str(lane))
        await heard.ask(model=MODEL, input="Hello", stream_id="one more")
        refused = await heard.until("error")
        assert (refused.status, refused.error.code, refused.stream_id) == (429, "too_many_waiting_requests", "one more")
        await simulator.until(lambda: simulator.counters.in_flight == MOST_LANES)
        for _ in range(MOST_WAITING + 1):
            await heard.ask(model=MODEL, input="Hello", stream_id="0")
        assert (await heard.until("error")).error.code == "too_many_waiting_requests"


async def test_connections_are_bounded_for_a_caller_and_for_the_process(serve: Serve, simulator: Simulator) -> None:
    for setting, status in (("socket_max_connections_per_caller", 429), ("socket_max_connections", 503)):
        async with serve(**behind(simulator), **{setting: 1}) as service:
            async with socket(service) as heard:
                with pytest.raises(InvalidStatus, match=str(status)):
                    async with socket(service):
                        pass
                assert (await heard.answer(model=MODEL, input="Hello")).type == "response.completed"
            for _ in range(50):
                if service.gateway.metrics.sockets == 0:
                    break
                await asyncio.sleep(0.01)
            async with socket(service) as heard:
                assert (await heard.answer(model=MODEL, input="Hello")).type == "response.completed"


async def test_a_reader_who_does_not_read_takes_no_memory_and_others_are_served(
    service: Service, simulator: Simulator
) -> None:
    """What the provider says stays with the provider."""
    simulator.script(*(Answer(text="word " * 60_000) for _ in range(2)))
    async with openai_client(service) as client, client.responses.connect() as connection:
        for lane in range(2):
            await connection.response.create(model=MODEL, input="Say much", store=False, stream_id=str(lane))
        connection._connection.transport.pause_reading()
        await asyncio.sleep(0.5)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with socket(service) as heard:
            assert (await heard.answer(model="local/gpt-4.1", input="Hello")).type == "response.completed"
        await asyncio.sleep(0.5)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert service.gateway.metrics.in_flight == 2, "they wait for their reader"
        assert after - before < 64 * 1024
        connection._connection.transport.abort()
    await simulator.until(lambda: simulator.counters.in_flight == 0)
    records = await service.records()
    assert Counter(record["outcome"] for record in records) == {"cancelled": 2, "ok": 1}


async def test_a_service_that_stops_lets_what_runs_end_refuses_more_and_closes(
    serve: Serve, simulator: Simulator
) -> None:
    stopping = contextlib.AsyncExitStack()
    async with contextlib.AsyncExitStack() as callers:
        service = await stopping.enter_async_context(serve(**behind(simulator)))
        busy = await callers.enter_async_context(socket(service))
        idle = await callers.enter_async_context(socket(service))
        await idle.answer(model=MODEL, input="Hello")
        await busy.ask(model=MODEL, input=LINGERING)
        await busy.until("response.output_text.delta")
        closing = asyncio.create_task(stopping.aclose())
        with pytest.raises(ConnectionClosed) as closed:
            await idle.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        await busy.ask(model=MODEL, input="More")
        assert (await busy.until("response.completed", "error")).type == "response.completed"
        refused = await busy.until("error")
        assert (refused.status, refused.error.code) == (503, "service_stopping")
        with pytest.raises(ConnectionClosed) as closed:
            await busy.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        await closing


async def test_what_does_not_end_in_time_fails_and_is_told_so(serve: Serve, simulator: Simulator) -> None:
    stopping = contextlib.AsyncExitStack()
    service = await stopping.enter_async_context(serve(**{**behind(simulator), "drain_s": 1}))
    async with socket(service) as heard:
        await heard.ask(model=MODEL, input=SLOW)
        await heard.until("response.output_text.delta")
        closing = asyncio.create_task(stopping.aclose())
        failed = await heard.until()
        assert (failed.type, failed.response.status) == ("response.failed", "failed")
        assert failed.response.output[0].status == "incomplete"
        with pytest.raises(ConnectionClosed) as closed:
            await heard.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        await closing
