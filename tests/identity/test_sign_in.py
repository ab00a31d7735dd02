"""Signing in: who gets in, who does not, and that neither tells more than it must."""

import asyncio
from typing import Any

import aiohttp
import psycopg
import pytest
from argon2 import PasswordHasher

from ali.features.identity import passwords
from ali.features.identity.desk import Desk
from tests.fixtures.service import Service
from tests.identity.people import PASSWORD, Caller, audit, make_person

WRONG = "outra senha bem comprida"


async def test_the_right_password_opens_a_session_whose_token_is_taken_everywhere(
    people: Service, caller: Caller
) -> None:
    ana = make_person(people.tenant, role="owner")
    status, tokens = await caller("POST", "/sign-in", {"email": ana.email.upper(), "password": PASSWORD})
    assert status == 200
    assert (tokens["token_type"], tokens["expires_in"], tokens["user_id"]) == ("Bearer", 600, ana.name)
    assert caller.headers["cache-control"] == "no-store"
    status, me = await caller("GET", "/me", token=tokens["access_token"])
    assert (status, me["email"], me["role"], me["session_id"]) == (200, ana.email, "owner", tokens["session_id"])
    assert (await caller("GET", "/v1/models", token=tokens["access_token"]))[0] == 200
    assert (await caller("GET", "/v1/ali/organization", token=tokens["access_token"]))[0] == 200
    assert audit(people.tenant) == ["user.signed_in"]


async def test_a_wrong_password_an_unknown_and_a_disabled_account_get_one_answer_after_one_hash(
    people: Service, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, disabled, without = (make_person(people.tenant, password=has) for has in (True, True, False))
    with psycopg.connect(people.tenant.dsn) as connection:
        connection.execute("update ali.user_account set disabled_at = now() where id = %s", (disabled.id,))
    hashes: list[str | None] = []
    verify = passwords._matches

    def counted(password: str, *, stored: str | None) -> bool:
        hashes.append(stored)
        return verify(password, stored=stored)

    monkeypatch.setattr(passwords, "_matches", counted)
    answers = []
    for email, password in (
        (known.email, WRONG),
        ("nobody@example.org", PASSWORD),
        (disabled.email, PASSWORD),
        (without.email, PASSWORD),
    ):
        answers.append(
            await Caller(caller._session, people)("POST", "/sign-in", {"email": email, "password": password})
        )
    assert {status for status, _ in answers} == {401}
    assert answers[0][1]["error"]["code"] == "sign_in_refused"
    assert all(answer == answers[0] for answer in answers)
    assert len(hashes) == 4
    await _desk(people).records.settled()
    assert audit(people.tenant) == ["user.sign_in_failed"] * 2, "of accounts that could have signed in"


async def test_each_failure_makes_the_next_try_wait_and_the_right_password_ends_that(
    people: Service, caller: Caller
) -> None:
    ana = make_person(people.tenant)
    assert (await caller("POST", "/sign-in", {"email": ana.email, "password": WRONG}))[0] == 401
    _count(people, at_least=1, count=7)
    status, answer = await caller("POST", "/sign-in", {"email": ana.email, "password": PASSWORD})
    assert (status, answer["error"]["code"]) == (429, "too_many_attempts")
    assert 14 <= int(caller.headers["retry-after"]) <= 16
    elsewhere = Caller(caller._session, people)
    assert (await elsewhere.signed_in(ana))["access_token"], "who tries elsewhere keeps nobody out"
    _later(people, seconds=16)
    assert (await caller.signed_in(ana))["access_token"]
    assert (await caller("POST", "/sign-in", {"email": ana.email, "password": WRONG}))[0] == 401, "counted anew"


async def test_an_address_that_tries_one_account_after_the_other_waits_too(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant)
    for number in range(24):
        email = f"somebody-{number}@example.org"
        assert (await caller("POST", "/sign-in", {"email": email, "password": WRONG}))[0] == 401
        _later(people, seconds=3)
    status, _ = await caller("POST", "/sign-in", {"email": ana.email, "password": PASSWORD})
    assert status == 200, "eased meanwhile"
    _count(people, at_least=20, count=30)
    assert (await caller("POST", "/sign-in", {"email": ana.email, "password": PASSWORD}))[0] == 429


async def test_of_many_guesses_at_once_one_is_looked_at(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant)
    body = {"email": ana.email, "password": WRONG}
    answers = await asyncio.gather(*(caller("POST", "/sign-in", body) for _ in range(20)))
    assert sorted(status for status, _ in answers) == [401] + [429] * 19


async def test_a_second_factor_is_asked_for_once_the_password_is_right_and_each_code_works_once(
    people: Service, caller: Caller
) -> None:
    ana = make_person(people.tenant, second_factor=True)
    body: dict[str, Any] = {"email": ana.email, "password": PASSWORD}
    status, answer = await caller("POST", "/sign-in", body)
    assert (status, answer["error"]["code"]) == (401, "second_factor_required")
    status, answer = await Caller(caller._session, people)("POST", "/sign-in", {**body, "password": WRONG})
    assert (status, answer["error"]["code"]) == (401, "sign_in_refused")
    code = ana.code()
    answers = await asyncio.gather(
        *(Caller(caller._session, people)("POST", "/sign-in", {**body, "code": code}) for _ in range(5))
    )
    assert [status for status, _ in answers].count(200) == 1
    _later(people, seconds=60)
    status, answer = await caller("POST", "/sign-in", {**body, "code": code})
    assert (status, answer["error"]["code"]) == (401, "sign_in_refused"), "a code works once"


async def test_a_recovery_code_serves_once_however_it_is_typed(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant, second_factor=True)
    body = {"email": ana.email, "password": PASSWORD, "code": ana.recovery_codes[3].lower().replace("-", " ")}
    status, tokens = await caller("POST", "/sign-in", body)
    assert status == 200
    status, me = await caller("GET", "/me", token=tokens["access_token"])
    assert (me["recovery_codes_left"], me["second_factor"]) == (9, True)
    assert (await caller("POST", "/sign-in", body))[0] == 401
    assert "user.recovery_code_used" in audit(people.tenant)


async def test_guesses_of_the_code_wait_wherever_they_come_from(people: Service, http: aiohttp.ClientSession) -> None:
    ana = make_person(people.tenant, second_factor=True)
    body = {"email": ana.email, "password": PASSWORD, "code": "000000"}
    assert (await Caller(http, people)("POST", "/sign-in", body))[0] == 401
    status, answer = await Caller(http, people)("POST", "/sign-in", body)
    assert (status, answer["error"]["code"]) == (429, "too_many_attempts")


async def test_errors_are_told_in_portuguese_to_who_prefers_it(people: Service, caller: Caller) -> None:
    body = {"email": "ninguem@example.org", "password": WRONG}
    for preference, expected in (
        ("pt-BR,pt;q=0.9,en;q=0.5", "senha"),
        ("de, pt;q=0.3, en;q=0.1", "senha"),
        ("en-GB, pt;q=0.5", "password"),
        ("fr", "password"),
        ("pt;q=x;;;,", "password"),
    ):
        _, answer = await Caller(caller._session, people)("POST", "/sign-in", body, accept_language=preference)
        assert expected in answer["error"]["message"], preference
        assert answer["error"]["code"] == "sign_in_refused"


async def test_metrics_count_sign_ins_by_their_result(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant)
    await caller.signed_in(ana)
    await caller("POST", "/sign-in", {"email": ana.email, "password": WRONG})
    await caller("POST", "/sign-in", {"email": ana.email, "password": WRONG})
    metrics = _desk(people).metrics.exposition().decode()
    for result in ("ok", "refused", "too_many_attempts"):
        assert f'ali_sign_ins_total{{result="{result}"}} 1.0' in metrics


async def test_a_password_under_older_parameters_is_hashed_anew(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant)
    older = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    with psycopg.connect(people.tenant.dsn) as connection:
        connection.execute("update ali.user_account set password_hash = %s where id = %s", (older, ana.id))
    await caller.signed_in(ana)
    with psycopg.connect(people.tenant.dsn) as connection:
        row = connection.execute("select password_hash from ali.user_account where id = %s", (ana.id,)).fetchone()
    assert row is not None
    assert row[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await caller.signed_in(ana)


def _desk(service: Service) -> Desk:
    desk: Desk = service.app.api.state.desk
    return desk


def _count(service: Service, *, at_least: int, count: int) -> None:
    """As if there had been `count` failures in a row, wherever there were `at_least` some in this test."""
    with psycopg.connect(service.tenant.dsn) as connection:
        connection.execute(
            "update ali.sign_in_failure set count = %s, last_at = now() where count >= %s"
            " and last_at > now() - interval '1 minute' * 5",
            (count, at_least),
        )


def _later(service: Service, *, seconds: int) -> None:
    """As if `seconds` had passed since every failure."""
    with psycopg.connect(service.tenant.dsn) as connection:
        connection.execute("update ali.sign_in_failure set last_at = last_at - interval '1 second' * %s", (seconds,))
