"""What OpenAI's SDK asks for beside chat: embeddings, moderations, models; headers and credentials of them all."""

import asyncio
import re
from typing import Any

import aiohttp
import openai
import pytest
from openai.types import CreateEmbeddingResponse, Model, ModerationCreateResponse

from ali.ops.simulator import Simulator
from tests.contract.judges import (
    CLAUDE,
    DEFAULT,
    EXTRACTIVE,
    GPT,
    blocking_openai_client,
    held_to,
    openai_client,
    post,
)
from tests.fixtures.service import Serve, Service, providers

EMBEDDER = "text-embedding-3-small"
MESSAGES: list[Any] = [{"role": "user", "content": "Hello there"}]
CHAT_BODY = {"messages": MESSAGES}
POSTS: list[tuple[str, dict[str, Any]]] = [
    *(("/v1/chat/completions", {"model": model, **CHAT_BODY}) for model in (GPT, CLAUDE, EXTRACTIVE, DEFAULT)),
    *(("/v1/messages", {"model": model, "max_tokens": 50, **CHAT_BODY}) for model in (GPT, CLAUDE, EXTRACTIVE)),
    *(("/v1/messages/count_tokens", {"model": model, **CHAT_BODY}) for model in (GPT, CLAUDE, EXTRACTIVE)),
    ("/v1/embeddings", {"model": EMBEDDER, "input": "Hello"}),
    ("/v1/moderations", {"input": "Hello"}),
]


@pytest.mark.parametrize("given", ["Hello", ["Hello", "there"], [[1, 2, 3], [4, 5]]])
async def test_embeddings_come_as_floats_and_as_base64_of_the_same_numbers(service: Service, given: Any) -> None:  # noqa: ANN401 - the SDK's own union
    async with openai_client(
        service, _strict_response_validation=False
    ) as client:  # its own default, base64, is not in it
        floats = await client.embeddings.create(model=EMBEDDER, input=given, encoding_format="float")
        packed = await client.embeddings.create(model=EMBEDDER, input=given)  # the SDK asks for base64 and unpacks it
    assert len(floats.data) == len(given) if isinstance(given, list) else 1
    assert [item.index for item in floats.data] == list(range(len(floats.data)))
    for exact, near in zip(floats.data, packed.data, strict=True):
        assert near.embedding == pytest.approx(exact.embedding, rel=1e-6, abs=1e-6)
    assert floats.usage.prompt_tokens == floats.usage.total_tokens > 0
    assert [record["input_tokens"] for record in await service.records()] == [floats.usage.prompt_tokens] * 2


async def test_embeddings_and_moderations_are_what_the_sdk_defines(service: Service) -> None:
    _, _, body = await post(service, "/v1/embeddings", {"model": EMBEDDER, "input": "Hello", "dimensions": 8})
    answer = held_to(CreateEmbeddingResponse, body)
    assert len(answer.data[0].embedding) == 8
    _, _, body = await post(service, "/v1/moderations", {"input": ["Hello", "there"]})
    assert len(held_to(ModerationCreateResponse, body).results) == 2


async def test_the_blocking_client_embeds_moderates_and_lists(service: Service) -> None:
    def ask() -> tuple[int, int, set[str]]:
        with blocking_openai_client(service, _strict_response_validation=False) as client:
            return (
                len(client.embeddings.create(model=EMBEDDER, input=["a", "b"]).data),
                len(client.moderations.create(input="Hello").results),
                {model.id for model in client.models.list()},
            )

    embedded, moderated, models = await asyncio.to_thread(ask)
    assert (embedded, moderated) == (2, 1)
    assert {GPT, CLAUDE, EXTRACTIVE, DEFAULT, EMBEDDER} <= models


