"""No input of administration makes the service fail: each gets a 4xx with a message, and changes nothing."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from tests.administration.callers import TIMEOUT, Query, add_key, add_person, audited, call
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service

LISTS = ("/projects", "/users", "/invites", "/admin_api_keys", "/audit_logs", "{project}/users", "{project}/api_keys")
WRONG_PAGING = [
    *((name, value) for name in ("after", "before") for value in ("", "x", "%00", "\x00", "proj_1", "9" * 99)),
    *(("limit", value) for value in ("0", "-1", "101", "x", "", "1.5", "9" * 30, "\x00")),
    ("order", "sideways"),
]
WRONG_TIMES = ("", "x", "-1", "1.5", "9" * 30, "253402300800", "\x00", "2030-01-01")
BODIES = (
    "/projects", "/invites", "/admin_api_keys", "/users/{user}", "{project}", "{project}/users", "{project}/api_keys",
    "{project}/service_accounts", "{project}/users/{user}", "{project}/api_keys/{key}",
)  # fmt: skip
WRONG_BODIES = (
    b"", b"null", b"[]", b"1", b'"x"', b"{", b"\xff", b"[" * 5_000, b'{"name":' * 2_000,
    b'{"name": ' + b"9" * 5000 + b"}", b'{"name": null, "role": null, "email": null}',
    b'{"name": {}, "role": [], "email": 1}', b'{"email": "not an address", "role": "member", "name": "\\u0000"}',
    b'{"email": "a@b\\u0000.c", "role": "member\\u0000", "name": "\\ud800"}',
    b'{"role": "emperor", "email": "a@example.org", "user_id": "user-1"}',
    b'{"projects": [{"id": "x"}], "email": "a@b.c", "role": "member"}',
    b'{"projects": {}, "email": "a@b.c", "role": "member"}', b'{"name": "x", "unknown": 1}',
    b'{"disabled": "perhaps"}',
)  # fmt: skip


def fresh_connections() -> aiohttp.ClientSession:
    """A session that keeps no connection: on asyncio's own loop a second request would wait for a delayed ACK."""
    return aiohttp.ClientSession(timeout=TIMEOUT, connector=aiohttp.TCPConnector(force_close=True))


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1) as service:
        yield service


@pytest.fixture
def places(tenant: Tenant) -> dict[str, str]:
    """What the paths above name."""
    person = add_person(tenant, role="member", projects={tenant.project_id: "member"})
    return {
        "project": f"/projects/proj_{tenant.project_id.hex}",
        "user": person.name,
        "key": f"key_{tenant.key_id.hex}",
    }


async def test_wrong_paging_is_refused_everywhere(running: Service, tenant: Tenant, places: dict[str, str]) -> None:
    admin = add_key(tenant)
    for path in LISTS:
        for query in WRONG_PAGING:
            status, body = await call(running, admin, "GET", path.format(**places), params=[query])
            assert status == 400, (path, query, body)
            assert body["error"]["param"] == query[0]


async def test_wrong_times_filters_and_groups_are_refused(running: Service, tenant: Tenant) -> None:
    admin = add_key(tenant)
    queries: list[tuple[str, Query]] = [
        ("/usage/completions", []),
        ("/usage/completions", [("start_time", 5), ("end_time", 5)]),
        ("/usage/completions", [("start_time", 5), ("bucket_width", "1y")]),
        ("/usage/completions", [("start_time", 5), ("bucket_width", "1d"), ("limit", 32)]),
        ("/usage/completions", [("start_time", 5), ("bucket_width", "1h"), ("limit", 169)]),
        ("/usage/completions", [("start_time", 5), ("group_by", "colour")]),
        ("/usage/completions", [("start_time", 5), ("models", "a\x00")]),
        ("/usage/embeddings", [("start_time", 5), ("group_by[]", "batch")]),
        ("/costs", [("start_time", 5), ("bucket_width", "1h")]),
        ("/costs", [("start_time", 5), ("limit", 181)]),
        ("/audit_logs", [("event_types", "a\x00b")]),
        ("/audit_logs", [("project_ids[]", "x" * 300)]),
        ("/audit_logs", [("actor_ids", "x")] * 101),
        ("/users", [("emails", "\x00")]),
        ("/projects", [("include_archived", "perhaps")]),
    ]
    for value in WRONG_TIMES:
        queries += [
            ("/usage/completions", [("start_time", value)]),
            ("/costs", [("start_time", 1), ("end_time", value)]),
            ("/audit_logs", [("effective_at[gt]", value)]),
        ]
    for value in ("", "x", "page_", "page_zz", "page_1", "page_ffffffffffff", "page_-1", "\x00"):
        queries.append(("/costs", [("start_time", 5), ("page", value)]))
    for path, params in queries:
        status, body = await call(running, admin, "GET", path, params=params)
        assert status == 400, (path, params, body)
        assert body["error"]["message"]


async def test_the_far_ends_of_time_are_answered(running: Service, tenant: Tenant) -> None:
    admin = add_key(tenant)
    for params in ([("start_time", 0)], [("start_time", 253402300798), ("end_time", 253402300799)]):
        for path in ("/usage/completions", "/usage/embeddings", "/costs"):
            status, body = await call(running, admin, "GET", path, params=params)
            assert status == 200, body
    for name in ("gt", "gte", "lt", "lte"):
        for value in (0, 253402300798):
            assert (await call(running, admin, "GET", "/audit_logs", params=[(f"effective_at[{name}]", value)]))[
                0
            ] == 200


async def test_wrong_bodies_are_refused_and_change_nothing(
    running: Service, tenant: Tenant, places: dict[str, str]
) -> None:
    admin = add_key(tenant)
    async with fresh_connections() as session:
        for path in BODIES:
            for body in WRONG_BODIES:
                async with session.post(
                    f"{running.url}/v1/organization{path.format(**places)}",
                    headers={"authorization": f"Bearer {admin}", "content-type": "application/json"},
                    data=body,
                ) as response:
                    answer = await response.json()
                    assert response.status in {400, 404}, (path, body[:80], answer)
                    assert answer["error"]["message"]
    assert audited(tenant) == []


async def test_any_text_as_an_identifier_is_not_found(running: Service, tenant: Tenant) -> None:
    admin = add_key(tenant)
    texts = ("%00", "%ff%fe", "%ed%a0%80", "..%2f", "'", "proj_%27--", "%F0%9F%A6%86", "a" * 5000, "-1", "null", "%0a")
    async with fresh_connections() as session:
        for text in texts:
            for path in (f"/users/{text}", f"/projects/{text}/api_keys", f"/invites/{text}", f"/admin_api_keys/{text}"):
                async with session.get(
                    URL(f"{running.url}/v1/organization{path}", encoded=True),
                    headers={"authorization": f"Bearer {admin}"},
                ) as response:
                    assert response.status in {404, 400}, path
                    assert (await response.json())["error"]["message"]
