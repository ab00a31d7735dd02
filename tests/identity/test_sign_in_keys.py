"""The keys of access tokens while people are signed in: published, rotated, destroyed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import aiohttp
import jwt
import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.identity import key_store
from ali.kernel.db import make_engine
from ali.kernel.errors import AliError
from tests.fixtures.database import Tenant, make_tenant
from tests.fixtures.service import Service, running
from tests.identity.people import BEHIND_PROXY, PASSWORD, SECRET, Caller, audit, make_person

Result = TypeVar("Result")


@pytest.fixture
async def alone(database_dsn: str, tmp_path: Path) -> AsyncIterator[Service]:
    """A service of one organization, whose keys nobody else's test uses."""
    tenant = make_tenant(database_dsn)
    make_person(tenant)
    async with running(tenant, tmp_path, **BEHIND_PROXY) as service:
        yield service


async def test_public_halves_are_published_for_whoever_stands_in_front(
    alone: Service, http: aiohttp.ClientSession
) -> None:
    caller = Caller(http, alone)
    status, document = await caller("GET", "/.well-known/jwks.json")
    assert status == 200
    assert [set(key) for key in document["keys"]] == [{"kty", "crv", "x", "kid", "alg", "use"}]
    assert caller.headers["cache-control"] == "public, max-age=300"


async def test_after_a_rotation_old_tokens_are_good_and_new_ones_are_signed_with_the_new_key(
    alone: Service, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    caller, ana = Caller(http, alone), make_person(alone.tenant)
    before = await caller.signed_in(ana)
    async with running(alone.tenant, tmp_path, **BEHIND_PROXY) as replica:
        assert (await Caller(http, replica)("GET", "/me", token=before["access_token"]))[0] == 200
        kid = await _rotated(alone.tenant)
        await _published(caller, count=2)
        after = await caller.signed_in(ana)
        for service in (alone, replica):
            for tokens in (before, after):
                assert (await Caller(http, service)("GET", "/me", token=tokens["access_token"]))[0] == 200
    assert jwt_kid(after["access_token"]) == kid != jwt_kid(before["access_token"])
    assert audit(alone.tenant, like="sign_in_key.%") == ["sign_in_key.rotated"]


async def test_a_destroyed_key_ends_its_tokens_within_a_second_and_sessions_go_on_under_another(
    alone: Service, http: aiohttp.ClientSession
) -> None:
    caller, ana = Caller(http, alone), make_person(alone.tenant, role="owner")
    opened = await caller.signed_in(ana)
    kid = jwt_kid(opened["access_token"])
    status, done = await caller("POST", f"/keys/{kid}/destroy", token=opened["access_token"])
    assert (status, done["destroyed"]) == (200, True)
    deadline = time.monotonic() + 1
    while (await caller("GET", "/me", token=opened["access_token"]))[0] != 401:
        assert time.monotonic() < deadline, "still believed"
        await asyncio.sleep(0.02)
    status, renewed = await caller("POST", "/refresh", {"refresh_token": opened["refresh_token"]})
    assert status == 200
    assert (await caller("GET", "/me", token=renewed["access_token"]))[0] == 200
    status, answer = await caller("POST", f"/keys/{kid}/destroy", token=renewed["access_token"])
    assert (status, answer["error"]["code"]) == (404, "signing_key_not_found")
    assert audit(alone.tenant, like="sign_in_key.%") == ["sign_in_key.destroyed"]


async def test_destroying_takes_a_second_signature_where_the_organization_asks_for_one(
    alone: Service, http: aiohttp.ClientSession
) -> None:
    callers = [Caller(http, alone), Caller(http, alone)]
    ana, bia = [(await each.signed_in(make_person(alone.tenant, role="owner")))["access_token"] for each in callers]
    caller = callers[0]
    await caller("POST", "/v1/ali/organization", {"four_eyes": True}, token=ana)
    kid = jwt_kid(ana)
    status, answer = await caller("POST", f"/keys/{kid}/destroy", token=ana)
    assert (status, answer["error"]["code"]) == (403, "approval_required")
    wanted = {"verb": "sign_in_key.destroy", "target": kid, "reason": "It was seen in a log."}
    _, asked = await caller("POST", "/v1/ali/approvals", wanted, token=ana)
    assert (await caller("POST", f"/v1/ali/approvals/{asked['id']}/approve", token=bia))[0] == 200
    assert (await caller("POST", f"/keys/{kid}/destroy", token=ana, ali_approval=asked["id"]))[0] == 200


async def test_where_several_organizations_share_the_keys_none_may_destroy_one(
    alone: Service, http: aiohttp.ClientSession
) -> None:
    make_tenant(alone.tenant.dsn)
    caller = Caller(http, alone)
    token = (await caller.signed_in(make_person(alone.tenant, role="owner")))["access_token"]
    status, answer = await caller("POST", f"/keys/{jwt_kid(token)}/destroy", token=token)
    assert (status, answer["error"]["code"]) == (403, "operator_required")
    assert "ali auth destroy-key" in answer["error"]["message"]
    assert (await caller("GET", "/me", token=token))[0] == 200


async def test_the_operator_destroys_any_key_and_one_that_signs_is_replaced(alone: Service) -> None:
    first = await _as_owner(alone.tenant, key_store.listed)
    (only,) = [row.kid for row in first]
    await _as_owner(
        alone.tenant,
        lambda session: key_store.destroy(session, kid=only, hmac_secret=SECRET, now=datetime.now(UTC)),
    )
    (other,) = [row.kid for row in await _as_owner(alone.tenant, key_store.listed)]
    assert other != only
    with pytest.raises(AliError, match=r"jwks\.json"):
        await _as_owner(
            alone.tenant,
            lambda session: key_store.destroy(session, kid=only, hmac_secret=SECRET, now=datetime.now(UTC)),
        )


async def test_without_a_key_nobody_signs_in_and_the_answer_says_what_to_do(
    alone: Service, http: aiohttp.ClientSession
) -> None:
    ana = make_person(alone.tenant)
    with psycopg.connect(alone.tenant.dsn) as connection:
        connection.execute("delete from ali.signing_key")
    status, answer = await Caller(http, alone)("POST", "/sign-in", {"email": ana.email, "password": PASSWORD})
    assert (status, answer["error"]["code"]) == (503, "no_signing_key")
    assert "ali auth rotate-keys" in answer["error"]["message"]


async def _rotated(tenant: Tenant) -> str:
    return await _as_owner(tenant, lambda session: key_store.rotate(session, hmac_secret=SECRET, now=datetime.now(UTC)))


async def _as_owner(tenant: Tenant, act: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    """One verb as the command line does it."""
    engine = make_engine(tenant.dsn, size=1)
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            return await act(session)
    finally:
        await engine.dispose()


async def _published(caller: Caller, *, count: int) -> None:
    deadline = time.monotonic() + 1
    while len((await caller("GET", "/.well-known/jwks.json"))[1]["keys"]) != count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def jwt_kid(token: str) -> str:
    """The key that a token names."""
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid
