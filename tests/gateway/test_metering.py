"""Each request leaves one usage record, durable before the caller sees the end, whatever ends it."""

import asyncio
import contextlib
import json

import aiohttp
import psycopg
import pytest

from ali.ops.simulator import Answer, Fault, Simulator
from ali.providers.contract import Usage
from tests.fixtures.service import Serve, Service, providers

_BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Count to twenty, please"}]}


def count(dsn: str, project: object, *, outcome: str = "ok") -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select count(*) from ali.usage_record where project_id = %s and outcome = %s", (project, outcome)
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("path", "model", "terminal"),
    [
        ("/v1/chat/completions", "gpt-4.1", b"[DONE]"),
        ("/v1/chat/completions", "claude-sonnet-5-5", b"[DONE]"),
        ("/v1/messages", "claude-sonnet-5-5", b"message_stop"),
        ("/v1/messages", "gpt-4.1", b"message_stop"),
    ],
)
async def test_the_record_is_committed_when_the_terminal_event_arrives(
    service: Service, path: str, model: str, terminal: bytes
) -> None:
    body = {**_BODY, "model": model, "stream": True, "max_tokens": 50}
    async with (
        aiohttp.ClientSession() as session,
        session.post(service.url + path, json=body, headers=service.headers) as response,
    ):
        async for line in response.content:
            if terminal in line:
                found = await asyncio.to_thread(count, service.tenant.dsn, service.tenant.project_id)
                assert found == 1
                break
        else:
            pytest.fail("the stream had no terminal event")


async def test_usage_is_the_providers_and_the_cost_is_the_catalogs(service: Service, simulator: Simulator) -> None:
    usage = Usage(input_tokens=1000, cached_input_tokens=400, output_tokens=200, reasoning_tokens=50, reported=True)
    async with aiohttp.ClientSession(headers=service.headers) as session:
        for path, model in (("/v1/chat/completions", "gpt-4.1"), ("/v1/messages", "claude-sonnet-5-5")):
            for stream in (False, True):
                simulator.answer(Answer(text="Yes.", usage=usage))
                body = {**_BODY, "model": model, "stream": stream, "max_tokens": 50}
                async with session.post(service.url + path, json=body) as response:
                    assert response.status == 200
                    await response.read()
    records = await service.records()
    assert len(records) == 4
    prices = {"openai": (2_000, 500, 8_000), "anthropic": None}
    for record in records:
        assert (record["input_tokens"], record["cached_input_tokens"]) == (1000, 400)
        assert record["output_tokens"] == 200
        assert record["usage_reported"]
        if price := prices[record["provider"]]:
            full, cached, output = price
            assert record["cost_microusd"] == -(-(600 * full + 400 * cached + 200 * output) // 1000)
        else:
            assert record["cost_microusd"] > 0
    assert [record["first_token_ms"] is not None for record in records] == [False, True, False, True]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["gpt-4.1", "claude-sonnet-5-5"])
async def test_a_caller_who_leaves_stops_the_provider_at_once_and_pays_for_what_was_used(
    service: Service, simulator: Simulator, *, model: str, stream: bool
) -> None:
    if stream:
        simulator.answer(Answer(tokens=500, tokens_per_second=50))
    else:
        simulator.answer(Answer(latency_s=5))
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(TimeoutError):
            async with session.post(
                f"{service.url}/v1/chat/completions",
                json={**_BODY, "model": model, "stream": stream},
                headers=service.headers,
                timeout=aiohttp.ClientTimeout(total=None if stream else 0.3),
            ) as response:
                for _ in range(10):
                    await response.content.readline()
                response.close()
    await simulator.until(lambda: simulator.counters.disconnects == 1, timeout_s=1)
    await simulator.until(lambda: simulator.counters.in_flight == 0, timeout_s=1)
    [record] = await service.records()
    assert (record["outcome"], record["error_code"]) == ("cancelled", "client_disconnected")
    assert record["cost_microusd"] > 0
    assert record["input_tokens"] > 0
    assert not record["usage_reported"]


async def test_a_long_call_is_on_record_while_it_runs(service: Service, simulator: Simulator) -> None:
    simulator.answer(Answer(latency_s=0.6))
    async with aiohttp.ClientSession(headers=service.headers) as session:
        asking = asyncio.create_task(session.post(f"{service.url}/v1/chat/completions", json=_BODY))
        await asyncio.sleep(0.3)
        open_now = await asyncio.to_thread(count, service.tenant.dsn, service.tenant.project_id, outcome="open")
        assert open_now == 1
        (await asking).close()
    assert [record["outcome"] for record in await service.records()] == ["ok"]


async def test_what_a_dead_process_left_open_is_closed_by_a_living_one(service: Service) -> None:
    tenant = service.tenant
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "insert into ali.usage_record (id, organization_id, project_id, api_key_id, instance_id, operation, model,"
            " outcome, streamed, cached, attempts, usage_reported, input_tokens, cached_input_tokens,"
            " cache_write_tokens, output_tokens, reasoning_tokens, cost_microusd, started_at)"
            " values (gen_random_uuid(), %s, %s, %s, gen_random_uuid(), 'chat.completions', 'gpt-4.1',"
            " 'open', false, false, 1, false, 0, 0, 0, 0, 0, 0, now())",
            (tenant.organization_id, tenant.project_id, tenant.key_id),
        )
    await service.gateway.ledger.close_orphans()
    [record] = await service.records()
    assert (record["outcome"], record["error_code"]) == ("lost", "process_died")


async def test_an_answer_whose_usage_cannot_be_recorded_is_withheld_and_recorded_later(
    serve: Serve, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ali.features.metering.ledger.SETTLE_DEADLINE_S", 0.5)
    async with serve(**providers(simulator)) as service, aiohttp.ClientSession(headers=service.headers) as session:
        async with session.post(f"{service.url}/v1/chat/completions", json=_BODY) as response:
            assert response.status == 200
        lock = await psycopg.AsyncConnection.connect(service.tenant.dsn)
        await lock.execute("lock table ali.usage_record in access exclusive mode")
        async with session.post(f"{service.url}/v1/chat/completions", json=_BODY) as response:
            assert response.status == 503
            assert response.headers["x-ali-error-code"] == "ledger_unavailable"
        async with session.post(f"{service.url}/v1/chat/completions", json=_BODY) as response:
            assert response.status == 503, "nothing more is spent while nothing can be recorded"
        assert simulator.counters.requests == 2
        await lock.close()
        await service.gateway.ledger.drain(deadline_s=5)
        async with session.post(f"{service.url}/v1/chat/completions", json=_BODY) as response:
            assert response.status == 200
        assert len([r for r in await service.records() if r["outcome"] == "ok"]) == 3


async def test_a_chat_request_costs_one_database_round_trip(service: Service) -> None:
    trips = 0
    writer = service.gateway.ledger
    write = writer._write

    async def counted(batch: bytes) -> None:
        nonlocal trips
        trips += 1
        await write(batch)

    async with aiohttp.ClientSession(headers=service.headers) as session:
        async with session.post(f"{service.url}/v1/chat/completions", json=_BODY) as response:
            await response.read()
        await service.records()
        writer._write = counted  # type: ignore[method-assign] # counts what leaves, changes nothing
        service.gateway.authenticator._keys._pool = None  # type: ignore[attr-defined] # a remembered key asks nobody
        async with session.post(f"{service.url}/v1/chat/completions", json=_BODY) as response:
            assert response.status == 200
    assert trips == 1


async def test_exact_repeats_are_answered_from_the_cache_only_when_asked_and_cost_nothing(
    service: Service, simulator: Simulator
) -> None:
    async with aiohttp.ClientSession(headers=service.headers) as session:
        for stream in (False, True):
            answers = []
            for asked in ({}, {"x-ali-cache-ttl": "60"}, {"x-ali-cache-ttl": "60"}, {}):
                async with session.post(
                    f"{service.url}/v1/chat/completions", json={**_BODY, "stream": stream}, headers=asked
                ) as response:
                    answers.append((response.headers.get("x-ali-cache"), await response.read()))
            assert [hit for hit, _ in answers] == [None, None, "hit", None]
            assert answers[2][1] == answers[1][1]
    assert simulator.counters.requests == 6
    hits = [record for record in await service.records() if record["cached"]]
    assert len(hits) == 2
    assert {record["cost_microusd"] for record in hits} == {0}


async def test_a_broken_stream_is_not_kept_for_repeats(service: Service, simulator: Simulator) -> None:
    simulator.script(Fault.RESET_MID_CHUNK)
    body = b""
    async with aiohttp.ClientSession(headers={**service.headers, "x-ali-cache-ttl": "60"}) as session:
        for _ in range(2):
            async with session.post(f"{service.url}/v1/chat/completions", json={**_BODY, "stream": True}) as response:
                body = await response.read()
                assert "x-ali-cache" not in response.headers
    assert b"error" not in body


async def test_a_caller_who_is_too_fast_is_told_when_to_come_back_in_his_dialect(
    serve: Serve, simulator: Simulator
) -> None:
    async with (
        serve(**providers(simulator), requests_per_minute=2) as service,
        aiohttp.ClientSession(headers=service.headers) as session,
    ):
        for _ in range(2):
            async with session.post(f"{service.url}/v1/chat/completions", json=_BODY) as response:
                assert response.status == 200
                assert response.headers["x-ratelimit-limit-requests"] == "2"
        async with session.post(f"{service.url}/v1/chat/completions", json=_BODY) as response:
            assert response.status == 429
            assert json.loads(await response.read())["error"]["code"] == "rate_limit_exceeded"
            assert 1 <= int(response.headers["retry-after"]) <= 61
        message = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": _BODY["messages"]}
        async with session.post(f"{service.url}/v1/messages", json=message) as response:
            assert json.loads(await response.read())["error"]["type"] == "rate_limit_error"
