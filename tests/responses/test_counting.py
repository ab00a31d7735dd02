"""Counting the tokens of a response's input, by whoever would be asked."""

from typing import Any

import aiohttp
import openai
import pytest

from ali.ops.simulator import Fault, Simulator
from tests.contract.judges import CLAUDE, EXTRACTIVE, openai_client
from tests.fixtures.service import Service

NATIVE = "gpt-4.1"
LOCAL = "local/gpt-4.1"
EVERY_MODEL = pytest.mark.parametrize("model", [NATIVE, LOCAL, CLAUDE, EXTRACTIVE])
LONG = "The pump weighs 85 kilograms. " * 100


@EVERY_MODEL
async def test_what_was_said_before_counts_too(service: Service, model: str) -> None:
    async with openai_client(service) as client:
        conversation = await client.conversations.create(items=[{"type": "message", "role": "user", "content": LONG}])
        alone = await client.responses.input_tokens.count(model=model, input="What does it weigh?")
        assert alone.object == "response.input_tokens"
        made = await client.responses.create(model=model, input=LONG)
        chained = await client.responses.input_tokens.count(
            model=model, input="What does it weigh?", previous_response_id=made.id
        )
        talked = await client.responses.input_tokens.count(
            model=model, input="What does it weigh?", conversation=conversation.id
        )
    assert 0 < alone.input_tokens < 100
    assert chained.input_tokens > alone.input_tokens + 500
    assert talked.input_tokens > alone.input_tokens + 500


@pytest.mark.parametrize(
    ("model", "path"), [(NATIVE, "/v1/responses/input_tokens"), (CLAUDE, "/v1/messages/count_tokens"), (LOCAL, None)]
)
async def test_the_provider_itself_counts_where_it_can(
    service: Service, simulator: Simulator, model: str, path: str | None
) -> None:
    body = {
        "model": model,
        "instructions": "Be brief.",
        "input": "Hello there",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}],
        "max_output_tokens": 100,
        "temperature": 0.5,
        "metadata": {"a": "b"},
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{service.url}/v1/responses/input_tokens", json=body, headers=service.headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        estimated = answer.headers.get("x-ali-estimated")
        counted = (await answer.json())["input_tokens"]
    assert counted > 0
    if path is None:
        assert estimated == "true"
        assert not simulator.requests
    else:
        assert estimated is None
        assert [request.path for request in simulator.requests] == [path]
        sent = simulator.last.json
        assert "tools" in sent
        assert not {"max_tokens", "max_output_tokens", "stream", "store", "temperature", "metadata"} & set(sent)


async def test_a_count_is_recorded_and_costs_nothing(service: Service) -> None:
    async with openai_client(service) as client:
        await client.responses.input_tokens.count(model=CLAUDE, input="Hello")
    (record,) = await service.records()
    assert record["operation"] == "responses.input_tokens"
    assert record["outcome"] == "ok"
    assert record["cost_microusd"] == 0
    assert record["input_tokens"] == 0


async def test_nothing_is_written_and_nothing_claimed(service: Service) -> None:
    async with openai_client(service) as client:
        conversation = await client.conversations.create()
        await client.responses.input_tokens.count(model=NATIVE, input="Hello", conversation=conversation.id)
        assert not (await client.conversations.items.list(conversation.id)).data
        made = await client.responses.create(model=NATIVE, input="Hello", conversation=conversation.id)
        assert made.status == "completed", "no claim is left"


async def test_what_is_not_there_is_refused(service: Service, simulator: Simulator) -> None:
    async with openai_client(service) as client:
        missing = f"resp_{'0' * 32}"
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.input_tokens.count(model=NATIVE, input="Hello", previous_response_id=missing)
        assert refused.value.code == "previous_response_not_found"
        with pytest.raises(openai.NotFoundError):
            await client.responses.input_tokens.count(model=NATIVE, input="Hello", conversation=f"conv_{'0' * 32}")
        wrong: Any = [{"type": "nonsense"}]
        with pytest.raises(openai.BadRequestError) as broken:
            await client.responses.input_tokens.count(model=NATIVE, input=wrong)
        assert broken.value.param == "input[0].type"
        with pytest.raises(openai.BadRequestError) as inputless:
            await client.responses.input_tokens.count(model=NATIVE)
        assert inputless.value.param == "input"
    assert not simulator.requests


async def test_a_provider_that_fails_is_told_of_and_recorded(service: Service, simulator: Simulator) -> None:
    simulator.script(Fault.HTTP_500, Fault.HTTP_500)
    async with openai_client(service) as client:
        with pytest.raises(openai.InternalServerError):
            await client.responses.input_tokens.count(model=CLAUDE, input="Hello")
    (record,) = await service.records()
    assert record["outcome"] == "error"
    assert record["cost_microusd"] == 0
