"""Responses as OpenAI's SDK asks for them, whichever upstream answers."""

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest

from ali.ops.simulator import Simulator
from tests.contract.judges import CLAUDE, EXTRACTIVE, openai_client
from tests.fixtures.service import Serve, Service, providers

LOCAL = "local/gpt-4.1"
NATIVE = "gpt-4.1"
MATERIAL = "The guarantee lasts for 24 months from the day of purchase. The pump weighs 85 kilograms."
EVERY_MODEL = pytest.mark.parametrize("model", [NATIVE, LOCAL, CLAUDE, EXTRACTIVE])


@pytest.fixture
async def service(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    local = {"name": "local", "base_url": simulator.openai_base_url, "models": [], "api_key": "sk-simulated"}
    async with serve(**providers(simulator), compatible_providers=[local], drain_s=2) as running:
        yield running


@EVERY_MODEL
async def test_a_response_is_what_the_sdk_defines(service: Service, model: str) -> None:
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=model, instructions=MATERIAL, input="How long does the guarantee last?"
        )
        assert made.status == "completed"
        assert made.output_text
        assert made.usage is not None
        fetched = await client.responses.retrieve(made.id)
        assert fetched.output_text == made.output_text
        events = [
            event
            async for event in await client.responses.create(
                model=model, instructions=MATERIAL, input="How long does the guarantee last?", stream=True
            )
        ]
        assert events[-1].type == "response.completed"
        again = await client.responses.create(
            model=model, instructions=MATERIAL, input="And what does the pump weigh?", previous_response_id=made.id
        )
        assert again.status == "completed"
        listed = await client.responses.input_items.list(again.id)
        assert len(listed.data) == 3
        await client.responses.delete(made.id)
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=model, input="More?", previous_response_id=made.id)
        assert refused.value.code == "previous_response_not_found"


@EVERY_MODEL
async def test_a_background_response_is_polled_and_streamed(service: Service, model: str) -> None:
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=model, instructions=MATERIAL, input="How long does the guarantee last?", background=True
        )
        assert made.status == "queued"
        fetched = await client.responses.retrieve(made.id)
        while fetched.status in ("queued", "in_progress"):
            await asyncio.sleep(0.05)
            fetched = await client.responses.retrieve(made.id)
        assert fetched.status == "completed"
        whole = [event async for event in await client.responses.retrieve(made.id, stream=True)]
        assert whole[-1].type == "response.completed"
        for seen in range(-1, len(whole)):
            rest = [event async for event in await client.responses.retrieve(made.id, stream=True, starting_after=seen)]
            assert rest == whole[seen + 1 :], f"after {seen}, each event once"
