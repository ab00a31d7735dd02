"""An issuer of OpenID Connect, and the way to ask it."""

from collections.abc import AsyncIterator

import pytest

from ali.features.identity.openid import Fetch
from tests.unit.identity.issuer import Issuer, fetching, issuing


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as issuer:
        yield issuer


@pytest.fixture
async def fetch() -> AsyncIterator[Fetch]:
    async with fetching() as fetch:
        yield fetch
