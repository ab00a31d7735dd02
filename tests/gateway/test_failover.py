"""A provider fails: who answers instead, how often it is asked, and what the caller is told."""

import asyncio
from typing import Any

import aiohttp
import pytest

from ali.features.chat.resilience import CircuitBreaker, RetryBudget
from ali.ops.simulator import Answer, Fault, Simulator
from tests.fixtures.service import Serve, Service, providers

_QUESTION = {"messages": [{"role": "user", "content": "Count to twenty, please"}], "max_tokens": 100}
_ALIASES = {"both": {"targets": ["gpt-4.1", "claude-sonnet-5-5"]}}


async def chat(
    service: Service, *, model: str, stream: bool = False, extra: dict[str, str] | None = None
) -> tuple[int, Any, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{service.url}/v1/chat/completions",
            json={"model": model, "stream": stream, **_QUESTION, **(extra or {})},
            headers=service.headers,
        ) as response,
    ):
        return response.status, response.headers, await response.read()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        Fault.HTTP_408, Fault.HTTP_429, Fault.HTTP_500, Fault.HTTP_502_HTML, Fault.HTTP_503, Fault.HTTP_529,
        Fault.HTTP_401, Fault.CLOSED_ON_ACCEPT, Fault.RESET_BEFORE_HEAD, Fault.STALL_BEFORE_HEAD, Fault.OK_EMPTY,
    ],
)  # fmt: skip
async def test_the_next_target_answers_when_the_first_fails_before_its_first_byte(
    serve: Serve, simulator: Simulator, *, fault: Fault, stream: bool
) -> None:
    async with serve(**providers(simulator), aliases=_ALIASES, upstream_first_byte_s=0.3) as service:
        simulator.script(fault)
        status, headers, body = await chat(service, model="both", stream=stream)
        assert status == 200
        assert headers["x-ali-provider"] == "anthropic"
        assert b"Count" in body
        [record] = await service.records()
        assert (record["outcome"], record["attempts"], record["provider"]) == ("ok", 2, "anthropic")


@pytest.mark.parametrize("fault", [Fault.STALL_AFTER_HEAD, Fault.ERROR_EVENT_FIRST, Fault.JSON_FOR_STREAM])
async def test_a_stream_that_dies_before_its_first_event_fails_over(
    serve: Serve, simulator: Simulator, fault: Fault
) -> None:
    async with serve(**providers(simulator), aliases=_ALIASES, upstream_first_byte_s=0.3) as service:
        simulator.script(fault)
        status, headers, body = await chat(service, model="both", stream=True)
        assert (status, headers["x-ali-provider"]) == (200, "anthropic")
        assert body.endswith(b"data: [DONE]\n\n")


async def test_a_stream_that_dies_after_its_first_event_does_not_fail_over(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator), aliases=_ALIASES) as service:
        simulator.script(Fault.RESET_MID_CHUNK)
        status, headers, body = await chat(service, model="both", stream=True)
        assert (status, headers["x-ali-provider"]) == (200, "openai")
        assert b'"error":{' in body
        assert simulator.counters.requests == 1


async def test_a_request_the_provider_refuses_is_not_tried_elsewhere(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator), aliases=_ALIASES) as service:
        simulator.script(Fault.HTTP_400)
        status, _, body = await chat(service, model="both")
        assert status == 400
        assert simulator.counters.requests == 1
        assert b'"error"' in body


async def test_the_providers_own_error_body_reaches_a_caller_of_the_same_dialect_unchanged(
    serve: Serve, simulator: Simulator
) -> None:
    raw = b'{"error":{"message":"odd","type":"invalid_request_error","param":"messages","code":null,"extra":1}}'
    async with serve(**providers(simulator)) as service:
        simulator.answer(Answer(status=422, body=raw, headers=(("content-type", "application/json"),)))
        status, _, body = await chat(service, model="gpt-4.1")
        assert (status, body) == (422, raw)


async def test_retries_stay_within_a_tenth_of_the_requests_when_the_provider_is_down(
    serve: Serve, simulator: Simulator
) -> None:
    simulator.default = Answer(status=500)
    async with serve(**providers(simulator)) as service:
        for _ in range(6):
            await asyncio.gather(*(chat(service, model="gpt-4.1") for _ in range(50)))
        attempts = sum(record["attempts"] for record in await service.records())
        assert simulator.counters.requests == attempts
        assert attempts <= 1.1 * 300


