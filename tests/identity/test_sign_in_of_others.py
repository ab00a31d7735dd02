"""What administrators may do about other people's sign-in, and to whom."""

import aiohttp
import pytest

from tests.fixtures.database import make_tenant
from tests.fixtures.service import Service
from tests.identity.people import Account, Caller, audit, make_person


async def test_an_administrator_ends_sessions_and_resets_a_second_factor(
    people: Service, http: aiohttp.ClientSession
) -> None:
    ana, bia = make_person(people.tenant, second_factor=True), make_person(people.tenant, role="admin")
    hers = await Caller(http, people).signed_in(ana)
    admin = Caller(http, people)
    token = (await admin.signed_in(bia))["access_token"]
    status, answer = await admin("POST", f"/users/{ana.name}/reset-second-factor", token=token)
    assert (status, answer["enabled"]) == (200, False)
    assert (await admin("POST", "/refresh", {"refresh_token": hers["refresh_token"]}))[0] == 401
    again = await Caller(http, people).signed_in(Account(id=ana.id, email=ana.email))
    status, answer = await admin("POST", f"/users/{ana.name}/end-sessions", token=token)
    assert (status, answer["ended"]) == (200, 1)
    assert (await admin("POST", "/refresh", {"refresh_token": again["refresh_token"]}))[0] == 401
    status, answer = await admin("POST", f"/users/{ana.name}/reset-second-factor", token=token)
    assert (status, answer["error"]["code"]) == (409, "second_factor_conflict")
    assert {"user.second_factor_disabled", "session.ended"} <= set(audit(people.tenant))


@pytest.mark.parametrize("verb", ["end-sessions", "reset-second-factor"])
async def test_another_organizations_person_is_as_unknown_as_nobody_and_an_owner_is_above(
    people: Service, http: aiohttp.ClientSession, verb: str
) -> None:
    foreign = make_person(make_tenant(people.tenant.dsn), second_factor=True)
    owner = make_person(people.tenant, role="owner", second_factor=True)
    admin = Caller(http, people)
    token = (await admin.signed_in(make_person(people.tenant, role="admin")))["access_token"]
    unknown = await admin("POST", f"/users/user-{'0' * 32}/{verb}", token=token)
    assert unknown[0] == 404
    for name in (foreign.name, str(foreign.id), "user-x", "%00", foreign.name.upper()):
        assert await admin("POST", f"/users/{name}/{verb}", token=token) == unknown
    assert (await admin("POST", f"/users/{owner.name}/{verb}", token=token))[0] == 403


@pytest.mark.parametrize("role", ["developer", "member", "auditor", "privacy_officer"])
async def test_roles_without_the_permission_are_refused(
    people: Service, http: aiohttp.ClientSession, role: str
) -> None:
    ana = make_person(people.tenant)
    caller = Caller(http, people)
    token = (await caller.signed_in(make_person(people.tenant, role=role)))["access_token"]
    for path in (f"/users/{ana.name}/end-sessions", f"/users/{ana.name}/reset-second-factor", "/keys/x/destroy"):
        status, answer = await caller("POST", path, token=token)
        assert (status, answer["error"]["code"]) == (403, "permission_denied")
