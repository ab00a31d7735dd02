"""What people do about their own account: passwords, links to new ones, invitations, the second factor."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import psycopg
import pyotp
import pytest

from ali.features.identity import opaque
from ali.features.identity.desk import Desk
from ali.kernel.ids import uuid7
from tests.fixtures.database import Tenant, make_tenant
from tests.fixtures.service import Serve, Service
from tests.identity.people import BEHIND_PROXY, PASSWORD, SECRET, Account, Caller, audit, make_person
from tests.unit.identity.test_mail import Inbox, serving

NEW = "a chuva molha o telhado azul"
WRONG = "outra senha bem comprida"


@pytest.fixture
async def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def mailing(serve: Serve, inbox: Inbox) -> AsyncIterator[Service]:
    """The service with a mail server, reached at an address of its own."""
    async with serving(inbox) as port:
        settings = {"smtp_url": f"smtp://127.0.0.1:{port}", "mail_from": "Ali <ali@example.com>"}
        async with serve(**BEHIND_PROXY, **settings, public_url="https://ali.example") as service:
            yield service


async def test_a_changed_password_ends_the_other_sessions_and_the_old_one_is_worth_nothing(
    people: Service, http: aiohttp.ClientSession, caller: Caller
) -> None:
    ana = make_person(people.tenant)
    there, here = await Caller(http, people).signed_in(ana), await caller.signed_in(ana)
    path, token = "/password/change", here["access_token"]
    status, answer = await caller("POST", path, {"password": WRONG, "new_password": NEW}, token=token)
    assert (status, answer["error"]["code"]) == (403, "password_wrong")
    await asyncio.sleep(0.3)  # the wait that one failure brings
    status, answer = await caller("POST", path, {"password": PASSWORD, "new_password": "123456789012"}, token=token)
    assert (status, answer["error"]["code"]) == (422, "password_refused")
    status, answer = await caller("POST", path, {"password": PASSWORD, "new_password": NEW}, token=token)
    assert (status, answer) == (200, {"object": "ali.password", "changed": True})
    assert (await caller("GET", "/me", token=token))[0] == 200, "the present session stays"
    assert (await caller("POST", "/refresh", {"refresh_token": there["refresh_token"]}))[0] == 401
    assert (await caller("POST", "/sign-in", {"email": ana.email, "password": PASSWORD}))[0] == 401
    assert (await Caller(http, people).signed_in(ana, password=NEW))["access_token"]
    assert "user.password_changed" in audit(people.tenant)


async def test_a_link_is_mailed_to_who_has_an_account_and_the_answer_is_the_same_for_all(
    mailing: Service, http: aiohttp.ClientSession, inbox: Inbox
) -> None:
    ana, without = make_person(mailing.tenant), make_person(mailing.tenant, password=False)
    answers = [
        await Caller(http, mailing)("POST", "/password/reset", {"email": email}, accept_language="pt-BR")
        for email in (ana.email, without.email, "nobody@example.org")
    ]
    assert answers == [(202, {"object": "ali.password_reset", "requested": True})] * 3
    await _desk(mailing).letters.settled()
    mail = inbox.only()
    assert mail["To"] == ana.email
    assert "Choose" not in mail.get_content(), "in the language of who asked"
    assert "https://ali.example/reset-password#token=ali_rst_" in mail.get_content()


async def test_a_link_to_a_new_password_serves_once_even_when_followed_by_many_at_once(
    mailing: Service, http: aiohttp.ClientSession, inbox: Inbox
) -> None:
    ana = make_person(mailing.tenant, second_factor=True)
    before = await Caller(http, mailing).signed_in(ana)
    await Caller(http, mailing)("POST", "/password/reset", {"email": ana.email})
    await _desk(mailing).letters.settled()
    found = re.search(r"ali_rst_\w+", inbox.only().get_content())
    assert found is not None
    path, body = "/password/reset/confirm", {"token": found.group(), "password": NEW}
    status, answer = await Caller(http, mailing)("POST", path, {**body, "password": "short"})
    assert (status, answer["error"]["code"]) == (422, "password_refused"), "and the link stays good"
    answers = await asyncio.gather(*(Caller(http, mailing)("POST", path, body) for _ in range(6)))
    assert sorted(status for status, _ in answers) == [200] + [400] * 5
    assert {answer["error"]["code"] for status, answer in answers if status == 400} == {"link_refused"}
    assert (await Caller(http, mailing)("POST", "/refresh", {"refresh_token": before["refresh_token"]}))[0] == 401
    status, answer = await Caller(http, mailing)("POST", "/sign-in", {"email": ana.email, "password": NEW})
    assert answer["error"]["code"] == "second_factor_required", "a reset takes no second factor away"


async def test_a_link_that_has_run_out_or_was_never_issued_is_refused(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant)
    expired = opaque.mint(opaque.PASSWORD_RESET)
    with psycopg.connect(people.tenant.dsn) as connection:
        connection.execute(
            "insert into ali.password_reset (digest, organization_id, user_id, expires_at) values (%s, %s, %s, now())",
            (opaque.digest(expired, hmac_secret=SECRET), people.tenant.organization_id, ana.id),
        )
    for token in (expired, opaque.mint(opaque.PASSWORD_RESET), opaque.mint(opaque.INVITATION), "x", "\u00e9" * 57):
        status, answer = await caller("POST", "/password/reset/confirm", {"token": token, "password": NEW})
        assert (status, answer["error"]["code"]) == (400, "link_refused")


async def test_who_asks_for_links_again_and_again_waits_and_an_account_gets_three(
    mailing: Service, http: aiohttp.ClientSession, inbox: Inbox
) -> None:
    ana = make_person(mailing.tenant)
    for _ in range(5):
        assert (await Caller(http, mailing)("POST", "/password/reset", {"email": ana.email}))[0] == 202
    await _desk(mailing).letters.settled()
    assert len(inbox.envelopes) == 3
    one = Caller(http, mailing)
    body = {"email": "nobody@example.org"}
    answers = [await one("POST", "/password/reset", body) for _ in range(4)]
    assert [status for status, _ in answers] == [202, 429, 429, 429]
    assert one.headers["retry-after"] == "1"


async def test_an_invitation_makes_an_account_with_its_role_and_memberships_once(
    people: Service, http: aiohttp.ClientSession
) -> None:
    make_person(people.tenant)
    elsewhere = make_tenant(people.tenant.dsn)
    projects = [
        {"id": str(people.tenant.project_id), "role": "developer"},
        {"id": str(elsewhere.project_id), "role": "owner"},
    ]
    token = invited(people.tenant, "Bia@Example.org".lower(), role="member", projects=projects)
    body = {"token": token, "name": "Bia Lima", "password": NEW}
    status, answer = await Caller(http, people)("POST", "/invitations/accept", {**body, "password": "password1234"})
    assert (status, answer["error"]["code"]) == (422, "password_refused"), "and the link stays good"
    answers = await asyncio.gather(*(Caller(http, people)("POST", "/invitations/accept", body) for _ in range(6)))
    assert sorted(status for status, _ in answers) == [200] + [400] * 5
    opened = next(answer for status, answer in answers if status == 200)
    _, me = await Caller(http, people)("GET", "/me", token=opened["access_token"])
    assert (me["email"], me["name"], me["role"]) == ("bia@example.org", "Bia Lima", "member")
    assert [(each["id"], each["role"]) for each in me["projects"]] == [
        (f"proj_{people.tenant.project_id.hex}", "developer")
    ], "another organization's project is no part of an invitation"
    assert audit(people.tenant, like="invite.%") == ["invite.accepted"]
    again = invited(people.tenant, "bia@example.org")
    status, answer = await Caller(http, people)("POST", "/invitations/accept", {**body, "token": again})
    assert (status, answer["error"]["code"]) == (409, "account_exists")


async def test_an_authenticator_is_set_up_with_the_password_and_a_first_code(
    people: Service, http: aiohttp.ClientSession, caller: Caller
) -> None:
    ana = make_person(people.tenant)
    token = (await caller.signed_in(ana))["access_token"]
    status, answer = await Caller(http, people)("POST", "/second-factor/enrol", {"password": WRONG}, token=token)
    assert (status, answer["error"]["code"]) == (403, "password_wrong")
    status, begun = await caller("POST", "/second-factor/enrol", {"password": PASSWORD}, token=token)
    assert status == 200
    assert begun["secret"] in begun["uri"]
    app = pyotp.TOTP(begun["secret"])
    code = app.at(datetime.now(UTC))
    for enrolment, wrong in ((begun["enrolment"], "000000"), ("00ff", code), ("no hex", code)):
        body = {"enrolment": enrolment, "code": wrong}
        status, answer = await caller("POST", "/second-factor/confirm", body, token=token)
        assert (status, answer["error"]["code"]) == (400, "code_refused")
    bia = (await Caller(http, people).signed_in(make_person(people.tenant)))["access_token"]
    body = {"enrolment": begun["enrolment"], "code": code}
    assert (await caller("POST", "/second-factor/confirm", body, token=bia))[0] == 400, "it is Ana's"
    status, done = await caller("POST", "/second-factor/confirm", body, token=token)
    assert (status, len(done["recovery_codes"])) == (200, 10)
    status, answer = await caller("POST", "/second-factor/confirm", body, token=token)
    assert (status, answer["error"]["code"]) == (409, "second_factor_conflict")
    signing_in = {"email": ana.email, "password": PASSWORD}
    assert (await caller("POST", "/sign-in", signing_in))[1]["error"]["code"] == "second_factor_required"
    assert (await caller("POST", "/sign-in", {**signing_in, "code": done["recovery_codes"][0]}))[0] == 200
    assert audit(people.tenant, like="user.second%") == ["user.second_factor_enabled"]


async def test_recovery_codes_are_renewed_and_the_factor_disabled_with_password_and_code(
    people: Service, http: aiohttp.ClientSession, caller: Caller
) -> None:
    ana = make_person(people.tenant, second_factor=True)
    token = (await caller.signed_in(ana))["access_token"]
    body = {"password": PASSWORD, "code": "no code"}
    for path in ("/second-factor/disable", "/second-factor/recovery-codes"):
        status, answer = await caller("POST", path, body, token=token)
        assert status in {400, 429}, answer
    body = {"password": PASSWORD, "code": ana.recovery_codes[0]}
    await asyncio.sleep(0.6)  # the wait that wrong codes bring
    status, renewed = await caller("POST", "/second-factor/recovery-codes", body, token=token)
    assert (status, len(renewed["recovery_codes"])) == (200, 10)
    body = {"password": PASSWORD, "code": ana.recovery_codes[1]}
    status, answer = await caller("POST", "/second-factor/disable", body, token=token)
    assert (status, answer["error"]["code"]) == (400, "code_refused"), "those before are void"
    await asyncio.sleep(0.3)
    body = {"password": PASSWORD, "code": renewed["recovery_codes"][0]}
    assert (await caller("POST", "/second-factor/disable", body, token=token))[0] == 200
    without = Account(id=ana.id, email=ana.email)
    assert (await Caller(http, people).signed_in(without))["access_token"]
    status, answer = await caller("POST", "/second-factor/disable", body, token=token)
    assert (status, answer["error"]["code"]) == (409, "second_factor_conflict")


def invited(tenant: Tenant, email: str, *, role: str = "member", projects: list[dict[str, str]] | None = None) -> str:
    """The token of a new invitation."""
    token = opaque.mint(opaque.INVITATION)
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "insert into ali.invite (id, organization_id, email, role, projects, digest, expires_at)"
            " values (%s, %s, %s, %s, %s, %s, now() + interval '1 day')",
            (
                *(uuid7(), tenant.organization_id, email, role, json.dumps(projects or [])),
                opaque.digest(token, hmac_secret=SECRET),
            ),
        )
    return token


def _desk(service: Service) -> Desk:
    desk: Desk = service.app.api.state.desk
    return desk