async def test_an_open_circuit_answers_at_once_and_says_when_to_come_back(serve: Serve, simulator: Simulator) -> None:
    simulator.default = Answer(status=500)
    async with serve(**providers(simulator)) as service:
        for _ in range(5):
            await chat(service, model="gpt-4.1")
        asked = simulator.counters.requests
        status, headers, _ = await chat(service, model="gpt-4.1")
        assert status == 503
        assert headers["x-ali-error-code"] == "upstream_circuit_open"
        assert int(headers["retry-after"]) >= 1
        assert simulator.counters.requests == asked
        assert b"ali_upstream_circuits_open 1.0" in service.gateway.metrics.exposition()
        status, _, _ = await chat(service, model="claude-sonnet-5-5")
        assert status == 502, "another target's circuit is its own"


async def test_the_providers_retry_after_reaches_the_caller(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator)) as service:
        simulator.script(*[Answer(status=429, retry_after_s=17)] * 2)
        status, headers, _ = await chat(service, model="gpt-4.1")
        assert (status, headers["retry-after"]) == (429, "17")


async def test_an_error_says_whose_fault_it_is(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator)) as service:
        simulator.script(Fault.HTTP_401)
        status, headers, body = await chat(service, model="gpt-4.1")
        assert (status, headers["x-ali-error-code"]) == (502, "upstream_credential_refused")
        assert b"Your own API key is fine" in body
    async with serve() as service:
        status, headers, body = await chat(service, model="gpt-4.1")
        assert (status, headers["x-ali-error-code"]) == (404, "model_not_found")
        assert b"OPENAI_API_KEY" in body
    async with serve(openai_api_key="sk-x", openai_base_url="http://127.0.0.1:9/v1") as service:
        async with asyncio.timeout(2):
            status, headers, body = await chat(service, model="gpt-4.1")
        assert (status, headers["x-ali-error-code"]) == (502, "upstream_unreachable")
        assert b"Provider openai cannot be reached" in body
        status, headers, _ = await chat(service, model="ali-extractive")
        assert status == 200, "what needs no provider is served"


async def test_weights_spread_an_alias_over_its_targets(serve: Serve, simulator: Simulator) -> None:
    aliases = {"spread": {"targets": ["gpt-4.1", "claude-sonnet-5-5"], "weights": [1, 1]}}
    async with serve(**providers(simulator), aliases=aliases) as service:
        seen = {(await chat(service, model="spread"))[1]["x-ali-provider"] for _ in range(20)}
        assert seen == {"openai", "anthropic"}


async def test_a_compatible_server_is_reached_with_its_own_key_and_nothing_else_chooses_where_a_key_goes(
    serve: Serve, simulator: Simulator
) -> None:
    async with Simulator(api_key="sk-local", models=("llama-local",)) as local:
        server = {
            "name": "local", "base_url": local.openai_base_url, "api_key": "sk-local", "models": ["llama-local"],
        }  # fmt: skip
        async with serve(**providers(simulator), compatible_providers=[server]) as service:
            extra: dict[str, str] = {
                "base_url": "http://127.0.0.1:1/",
                "api_base": "http://127.0.0.1:1/",
                "api_key": "stolen",
            }
            status, headers, _ = await chat(service, model="llama-local", extra=extra)
            assert (status, headers["x-ali-provider"]) == (200, "local")
            status, headers, _ = await chat(service, model="local/llama-local")
            assert (status, headers["x-ali-provider"]) == (200, "local")
            assert simulator.counters.requests == 0
            assert local.last.headers["authorization"] == "Bearer sk-local"


def test_a_circuit_opens_after_five_failures_and_lets_one_probe_through() -> None:
    breaker = CircuitBreaker()
    for _ in range(5):
        assert breaker.admits(now_s=0)
        breaker.failed(now_s=0)
    assert not breaker.admits(now_s=1)
    assert breaker.admits(now_s=2.1)
    assert not breaker.admits(now_s=2.1), "one probe at a time"
    breaker.failed(now_s=2.2)
    assert not breaker.admits(now_s=5), "the pause has doubled"
    assert breaker.admits(now_s=6.3)
    breaker.succeeded()
    assert breaker.admits(now_s=6.3)


def test_the_retry_budget_earns_a_tenth_of_each_request() -> None:
    budget = RetryBudget(reserve=0)
    for _ in range(9):
        budget.request()
        assert not budget.spend()
    budget.request()
    budget.request()
    assert budget.spend()
    assert not budget.spend()
