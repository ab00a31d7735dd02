"""The service and its SDKs, for tests of files."""

from collections.abc import AsyncIterator

import anthropic
import openai
import pytest

from tests.fixtures.service import Serve, Service


@pytest.fixture
async def files(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1) as service:
        yield service


@pytest.fixture
async def client(files: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=files.openai_base_url, api_key=files.tenant.secret, max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(files: Service) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=files.url, api_key=files.tenant.secret, max_retries=0) as client:
        yield client
