"""Four eyes: one asks, another signs, once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psycopg
import pytest

from ali.features.identity.approvals import DANGEROUS
from tests.fixtures.database import IssuedKey, issue_key, make_tenant
from tests.fixtures.service import Serve, Service
from tests.rules.tree import ROOT

OFF = {"verb": "organization.four_eyes_off", "target": "organization", "reason": "The migration is over."}


class Caller:
    """One credential at the service."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: IssuedKey) -> None:
        self._session, self._url, self._key = session, url, key

    async def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer."""
        given = {**self._key.headers, **headers}
        async with self._session.request(method, f"{self._url}/v1/ali{path}", json=body, headers=given) as response:
            return response.status, await response.json()


@pytest.fixture
async def plain(serve: Serve) -> AsyncIterator[Service]:
    async with serve() as service:
        yield service


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def callers(plain: Service, session: aiohttp.ClientSession) -> tuple[Caller, Caller]:
    """Two owners, two people."""
    keys = [issue_key(plain.tenant, role="owner", person=True, everywhere=True) for _ in range(2)]
    return Caller(session, plain.url, keys[0]), Caller(session, plain.url, keys[1])


async def test_turning_it_off_takes_two_people_and_each_signature_serves_once(callers: tuple[Caller, Caller]) -> None:
    ana, bia = callers
    status, organization = await ana("POST", "/organization", {"four_eyes": True})
    assert (status, organization["four_eyes"]) == (200, True)

    status, refused = await ana("POST", "/organization", {"four_eyes": False})
    assert (status, refused["error"]["code"]) == (403, "approval_required")
    assert "POST /v1/ali/approvals" in refused["error"]["message"]

    status, asked = await ana("POST", "/approvals", OFF)
    assert (status, asked["state"]) == (200, "pending")
    unsigned = {"ali-approval": asked["id"]}
    assert (await ana("POST", "/organization", {"four_eyes": False}, **unsigned))[0] == 403

    status, own = await ana("POST", f"/approvals/{asked['id']}/approve")
    assert (status, own["error"]["code"]) == (403, "approval_needs_another_person")
    status, signed = await bia("POST", f"/approvals/{asked['id']}/approve")
    assert (status, signed["state"]) == (200, "approved")

    assert (await bia("POST", "/organization", {"four_eyes": False}, **unsigned))[0] == 403, "it is Ana's"
    status, organization = await ana("POST", "/organization", {"four_eyes": False}, **unsigned)
    assert (status, organization["four_eyes"]) == (200, False)
    assert (await ana("GET", f"/approvals/{asked['id']}"))[1]["state"] == "spent"
    await ana("POST", "/organization", {"four_eyes": True})
    assert (await ana("POST", "/organization", {"four_eyes": False}, **unsigned))[0] == 403


async def test_a_programs_key_can_ask_and_not_sign(plain: Service, session: aiohttp.ClientSession) -> None:
    program = Caller(session, plain.url, issue_key(plain.tenant, role="owner", everywhere=True))
    other = Caller(session, plain.url, issue_key(plain.tenant, role="owner", everywhere=True))
    _, asked = await program("POST", "/approvals", OFF)
    status, refused = await other("POST", f"/approvals/{asked['id']}/approve")
    assert (status, refused["error"]["code"]) == (403, "approval_needs_another_person")


async def test_a_decision_is_made_once_even_by_many_at_once(callers: tuple[Caller, Caller]) -> None:
    ana, bia = callers
    _, asked = await ana("POST", "/approvals", OFF)
    path = f"/approvals/{asked['id']}"
    answers = await asyncio.gather(*(bia("POST", f"{path}/{verb}") for verb in ["approve", "refuse"] * 10))
    assert sorted(status for status, _ in answers) == [200] + [409] * 19


async def test_an_expired_request_can_neither_be_signed_nor_spent(
    plain: Service, callers: tuple[Caller, Caller]
) -> None:
    ana, bia = callers
    await ana("POST", "/organization", {"four_eyes": True})
    late = [(await ana("POST", "/approvals", OFF))[1]["id"] for _ in range(2)]
    assert (await bia("POST", f"/approvals/{late[1]}/approve"))[0] == 200
    with psycopg.connect(plain.tenant.dsn) as connection:
        connection.execute(
            "update ali.approval set expires_at = now() - interval '1 second' where organization_id = %s",
            (plain.tenant.organization_id,),
        )
    assert (await bia("POST", f"/approvals/{late[0]}/approve"))[0] == 409
    assert (await ana("POST", "/organization", {"four_eyes": False}, **{"ali-approval": late[1]}))[0] == 403
    _, listed = await ana("GET", "/approvals")
    assert [each["state"] for each in listed["data"]] == ["expired", "expired"]


async def test_another_organizations_request_is_as_unknown_as_one_that_nobody_made(
    plain: Service, session: aiohttp.ClientSession, callers: tuple[Caller, Caller]
) -> None:
    ana, _ = callers
    _, asked = await ana("POST", "/approvals", OFF)
    elsewhere = issue_key(make_tenant(plain.tenant.dsn), role="owner", person=True, everywhere=True)
    stranger = Caller(session, plain.url, elsewhere)
    for path in ("", "/approve", "/refuse"):
        method = "POST" if path else "GET"
        foreign = await stranger(method, f"/approvals/{asked['id']}{path}")
        assert foreign == await stranger(method, f"/approvals/appr_{'0' * 32}{path}")
        assert foreign[0] == 404
    assert (await stranger("GET", "/approvals"))[1]["data"] == []


@pytest.mark.parametrize("role", ["developer", "member", "auditor"])
async def test_roles_without_the_permission_are_refused(
    plain: Service, session: aiohttp.ClientSession, callers: tuple[Caller, Caller], role: str
) -> None:
    ana, _ = callers
    _, asked = await ana("POST", "/approvals", OFF)
    other = Caller(session, plain.url, issue_key(plain.tenant, role=role, person=True, everywhere=True))
    assert (await other("POST", f"/approvals/{asked['id']}/approve"))[0] == 403
    assert (await other("POST", "/organization", {"four_eyes": False}))[0] == 403


@pytest.mark.parametrize(
    "body",
    [
        {"verb": "nothing.known", "target": "x", "reason": "y"},
        {**OFF, "target": ""},
        {**OFF, "target": "a b"},
        {**OFF, "reason": "x" * 501},
        {**OFF, "reason": "a\x00b"},
        {**OFF, "more": 1},
        {"verb": 7},
        [],
    ],
)
async def test_nonsense_is_refused_with_what_to_do(callers: tuple[Caller, Caller], body: object) -> None:
    status, answer = await callers[0]("POST", "/approvals", body)
    assert status == 400
    assert answer["error"]["message"]


async def test_each_step_leaves_an_audit_event_in_order(plain: Service, callers: tuple[Caller, Caller]) -> None:
    ana, bia = callers
    await ana("POST", "/organization", {"four_eyes": True})
    _, asked = await ana("POST", "/approvals", OFF)
    await bia("POST", f"/approvals/{asked['id']}/approve")
    await ana("POST", "/organization", {"four_eyes": False}, **{"ali-approval": asked["id"]})
    with psycopg.connect(plain.tenant.dsn) as connection:
        found = connection.execute(
            "select action, actor_kind, actor_id is not null, address, request_id is not null from ali.audit_event"
            " where organization_id = %s order by id",
            (plain.tenant.organization_id,),
        ).fetchall()
    assert [row[0] for row in found] == [
        *("organization.four_eyes_on", "approval.requested", "approval.approved"),
        *("approval.spent", "organization.four_eyes_off"),
    ]
    assert {row[1:] for row in found} == {("api_key", True, "127.0.0.1", True)}


def test_the_page_names_every_verb() -> None:
    page = (ROOT / "docs" / "how-to" / "ask-for-a-second-signature.md").read_text(encoding="utf-8")
    rows = [f"| `{verb}` | {meaning} |" for verb, meaning in DANGEROUS.items()]
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows
