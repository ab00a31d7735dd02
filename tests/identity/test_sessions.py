"""Sessions: renewed, listed, ended; and what an access token opens where."""

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from ali.features.identity import sessions, tokens
from ali.features.identity.signing_keys import SigningKey, new_signing_key, signing_key, unwrap
from tests.end_to_end.service import clean_environment, question
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant
from tests.fixtures.service import Service
from tests.identity.people import SECRET, Caller, audit, make_person
from tests.unit.identity.hostile_tokens import hostile_tokens, signed


async def test_a_refresh_token_serves_once_and_a_second_time_ends_the_session(people: Service, caller: Caller) -> None:
    first = await caller.signed_in(make_person(people.tenant))
    status, second = await caller("POST", "/refresh", {"refresh_token": first["refresh_token"]})
    assert (status, second["session_id"]) == (200, first["session_id"])
    assert (await caller("GET", "/me", token=second["access_token"]))[0] == 200
    status, refused = await caller("POST", "/refresh", {"refresh_token": first["refresh_token"]})
    assert (status, refused["error"]["code"]) == (401, "invalid_refresh_token")
    assert (await caller("POST", "/refresh", {"refresh_token": second["refresh_token"]}))[0] == 401
    assert audit(people.tenant, like="session.%") == ["session.refresh_reused", "session.ended"]


async def test_of_fifty_that_present_one_token_at_once_one_succeeds_and_the_session_ends(
    people: Service, caller: Caller
) -> None:
    first = await caller.signed_in(make_person(people.tenant))
    body = {"refresh_token": first["refresh_token"]}
    answers = await asyncio.gather(*(caller("POST", "/refresh", body) for _ in range(50)))
    assert sorted(status for status, _ in answers) == [200] + [401] * 49
    renewed = next(answer for status, answer in answers if status == 200)
    assert (await caller("POST", "/refresh", {"refresh_token": renewed["refresh_token"]}))[0] == 401
    await _refused_within_a_second(caller, renewed["access_token"])
    assert audit(people.tenant, like="session.%") == ["session.refresh_reused", "session.ended"]


async def test_a_session_runs_out_when_nobody_uses_it_and_after_thirty_days(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant)
    for column, days in (("last_used_at", 14), ("created_at", 30)):
        opened = await caller.signed_in(ana)
        with psycopg.connect(people.tenant.dsn) as connection:
            statement = psycopg.sql.SQL("update ali.session set {} = now() - interval '1 day' * %s where user_id = %s")
            connection.execute(statement.format(psycopg.sql.Identifier(column)), (days, ana.id))
        assert (await caller("POST", "/refresh", {"refresh_token": opened["refresh_token"]}))[0] == 401
    with psycopg.connect(people.tenant.dsn) as connection:
        rows = connection.execute("select end_reason from ali.session where user_id = %s", (ana.id,)).fetchall()
    assert rows == [("expired",), ("expired",)]


async def test_a_disabled_person_is_out_at_once(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant)
    opened = await caller.signed_in(ana)
    assert (await caller("GET", "/me", token=opened["access_token"]))[0] == 200
    with psycopg.connect(people.tenant.dsn) as connection:
        connection.execute("update ali.user_account set disabled_at = now() where id = %s", (ana.id,))
        connection.execute("select ali.advance_access_epoch()")
    await _refused_within_a_second(caller, opened["access_token"])
    assert (await caller("POST", "/refresh", {"refresh_token": opened["refresh_token"]}))[0] == 401


async def test_sessions_are_listed_and_ended_by_their_person_alone(
    people: Service, http: aiohttp.ClientSession, caller: Caller
) -> None:
    ana, bia = make_person(people.tenant), make_person(people.tenant)
    there = await caller.signed_in(ana)
    here, hers = await Caller(http, people).signed_in(ana), await Caller(http, people).signed_in(bia)
    status, listed = await caller("GET", "/sessions", token=here["access_token"])
    assert status == 200
    assert [(each["id"], each["present"]) for each in listed["data"]] == [
        (here["session_id"], True),
        (there["session_id"], False),
    ]
    assert listed["data"][1]["address"] == caller.address
    assert "aiohttp" in listed["data"][1]["user_agent"]
    foreign = await caller("DELETE", f"/sessions/{hers['session_id']}", token=here["access_token"])
    assert foreign == await caller("DELETE", f"/sessions/session_{'0' * 32}", token=here["access_token"])
    assert foreign == await caller("DELETE", "/sessions/%00x", token=here["access_token"])
    assert (foreign[0], foreign[1]["error"]["code"]) == (404, "session_not_found")
    assert (await caller("DELETE", f"/sessions/{there['session_id']}", token=here["access_token"]))[0] == 200
    await _refused_within_a_second(caller, there["access_token"])
    assert (await caller("GET", "/me", token=hers["access_token"]))[0] == 200


async def test_signing_out_ends_the_present_session_and_everywhere_ends_all(
    people: Service, http: aiohttp.ClientSession, caller: Caller
) -> None:
    ana = make_person(people.tenant)
    first, second, third = [await Caller(http, people).signed_in(ana) for _ in range(3)]
    assert (await caller("POST", "/sign-out", token=first["access_token"]))[1]["ended"] == 1
    await _refused_within_a_second(caller, first["access_token"])
    assert (await caller("POST", "/sign-out-everywhere", token=second["access_token"]))[1]["ended"] == 2
    await _refused_within_a_second(caller, third["access_token"])


async def test_keys_of_programs_are_refused_where_a_person_is_asked_for(people: Service, caller: Caller) -> None:
    for method, path in (("GET", "/me"), ("GET", "/sessions"), ("POST", "/sign-out"), ("POST", "/sign-out-everywhere")):
        status, answer = await caller(method, path, token=people.tenant.secret)
        assert (status, answer["error"]["code"]) == (403, "person_required")
        assert (await caller(method, path))[0] == 401


async def test_a_person_acts_in_the_projects_they_are_members_of(people: Service, caller: Caller) -> None:
    ana, bia = make_person(people.tenant, role="member", member="developer"), make_person(people.tenant)
    elsewhere = make_tenant(people.tenant.dsn)
    token = (await caller.signed_in(ana))["access_token"]
    project = f"proj_{people.tenant.project_id.hex}"
    _, me = await caller("GET", "/me", token=token)
    assert me["projects"] == [{"id": project, "name": "Test project", "role": "developer"}]
    assert "keys.write" in me["permissions"], "what the membership carries, in its project"
    for named in ({}, {"openai_project": project}):
        status, _ = await caller("POST", "/v1/chat/completions", question("Hi."), token=token, **named)
        assert status == 200, "where no project is named, it is one of theirs"
    records = await people.records()
    assert [(record["user_id"], record["api_key_id"]) for record in records] == [(ana.id, None)] * 2

    stranger = (await caller.signed_in(bia))["access_token"]
    status, answer = await caller("POST", "/v1/chat/completions", question("Hi."), token=stranger)
    assert (status, answer["error"]["code"]) == (400, "project_required")
    for wanted in (project, f"proj_{elsewhere.project_id.hex}", f"proj_{uuid4().hex}"):
        status, answer = await caller("GET", "/me", token=stranger, openai_project=wanted)
        assert (status, answer["error"]["code"]) == (401, "mismatched_project")


async def test_a_changed_role_holds_within_a_second(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant, role="owner")
    token = (await caller.signed_in(ana))["access_token"]
    assert (await caller("GET", "/v1/ali/approvals", token=token))[0] == 200
    with psycopg.connect(people.tenant.dsn) as connection:
        connection.execute("update ali.user_account set role = 'member' where id = %s", (ana.id,))
        connection.execute("select ali.advance_access_epoch()")
    deadline = time.monotonic() + 1
    while (await caller("GET", "/v1/ali/approvals", token=token))[0] != 403:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_the_worst_tokens_open_nothing_of_the_running_service(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant, role="owner")
    opened = await caller.signed_in(ana)
    key, other = _signing_key(people.tenant), new_signing_key(now=datetime.now(UTC))
    header, claims = _parts(opened["access_token"])
    assert (await caller("GET", "/me", token=signed(header, claims, key=key)))[0] == 200, "the true key's word counts"
    hostile = dict(hostile_tokens(header, claims, key=key, other=other, p256=_p256()))
    wanted = (
        *("alg 'none'", "alg 'nOnE'", "HS256 under the PEM", "HS256 under the raw key", "no kid", "no typ"),
        *("RS256 named, EdDSA made", "an unpublished key", "an unpublished key under a published name", "typ 'JWT'"),
        *("aud 'other'", "iss 'https://other.example'", "expired by a second past the leeway", "a signature of zeros"),
        *("claims: sub twice", "claims: NaN", "kid '../../../../dev/null'", "['crit'] ['exp']"),
        "['jku'] 'http://127.0.0.1:9/jwks.json' by its own key",
    )
    for name in wanted:
        status, answer = await caller("GET", "/me", token=hostile[name])
        assert (status, answer["error"]["type"]) == (401, "authentication_error"), name


