"""Embeddings, moderations, models, credentials, errors and headers as OpenAI's SDK asks for them and judges them."""

import asyncio
import base64
import time
from array import array
from typing import Any

import aiohttp
import openai
import orjson
import pytest
from openai.types import CreateEmbeddingResponse, Model, ModerationCreateResponse, ModerationTextInputParam
from openai.types.chat import ChatCompletionMessageParam

from ali.ops.simulator import Answer, Fault, Simulator
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
MODERATOR = "omni-moderation-latest"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How long does the guarantee last?"}]
LENIENT: dict[str, Any] = {"_strict_response_validation": False}
"""The SDK asks for base64, and would then find that the text is no list of numbers."""
EVERY_MODEL = pytest.mark.parametrize("model", [GPT, CLAUDE, EXTRACTIVE, DEFAULT])


async def test_a_vector_is_the_same_as_numbers_and_as_base64(service: Service, simulator: Simulator) -> None:
    async with openai_client(service, **LENIENT) as client:
        usual = await client.embeddings.create(model=EMBEDDER, input="guarantee", dimensions=8)
        numbers = await client.embeddings.create(
            model=EMBEDDER, input="guarantee", dimensions=8, encoding_format="float"
        )
        text = await client.embeddings.create(model=EMBEDDER, input="guarantee", dimensions=8, encoding_format="base64")
    assert simulator.requests[0].json["encoding_format"] == "base64", "what the SDK asks for unless told otherwise"
    assert usual.data[0].embedding == pytest.approx(numbers.data[0].embedding)
    assert len(usual.data[0].embedding) == 8
    packed: object = text.data[0].embedding
    assert isinstance(packed, str)
    assert array("f", base64.b64decode(packed)).tolist() == pytest.approx(numbers.data[0].embedding)
    records = await service.records()
    assert [(record["operation"], record["outcome"]) for record in records] == [("embeddings", "ok")] * 3
    assert all(record["input_tokens"] == usual.usage.prompt_tokens > 0 for record in records)
    assert all(record["output_tokens"] == 0 and record["usage_reported"] for record in records)


@pytest.mark.parametrize(
    ("given", "vectors"),
    [("one", 1), (["one", "two", "três"], 3), ([1, 2, 3], 1), ([[1, 2], [3]], 2)],
    ids=["text", "texts", "tokens", "lists of tokens"],
)
async def test_each_input_gets_its_vector_in_order(service: Service, given: Any, vectors: int) -> None:  # noqa: ANN401 - the SDK's union
    status, headers, body = await post(service, "/v1/embeddings", {"model": EMBEDDER, "input": given, "dimensions": 4})
    assert (status, headers["content-type"]) == (200, "application/json")
    answer: CreateEmbeddingResponse = held_to(CreateEmbeddingResponse, body)
    assert [item.index for item in answer.data] == list(range(vectors))
    assert {len(item.embedding) for item in answer.data} == {4}
    assert int(headers["openai-processing-ms"]) >= 0


async def test_moderation_flags_what_the_provider_flags(service: Service) -> None:
    request = {"model": MODERATOR, "input": ["calm", "[[flag]]"]}
    _, _, body = await post(service, "/v1/moderations", request)
    answer: ModerationCreateResponse = held_to(ModerationCreateResponse, body)
    assert [result.flagged for result in answer.results] == [False, True]
    async with openai_client(service) as client:
        unnamed = await client.moderations.create(input="calm")
        parts = await client.moderations.create(
            model=MODERATOR, input=[ModerationTextInputParam(type="text", text="[[flag]]")]
        )
    assert not unnamed.results[0].flagged
    assert parts.results[0].categories.violence
    assert [record["operation"] for record in await service.records()] == ["moderations"] * 3


async def test_the_blocking_client_does_every_endpoint(service: Service) -> None:
    def converse() -> None:
        with blocking_openai_client(service, **LENIENT) as client:
            vector = client.embeddings.create(model=EMBEDDER, input=["one", "two"], dimensions=4)
            assert [len(item.embedding) for item in vector.data] == [4, 4]
            assert client.moderations.create(model=MODERATOR, input="[[flag]]").results[0].flagged
            names = [model.id for model in client.models.list()]
            assert {GPT, CLAUDE, EXTRACTIVE, DEFAULT, EMBEDDER} <= set(names)
            assert client.models.retrieve(CLAUDE).id == CLAUDE
            with pytest.raises(openai.NotFoundError):
                client.models.retrieve("gpt-none")

    await asyncio.to_thread(converse)


