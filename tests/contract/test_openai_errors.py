"""Each failure raises the class of OpenAI's SDK that its users catch."""

import asyncio
import time
from typing import Any

import aiohttp
import openai
import orjson
import pytest

from ali.ops.simulator import Answer, Fault, Simulator
from tests.contract.judges import CLAUDE, EXTRACTIVE, GPT, blocking_openai_client, openai_client
from tests.fixtures.database import make_tenant
from tests.fixtures.service import Serve, Service, providers

MESSAGES: list[Any] = [{"role": "user", "content": "Hello there, count to twenty"}]
BOTH_PROVIDERS = pytest.mark.parametrize("model", [GPT, CLAUDE])


async def test_a_wrong_key_is_an_authentication_error(service: Service) -> None:
    async with openai_client(service, api_key="ali_wrong") as client:
        with pytest.raises(openai.AuthenticationError) as failed:
            await client.chat.completions.create(model=GPT, messages=MESSAGES)
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
    assert (failed.value.code, failed.value.type) == ("invalid_api_key", "authentication_error")
    assert failed.value.request_id == failed.value.response.headers["x-request-id"]


async def test_a_key_without_the_permission_is_told_which_one(service: Service) -> None:
    member = make_tenant(service.tenant.dsn, role="member")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}/metrics", headers={"x-api-key": member.secret}) as response,
    ):
        body = orjson.loads(await response.read())
    assert response.status == 403
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (body["error"]["type"], body["error"]["code"]) == ("permission_error", "permission_denied")
    assert "metrics.read" in body["error"]["message"]


@pytest.mark.parametrize("model", ["gpt-does-not-exist", "openai/gpt-does-not-exist", "claude-does-not-exist"])
async def test_an_unknown_model_is_not_found(service: Service, model: str) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.NotFoundError) as failed:
            await client.chat.completions.create(model=model, messages=MESSAGES)
    assert failed.value.code == "model_not_found"
    assert failed.value.type == "invalid_request_error"


@pytest.mark.parametrize("model", [GPT, CLAUDE, EXTRACTIVE])
async def test_a_bad_request_names_its_parameter(service: Service, model: str) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.BadRequestError) as failed:
            await client.chat.completions.create(model=model, messages=[])
    assert failed.value.param == "messages"
    assert failed.value.type == "invalid_request_error"


async def test_what_the_provider_refuses_is_a_bad_request_across_dialects_too(
    service: Service, simulator: Simulator
) -> None:
    async with openai_client(service) as client:
        for model in (GPT, CLAUDE):
            simulator.answer(Answer(status=400, message="The picture is too large."))
            with pytest.raises(openai.BadRequestError, match=r"The picture is too large\.") as failed:
                await client.chat.completions.create(model=model, messages=MESSAGES)
            assert isinstance(failed.value.body, dict)
            assert set(failed.value.body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("model", [GPT, CLAUDE, EXTRACTIVE])
async def test_the_keys_own_limit_is_a_rate_limit_error_that_says_when_to_return(
    serve: Serve, simulator: Simulator, model: str
) -> None:
    async with serve(**providers(simulator), requests_per_minute=2) as service, openai_client(service) as client:
        for _ in range(2):
            await client.chat.completions.create(model=model, messages=MESSAGES)
        with pytest.raises(openai.RateLimitError) as failed:
            await client.chat.completions.create(model=model, messages=MESSAGES)
    headers = failed.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 61
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("2", "0")
    assert (failed.value.code, failed.value.type) == ("rate_limit_exceeded", "rate_limit_error")


@BOTH_PROVIDERS
async def test_the_sdk_waits_as_long_as_the_provider_asked_and_then_succeeds(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(status=429, retry_after_s=1))
    async with openai_client(service, max_retries=1) as client:
        started = time.monotonic()
        answer = await client.chat.completions.create(model=model, messages=MESSAGES)
    assert answer.choices[0].message.content
    assert 0.95 <= time.monotonic() - started < 3
    assert [record["outcome"] for record in await service.records()] == ["error", "ok"]


@BOTH_PROVIDERS
@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.HTTP_500, 502), (Fault.HTTP_503, 503), (Fault.HTTP_529, 503), (Fault.STALL_BEFORE_HEAD, 504)],
)
async def test_a_sick_provider_is_an_internal_server_error_that_names_it(
    service: Service, simulator: Simulator, model: str, fault: Fault, status: int
) -> None:
    simulator.default = Answer(fault=fault)
    async with openai_client(service) as client:
        with pytest.raises(openai.InternalServerError, match=r"Provider (openai|anthropic)") as failed:
            await client.chat.completions.create(model=model, messages=MESSAGES)
    assert failed.value.status_code == status


@pytest.mark.parametrize("model", ["gpt-4.1", "claude-sonnet-5-5"])
async def test_a_provider_that_is_down_is_told_apart_from_a_wrong_key(serve: Serve, model: str) -> None:
    nowhere = {
        "openai_api_key": "sk-x",
        "openai_base_url": "http://127.0.0.1:9/v1",
        "anthropic_api_key": "sk-x",
        "anthropic_base_url": "http://127.0.0.1:9",
    }
    async with serve(**nowhere) as service, openai_client(service) as client:
        async with asyncio.timeout(2):
            with pytest.raises(openai.InternalServerError, match="cannot be reached") as failed:
                await client.chat.completions.create(model=model, messages=MESSAGES)
    assert (failed.value.status_code, failed.value.code) == (502, "upstream_unreachable")


@BOTH_PROVIDERS
async def test_a_key_that_the_provider_refuses_is_not_the_callers_fault(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.script(*[Answer(fault=Fault.HTTP_401)] * 2)
    async with openai_client(service) as client:
        with pytest.raises(openai.InternalServerError, match="Your own API key is fine") as failed:
            await client.chat.completions.create(model=model, messages=MESSAGES)
    assert failed.value.code == "upstream_credential_refused"


@BOTH_PROVIDERS
@pytest.mark.parametrize("fault", [Fault.ERROR_EVENT, Fault.RESET_MID_CHUNK, Fault.MISSING_END, Fault.BAD_JSON])
async def test_a_stream_that_breaks_raises_in_both_clients(
    service: Service, simulator: Simulator, model: str, fault: Fault
) -> None:
    breaking = Answer(
        fault=fault, tokens_per_second=100
    )  # at a pace, for what breaks in its first bytes is tried again
    async with openai_client(service) as client:
        simulator.answer(breaking)
        stream = await client.chat.completions.create(model=model, messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError) as failed:
            async for _ in stream:
                pass
    assert isinstance(failed.value.body, dict)
    assert set(failed.value.body) == {"message", "type", "param", "code"}

    def read() -> None:
        with blocking_openai_client(service) as blocking:
            for _ in blocking.chat.completions.create(model=model, messages=MESSAGES, stream=True):
                pass

    simulator.answer(breaking)
    with pytest.raises(openai.APIError):
        await asyncio.to_thread(read)
    assert [record["outcome"] for record in await service.records()] == ["error"] * 2


async def test_the_wrong_kind_of_model_is_refused_with_what_to_do(service: Service) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.BadRequestError, match="does not do embeddings") as failed:
            await client.embeddings.create(model=CLAUDE, input="Hello")
        with pytest.raises(openai.BadRequestError, match=r"does not do chat\.completions"):
            await client.chat.completions.create(model="text-embedding-3-small", messages=MESSAGES)
    assert failed.value.code == "operation_not_supported"
