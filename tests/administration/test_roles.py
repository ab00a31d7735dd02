"""Who may do what to whom: nobody gives, changes or takes away what they do not have, and nobody reaches beyond."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ali.features.audit import Actor
from ali.features.identity import ROLES, Permission, Principal, reach
from ali.features.identity.roles import PROJECT_PERMISSIONS
from ali.kernel.db import enter_tenant
from ali.kernel.errors import PermissionRefused
from tests.administration.callers import (
    MISSING,
    add_key,
    add_person,
    add_project,
    another_tenant,
    audited,
    call,
    code_of,
)
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1) as service:
        yield service


GIVEN = {
    "owner": {"owner", "admin", "developer", "member", "auditor", "privacy_officer"},
    "admin": {"admin", "developer", "member", "auditor", "privacy_officer"},
    "developer": set[str](),
    "auditor": set[str](),
}
"""Which roles each role can give to people."""


@pytest.mark.parametrize("role", GIVEN)
async def test_a_role_gives_people_no_more_than_itself(running: Service, tenant: Tenant, role: str) -> None:
    add_person(tenant, role="owner")
    caller = add_key(tenant, role=role)
    for wanted in ("owner", "admin", "developer", "member", "auditor", "privacy_officer"):
        person = add_person(tenant, role="member")
        status, body = await call(running, caller, "POST", f"/users/{person.name}", json={"role": wanted})
        invited, _ = await call(
            running, caller, "POST", "/invites", json={"email": f"{wanted}@example.org", "role": wanted}
        )
        assert status == invited == (200 if wanted in GIVEN[role] else 403), body
        if role == "admin" and wanted == "owner":
            assert code_of((status, body)) == (403, "role_beyond_yours")


@pytest.mark.parametrize("act", ["role", "disable", "delete"])
async def test_an_admin_cannot_touch_an_owner_and_an_owner_can(running: Service, tenant: Tenant, act: str) -> None:
    target = add_person(tenant, role="owner")
    add_person(tenant, role="owner")
    body = {"role": {"role": "member"}, "disable": {"disabled": True}, "delete": None}[act]
    method = "DELETE" if act == "delete" else "POST"
    refused = await call(running, add_key(tenant, role="admin"), method, f"/users/{target.name}", json=body)
    assert code_of(refused) == (403, "target_beyond_yours")
    assert audited(tenant) == [], "what is refused leaves nothing"
    status, _ = await call(running, add_key(tenant, role="owner"), method, f"/users/{target.name}", json=body)
    assert status == 200


async def test_nobody_raises_themselves_by_their_own_key(running: Service, tenant: Tenant) -> None:
    admin = add_person(tenant, role="admin")
    refused = await call(running, admin.secret, "POST", f"/users/{admin.name}", json={"role": "owner"})
    assert code_of(refused) == (403, "role_beyond_yours"), "their key is an owner's, and they are not"
    status, _ = await call(running, admin.secret, "POST", f"/users/{admin.name}", json={"role": "auditor"})
    assert status == 200


async def test_a_key_of_a_project_is_of_nothing_else(running: Service, tenant: Tenant) -> None:
    other = add_project(tenant)
    own, foreign = f"/projects/proj_{tenant.project_id.hex}", f"/projects/proj_{other.hex}"
    assert (await call(running, tenant.secret, "GET", own))[0] == 200
    assert (await call(running, tenant.secret, "GET", f"{own}/api_keys"))[0] == 200
    for path in (foreign, f"{foreign}/users", f"{foreign}/api_keys", f"{foreign}/service_accounts"):
        assert code_of(await call(running, tenant.secret, "GET", path)) == (404, "project_not_found")
    _, listed = await call(running, tenant.secret, "GET", "/projects")
    assert [project["id"] for project in listed["data"]] == [f"proj_{tenant.project_id.hex}"]
    for method, path, body in (
        ("POST", "/projects", {"name": "x"}),
        ("GET", "/users", None),
        ("POST", "/invites", {"email": "a@example.org", "role": "member"}),
        ("POST", "/admin_api_keys", {"name": "x"}),
        ("GET", "/audit_logs", None),
    ):
        refused = await call(running, tenant.secret, method, path, json=body)
        assert code_of(refused) == (403, "organization_credential_required"), path


async def test_a_developer_keeps_the_keys_of_their_projects_alone(running: Service, tenant: Tenant) -> None:
    other = add_project(tenant)
    person = add_person(tenant, role="developer", projects={tenant.project_id: "member"})
    own, foreign = f"/projects/proj_{tenant.project_id.hex}", f"/projects/proj_{other.hex}"
    made = await call(running, person.secret, "POST", f"{own}/api_keys", json={"name": "mine", "role": "developer"})
    assert made[0] == 200
    assert made[1]["owner"]["user"]["email"] == person.email
    beyond = await call(running, person.secret, "POST", f"{own}/api_keys", json={"name": "x", "role": "admin"})
    assert code_of(beyond) == (403, "role_beyond_yours")
    owners = await call(running, person.secret, "DELETE", f"{own}/api_keys/key_{tenant.key_id.hex}")
    assert code_of(owners) == (403, "target_beyond_yours")
    elsewhere = await call(running, person.secret, "POST", f"{foreign}/api_keys", json={"name": "x"})
    assert code_of(elsewhere) == (404, "project_not_found")
    _, listed = await call(running, person.secret, "GET", "/projects")
    assert [project["id"] for project in listed["data"]] == [f"proj_{tenant.project_id.hex}"]
    assert (await call(running, person.secret, "GET", "/admin_api_keys"))[0] == 403
    assert (await call(running, person.secret, "POST", f"{own}/users", json={"role": "member", "email": "a@b.c"}))[
        0
    ] == 403


async def test_a_membership_raises_a_person_in_its_project_and_nowhere_else(running: Service, tenant: Tenant) -> None:
    other = add_project(tenant)
    person = add_person(tenant, role="member", projects={tenant.project_id: "developer", other: "member"})
    bound = add_key(tenant, role="owner", user=person.id, project=tenant.project_id)
    own, foreign = f"/projects/proj_{tenant.project_id.hex}", f"/projects/proj_{other.hex}"
    assert (await call(running, bound, "POST", f"{own}/api_keys", json={"name": "x"}))[0] == 200
    assert (await call(running, bound, "GET", f"{foreign}/api_keys"))[0] == 404
    assert (await call(running, person.secret, "GET", f"{foreign}/api_keys"))[0] == 403


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_what_is_foreign_random_or_malformed_gets_the_same_answer(
    running: Service, tenant: Tenant, method: str
) -> None:
    stranger = another_tenant(tenant)
    theirs = add_person(stranger, role="member", projects={stranger.project_id: "member"})
    caller = add_key(tenant)
    own = f"proj_{tenant.project_id.hex}"
    nobody = MISSING.hex
    body: Any = None

    async def answers(path: str, *ids: str) -> set[tuple[int, str]]:
        found = set()
        for one in ids:
            status, answer = await call(running, caller, method, path.format(one), json=body)
            assert len(one) < 20 or one not in str(answer)
            found.add((status, str(answer)))
        return found

    bodies = {"users": {"role": "member"}, "projects": {"name": "x"}, "keys": {"name": "x"}}
    people = (theirs.name, f"user-{nobody}", "user-1", f"proj_{nobody}", "%00", f"user-{nobody.upper()}")
    keys = (f"key_{stranger.key_id.hex}", f"key_{nobody}", "key_", f"user-{nobody}", str(MISSING))
    projects = (f"proj_{stranger.project_id.hex}", f"proj_{nobody}", "x", f"user-{nobody}", "proj_%00")
    body = bodies["users"] if method == "POST" else None
    for path in ("/users/{}", f"/projects/{own}/users/{{}}"):
        found = await answers(path, *people)
        assert {status for status, _ in found} == {404}
        assert len(found) == 1, path
    body = bodies["keys"] if method == "POST" else None
    paths = [f"/projects/{own}/api_keys/{{}}", *(["/admin_api_keys/{}"] if method != "POST" else [])]
    for path in paths:
        found = await answers(path, *keys)
        assert {status for status, _ in found} == {404}
        assert len(found) == 1, path
    if method != "DELETE":
        body = bodies["projects"] if method == "POST" else None
        found = await answers("/projects/{}", *projects)
        assert {status for status, _ in found} == {404}
        assert len(found) == 1
    if method == "POST":
        body = {"role": "member", "user_id": theirs.name}
        foreign = await call(running, caller, method, f"/projects/{own}/users", json=body)
        random = await call(
            running, caller, method, f"/projects/{own}/users", json=body | {"user_id": f"user-{nobody}"}
        )
        assert foreign == random
        assert foreign[0] == 404
        invited = [
            await call(
                running,
                caller,
                method,
                "/invites",
                json={"email": "a@b.c", "role": "member", "projects": [{"id": one, "role": "member"}]},
            )
            for one in projects[:3]
        ]
        assert invited[0] == invited[1] == invited[2]
        assert invited[0][0] == 404


async def test_lists_hold_nothing_of_another_organization(running: Service, tenant: Tenant) -> None:
    stranger = another_tenant(tenant)
    add_person(stranger, role="owner")
    stranger_key = add_key(stranger)
    await call(running, stranger_key, "POST", "/projects", json={"name": "theirs"})
    await call(running, stranger_key, "POST", "/invites", json={"email": "x@example.org", "role": "member"})
    caller = add_key(tenant)
    for path, own in (("/projects", 1), ("/users", 0), ("/invites", 0), ("/audit_logs", 0), ("/admin_api_keys", 1)):
        status, listed = await call(running, caller, "GET", path)
        assert (status, len(listed["data"])) == (200, own), path
    person = add_person(stranger, role="owner")
    _, filtered = await call(running, caller, "GET", "/users", params=[("emails", person.email)])
    assert filtered["data"] == []


async def test_a_key_of_somebody_carries_what_they_carry_now(running: Service, tenant: Tenant) -> None:
    person = add_person(tenant, role="admin", projects={tenant.project_id: "member"})
    bound = add_key(tenant, role="owner", user=person.id, project=tenant.project_id)
    assert (await call(running, person.secret, "GET", "/users"))[0] == 200
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute("update ali.user_account set role = 'member' where id = %s", (person.id,))
        owner.execute("select ali.advance_access_epoch()")
    fresh = add_key(tenant, role="owner", user=person.id)
    assert (await call(running, fresh, "GET", "/users"))[0] == 403
    fresh = add_key(tenant, role="owner", user=person.id, project=tenant.project_id)
    assert (await call(running, fresh, "GET", f"/projects/proj_{tenant.project_id.hex}/api_keys"))[0] == 403
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute("delete from ali.project_member where user_id = %s", (person.id,))
        owner.execute("select ali.advance_access_epoch()")
    fresh = add_key(tenant, role="owner", user=person.id, project=tenant.project_id)
    assert (await call(running, fresh, "GET", "/projects"))[0] == 401, "they have left the project"
    assert bound


async def test_a_persons_session_carries_their_role_and_in_each_project_their_membership(
    running: Service, tenant: Tenant
) -> None:
    """A principal as a session gives it: a person, and no key."""
    other = add_project(tenant)
    person = add_person(tenant, role="member", projects={tenant.project_id: "owner", other: "member"})
    session_of = Principal(
        organization_id=tenant.organization_id,
        project_id=None,
        role="member",
        permissions=frozenset(Permission),
        bound=False,
        user_id=person.id,
    )
    actor = Actor(kind="user", id=person.id)
    async with running.app.api.state.sessions() as session, session.begin():
        await enter_tenant(session, organization_id=tenant.organization_id, project_id=None)

        async def carried(project: UUID) -> frozenset[Permission]:
            reached = await reach.in_project(
                session, session_of, project_id=project, permission=Permission.INFERENCE, actor=actor
            )
            return reached.authority.permissions

        assert await carried(tenant.project_id) == PROJECT_PERMISSIONS
        assert await carried(other) == ROLES["member"]
        with pytest.raises(PermissionRefused):
            await reach.over_organization(session, session_of, permission=Permission.USERS_READ, actor=actor)
        with pytest.raises(reach.ProjectNotFound):
            await carried(MISSING)