async def test_the_list_of_models_has_each_that_is_served_and_none_twice(service: Service) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}/v1/models", headers=service.headers) as response,
    ):
        page = orjson.loads(await response.read())
        assert response.headers["content-type"] == "application/json"
    assert set(page) == {"object", "data"}
    models = [held_to(Model, orjson.dumps(model)) for model in page["data"]]
    names = [model.id for model in models]
    assert len(names) == len(set(names))
    assert {(model.id, model.owned_by) for model in models} >= {
        (GPT, "openai"),
        (CLAUDE, "anthropic"),
        (EXTRACTIVE, "extractive"),
        (DEFAULT, "ali"),
    }
    async with openai_client(service) as client:
        assert [model.id async for model in client.models.list()] == names
        for model in (GPT, CLAUDE, EXTRACTIVE, DEFAULT):
            assert (await client.models.retrieve(model)).id == model


async def test_models_of_a_provider_without_a_key_are_neither_listed_nor_served(serve: Serve) -> None:
    async with serve() as service, openai_client(service) as client:
        names = {model.id async for model in client.models.list()}
        assert {EXTRACTIVE, DEFAULT} <= names
        assert not {GPT, CLAUDE} & names
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.models.retrieve(GPT)
        with pytest.raises(openai.NotFoundError) as unserved:
            await client.chat.completions.create(model=GPT, messages=QUESTION)
        answer = await client.chat.completions.create(model=DEFAULT, messages=QUESTION)
    assert unknown.value.code == unserved.value.code == "model_not_found"
    assert "OPENAI_API_KEY" in unserved.value.message
    assert answer.choices[0].message.content


ENDPOINTS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/v1/chat/completions", {"model": EXTRACTIVE, "messages": QUESTION}),
    ("POST", "/v1/embeddings", {"model": EMBEDDER, "input": "one", "dimensions": 2}),
    ("POST", "/v1/moderations", {"input": "one"}),
    ("POST", "/v1/messages", {"model": EXTRACTIVE, "max_tokens": 50, "messages": QUESTION}),
    ("POST", "/v1/messages/count_tokens", {"model": EXTRACTIVE, "messages": QUESTION}),
    ("GET", "/v1/models", None),
    ("GET", f"/v1/models/{EXTRACTIVE}", None),
]


async def test_both_credentials_open_every_endpoint_and_none_or_a_wrong_one_does_not(service: Service) -> None:
    key = service.tenant.secret
    good = [{"authorization": f"Bearer {key}"}, {"authorization": f"bearer  {key} "}, {"x-api-key": key}]
    bad: list[dict[str, str]] = [
        {},
        {"authorization": f"Basic {key}"},
        {"authorization": "Bearer sk-of-somebody-else"},
        {"x-api-key": key[:-1]},
        {"x-api-key": ""},
    ]
    async with aiohttp.ClientSession() as session:
        for method, path, body in ENDPOINTS:
            for headers in [*good, *bad]:
                async with session.request(
                    method, service.url + path, json=body, headers=headers, timeout=aiohttp.ClientTimeout(5)
                ) as answer:
                    document = orjson.loads(await answer.read())
                where = f"{method} {path} {headers}"
                assert answer.status == (200 if headers in good else 401), where
                assert ("error" in document) is (headers in bad), where


async def test_a_wrong_key_is_an_authentication_error_that_says_whose_key_it_is(service: Service) -> None:
    async with openai_client(service, api_key="sk-proj-abc") as client:
        for call in (
            client.chat.completions.create(model=GPT, messages=QUESTION),
            client.embeddings.create(model=EMBEDDER, input="one"),
            client.moderations.create(input="one"),
            client.models.retrieve(GPT),
        ):
            with pytest.raises(openai.AuthenticationError) as refused:
                await call
            assert refused.value.code == "invalid_api_key"
            assert refused.value.type == "authentication_error"
            assert "ali_" in refused.value.message
            assert "sk-proj-abc" not in refused.value.message
            assert refused.value.request_id


async def test_an_unknown_model_is_not_found_wherever_it_is_asked_for(service: Service) -> None:
    async with openai_client(service) as client:
        for call in (
            client.chat.completions.create(model="gpt-none", messages=QUESTION),
            client.chat.completions.create(model="gpt-none", messages=QUESTION, stream=True),
            client.embeddings.create(model="gpt-none", input="one"),
            client.moderations.create(model="gpt-none", input="one"),
            client.models.retrieve("gpt-none"),
        ):
            with pytest.raises(openai.NotFoundError) as refused:
                await call
            assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
            assert "/v1/models" in refused.value.message


