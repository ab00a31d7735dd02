"""The order of a conversation's items: kept whoever adds at once, read in pages from either end."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import openai
import psycopg
import pytest

from ali.features.conversations import order
from ali.kernel.ids import uuid7
from tests.conversations.callers import call, claim, release, said, sdk, text_of
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service

AT_ONCE = 8


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1, database_pool_size=AT_ONCE) as service:
        yield service


async def made(service: Service, *words: str) -> str:
    """A conversation in which `words` were said."""
    status, conversation = await call(service, "POST", "", json={"items": [said(word) for word in words]})
    assert status == 200, conversation
    name: str = conversation["id"]
    return name


async def test_what_eight_add_at_once_stays_together(running: Service) -> None:
    conversation = await made(running, "first")

    async def add(adder: int) -> None:
        for turn in range(4):
            items = [said(f"{adder} {turn} {place}") for place in range(5)]
            status, body = await call(running, "POST", f"/{conversation}/items", json={"items": items})
            assert status == 200, body

    await asyncio.gather(*(add(adder) for adder in range(AT_ONCE)))
    async with sdk(running) as client:
        seen = [text_of(item) async for item in client.conversations.items.list(conversation, order="asc", limit=100)]
    assert seen[0] == "first"
    batches = [seen[place : place + 5] for place in range(1, len(seen), 5)]
    assert len(batches) == AT_ONCE * 4
    for batch in batches:
        began = batch[0].removesuffix(" 0")
        assert batch == [f"{began} {place}" for place in range(5)]
    for adder in range(AT_ONCE):
        mine = [batch[0].split()[1] for batch in batches if batch[0].startswith(f"{adder} ")]
        assert mine == ["0", "1", "2", "3"]


async def test_an_item_is_added_once_though_many_try_at_once(running: Service) -> None:
    conversation = await made(running, "first")
    body = {"items": [said("a") | {"id": "msg_mine"}, said("b")]}
    answers = await asyncio.gather(
        *(call(running, "POST", f"/{conversation}/items", json=body) for _ in range(AT_ONCE))
    )
    assert Counter(status for status, _ in answers) == {200: 1, 400: AT_ONCE - 1}
    refusals = [body["error"] for status, body in answers if status == 400]
    assert {(refusal["code"], refusal["param"]) for refusal in refusals} == {("duplicate_item", "items")}
    assert len((await call(running, "GET", f"/{conversation}/items"))[1]["data"]) == 3


async def test_what_is_deleted_at_once_is_deleted_once(running: Service, tenant: Tenant) -> None:
    conversation = await made(running, "first")
    items = (await call(running, "GET", f"/{conversation}/items"))[1]["data"]
    path = f"/{conversation}/items/{items[0]['id']}"
    for target in (path, f"/{conversation}"):
        answers = await asyncio.gather(*(call(running, "DELETE", target) for _ in range(AT_ONCE)))
        assert Counter(status for status, _ in answers) == {200: 1, 404: AT_ONCE - 1}
    with psycopg.connect(tenant.dsn) as connection:
        left = connection.execute(
            "select count(*) from ali.conversation_item where project_id = %s", (tenant.project_id,)
        ).fetchone()
        events = connection.execute(
            "select target_kind, target_id from ali.audit_event where project_id = %s and action ="
            " 'conversation.deleted'",
            (tenant.project_id,),
        ).fetchall()
    assert left == (0,)
    assert events == [("conversation", conversation)]


async def test_adding_and_deleting_at_once_never_fails(running: Service) -> None:
    for _ in range(5):
        conversation = await made(running, "first")
        body = {"items": [said("more")]}
        answers = await asyncio.gather(
            *(call(running, "POST", f"/{conversation}/items", json=body) for _ in range(AT_ONCE)),
            call(running, "POST", f"/{conversation}", json={"metadata": {"a": "b"}}),
            call(running, "DELETE", f"/{conversation}"),
            call(running, "GET", f"/{conversation}/items"),
        )
        assert {status for status, _ in answers} <= {200, 404}, answers


async def test_nobody_adds_while_a_response_runs(running: Service, tenant: Tenant) -> None:
    conversation = await made(running, "first")
    claim(tenant, conversation)
    async with sdk(running) as client:
        with pytest.raises(openai.ConflictError) as refused:
            await client.conversations.items.create(conversation, items=[{"role": "user", "content": "more"}])
    assert refused.value.code == "conversation_locked"
    assert refused.value.response.headers["retry-after"] == "1"
    status, items = await call(running, "GET", f"/{conversation}/items")
    assert (status, len(items["data"])) == (200, 1), "reading is free"


async def test_the_sdk_waits_for_the_response_by_itself(running: Service, tenant: Tenant) -> None:
    conversation = await made(running, "first")
    claim(tenant, conversation)
    async with sdk(running, retries=3) as client:
        adding = asyncio.create_task(
            client.conversations.items.create(conversation, items=[{"role": "user", "content": "more"}])
        )
        await asyncio.sleep(0.2)
        await asyncio.to_thread(release, tenant, conversation)
        assert len((await adding).data) == 1


@pytest.mark.parametrize(
    ("meanwhile", "expected"),
    [
        ({"ago": "10 s"}, 409),
        ({"ago": "10 min"}, 200),
        ({"ago": "10 min", "alive": True}, 409),
        ({"ago": "2 h", "alive": True}, 200),
        ({"ago": "2 h", "kept": "in_progress"}, 409),
        ({"ago": "2 h", "kept": "queued", "alive": True}, 409),
        ({"ago": "2 h", "kept": "completed"}, 200),
    ],
    ids=str,
)
async def test_a_response_holds_its_conversation_for_as_long_as_it_can_be_running(
    running: Service, tenant: Tenant, meanwhile: dict[str, Any], expected: int
) -> None:
    conversation = await made(running, "first")
    claim(tenant, conversation, **meanwhile)
    status, _ = await call(running, "POST", f"/{conversation}/items", json={"items": [said("more")]})
    assert status == expected
    organization, project = str(tenant.organization_id), str(tenant.project_id)
    with psycopg.connect(tenant.dsn) as connection:
        verdict = connection.execute(
            "select ali.claim_conversation(%s, %s, %s, %s, %s, interval '45 s')",
            (organization, project, conversation.removeprefix("conv_"), uuid7(), uuid7()),
        ).fetchone()
    assert verdict == ({200: "ok", 409: "busy"}[expected],), "what goes for callers goes for responses"


async def pages(client: openai.AsyncOpenAI, conversation: str, **query: Any) -> list[str]:  # noqa: ANN401 - the SDK's
    return [text_of(item) async for item in client.conversations.items.list(conversation, **query)]


async def test_pages_cover_each_item_once_from_either_end_and_before_and_after_any(running: Service) -> None:
    words = [f"{place}" for place in range(43)]
    conversation = await made(running, *words[:20])
    for part in (words[20:40], words[40:]):
        body = {"items": [said(word) for word in part]}
        assert (await call(running, "POST", f"/{conversation}/items", json=body))[0] == 200
    everything = (await call(running, "GET", f"/{conversation}/items?order=asc&limit=100"))[1]["data"]
    names = [item["id"] for item in everything]
    for gone in (7, 20, 42):
        assert (await call(running, "DELETE", f"/{conversation}/items/{names[gone]}"))[0] == 200
    names = [name for place, name in enumerate(names) if place not in (7, 20, 42)]
    chance = random.Random(7)  # noqa: S311 - places to try
    for direction in ("asc", "desc"):
        ordered = names if direction == "asc" else names[::-1]
        for limit in (1, 3, 39, 40, 100):
            for begin in (None, *chance.sample(range(len(ordered)), 3)):
                seen, cursor = [], None if begin is None else ordered[begin]
                while True:
                    after = f"&after={cursor}" if cursor else ""
                    _, page = await call(
                        running, "GET", f"/{conversation}/items?order={direction}&limit={limit}{after}"
                    )
                    seen += [item["id"] for item in page["data"]]
                    if not page["has_more"]:
                        break
                    assert len(page["data"]) == limit
                    cursor = page["last_id"]
                assert seen == ordered[0 if begin is None else begin + 1 :]
                if begin is not None:
                    _, page = await call(
                        running, "GET", f"/{conversation}/items?order={direction}&limit={limit}&before={ordered[begin]}"
                    )
                    assert [item["id"] for item in page["data"]] == ordered[max(0, begin - limit) : begin]
                    assert page["has_more"] == (begin > limit)


async def test_two_conversations_of_a_project_keep_to_themselves(running: Service) -> None:
    one, other = await made(running, "a", "b", "c"), await made(running, "x", "y")
    async with sdk(running) as client:
        assert await pages(client, one, order="asc", limit=2) == ["a", "b", "c"]
        assert await pages(client, other) == ["y", "x"]
        first = await client.conversations.items.list(one, order="asc", limit=1)
        await client.conversations.items.delete(first.data[0].id or "", conversation_id=one)
        assert await pages(client, one) == ["c", "b"]
        assert await pages(client, other) == ["y", "x"]


async def test_a_page_of_large_items_ends_early_and_says_so(running: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MOST_PAGE_BYTES", 3000)
    conversation = await made(running, *("a" * 2000 for _ in range(5)))
    _, page = await call(running, "GET", f"/{conversation}/items?order=asc")
    assert (len(page["data"]), page["has_more"]) == (2, True)
    async with sdk(running) as client:
        assert len(await pages(client, conversation)) == 5
        assert len(await pages(client, conversation, order="asc", limit=2)) == 5
