"""What Anthropic's SDK asks for beside messages, and the class that each failure raises in it."""

import asyncio
import re
import time
from typing import Any

import aiohttp
import anthropic
import orjson
import pytest
from anthropic.types import MessageTokensCount, ModelInfo

from ali.ops.simulator import Answer, Fault, Simulator
from tests.contract.judges import (
    CLAUDE,
    DEFAULT,
    EXTRACTIVE,
    GPT,
    anthropic_client,
    blocking_anthropic_client,
    held_to,
    post,
)
from tests.fixtures.service import Serve, Service, providers

MESSAGES: list[Any] = [{"role": "user", "content": "Hello there, count to twenty"}]
BOTH_PROVIDERS = pytest.mark.parametrize("model", [CLAUDE, GPT])


@pytest.mark.parametrize("model", [CLAUDE, GPT, EXTRACTIVE, DEFAULT])
async def test_tokens_are_counted_for_every_model_and_cost_nothing(service: Service, model: str) -> None:
    status, headers, body = await post(
        service, "/v1/messages/count_tokens", {"model": model, "messages": MESSAGES, "system": "Be brief."}
    )
    assert status == 200
    assert held_to(MessageTokensCount, body).input_tokens > 0
    assert ("x-ali-estimated" in headers) is (model in (GPT, DEFAULT)), "an estimate says that it is one"
    [record] = await service.records()
    assert (record["cost_microusd"], record["outcome"]) == (0, "ok")


async def test_models_are_paged_through_by_the_sdk(service: Service) -> None:
    async with anthropic_client(service) as client:
        whole = await client.models.list(limit=1000)
        paged = [model async for model in client.models.list(limit=3)]
        assert paged == whole.data
        assert len({model.id for model in paged}) == len(paged) > 10
        backwards = await client.models.list(limit=2, before_id=paged[5].id)
        assert [model.id for model in backwards.data] == [paged[3].id, paged[4].id]
        assert backwards.has_more
        for model in paged:
            assert (await client.models.retrieve(model.id)).id == model.id
        with pytest.raises(anthropic.NotFoundError) as missing:
            await client.models.retrieve("claude-does-not-exist")
    assert missing.value.type == "not_found_error"
    assert {CLAUDE, GPT, EXTRACTIVE, DEFAULT} <= {model.id for model in paged}


async def test_the_blocking_client_pages_too(service: Service) -> None:
    def names() -> list[str]:
        with blocking_anthropic_client(service) as client:
            return [model.id for model in client.models.list(limit=4)]

    assert CLAUDE in await asyncio.to_thread(names)


async def test_a_model_is_what_the_sdk_defines(service: Service) -> None:
    headers = {**service.headers, "anthropic-version": "2023-06-01"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{service.url}/v1/models/{CLAUDE}") as response,
    ):
        model = held_to(ModelInfo, await response.read())
    assert (model.id, model.type) == (CLAUDE, "model")
    assert model.max_input_tokens
    assert model.max_tokens


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [CLAUDE, GPT, EXTRACTIVE])
async def test_every_answer_carries_the_headers_that_support_asks_for(
    serve: Serve, simulator: Simulator, model: str, *, stream: bool
) -> None:
    async with serve(**providers(simulator), requests_per_minute=3) as service:
        request = {"model": model, "max_tokens": 50, "messages": MESSAGES, "stream": stream}
        _, headers, _ = await post(service, "/v1/messages", request)
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["request-id"])
    assert headers["anthropic-ratelimit-requests-limit"] == "3"
    assert headers["anthropic-ratelimit-requests-remaining"] == "2"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", headers["anthropic-ratelimit-requests-reset"])


async def test_the_sdk_finds_the_requests_identifier(service: Service) -> None:
    async with anthropic_client(service) as client:
        answer = await client.messages.create(model=CLAUDE, max_tokens=9, messages=MESSAGES)
        assert answer._request_id is not None
        with pytest.raises(anthropic.NotFoundError) as failed:
            await client.messages.create(model="claude-does-not-exist", max_tokens=9, messages=MESSAGES)
    body: Any = failed.value.body
    assert failed.value.request_id == body["request_id"]
    assert body == {"type": "error", "error": body["error"], "request_id": body["request_id"]}
    assert set(body["error"]) == {"type", "message"}
    assert body["error"]["type"] == "not_found_error"