@pytest.mark.parametrize("model", [CLAUDE, EXTRACTIVE, GPT])
async def test_a_model_that_does_not_do_an_operation_is_a_bad_request(service: Service, model: str) -> None:
    async with openai_client(service) as client:
        for call in (
            client.embeddings.create(model=model, input="one"),
            client.moderations.create(model=model, input="one"),
        ):
            with pytest.raises(openai.BadRequestError) as refused:
                await call
            assert (refused.value.code, refused.value.param) == ("operation_not_supported", "model")


@EVERY_MODEL
async def test_a_request_without_messages_is_a_bad_request(service: Service, model: str) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model=model, messages=[])
    assert (refused.value.param, refused.value.type) == ("messages", "invalid_request_error")


@EVERY_MODEL
@pytest.mark.parametrize("stream", [False, True])
async def test_every_answer_has_its_id_its_time_and_what_remains_of_the_limit(
    serve: Serve, simulator: Simulator, model: str, *, stream: bool
) -> None:
    async with serve(**providers(simulator), requests_per_minute=7) as service:
        request = {"model": model, "messages": QUESTION, "stream": stream}
        for remaining in (6, 5):
            status, headers, _ = await post(service, "/v1/chat/completions", request)
            assert status == 200
            assert headers["x-request-id"].startswith("req_")
            assert int(headers["openai-processing-ms"]) >= 0
            assert headers["x-ratelimit-limit-requests"] == "7"
            assert headers["x-ratelimit-remaining-requests"] == str(remaining)
            assert headers["x-ratelimit-reset-requests"].endswith("s")


async def test_the_limit_is_one_for_all_endpoints_and_its_refusal_says_when_to_return(
    serve: Serve, simulator: Simulator
) -> None:
    async with serve(**providers(simulator), requests_per_minute=2) as service, openai_client(service) as client:
        await client.embeddings.create(model=EMBEDDER, input="one", encoding_format="float")
        await client.moderations.create(input="one")
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model=GPT, messages=QUESTION)
        asked = len(simulator.requests)
    headers = refused.value.response.headers
    assert refused.value.code == "rate_limit_exceeded"
    assert 1 <= int(headers["retry-after"]) <= 61
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("2", "0")
    assert headers["x-request-id"].startswith("req_")
    assert asked == 2, "a refused request reaches no provider"


async def test_a_providers_limit_reaches_the_sdk_whose_own_retry_keeps_its_retry_after(
    service: Service, simulator: Simulator
) -> None:
    simulator.script(*[Answer(status=429, retry_after_s=1)] * 2, "There at last")
    async with openai_client(service, max_retries=2) as client:
        with pytest.raises(openai.RateLimitError) as limited:
            await client.with_options(max_retries=0).chat.completions.create(model=GPT, messages=QUESTION)
        simulator.reset()
        simulator.script(Answer(status=429, retry_after_s=1), "There at last")
        before_s = time.monotonic()
        answer = await client.chat.completions.create(model=GPT, messages=QUESTION)
    assert limited.value.response.headers["retry-after"] == "1"
    assert answer.choices[0].message.content == "There at last"
    assert 0.9 <= time.monotonic() - before_s < 5


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_is_down_is_a_server_error_within_two_seconds(
    service: Service, simulator: Simulator, model: str, *, stream: bool
) -> None:
    await simulator.close()
    before_s = time.monotonic()
    async with openai_client(service) as client:
        with pytest.raises(openai.InternalServerError) as failed:
            await client.chat.completions.create(model=model, messages=QUESTION, stream=stream)
        assert time.monotonic() - before_s < 2
        answer = await client.chat.completions.create(model=EXTRACTIVE, messages=QUESTION)
    assert failed.value.status_code == 502
    assert failed.value.code == "upstream_unreachable"
    assert ("openai" if model == GPT else "anthropic") in failed.value.message
    assert answer.choices[0].message.content, "what needs no provider is still served"


@pytest.mark.parametrize("model", [GPT, CLAUDE])
async def test_the_operators_refused_key_is_not_the_callers_authentication_error(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.default = Answer(fault=Fault.HTTP_401)
    async with openai_client(service) as client:
        with pytest.raises(openai.InternalServerError) as failed:
            await client.chat.completions.create(model=model, messages=QUESTION)
    assert failed.value.status_code == 502
    assert "key" in failed.value.message
