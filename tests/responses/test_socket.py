"""The Responses API over a WebSocket, as OpenAI's SDK opens it."""

import asyncio
import json

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from ali.kernel.epoch import ADVANCE_EPOCH
from ali.ops.simulator import Answer, Simulator
from tests.contract.judges import CLAUDE, EXTRACTIVE, blocking_openai_client, openai_client
from tests.fixtures.service import Serve, Service
from tests.responses.conftest import behind
from tests.responses.sockets import judged, socket

NATIVE = "gpt-4.1"
LOCAL = "local/gpt-4.1"
SLOW = "[[tokens:400]] [[rate:40]]"
"""Ten seconds of an answer, by the simulator's directives."""


@pytest.mark.parametrize("model", [NATIVE, LOCAL, CLAUDE, EXTRACTIVE])
async def test_a_response_is_the_same_as_over_http_and_one_usage_record(service: Service, model: str) -> None:
    text = "The guarantee lasts for 24 months. How long does the guarantee last?"
    async with socket(service) as heard, openai_client(service) as client:
        done = await heard.answer(model=model, input=text)
        assert done.type == "response.completed"
        assert [event.sequence_number for event in heard.events] == list(range(len(heard.events)))
        assert [event.type for event in heard.events[:2]] == ["response.created", "response.in_progress"]
        streamed = [event.type async for event in await client.responses.create(model=model, input=text, stream=True)]
        assert [event.type for event in heard.events] == streamed
        assert (await client.responses.retrieve(done.response.id)).output_text == done.response.output_text
    over_socket, over_http = await service.records()
    for field in (
        "operation",
        "model",
        "outcome",
        "status",
        "input_tokens",
        "output_tokens",
        "cost_microusd",
        "streamed",
    ):
        assert over_socket[field] == over_http[field], field
    assert over_socket["id"].hex in done.response.id


async def test_the_blocking_sdk_speaks_over_it_too(service: Service) -> None:
    def talk() -> list[str]:
        with blocking_openai_client(service) as client, client.responses.connect() as connection:
            kinds: list[str] = []
            for _ in range(2):
                connection.response.create(model=NATIVE, input="Hello")
                while not kinds or kinds[-1] != "response.completed":
                    kinds.append(judged(connection.recv_bytes()).type)
                kinds.append("-")
            return kinds

    assert (await asyncio.to_thread(talk)).count("response.completed") == 2


async def test_what_is_not_stored_is_gone_on_from_on_its_own_connection_alone(
    service: Service, simulator: Simulator
) -> None:
    async with socket(service) as heard, socket(service) as other:
        first = await heard.answer(model=NATIVE, input="My name is Iracema.", store=False)
        second = await heard.answer(
            model=NATIVE, input="I live in Olinda.", store=False, previous_response_id=first.response.id
        )
        third = await heard.answer(
            model=NATIVE, input="Where do I live?", store=False, previous_response_id=second.response.id
        )
        assert third.response.previous_response_id == second.response.id
        seen = simulator.requests[-1].body.decode()
        assert [word in seen for word in ("Iracema", "Olinda", "Where")] == [True] * 3
        forked = await heard.answer(model=NATIVE, input="Fork", store=False, previous_response_id=first.response.id)
        assert forked.type == "response.completed"
        assert b"Olinda" not in simulator.requests[-1].body
        refused = await other.answer(model=NATIVE, input="Hm?", previous_response_id=third.response.id)
        assert (refused.status, refused.error.code) == (400, "previous_response_not_found")
    with psycopg.connect(service.tenant.dsn) as connection:
        kept = connection.execute(
            "select count(*) from ali.response where project_id = %s", (service.tenant.project_id,)
        ).fetchone()
    assert kept == (0,)


