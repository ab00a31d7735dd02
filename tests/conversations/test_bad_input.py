"""What is wrong with a request for conversations is said, by its path, and changes nothing."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import psycopg
import pytest

from tests.administration.callers import add_key, add_project, another_tenant
from tests.conversations.callers import TIMEOUT, call, said, sdk
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service

HELLO = said("Hello")
NOBODYS = f"conv_{'0' * 32}"


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1) as service:
        yield service


@pytest.fixture
async def conversation(running: Service) -> str:
    _, made = await call(running, "POST", "", json={"items": [HELLO | {"id": "msg_first"}]})
    name: str = made["id"]
    return name


WRONG: list[tuple[str, str, object, str | None, str]] = [
    ("POST", "", {"items": "Hello"}, "items", "invalid_type"),
    ("POST", "/{id}/items", {"items": []}, "items", "invalid_value"),
    ("POST", "", {"items": [HELLO] * 21}, "items", "array_above_max_length"),
    ("POST", "", {"items": [{"role": "user"}]}, "items[0].content", "missing_required_parameter"),
    ("POST", "", {"items": [HELLO, {"type": "poem"}]}, "items[1].type", "invalid_value"),
    ("POST", "", {"items": [{"type": "item_reference", "id": "msg_1"}]}, "items[0].type", "invalid_value"),
    ("POST", "", {"items": [{"type": "compaction_trigger"}]}, "items[0].type", "invalid_value"),
    ("POST", "", {"items": [HELLO | {"id": "a"}, HELLO | {"id": "a"}]}, "items[1].id", "duplicate_item"),
    ("POST", "", {"metadata": []}, "metadata", "invalid_type"),
    ("POST", "", {"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
    ("POST", "", {"metadata": {"a": "\x00"}}, "metadata.a", "invalid_value"),
    ("POST", "", {"metadata": {str(name): "" for name in range(17)}}, "metadata", "object_above_max_properties"),
    ("POST", "", {"topic": "x"}, "topic", "invalid_request"),
    ("POST", "", [], None, "invalid_request"),
    ("POST", "/{id}", {}, "metadata", "invalid_request"),
    ("POST", "/{id}", {"metadata": "x"}, "metadata", "invalid_type"),
    ("POST", "/{id}/items", {}, "items", "missing_required_parameter"),
    ("POST", "/{id}/items", {"items": [HELLO] * 21}, "items", "array_above_max_length"),
    ("POST", "/{id}/items", {"items": [HELLO, HELLO | {"id": "msg_first"}]}, "items", "duplicate_item"),
    ("POST", "/{id}/items?include=x", {"items": [HELLO]}, "include", "invalid_value"),
    ("GET", "/{id}/items?limit=0", None, "limit", "invalid_request"),
    ("GET", "/{id}/items?limit=101", None, "limit", "invalid_request"),
    ("GET", "/{id}/items?order=up", None, "order", "invalid_request"),
    ("GET", "/{id}/items?after=msg_none", None, "after", "invalid_request"),
    ("GET", "/{id}/items?before=msg_none", None, "before", "invalid_request"),
    ("GET", "/{id}/items?include[]=x", None, "include", "invalid_value"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
async def test_what_is_wrong_is_named_and_changes_nothing(
    running: Service, conversation: str, wrong: tuple[str, str, object, str | None, str]
) -> None:
    method, path, body, param, code = wrong
    status, answer = await call(running, method, path.format(id=conversation), json=body)
    error = answer["error"]
    assert (status, error["param"], error["code"]) == (400, param, code)
    assert error["type"] == "invalid_request_error"
    _, items = await call(running, "GET", f"/{conversation}/items")
    assert [item["id"] for item in items["data"]] == ["msg_first"]


@pytest.mark.parametrize("name", [NOBODYS, "conv_x", "x", "%00", "resp_" + "0" * 32])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("POST", "", {"metadata": {}}),
        ("DELETE", "", None),
        ("GET", "/items", None),
        ("POST", "/items", {"items": [HELLO]}),
        ("GET", "/items/msg_first", None),
        ("DELETE", "/items/msg_first", None),
    ],
)
async def test_what_is_not_there_has_one_answer(
    running: Service, name: str, method: str, path: str, body: object
) -> None:
    status, answer = await call(running, method, f"/{name}{path}", json=body)
    assert (status, answer["error"]["code"]) == (404, "conversation_not_found")


async def test_a_cursor_of_another_conversation_is_none_of_this_one(running: Service, conversation: str) -> None:
    _, other = await call(running, "POST", "", json={"items": [HELLO | {"id": "msg_other"}]})
    assert (await call(running, "GET", f"/{other['id']}/items?after=msg_other"))[0] == 200
    assert (await call(running, "GET", f"/{conversation}/items?after=msg_other"))[0] == 400
    assert (await call(running, "GET", f"/{conversation}/items/msg_other"))[0] == 404


async def test_two_projects_and_two_organizations_see_nothing_of_each_other(
    running: Service, tenant: Tenant, conversation: str
) -> None:
    other_project = add_key(tenant, project=add_project(tenant))
    stranger = another_tenant(tenant).secret
    reaching: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("POST", "", {"metadata": {"a": "b"}}),
        ("DELETE", "", None),
        ("GET", "/items", None),
        ("POST", "/items", {"items": [HELLO]}),
        ("GET", "/items/msg_first", None),
        ("DELETE", "/items/msg_first", None),
    ]
    for secret in (other_project, stranger):
        for method, path, body in reaching:
            status, answer = await call(running, method, f"/{conversation}{path}", json=body, secret=secret)
            assert (status, answer["error"]["code"]) == (404, "conversation_not_found")
        status, made = await call(running, "POST", "", json={"items": [HELLO | {"id": "msg_first"}]}, secret=secret)
        assert status == 200, "the same id of an item is nothing to another project"
        assert (await call(running, "GET", f"/{made['id']}"))[0] == 404
    status, items = await call(running, "GET", f"/{conversation}/items")
    assert [item["id"] for item in items["data"]] == ["msg_first"]


@pytest.mark.parametrize("role", ["auditor", "privacy_officer"])
async def test_who_calls_no_model_reads_no_conversation(
    running: Service, tenant: Tenant, conversation: str, role: str
) -> None:
    secret = add_key(tenant, role=role, project=tenant.project_id)
    for path in ("", "/items", "/items/msg_first"):
        status, answer = await call(running, "GET", f"/{conversation}{path}", secret=secret)
        assert (status, answer["error"]["code"]) == (403, "permission_denied")


async def test_a_key_of_the_organization_names_the_project_it_acts_in(
    running: Service, tenant: Tenant, conversation: str
) -> None:
    async with openai.AsyncOpenAI(
        base_url=running.openai_base_url,
        api_key=add_key(tenant),
        project=f"proj_{tenant.project_id.hex}",
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        assert (await client.conversations.retrieve(conversation)).id == conversation


async def test_a_conversation_that_is_refused_is_not_made(running: Service, tenant: Tenant) -> None:
    async with sdk(running) as client:
        with pytest.raises(openai.BadRequestError):
            await client.conversations.create(items=[{"role": "user"}])  # type: ignore[list-item] # on purpose
    with psycopg.connect(tenant.dsn) as connection:
        row = connection.execute("select count(*) from ali.conversation where project_id = %s", (tenant.project_id,))
        assert row.fetchone() == (0,)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_numbers_that_json_has_not_do_no_harm(running: Service, conversation: str, number: str) -> None:
    body = f'{{"items": [{{"role": "user", "content": "Hello", "weight": {number}}}]}}'
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.post(
            f"{running.url}/v1/conversations/{conversation}/items",
            data=body,
            headers={"authorization": f"Bearer {running.tenant.secret}", "content-type": "application/json"},
        ) as response,
    ):
        assert response.status in (200, 400)
    assert (await call(running, "GET", f"/{conversation}/items"))[0] == 200
