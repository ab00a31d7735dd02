"""What narrows a key, and that no key makes another which opens more than itself."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import psycopg
import pytest

from tests.administration.callers import TIMEOUT, add_key, audited, call, code_of
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1) as service:
        yield service


@pytest.fixture
def keys(tenant: Tenant) -> str:
    """The path of the project's keys."""
    return f"/projects/proj_{tenant.project_id.hex}/api_keys"


async def infer(service: Service, secret: str, model: str = "ali-extractive") -> tuple[int, Any]:
    """A call to a model with `secret`."""
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.post(
            f"{service.url}/v1/chat/completions",
            headers={"authorization": f"Bearer {secret}"},
            json={"model": model, "messages": [{"role": "user", "content": "The sky is blue. What is blue?"}]},
        ) as response,
    ):
        return response.status, await response.json()


async def test_a_key_shows_its_secret_once_and_has_what_was_asked_for(
    running: Service, tenant: Tenant, keys: str
) -> None:
    wanted = {
        "name": "  Narrow ",
        "role": "developer",
        "permissions": ["keys.read", "inference", "inference"],
        "allowed_models": ["ali-extractive"],
        "allowed_networks": ["127.0.0.0/8", "::1"],
        "expires_at": 4_102_444_800,
    }
    status, made = await call(running, tenant.secret, "POST", keys, json=wanted)
    assert status == 200
    assert made["value"].startswith("ali_")
    shown = {name: made[name] for name in wanted}
    assert shown == wanted | {
        "name": "Narrow",
        "permissions": ["inference", "keys.read"],
        "allowed_networks": ["127.0.0.0/8", "::1/128"],
    }
    _, read = await call(running, tenant.secret, "GET", f"{keys}/{made['id']}")
    assert "value" not in read
    assert made["value"] not in str(read)
    assert (await infer(running, made["value"]))[0] == 200
    assert code_of(await call(running, made["value"], "GET", "/projects")) == (403, "permission_denied")
    assert (await call(running, made["value"], "GET", keys))[0] == 200
    assert made["value"] not in str(audited(tenant))
    assert "Narrow" not in str(audited(tenant)), "a name is a text that people wrote"


WRONG: list[tuple[str, object]] = [
    ("role", "emperor"),
    ("role", 1),
    ("permissions", ["audit.read"]),
    ("permissions", ["no.such"]),
    ("permissions", "inference"),
    ("allowed_models", [""]),
    ("allowed_models", ["a\x00b"]),
    ("allowed_models", ["m"] * 101),
    ("allowed_networks", ["10.0.0.1/8"]),
    ("allowed_networks", ["somewhere"]),
    ("expires_at", 1),
    ("expires_at", -1),
    ("expires_at", 10**30),
    ("expires_at", "2030-01-01"),
    ("expires_in_seconds", 0),
    ("expires_in_seconds", True),
    ("name", ""),
    ("name", " "),
    ("name", "a\x00"),
    ("name", "x" * 201),
    ("name", "\ud800"),
    ("permisions", ["inference"]),
]


async def test_a_key_that_cannot_be_is_refused_and_the_field_is_named(
    running: Service, tenant: Tenant, keys: str
) -> None:
    for field, value in WRONG:
        status, body = await call(running, tenant.secret, "POST", keys, json={"name": "x", field: value})
        assert status == 400, (field, value, body)
        assert body["error"]["param"].split(".")[0] == field
    assert audited(tenant) == []


NARROW = {
    "models": (["ali-extractive"], None),
    "networks": (None, ["127.0.0.0/8", "::1/128"]),
}


@pytest.mark.parametrize("by", NARROW)
async def test_a_narrowed_key_makes_none_that_is_wider(running: Service, tenant: Tenant, keys: str, by: str) -> None:
    models, networks = NARROW[by]
    maker = add_key(tenant, role="developer", project=tenant.project_id, models=models, networks=networks)
    within = {
        "models": {"allowed_models": ["ali-extractive"]},
        "networks": {"allowed_networks": ["127.0.0.1", "127.1.0.0/16"]},
    }[by]
    beyond: list[dict[str, Any]] = {
        "models": [{}, {"allowed_models": ["ali-extractive", "gpt-5"]}],
        "networks": [{}, {"allowed_networks": ["0.0.0.0/0"]}, {"allowed_networks": ["127.0.0.1", "10.0.0.0/8"]}],
    }[by]
    status, made = await call(running, maker, "POST", keys, json={"name": "x", **within})
    assert status == 200, made
    for wanted in beyond:
        refused = await call(running, maker, "POST", keys, json={"name": "x", **wanted})
        assert code_of(refused) == (403, "restriction_beyond_yours")
    widened = dict.fromkeys(within)
    refused = await call(running, maker, "POST", f"{keys}/{made['id']}", json=widened)
    assert code_of(refused) == (403, "restriction_beyond_yours")


