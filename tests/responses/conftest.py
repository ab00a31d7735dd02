"""A service whose models are reached in each of the ways there are: natively, as chat completions, as Messages."""

from collections.abc import AsyncIterator

import pytest

from ali.ops.simulator import Simulator
from tests.fixtures.service import Serve, Service, providers
from tests.responses.shelved import ACT, GUIDE, Shelf


@pytest.fixture
async def service(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    """The service in front of `simulator`; `local/…` names its models without OpenAI's Responses API."""
    async with serve(**behind(simulator)) as running:
        yield running


def behind(simulator: Simulator) -> dict[str, object]:
    """Settings that put `simulator` behind every way of reaching a model."""
    local = {"name": "local", "base_url": simulator.openai_base_url, "models": [], "api_key": "sk-simulated"}
    return {
        **providers(simulator),
        "compatible_providers": [local],
        "upstream_connect_s": 1.0,
        "upstream_first_byte_s": 5.0,
        "upstream_silence_s": 5.0,
        "upstream_total_s": 10.0,
        "drain_s": 2,
    }


@pytest.fixture
async def shelf(service: Service) -> Shelf:
    """A store with an act of law, and a guide in English."""
    shelf = Shelf(service.tenant).make()
    await shelf.put("lei-1234.pdf", ACT, {"area": "rh"})
    await shelf.put("guide.pdf", GUIDE, {"area": "house"})
    return shelf
