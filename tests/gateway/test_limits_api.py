"""Who may see and set limits, on whom, and what the service says to everything else."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ali.features.identity import ROLES, Permission
from ali.features.metering.scopes import scope_name
from ali.ops.simulator import Simulator
from tests.fixtures.database import IssuedKey, issue_key, make_tenant
from tests.fixtures.service import Serve
from tests.gateway.limited import Limited, add_project, starter

NOBODY = "0" * 32
FIGURES = ("requests_per_minute", "tokens_per_minute", "concurrent_streams")


@pytest.fixture
async def limited(serve: Serve, simulator: Simulator) -> AsyncIterator[Limited]:
    async with starter(serve, simulator)() as limited:
        yield limited


async def test_a_limit_is_told_as_it_was_set_changed_and_deleted(limited: Limited) -> None:
    status, made = await limited.manage(
        "POST", "", {"scope": limited.project, "model": "gpt-4*", "tokens_per_minute": 5, "concurrent_streams": 0}
    )
    assert status == 200
    assert made["created_at"] == made["updated_at"]
    assert {name: value for name, value in made.items() if not name.endswith("_at")} == {
        "object": "ali.rate_limit",
        "id": made["id"],
        "scope": limited.project,
        "model": "gpt-4*",
        "requests_per_minute": None,
        "tokens_per_minute": 5,
        "concurrent_streams": 0,
    }
    path = f"/{made['id']}"
    assert await limited.manage("GET", path) == (200, made)

    status, changed = await limited.manage("POST", path, {"tokens_per_minute": None, "requests_per_minute": 7})
    assert status == 200
    assert [changed[figure] for figure in FIGURES] == [7, None, 0]
    assert await limited.manage("GET", path) == (200, changed)

    gone = {"object": "ali.rate_limit.deleted", "id": made["id"], "deleted": True}
    assert await limited.manage("DELETE", path) == (200, gone)
    for method, body in (("GET", None), ("POST", {"requests_per_minute": 1}), ("DELETE", None)):
        status, answer = await limited.manage(method, path, body)
        assert (status, answer["error"]["code"]) == (404, "limit_not_found")


async def test_lists_go_on_where_the_page_before_ended(limited: Limited) -> None:
    made = [
        (await limited.manage("POST", "", {"scope": {"kind": "key"}, "model": f"m{i}", "requests_per_minute": i}))[1]
        for i in range(5)
    ]
    names = [each["id"] for each in reversed(made)]
    _, first = await limited.manage("GET", "?limit=2")
    assert [each["id"] for each in first["data"]] == names[:2]
    assert (first["object"], first["has_more"]) == ("list", True)
    assert (first["first_id"], first["last_id"]) == (names[0], names[1])
    _, rest = await limited.manage("GET", f"?limit=3&after={first['last_id']}")
    assert [each["id"] for each in rest["data"]] == names[2:]
    assert rest["has_more"] is False
    _, none = await limited.manage("GET", f"?after={names[-1]}")
    assert (none["data"], none["first_id"], none["has_more"]) == ([], None, False)


async def test_one_scope_and_model_has_one_limit(limited: Limited) -> None:
    for scope in ({"kind": "key"}, limited.project, {"kind": "organization"}):
        for model in (None, "gpt-4.1"):
            body = {"scope": scope, "model": model, "requests_per_minute": 1}
            assert (await limited.manage("POST", "", body))[0] == 200
            status, answer = await limited.manage("POST", "", {**body, "tokens_per_minute": 1})
            assert (status, answer["error"]["code"]) == (409, "limit_exists")
    named = scope_name("organization", limited.tenant.organization_id)
    organization = {"scope": {"kind": "organization", "id": named}, "requests_per_minute": 1}
    assert (await limited.manage("POST", "", organization))[0] == 409, "it was named without its id before"


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_does_with_limits_what_its_permissions_say(limited: Limited, role: str) -> None:
    _, made = await limited.manage("POST", "", {"scope": limited.project, "requests_per_minute": 9})
    for key in (issue_key(limited.tenant, role=role, everywhere=True), issue_key(limited.tenant, role=role)):
        reads, writes = (each in ROLES[role] for each in (Permission.LIMITS_READ, Permission.LIMITS_WRITE))
        for path in ("", f"/{made['id']}"):
            assert (await limited.manage("GET", path, key=key))[0] == (200 if reads else 403)
        change = {"requests_per_minute": 8}
        assert (await limited.manage("POST", f"/{made['id']}", change, key=key))[0] == (200 if writes else 403)
        status, mine = await limited.manage("POST", "", {"scope": limited.project, "model": "x", **change}, key=key)
        assert status == (200 if writes else 403)
        target = mine["id"] if writes else made["id"]
        assert (await limited.manage("DELETE", f"/{target}", key=key))[0] == (200 if writes else 403)
    assert (await limited.manage("GET", f"/{made['id']}"))[0] == 200


def everything_of(limited: Limited, key: IssuedKey, project_id: UUID) -> dict[str, dict[str, str]]:
    """A scope of each kind around `key`, which belongs to a person."""
    assert key.user_id is not None
    return {
        "project": {"kind": "project", "id": scope_name("project", project_id)},
        "key": {"kind": "key", "id": scope_name("key", key.id)},
        "user": {"kind": "user", "id": scope_name("user", key.user_id)},
        "organization": {"kind": "organization", "id": scope_name("organization", limited.tenant.organization_id)},
    }


async def test_another_organizations_things_are_as_unknown_as_those_of_nobody(limited: Limited) -> None:
    other = make_tenant(limited.tenant.dsn)
    stranger = issue_key(other, role="owner", everywhere=True)
    person = issue_key(limited.tenant, role="member", person=True)
    for kind, scope in everything_of(limited, person, limited.tenant.project_id).items():
        body = {"scope": scope, "requests_per_minute": 1}
        status, made = await limited.manage("POST", "", body)
        assert status == 200, kind
        foreign = await limited.manage("POST", "", body, key=stranger)
        random = {"kind": kind, "id": scope["id"][: -len(NOBODY)] + NOBODY}
        assert foreign == await limited.manage("POST", "", {**body, "scope": random}, key=stranger)
        assert foreign[0] == 404
        assert foreign[1]["error"]["code"] == "limit_scope_not_found"
        for method, change in (("GET", None), ("POST", {"requests_per_minute": 2}), ("DELETE", None)):
            foreign = await limited.manage(method, f"/{made['id']}", change, key=stranger)
            assert foreign == await limited.manage(method, f"/limit_{NOBODY}", change, key=stranger)
            assert foreign[0] == 404
        assert await limited.manage("GET", f"/{made['id']}") == (200, made)
    assert (await limited.manage("GET", key=stranger))[1]["data"] == []


async def test_what_is_revoked_or_archived_can_be_limited_no_more(limited: Limited) -> None:
    key, project_id = limited.caller(), add_project(limited.tenant)
    with psycopg.connect(limited.tenant.dsn) as connection:
        connection.execute("update ali.api_key set revoked_at = now() where id = %s", (key.id,))
        connection.execute("update ali.project set archived_at = now() where id = %s", (project_id,))
    for scope in (
        {"kind": "key", "id": scope_name("key", key.id)},
        {"kind": "project", "id": scope_name("project", project_id)},
    ):
        assert (await limited.manage("POST", "", {"scope": scope, "requests_per_minute": 1}))[0] == 404


async def test_a_credential_of_one_project_reaches_that_projects_limits_alone(limited: Limited) -> None:
    bound = issue_key(limited.tenant, role="owner")
    elsewhere = add_project(limited.tenant)
    away = issue_key(limited.tenant, role="member", person=True, project_id=elsewhere)
    here = issue_key(limited.tenant, role="member", person=True)
    mine, theirs = (
        everything_of(limited, here, limited.tenant.project_id),
        everything_of(limited, away, elsewhere),
    )
    beyond = [
        *(theirs[kind] for kind in ("project", "key", "user")),
        *(mine["user"], *({"kind": kind} for kind in ("project", "key", "user", "organization"))),
    ]
    for scope in beyond:
        status, answer = await limited.manage("POST", "", {"scope": scope, "requests_per_minute": 1}, key=bound)
        assert (status, answer["error"]["code"]) == (404, "limit_scope_not_found"), scope
        status, made = await limited.manage("POST", "", {"scope": scope, "model": "y", "requests_per_minute": 1})
        assert status == 200, scope
        for method, body in (("GET", None), ("POST", {"requests_per_minute": 2}), ("DELETE", None)):
            assert (await limited.manage(method, f"/{made['id']}", body, key=bound))[0] == 404, scope
    assert (await limited.manage("GET", key=bound))[1]["data"] == []
    for kind in ("project", "key"):
        assert (await limited.manage("POST", "", {"scope": mine[kind], "requests_per_minute": 1}, key=bound))[0] == 200
    assert [each["scope"]["kind"] for each in (await limited.manage("GET", key=bound))[1]["data"]] == ["key", "project"]


async def test_a_person_without_an_organization_wide_role_reaches_the_projects_of_their_memberships(
    limited: Limited,
) -> None:
    person = issue_key(limited.tenant, role="developer", person=True, everywhere=True)
    theirs, other = add_project(limited.tenant), add_project(limited.tenant)
    with psycopg.connect(limited.tenant.dsn) as connection:
        connection.execute(
            "insert into ali.project_member (project_id, user_id, organization_id, role)"
            " values (%s, %s, %s, 'developer')",
            (theirs, person.user_id, limited.tenant.organization_id),
        )
    for project in (theirs, other):
        scope = {"kind": "project", "id": scope_name("project", project)}
        await limited.manage("POST", "", {"scope": scope, "requests_per_minute": 1})
    await limited.manage("POST", "", {"scope": {"kind": "organization"}, "requests_per_minute": 1})
    _, seen = await limited.manage("GET", key=person)
    assert [each["scope"]["id"] for each in seen["data"]] == [scope_name("project", theirs)]


GOOD: dict[str, Any] = {"scope": {"kind": "key"}, "requests_per_minute": 1}
NUMBERS: tuple[object, ...] = (-1, 10**12 + 1, 10**30, 1.5, 1.0, "5", True, [], {})
MODELS: tuple[object, ...] = ("", "*", "gpt*4", "a b", "g\x00", "é", "x" * 201, "gpt\n", 5, [])
SCOPES: tuple[object, ...] = ({}, {"kind": "planet"}, {"kind": "model"}, "key", None, [])


@pytest.mark.parametrize(
    "body",
    [
        *({**GOOD, "requests_per_minute": wrong} for wrong in NUMBERS),
        *({**GOOD, "model": wrong} for wrong in MODELS),
        *({**GOOD, "scope": wrong} for wrong in SCOPES),
        {**GOOD, "scope": {"kind": "key", "id": "x" * 101}},
        {**GOOD, "scope": {"kind": "key", "id": 5}},
        {**GOOD, "scope": {"kind": "key", "more": 1}},
        {**GOOD, "more": 1},
        {"scope": {"kind": "key"}},
        {"scope": {"kind": "key"}, "tokens_per_minute": None},
        {"requests_per_minute": 1},
        {},
        [],
        "text",
    ],
)
async def test_a_limit_that_makes_no_sense_is_refused_with_what_to_do(limited: Limited, body: object) -> None:
    status, answer = await limited.manage("POST", "", body)
    assert status == 400
    assert answer["error"]["message"]


async def test_an_identifier_that_is_none_is_of_nothing(limited: Limited) -> None:
    for kind, named in (
        ("key", "key_"),
        ("key", ""),
        ("key", "key_\x00"),
        ("key", scope_name("key", limited.tenant.key_id).upper()),
        ("key", str(limited.tenant.key_id)),
        ("key", scope_name("project", limited.tenant.project_id)),
        ("project", scope_name("project", limited.tenant.project_id).replace("_", "-")),
        ("user", "user-' or '1'='1"),
    ):
        scope = {"kind": kind, "id": named}
        assert (await limited.manage("POST", "", {"scope": scope, "requests_per_minute": 1}))[0] == 404, named
    for path in ("/limit_", "/limit_%00", "/x", f"/limit_{NOBODY}0", "/limit_%F0%9F%98%80", "/" + "x" * 64):
        for method, body in (("GET", None), ("POST", {"requests_per_minute": 2}), ("DELETE", None)):
            assert (await limited.manage(method, path, body))[0] == 404, path
    for path in ("?after=limit_x", "/" + "x" * 65, "?limit=0", "?limit=101", "?limit=x", "?after=" + "x" * 65):
        assert (await limited.manage("GET", path))[0] == 400, path


@pytest.mark.parametrize(
    "body", [{}, dict.fromkeys(FIGURES), {"requests_per_minute": None}, {"model": "x"}, {"scope": {"kind": "key"}}, []]
)
async def test_a_change_that_changes_nothing_or_leaves_nothing_is_refused(limited: Limited, body: object) -> None:
    _, made = await limited.manage("POST", "", GOOD)
    assert (await limited.manage("POST", f"/{made['id']}", body))[0] == 400
    assert await limited.manage("GET", f"/{made['id']}") == (200, made)


async def test_each_act_leaves_an_audit_event_of_whom_and_what(limited: Limited) -> None:
    key = limited.caller()
    scope = {"kind": "key", "id": scope_name("key", key.id)}
    _, made = await limited.manage("POST", "", {"scope": scope, "requests_per_minute": 1})
    await limited.manage("POST", "", {"scope": scope, "requests_per_minute": 1})  # refused: no event
    await limited.manage("POST", f"/{made['id']}", {"tokens_per_minute": 5})
    await limited.manage("DELETE", f"/{made['id']}")
    with psycopg.connect(limited.tenant.dsn) as connection:
        found = connection.execute(
            "select action, detail, actor_id, project_id, target_id from ali.audit_event where organization_id = %s"
            " order by id",
            (limited.tenant.organization_id,),
        ).fetchall()
    what = {"scope": "key", "scope_id": scope["id"]}
    assert [row[:2] for row in found] == [
        ("rate_limit.created", {**what, "requests_per_minute": 1}),
        ("rate_limit.changed", {**what, "tokens_per_minute": 5}),
        ("rate_limit.deleted", what),
    ]
    assert {row[2:] for row in found} == {(limited.admin.id, limited.tenant.project_id, made["id"])}
