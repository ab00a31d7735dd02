"""The Responses API over a WebSocket, as OpenAI's SDK opens it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ali.ops.simulator import Simulator
from tests.contract.judges import CLAUDE, EXTRACTIVE, openai_client
from tests.fixtures.service import Serve, Service, providers

MATERIAL = "The guarantee lasts for 24 months from the day of purchase. The pump weighs 85 kilograms."


@pytest.fixture
async def service(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    local = {"name": "local", "base_url": simulator.openai_base_url, "models": [], "api_key": "sk-simulated"}
    async with serve(**providers(simulator), compatible_providers=[local], drain_s=2) as running:
        yield running


async def test_hello(service: Service) -> None:
    async with openai_client(service) as client, client.responses.connect() as connection:
        await connection.response.create(model=EXTRACTIVE, instructions=MATERIAL, input="How long does the guarantee last?")
        async with asyncio.timeout(5):
            async for event in connection:
                print(event)
                if event.type in ("response.completed", "error"):
                    break
        assert event.type == "response.completed"