async def test_a_key_that_ends_makes_none_that_outlives_it(running: Service, tenant: Tenant, keys: str) -> None:
    _, maker = await call(
        running, tenant.secret, "POST", keys, json={"name": "x", "role": "developer", "expires_in_seconds": 600}
    )
    for lives in ({}, {"expires_in_seconds": 6000}):
        refused = await call(running, maker["value"], "POST", keys, json={"name": "x", **lives})
        assert code_of(refused) == (403, "restriction_beyond_yours")
    status, _ = await call(running, maker["value"], "POST", keys, json={"name": "x", "expires_in_seconds": 60})
    assert status == 200


async def test_a_key_narrowed_in_permissions_gives_none_that_it_lost(
    running: Service, tenant: Tenant, keys: str
) -> None:
    maker = add_key(tenant, role="developer", project=tenant.project_id, permissions=["keys.write", "keys.read"])
    refused = await call(running, maker, "POST", keys, json={"name": "x", "role": "member"})
    assert code_of(refused) == (403, "role_beyond_yours")


async def test_a_key_reaches_its_models_alone_and_lists_no_others(running: Service, tenant: Tenant) -> None:
    narrow = add_key(tenant, role="member", project=tenant.project_id, models=["ali-extractive"])
    assert (await infer(running, narrow))[0] == 200
    assert code_of(await infer(running, narrow, "ali-default")) == (403, "model_not_allowed")
    async with openai.AsyncOpenAI(base_url=running.openai_base_url, api_key=narrow, max_retries=0) as client:
        assert [model.id async for model in client.models.list()] == ["ali-extractive"]
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("ali-default")


async def test_a_key_is_taken_from_its_networks_alone(running: Service, tenant: Tenant) -> None:
    for networks, status in ((["127.0.0.0/8"], 200), (["10.0.0.0/8", "::/0"], 403), ([], 403)):
        secret = add_key(tenant, role="developer", project=tenant.project_id, networks=networks)
        assert (await infer(running, secret))[0] == status
        assert (await call(running, secret, "GET", "/projects"))[0] == status


async def test_the_last_use_of_a_key_is_kept_and_shown(running: Service, tenant: Tenant, keys: str) -> None:
    owner = add_key(tenant)
    assert (await infer(running, tenant.secret))[0] == 200
    ring = running.app.api.state.authenticator._keys
    ring._mark_at_s = 0.0
    await ring.mark_used()
    _, shown = await call(running, owner, "GET", f"{keys}/key_{tenant.key_id.hex}")
    assert shown["last_used_at"] >= shown["created_at"]


async def test_an_expired_key_opens_nothing_and_stays_expired(running: Service, tenant: Tenant, keys: str) -> None:
    _, made = await call(running, tenant.secret, "POST", keys, json={"name": "x", "expires_in_seconds": 600})
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute(
            "update ali.api_key set expires_at = now() - interval '1 second' where id = %s",
            (made["id"].removeprefix("key_"),),
        )
    assert (await infer(running, made["value"]))[0] == 401
    refused = await call(running, tenant.secret, "POST", f"{keys}/{made['id']}", json={"expires_in_seconds": 600})
    assert code_of(refused) == (409, "key_expired")


async def test_an_archived_project_takes_no_keys_and_its_keys_stop(running: Service, tenant: Tenant, keys: str) -> None:
    owner = add_key(tenant)
    assert (await call(running, owner, "POST", f"/projects/proj_{tenant.project_id.hex}/archive"))[0] == 200
    for path in (keys, keys.replace("api_keys", "service_accounts")):
        refused = await call(running, owner, "POST", path, json={"name": "x"})
        assert code_of(refused) == (409, "project_archived")
    assert (await call(running, owner, "GET", keys))[0] == 200, "what there was can still be seen"
    fresh = add_key(tenant, project=tenant.project_id)
    assert (await infer(running, fresh))[0] == 401
