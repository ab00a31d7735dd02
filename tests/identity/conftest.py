"""A running service and callers before it."""

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from tests.fixtures.service import Serve, Service
from tests.identity.people import BEHIND_PROXY, Caller

NewCaller = Callable[[], Caller]


@pytest.fixture
async def people(serve: Serve) -> AsyncIterator[Service]:
    """The service, where callers say their address."""
    async with serve(**BEHIND_PROXY) as service:
        yield service


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


@pytest.fixture
def caller(people: Service, http: aiohttp.ClientSession) -> Caller:
    return Caller(http, people)
