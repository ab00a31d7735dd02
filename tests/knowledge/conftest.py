"""What tests of vector stores share: a service that keeps them, and the SDK that speaks to it."""

from collections.abc import AsyncIterator

import openai
import pytest

from tests.fixtures.service import Serve, Service


@pytest.fixture
async def knowledge(serve: Serve) -> AsyncIterator[Service]:
    """A service that reads the files of stores itself."""
    async with serve(drain_s=1) as service:
        yield service


@pytest.fixture
async def client(knowledge: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    """The SDK, which holds every answer to its types."""
    async with openai.AsyncOpenAI(
        base_url=knowledge.openai_base_url,
        api_key=knowledge.tenant.secret,
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        yield client