async def test_a_token_of_a_session_that_is_not_its_persons_or_organizations_is_refused(
    people: Service, caller: Caller
) -> None:
    """Truly signed, as by a release with a bug."""
    ana, bia = make_person(people.tenant), make_person(people.tenant)
    opened, hers = await caller.signed_in(ana), await Caller(caller._session, people).signed_in(bia)
    key = _signing_key(people.tenant)
    header, claims = _parts(opened["access_token"])
    _, other = _parts(hers["access_token"])
    for changed in ({"sid": other["sid"]}, {"sub": other["sub"]}, {"org": str(uuid4())}, {"sid": str(uuid4())}):
        status, answer = await caller("GET", "/me", token=signed(header, {**claims, **changed}, key=key))
        assert (status, answer["error"]["code"]) == (401, "session_ended")


async def test_the_end_of_a_session_reaches_another_process_within_a_second(
    people: Service, http: aiohttp.ClientSession, caller: Caller, replica: str
) -> None:
    opened = await caller.signed_in(make_person(people.tenant, role="owner"))
    there = Caller(http, replica)
    assert (await there("GET", "/me", token=opened["access_token"]))[0] == 200
    assert (await there("GET", "/v1/models", token=opened["access_token"]))[0] == 200
    assert (await caller("POST", "/sign-out", token=opened["access_token"]))[0] == 200
    await _refused_within_a_second(there, opened["access_token"])


def test_the_answer_tells_the_life_that_tokens_have() -> None:
    assert sessions.ACCESS_LIFETIME == tokens.LIFETIME == timedelta(minutes=10)


async def test_housekeeping_takes_what_has_run_out_and_nothing_else(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant)
    old, present = await caller.signed_in(ana), await caller.signed_in(ana)
    with psycopg.connect(people.tenant.dsn) as connection:
        connection.execute(
            "update ali.session set last_used_at = now() - interval '45 days' where id = %s",
            (old["session_id"].removeprefix("session_"),),
        )
        connection.execute("select ali.tidy_sign_in(1000)")
        rows = connection.execute("select id from ali.session where user_id = %s", (ana.id,)).fetchall()
    assert [row[0].hex for row in rows] == [present["session_id"].removeprefix("session_")]


@pytest.fixture
async def replica(people: Service) -> AsyncIterator[str]:
    """The same service in another process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = (
        "import sys, uvicorn; from ali.app import create_app_from_environment as make;"
        "uvicorn.run(make(), host='127.0.0.1', port=int(sys.argv[1]), log_config=None)"
    )
    environment = clean_environment(
        DATABASE_URL=people.tenant.dsn, ALI_API_KEY_HMAC_SECRET=HMAC_SECRET, ALI_LOG_LEVEL="error"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(port)], env={**os.environ, **environment})  # noqa: ASYNC220, S603 - our own, and it returns at once
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert process.poll() is None, "the other process did not start"
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def _refused_within_a_second(caller: Caller, token: str) -> None:
    deadline = time.monotonic() + 1
    while (await caller("GET", "/me", token=token))[0] != 401:
        assert time.monotonic() < deadline, "still believed"
        await asyncio.sleep(0.02)
    status, answer = await caller("GET", "/me", token=token)
    assert (status, answer["error"]["code"]) == (401, "session_ended")


def _signing_key(tenant: Tenant) -> SigningKey:
    """The key that the installation signs with."""
    with psycopg.connect(tenant.dsn) as connection:
        row = connection.execute(
            "select wrapped, kid, created_at from ali.signing_key where retired_at is null order by created_at desc"
        ).fetchone()
    assert row is not None
    return unwrap(row[0], kid=row[1], secret=SECRET, created_at=row[2])


def _p256() -> SigningKey:
    return signing_key(generate_private_key(SECP256R1()), created_at=datetime.now(UTC))


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token."""
    header, claims, _ = token.split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims)]
    return read[0], read[1]