async def test_wrong_keys_requests_and_models_raise_their_classes(service: Service) -> None:
    async with anthropic_client(service, api_key="ali_wrong") as client:
        with pytest.raises(anthropic.AuthenticationError) as unknown:
            await client.messages.create(model=CLAUDE, max_tokens=9, messages=MESSAGES)
        with pytest.raises(anthropic.AuthenticationError):
            await client.models.list()
    assert unknown.value.type == "authentication_error"
    async with anthropic_client(service, api_key=None, auth_token=service.tenant.secret) as client:
        assert (await client.messages.create(model=CLAUDE, max_tokens=9, messages=MESSAGES)).content
        for model in (CLAUDE, GPT, EXTRACTIVE):
            with pytest.raises(anthropic.BadRequestError) as refused:
                await client.messages.create(model=model, max_tokens=9, messages=[])
            assert refused.value.type == "invalid_request_error"


@BOTH_PROVIDERS
async def test_what_the_provider_refuses_keeps_its_words_in_this_dialects_envelope(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(status=400, message="The picture is too large."))
    async with anthropic_client(service) as client:
        with pytest.raises(anthropic.BadRequestError, match=r"The picture is too large\.") as failed:
            await client.messages.create(model=model, max_tokens=9, messages=MESSAGES)
    body: Any = failed.value.body
    assert set(body) == {"type", "error", "request_id"}
    assert set(body["error"]) == {"type", "message"}


@pytest.mark.parametrize("model", [CLAUDE, GPT, EXTRACTIVE])
async def test_the_keys_own_limit_is_a_rate_limit_error_that_says_when_to_return(
    serve: Serve, simulator: Simulator, model: str
) -> None:
    async with serve(**providers(simulator), requests_per_minute=1) as service, anthropic_client(service) as client:
        await client.messages.create(model=model, max_tokens=9, messages=MESSAGES)
        with pytest.raises(anthropic.RateLimitError) as failed:
            await client.messages.create(model=model, max_tokens=9, messages=MESSAGES)
    headers = failed.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 61
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert failed.value.type == "rate_limit_error"


@BOTH_PROVIDERS
async def test_the_sdk_waits_as_long_as_the_provider_asked_and_then_succeeds(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(status=429, retry_after_s=1))
    async with anthropic_client(service, max_retries=1) as client:
        started = time.monotonic()
        assert (await client.messages.create(model=model, max_tokens=9, messages=MESSAGES)).content
    assert 0.95 <= time.monotonic() - started < 3


@BOTH_PROVIDERS
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.HTTP_500, "api_error"),
        (Fault.HTTP_529, "overloaded_error"),
        (Fault.STALL_BEFORE_HEAD, "timeout_error"),
    ],
)
async def test_a_sick_provider_is_an_internal_server_error_of_the_right_kind(
    service: Service, simulator: Simulator, model: str, fault: Fault, kind: str
) -> None:
    simulator.default = Answer(fault=fault)
    async with anthropic_client(service) as client:
        with pytest.raises(anthropic.InternalServerError, match=r"Provider (openai|anthropic)") as failed:
            await client.messages.create(model=model, max_tokens=9, messages=MESSAGES)
    assert failed.value.type == kind


@BOTH_PROVIDERS
@pytest.mark.parametrize("fault", [Fault.ERROR_EVENT, Fault.RESET_MID_CHUNK, Fault.MISSING_END, Fault.BAD_JSON])
async def test_a_stream_that_breaks_raises_in_the_sdk(
    service: Service, simulator: Simulator, model: str, fault: Fault
) -> None:
    breaking = Answer(
        fault=fault, tokens_per_second=100
    )  # at a pace, for what breaks in its first bytes is tried again
    simulator.script(breaking, breaking)
    async with anthropic_client(service) as client:
        with pytest.raises(anthropic.APIError) as failed:
            async with client.messages.stream(model=model, max_tokens=99, messages=MESSAGES) as stream:
                await stream.get_final_message()
    body: Any = failed.value.body
    assert set(body["error"]) == {"type", "message"}
    request = {"model": model, "max_tokens": 99, "messages": MESSAGES, "stream": True}
    _, _, raw = await post(service, "/v1/messages", request)
    last = raw.rstrip().rpartition(b"\n\n")[2]
    assert last.startswith(b"event: error\ndata: ")
    assert orjson.loads(last.partition(b"data: ")[2])["type"] == "error"
    assert raw.count(b"event: error") == 1
    assert b"message_stop" not in raw