async def test_models_are_listed_and_retrieved_each_by_its_name(service: Service) -> None:
    async with openai_client(service) as client:
        listed = [model async for model in client.models.list()]
        for model in listed:
            assert await client.models.retrieve(model.id) == model
        with pytest.raises(openai.NotFoundError) as missing:
            await client.models.retrieve("gpt-does-not-exist")
    assert len({model.id for model in listed}) == len(listed) > 10
    assert missing.value.code == "model_not_found"


async def test_a_model_is_what_the_sdk_defines(service: Service) -> None:
    async with (
        aiohttp.ClientSession(headers=service.headers) as session,
        session.get(f"{service.url}/v1/models/{GPT}") as response,
    ):
        assert held_to(Model, await response.read()).owned_by == "openai"


async def test_what_is_listed_can_be_asked(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator)) as service, openai_client(service) as client:
        for model in [model.id async for model in client.models.list()]:
            try:
                await client.chat.completions.create(model=model, messages=MESSAGES)
            except openai.BadRequestError as refused:
                assert refused.code == "operation_not_supported", model  # noqa: PT017 - not all of them chat
    async with serve() as service, openai_client(service) as client:
        assert {model.id async for model in client.models.list()} == {EXTRACTIVE, DEFAULT}
        answer = await client.chat.completions.create(model=DEFAULT, messages=MESSAGES)
    assert answer.model == EXTRACTIVE


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [GPT, CLAUDE, EXTRACTIVE])
async def test_every_answer_carries_the_headers_that_support_asks_for(
    serve: Serve, simulator: Simulator, model: str, *, stream: bool
) -> None:
    async with (
        serve(**providers(simulator), requests_per_minute=3) as service,
        openai_client(service) as client,
        client.chat.completions.with_streaming_response.create(model=model, messages=MESSAGES, stream=stream) as answer,
    ):
        await answer.read()
    headers = answer.headers
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])
    assert int(headers["openai-processing-ms"]) >= 0
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("3", "2")
    assert re.fullmatch(r"\d+(\.\d+)?s|\d+ms|\dm\d+s", headers["x-ratelimit-reset-requests"])
    assert headers["x-ali-model"] == model


async def test_the_sdk_finds_the_requests_identifier(service: Service) -> None:
    async with openai_client(service) as client:
        raw = await client.chat.completions.with_raw_response.create(model=GPT, messages=MESSAGES)
        answer = raw.parse()
    assert raw.request_id == raw.headers["x-request-id"] == answer._request_id
    [record] = await service.records()
    assert raw.request_id == f"req_{record['id'].hex}"


async def test_the_providers_own_limits_are_told_where_this_service_sets_none(service: Service) -> None:
    async with openai_client(service) as client:
        raw = await client.chat.completions.with_raw_response.create(model=GPT, messages=MESSAGES)
    assert int(raw.headers["x-ratelimit-limit-tokens"]) > 0


@pytest.mark.parametrize(("path", "body"), POSTS)
async def test_both_credentials_open_every_endpoint(service: Service, path: str, body: dict[str, Any]) -> None:
    secret = service.tenant.secret
    for headers in (
        {"authorization": f"Bearer {secret}"},
        {"x-api-key": secret},
        {"authorization": f"bearer {secret}"},
    ):
        status, _, answer = await post(service, path, body, headers=headers)
        assert status == 200, answer
    for headers in ({}, {"authorization": "Bearer ali_wrong"}, {"x-api-key": "wrong"}, {"authorization": secret}):
        status, _, answer = await post(service, path, body, headers=headers)
        assert status == 401, answer


async def test_both_credentials_open_the_list_of_models(service: Service) -> None:
    secret = service.tenant.secret
    async with aiohttp.ClientSession() as session:
        for headers, expected in (
            ({"authorization": f"Bearer {secret}"}, 200),
            ({"x-api-key": secret}, 200),
            ({"x-api-key": "wrong"}, 401),
            ({}, 401),
        ):
            for path in ("/v1/models", f"/v1/models/{CLAUDE}"):
                async with session.get(service.url + path, headers=headers) as response:
                    assert response.status == expected