async def test_a_stored_response_can_follow_one_that_is_only_remembered_and_the_other_way_round(
    service: Service, simulator: Simulator
) -> None:
    async with openai_client(service) as client:
        async with socket(service) as heard:
            stored = await heard.answer(model=NATIVE, input="My name is Iracema.")
            loose = await heard.answer(
                model=NATIVE, input="I live in Olinda.", store=False, previous_response_id=stored.response.id
            )
            kept = await heard.answer(model=NATIVE, input="I sing.", previous_response_id=loose.response.id)
        await client.responses.create(model=NATIVE, input="Who am I?", previous_response_id=kept.response.id)
    seen = simulator.requests[-1].body.decode()
    assert [word in seen for word in ("Iracema", "Olinda", "sing", "Who")] == [True] * 4


async def test_the_memory_of_a_connection_is_bounded(serve: Serve, simulator: Simulator) -> None:
    async with serve(**behind(simulator), socket_memory_bytes=2500) as service, socket(service) as heard:
        simulator.script(*(Answer(text="ok") for _ in range(4)))
        first = await heard.answer(model=NATIVE, input="a" * 1000, store=False)
        second = await heard.answer(model=NATIVE, input="b" * 1000, store=False)
        large = await heard.answer(model=NATIVE, input="c" * 5000, store=False)
        answers = [
            await heard.answer(model=NATIVE, input="On", store=False, previous_response_id=made.response.id)
            for made in (first, large, second)
        ]
    assert [answer.type for answer in answers] == ["error", "error", "response.completed"]


async def test_a_request_without_generation_prepares_what_later_ones_go_on_from(
    service: Service, simulator: Simulator
) -> None:
    async with socket(service) as heard:
        ready = await heard.answer(model=NATIVE, input="My name is Iracema.", generate=False, store=False)
        assert (ready.type, ready.response.output, ready.response.usage.total_tokens) == ("response.completed", [], 0)
        assert not simulator.requests
        await heard.answer(model=NATIVE, input="Who am I?", previous_response_id=ready.response.id)
    assert b"Iracema" in simulator.requests[-1].body
    prepared, answered = await service.records()
    assert (prepared["outcome"], prepared["cost_microusd"], prepared["provider"]) == ("ok", 0, None)
    assert answered["outcome"] == "ok"


@pytest.mark.parametrize(
    ("raw", "param", "code"),
    [
        ("{", None, "invalid_client_event"),
        ("[1]", None, "invalid_client_event"),
        ("null", None, "invalid_client_event"),
        ("", None, "invalid_client_event"),
        ("{}", "type", "invalid_client_event"),
        ('{"type":[]}', "type", "invalid_client_event"),
        ('{"type":"session.update"}', "type", "invalid_client_event"),
        ('{"type":"response.create"}', "model", "missing_required_parameter"),
        ('{"type":"response.create","model":7}', "model", "invalid_type"),
        ('{"type":"response.create","model":"none","input":"a"}', "model", "model_not_found"),
        ('{"type":"response.create","model":"gpt-4.1"}', "input", "missing_required_parameter"),
        ('{"type":"response.create","model":"gpt-4.1","input":7}', "input", "invalid_type"),
        ('{"type":"response.create","model":"gpt-4.1","input":"a","stream_id":7}', "stream_id", "invalid_client_event"),
        (
            '{"type":"response.create","model":"gpt-4.1","input":"a","stream_id":""}',
            "stream_id",
            "invalid_client_event",
        ),
        ('{"type":"response.create","model":"gpt-4.1","input":"a","generate":1}', "generate", "invalid_client_event"),
        (
            '{"type":"response.create","model":"gpt-4.1","input":"a","background":true}',
            "background",
            "unsupported_parameter",
        ),
        (
            '{"type":"response.create","model":"gpt-4.1","input":"a","previous_response_id":{"a":1}}',
            "previous_response_id",
            "previous_response_not_found",
        ),
        (
            '{"type":"response.create","model":"gpt-4.1","input":"a","metadata":' + '{"a":' * 400 + "1" + "}" * 401,
            None,
            "invalid_client_event",
        ),
        ('{"type":"response.steer"}', "previous_response_id", "invalid_client_event"),
        ('{"type":"response.steer","previous_response_id":"resp_1","input":7}', "input", "invalid_client_event"),
    ],
)
async def test_what_is_wrong_is_refused_and_the_connection_stays_open(
    service: Service, raw: str, param: str | None, code: str
) -> None:
    async with socket(service) as heard:
        refused = await heard.said(raw)
        assert (refused.type, refused.error.param, refused.error.code) == ("error", param, code)
        assert 400 <= refused.status < 500
        assert refused.error.headers["x-request-id"].startswith("req_")
        assert refused.error.headers["x-ali-error-code"] == code
        assert (await heard.answer(model=NATIVE, input="Hello")).type == "response.completed"


