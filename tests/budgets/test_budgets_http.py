"""Budgets as people set them: over HTTP and at the command line, within their own reach and nobody else's."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psycopg
import pytest

from ali.features.keys.secret import digest, hint, mint
from ali.features.metering.budgets import cli
from ali.features.metering.budgets.webhook import secret_of
from ali.kernel.errors import InvalidRequest
from ali.kernel.ids import uuid7
from tests.budgets.ground import add_budget, till
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant
from tests.fixtures.service import Serve, Service

BUDGETS = "/v1/ali/budgets"


@pytest.fixture
async def service(serve: Serve) -> AsyncIterator[Service]:
    async with serve() as started:
        yield started


@pytest.fixture
async def client(service: Service) -> AsyncIterator["Caller"]:
    """An owner of the whole organization."""
    async with aiohttp.ClientSession(service.url) as session:
        yield Caller(session, another_key(service.tenant))


class Caller:
    """One credential at the service."""

    def __init__(self, session: aiohttp.ClientSession, secret: str) -> None:
        self.session = session
        self._headers = {"authorization": f"Bearer {secret}"}

    def with_key(self, secret: str) -> "Caller":
        return Caller(self.session, secret)

    async def __call__(self, method: str, path: str = "", body: object = None) -> tuple[int, Any]:
        async with self.session.request(method, BUDGETS + path, json=body, headers=self._headers) as response:
            return response.status, await response.json()


def another_key(tenant: Tenant, *, role: str = "owner", bound: bool = False) -> str:
    secret = mint()
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute(
            "insert into ali.api_key (id, organization_id, project_id, name, role, digest, hint)"
            " values (%s, %s, %s, 'x', %s, %s, %s)",
            (
                *(uuid7(), tenant.organization_id, tenant.project_id if bound else None, role),
                *(digest(secret, hmac_secret=HMAC_SECRET.encode()), hint(secret)),
            ),
        )
    return secret


def draft(tenant: Tenant, **more: object) -> dict[str, Any]:
    scope = {"kind": "project", "id": f"proj_{tenant.project_id.hex}"}
    return {"scope": scope, "period": "month", "limit_microusd": 30_000_000, **more}


async def test_a_budget_is_made_read_changed_listed_and_deleted(client: Caller, tenant: Tenant) -> None:
    with till(tenant) as counter:
        counter.settle(counter.row(uuid7(), 1_000_000))
    status, made = await client("POST", "", draft(tenant, webhook_url="https://example.org/told"))
    assert status == 200
    assert made["object"] == "budget"
    assert (made["mode"], made["warn_percents"]) == ("hard", [80, 100])
    current = made["current"]
    assert (current["spent_microusd"], current["remaining_microusd"]) == (1_000_000, 29_000_000)
    assert await client("GET", f"/{made['id']}") == (200, made)
    status, changed = await client(
        "POST",
        f"/{made['id']}",
        {"limit_microusd": 500_000, "mode": "soft", "webhook_url": None, "warn_percents": [9, 1]},
    )
    assert status == 200
    assert (changed["limit_microusd"], changed["mode"], changed["webhook_url"]) == (500_000, "soft", None)
    assert changed["warn_percents"] == [1, 9]
    assert changed["current"]["remaining_microusd"] == 0
    assert changed["scope"] == made["scope"]
    status, page = await client("GET", "?limit=1")
    assert (page["object"], page["data"], page["has_more"]) == ("list", [changed], False)
    assert await client("DELETE", f"/{made['id']}") == (
        200,
        {"id": made["id"], "object": "budget.deleted", "deleted": True},
    )
    assert (await client("GET", f"/{made['id']}"))[0] == 404
    assert (await client("GET"))[1]["data"] == []


async def test_lists_are_paged_both_ways(client: Caller, tenant: Tenant) -> None:
    for period, mode in (("day", "hard"), ("day", "soft"), ("month", "soft")):
        assert (await client("POST", "", draft(tenant, period=period, mode=mode)))[0] == 200
    _, everything = await client("GET", "?order=asc")
    ids = [budget["id"] for budget in everything["data"]]
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        seen, after = [], ""
        while True:
            _, page = await client("GET", f"?limit=2&order={order}{after}")
            seen += [budget["id"] for budget in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        assert seen == expected


async def test_every_change_is_on_the_audit_record_and_moves_the_epoch(client: Caller, tenant: Tenant) -> None:
    def epoch() -> int:
        with psycopg.connect(tenant.dsn) as owner:
            row = owner.execute("select value from ali.access_epoch").fetchone()
        assert row is not None
        return int(row[0])

    seen = [epoch()]
    _, made = await client("POST", "", draft(tenant))
    seen.append(epoch())
    await client("POST", f"/{made['id']}", {"webhook_url": "https://example.org/secret-path"})
    seen.append(epoch())
    await client("DELETE", f"/{made['id']}")
    seen.append(epoch())
    assert len(set(seen)) == 4
    with psycopg.connect(tenant.dsn) as owner:
        events = owner.execute(
            "select action, actor_kind, target_id, project_id, detail::text from ali.audit_event"
            " where organization_id = %s order by id",
            (tenant.organization_id,),
        ).fetchall()
    assert [event[0] for event in events] == ["budget.created", "budget.changed", "budget.deleted"]
    assert {event[1:4] for event in events} == {("api_key", made["id"], tenant.project_id)}
    assert "secret-path" not in str(events)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"limit_microusd": 0}, "limit_microusd"),
        ({"limit_microusd": 1.5}, "limit_microusd"),
        ({"limit_microusd": 10**16}, "limit_microusd"),
        ({"period": "week"}, "period"),
        ({"mode": "firm"}, "mode"),
        ({"warn_percents": [0]}, "warn_percents.0"),
        ({"warn_percents": list(range(1, 12))}, "warn_percents"),
        ({"webhook_url": "ftp://example.org"}, "webhook_url"),
        ({"webhook_url": "https://user:pass@example.org/"}, "webhook_url"),
        ({"webhook_url": "https://example.org/\u0000"}, "webhook_url"),
        ({"surprise": 1}, "surprise"),
        ({"scope": {"kind": "planet", "id": "x"}}, "scope.kind"),
    ],
)
async def test_what_makes_no_budget_is_refused_by_name(
    client: Caller, tenant: Tenant, wrong: dict[str, object], param: str
) -> None:
    status, answer = await client("POST", "", {**draft(tenant), **wrong})
    assert (status, answer["error"]["param"]) == (400, param)


async def test_one_scope_has_one_budget_of_a_kind(client: Caller, tenant: Tenant) -> None:
    assert (await client("POST", "", draft(tenant)))[0] == 200
    status, answer = await client("POST", "", draft(tenant))
    assert (status, answer["error"]["code"]) == (409, "budget_exists")
    _, soft = await client("POST", "", draft(tenant, mode="soft"))
    status, answer = await client("POST", f"/{soft['id']}", {"mode": "hard"})
    assert (status, answer["error"]["code"]) == (409, "budget_exists")
    status, answer = await client("POST", f"/{soft['id']}", {"mode": None})
    assert status == 400


async def test_a_foreign_budget_or_scope_is_as_one_that_never_was(client: Caller, tenant: Tenant) -> None:
    other = make_tenant(tenant.dsn)
    foreign = add_budget(other, limit=5)
    ids = [f"budget_{foreign.hex}", f"budget_{uuid7().hex}", "budget_nonsense"]
    for method, body in (("GET", None), ("POST", {"limit_microusd": 1}), ("DELETE", None)):
        answers = [await client(method, f"/{budget}", body) for budget in ids]
        assert answers[0][0] == 404
        assert answers[0] == answers[1] == answers[2]
    for kind, theirs in (
        ("organization", f"org-{other.organization_id.hex}"),
        ("project", f"proj_{other.project_id.hex}"),
        ("key", f"key_{other.key_id.hex}"),
        ("user", f"user-{uuid7().hex}"),
    ):
        answers = [
            await client("POST", "", draft(tenant, scope={"kind": kind, "id": named}))
            for named in (theirs, uuid7().hex, "x")
        ]
        assert answers[0][0] == 404
        assert answers[0] == answers[1] == answers[2]
    assert (await client("GET"))[1]["data"] == []


async def test_a_key_of_one_project_sets_that_projects_budgets_alone(client: Caller, tenant: Tenant) -> None:
    own = {"kind": "organization", "id": f"org-{tenant.organization_id.hex}"}
    _, wide = await client("POST", "", draft(tenant, scope=own))
    bound = client.with_key(tenant.secret)
    status, answer = await bound("POST", "", draft(tenant, scope=own, mode="soft"))
    assert (status, answer["error"]["code"]) == (404, "budget_scope_not_found")
    assert (await bound("GET", f"/{wide['id']}"))[0] == 404
    status, made = await bound("POST", "", draft(tenant, scope={"kind": "key", "id": f"key_{tenant.key_id.hex}"}))
    assert status == 200
    assert (await bound("GET"))[1]["data"] == [made]
    assert [budget["id"] for budget in (await client("GET"))[1]["data"]] == [made["id"], wide["id"]]


async def test_the_webhooks_secret_is_the_organizations_and_for_who_may_change_budgets(
    client: Caller, tenant: Tenant
) -> None:
    secret = secret_of(tenant.organization_id, hmac_secret=HMAC_SECRET.encode())
    assert await client("GET", "/webhook_secret") == (200, {"object": "budget.webhook_secret", "secret": secret})
    assert (await client.with_key(tenant.secret)("GET", "/webhook_secret"))[0] == 403
    assert (await client.with_key(another_key(tenant, role="auditor"))("GET", "/webhook_secret"))[0] == 403


@pytest.mark.parametrize(
    ("role", "reads", "writes"),
    [("admin", 200, 200), ("auditor", 200, 403), ("developer", 200, 403), ("member", 403, 403)],
)
async def test_roles_carry_what_the_table_of_permissions_says(
    client: Caller, tenant: Tenant, role: str, reads: int, writes: int
) -> None:
    caller = client.with_key(another_key(tenant, role=role))
    assert (await caller("GET"))[0] == reads
    assert (await caller("POST", "", draft(tenant)))[0] == writes


async def test_a_raised_limit_tells_again_what_it_has_put_ahead(client: Caller, tenant: Tenant) -> None:
    _, made = await client("POST", "", draft(tenant, limit_microusd=100, warn_percents=[50, 90]))

    def crossed() -> list[int]:
        with psycopg.connect(tenant.dsn) as owner:
            rows = owner.execute(
                "select percent from ali.budget_notice where organization_id = %s order by 1", (tenant.organization_id,)
            )
            return [row[0] for row in rows]

    with till(tenant) as counter:
        counter.settle(counter.row(uuid7(), 95))
        assert crossed() == [50, 90]
        await client("POST", f"/{made['id']}", {"limit_microusd": 180})
        assert crossed() == [50]
        counter.settle(counter.row(uuid7(), 70))
        assert crossed() == [50, 90]


async def test_the_openapi_document_has_every_operation(service: Service) -> None:
    paths = service.app.api.openapi()["paths"]
    found = {(path, method) for path in paths if path.startswith(BUDGETS) for method in paths[path]}
    assert found == {
        *((BUDGETS, method) for method in ("get", "post")),
        *((f"{BUDGETS}/{{budget_id}}", method) for method in ("get", "post", "delete")),
        (f"{BUDGETS}/webhook_secret", "get"),
    }


def test_the_command_line_has_the_same_verbs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tenant: Tenant
) -> None:
    monkeypatch.setenv("DATABASE_URL", tenant.dsn)
    monkeypatch.setenv("ALI_API_KEY_HMAC_SECRET", HMAC_SECRET)
    own = f"org-{tenant.organization_id.hex}"
    cli.create(limit_usd="30", organization=own)
    budget = capsys.readouterr().out.strip()
    project = f"proj_{tenant.project_id.hex}"
    cli.create(limit_usd="0.50", scope="project", of=project, period="day", mode="soft", warn=[70], organization=own)
    capsys.readouterr()
    cli.list_budgets(organization=own)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(budget)
    assert first.endswith("hard $0.00 of $30.00 this month")
    assert second.endswith(f"{project} soft $0.00 of $0.50 this day") or f"{project} " in second
    cli.change(budget, limit_usd="12.345678", webhook_url="https://example.org/told", organization=own)
    assert "of $12.345678 this month" in capsys.readouterr().out
    cli.show(budget, organization=own)
    shown = capsys.readouterr().out
    assert "$12.345678 a month, hard" in shown
    assert "80 %, 100 %" in shown
    assert "https://example.org/told" in shown
    cli.webhook_secret(organization=own)
    assert capsys.readouterr().out.strip() == secret_of(tenant.organization_id, hmac_secret=HMAC_SECRET.encode())
    cli.delete(budget, organization=own)
    capsys.readouterr()
    cli.list_budgets(organization=own)
    assert budget not in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [{"limit_usd": "much"}, {"limit_usd": "0"}, {"limit_usd": "0.0000001"}, {"limit_usd": "1", "period": "year"}],
)
def test_the_command_line_refuses_what_http_refuses(
    monkeypatch: pytest.MonkeyPatch, tenant: Tenant, wrong: dict[str, str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", tenant.dsn)
    with pytest.raises(InvalidRequest):
        cli.create(**wrong, organization=f"org-{tenant.organization_id.hex}")  # type: ignore[arg-type] # options by name
