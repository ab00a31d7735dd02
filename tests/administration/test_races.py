"""When two act at once, one succeeds and the other is told; nothing fails, and no organization is orphaned."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import psycopg
import pytest

from tests.administration.callers import add_key, add_person, audited, call
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service

AT_ONCE = 8


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1, database_pool_size=AT_ONCE) as service:
        yield service


@pytest.mark.parametrize("act", ["demote", "disable", "delete"])
async def test_owners_who_unmake_each_other_at_once_leave_one_owner(running: Service, tenant: Tenant, act: str) -> None:
    owners = [add_person(tenant, role="owner") for _ in range(4)]
    body = {"demote": {"role": "member"}, "disable": {"disabled": True}, "delete": None}[act]
    method = "DELETE" if act == "delete" else "POST"
    for owner in owners:
        assert (await call(running, owner.secret, "GET", "/users"))[0] == 200, "each process remembers them"
    answers = await asyncio.gather(
        *(
            call(running, owner.secret, method, f"/users/{other.name}", json=body)
            for owner in owners
            for other in owners
            if other is not owner
        )
    )
    assert {status for status, _ in answers} <= {200, 401, 403, 404, 409}
    with psycopg.connect(tenant.dsn) as connection:
        left = connection.execute(
            "select count(*) from ali.user_account where organization_id = %s and role = 'owner'"
            " and disabled_at is null",
            (tenant.organization_id,),
        ).fetchone()
    assert left is not None
    assert left[0] >= 1


async def test_what_is_deleted_twice_at_once_is_deleted_once(running: Service, tenant: Tenant) -> None:
    admin = add_key(tenant)
    project = f"/projects/proj_{tenant.project_id.hex}"
    person = add_person(tenant, role="member", projects={tenant.project_id: "member"})
    _, key = await call(running, admin, "POST", f"{project}/api_keys", json={"name": "x"})
    _, own = await call(running, admin, "POST", "/admin_api_keys", json={"name": "x"})
    _, account = await call(running, admin, "POST", f"{project}/service_accounts", json={"name": "x"})
    _, invite = await call(running, admin, "POST", "/invites", json={"email": "a@example.org", "role": "member"})
    for path in (
        f"{project}/api_keys/{key['id']}",
        f"/admin_api_keys/{own['id']}",
        f"{project}/service_accounts/{account['id']}",
        f"/invites/{invite['id']}",
        f"{project}/users/{person.name}",
        f"/users/{person.name}",
    ):
        answers = await asyncio.gather(*(call(running, admin, "DELETE", path) for _ in range(AT_ONCE)))
        assert Counter(status for status, _ in answers) == {200: 1, 404: AT_ONCE - 1}, path
    deleted = [action for action, *_ in audited(tenant) if action.endswith(".deleted")]
    assert len(deleted) == 6, "each act is recorded once"


async def test_what_is_made_twice_at_once_is_made_once(running: Service, tenant: Tenant) -> None:
    admin = add_key(tenant)
    person = add_person(tenant, role="member")
    for path, body in (
        ("/invites", {"email": "a@example.org", "role": "member"}),
        (f"/projects/proj_{tenant.project_id.hex}/users", {"user_id": person.name, "role": "member"}),
    ):
        answers = await asyncio.gather(*(call(running, admin, "POST", path, json=body) for _ in range(AT_ONCE)))
        assert Counter(status for status, _ in answers) == {200: 1, 409: AT_ONCE - 1}, path


async def test_changing_and_ending_at_once_never_fails(running: Service, tenant: Tenant) -> None:
    admin = add_key(tenant)
    project = f"/projects/proj_{tenant.project_id.hex}"
    person = add_person(tenant, role="member", projects={tenant.project_id: "member"})
    keyed = add_key(tenant, role="owner", user=person.id, project=tenant.project_id)
    _, account = await call(running, admin, "POST", f"{project}/service_accounts", json={"name": "x"})
    _, listed = await call(running, admin, "GET", f"{project}/api_keys")
    theirs = next(key["id"] for key in listed["data"] if key["redacted_value"].endswith(keyed[-4:]))
    answers = await asyncio.gather(
        call(running, admin, "POST", f"/users/{person.name}", json={"role": "developer"}),
        call(running, admin, "POST", f"{project}/users/{person.name}", json={"role": "developer"}),
        call(running, admin, "POST", f"{project}/api_keys/{theirs}", json={"name": "y"}),
        call(running, admin, "POST", f"{project}/service_accounts/{account['id']}/api_keys", json={"name": "z"}),
        call(running, admin, "DELETE", f"{project}/service_accounts/{account['id']}"),
        call(running, admin, "DELETE", f"/users/{person.name}"),
        call(running, admin, "DELETE", f"{project}/users/{person.name}"),
        call(running, admin, "DELETE", f"{project}/api_keys/{theirs}"),
        call(running, admin, "POST", f"{project}/archive"),
        call(running, admin, "POST", project, json={"name": "Other"}),
    )
    assert {status for status, _ in answers} <= {200, 404, 409}, answers