async def test_a_refusal_names_its_lane_and_a_limit_its_headers(serve: Serve, simulator: Simulator) -> None:
    async with serve(**behind(simulator), requests_per_minute=1) as service, socket(service) as heard:
        await heard.answer(model=NATIVE, input="Hello", stream_id="a")
        refused = await heard.answer(model=NATIVE, input="Hello", stream_id="b")
        assert (refused.status, refused.error.type, refused.stream_id) == (429, "rate_limit_error", "b")
        assert int(refused.error.headers["retry-after"]) > 0
        assert refused.error.headers["x-ratelimit-limit-requests"] == "1"


async def test_a_provider_that_fails_is_told_of(service: Service, simulator: Simulator) -> None:
    simulator.script(Answer(status=400, message="No."), Answer(text="Yes."))
    async with socket(service) as heard:
        assert (await heard.answer(model=NATIVE, input="Hello")).status == 400
        assert (await heard.answer(model=NATIVE, input="Hello")).type == "response.completed"
    assert [record["outcome"] for record in await service.records()] == ["error", "ok"]


async def test_a_message_that_is_too_large_closes_the_connection(serve: Serve, simulator: Simulator) -> None:
    async with serve(**behind(simulator), max_body_bytes=10_000) as service, socket(service) as heard:
        assert (await heard.answer(model=NATIVE, input="a" * 9000)).type == "response.completed"
        with pytest.raises(ConnectionClosedError) as closed:
            await heard.answer(model=NATIVE, input="a" * 11_000)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_a_key_that_is_revoked_opens_nothing_more(service: Service) -> None:
    async with socket(service) as heard:
        assert (await heard.answer(model=NATIVE, input="Hello")).type == "response.completed"
        with psycopg.connect(service.tenant.dsn) as connection:
            connection.execute("update ali.api_key set revoked_at = now() where id = %s", (service.tenant.key_id,))
            connection.execute(ADVANCE_EPOCH)
        await service.learn()
        refused = await heard.answer(model=NATIVE, input="Hello")
        assert (refused.status, refused.error.code) == (401, "invalid_api_key")
        with pytest.raises(ConnectionClosed) as closed:
            await heard.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_a_caller_who_leaves_stops_the_provider_at_once_and_pays_for_what_was_used(
    service: Service, simulator: Simulator
) -> None:
    async with socket(service) as heard:
        for lane in ("a", "b"):
            await heard.ask(model=NATIVE, input=SLOW, stream_id=lane)
        await heard.ask(model=NATIVE, input="Never begun", stream_id="a")
        for _ in range(2):
            await heard.until("response.output_text.delta")
        await simulator.until(lambda: simulator.counters.in_flight == 2)
    await simulator.until(lambda: simulator.counters.disconnects == 2, timeout_s=2)
    records = await service.records()
    assert [(record["outcome"], record["error_code"]) for record in records] == [
        ("cancelled", "client_disconnected")
    ] * 2
    assert all(record["output_tokens"] > 0 for record in records)
    assert service.gateway.metrics.sockets == 0
    assert service.gateway.metrics.in_flight == 0


async def test_one_connection_cannot_reach_what_another_runs(service: Service) -> None:
    async with socket(service) as heard, socket(service) as other:
        await heard.ask(model=NATIVE, input=SLOW)
        begun = await heard.until("response.created")
        steer = {"type": "response.steer", "previous_response_id": begun.response.id, "input": "Stop"}
        refused = await other.said(json.dumps(steer))
        assert (refused.type, refused.error.code) == ("response.steer.failed", "response_not_found")
