"""OpenAI's SDK, in strict mode, as the judge of what conversations answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.conversations.callers import call, said, sdk, text_of
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service
from tests.unit.conversations.test_items import HOSTED


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1) as service:
        yield service


@pytest.fixture
async def client(running: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(running) as client:
        yield client


async def test_a_conversation_is_made_read_labelled_and_deleted(client: openai.AsyncOpenAI) -> None:
    made = await client.conversations.create(metadata={"topic": "demo"}, items=[{"role": "user", "content": "Hello!"}])
    assert made.id.startswith("conv_")
    assert (made.object, made.metadata) == ("conversation", {"topic": "demo"})
    assert await client.conversations.retrieve(made.id) == made
    labelled = await client.conversations.update(made.id, metadata={"topic": "other", "n": "1"})
    assert labelled.metadata == {"topic": "other", "n": "1"}
    assert (await client.conversations.update(made.id, metadata=None)).metadata == {}
    assert [text_of(item) async for item in client.conversations.items.list(made.id)] == ["Hello!"]
    gone = await client.conversations.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "conversation.deleted", True)
    for again in (client.conversations.retrieve, client.conversations.delete, client.conversations.items.list):
        with pytest.raises(openai.NotFoundError) as refused:
            await again(made.id)
        assert refused.value.code == "conversation_not_found"
        assert refused.value.type == "invalid_request_error"


async def test_an_empty_conversation_has_an_empty_list(client: openai.AsyncOpenAI) -> None:
    made = await client.conversations.create()
    assert made.metadata == {}
    page = await client.conversations.items.list(made.id)
    assert (page.data, page.has_more, page.last_id) == ([], False, None)


async def test_items_are_added_found_and_deleted(client: openai.AsyncOpenAI) -> None:
    made = await client.conversations.create()
    items = client.conversations.items
    added = await items.create(
        made.id,
        items=[
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "One"}]},
            {"role": "assistant", "content": "Two"},
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "seen"},
        ],
    )
    assert [item.type for item in added.data] == ["message", "message", "function_call", "function_call_output"]
    assert (added.first_id, added.last_id) == (added.data[0].id, added.data[-1].id)
    assert not added.has_more
    for item in added.data:
        assert item.id is not None
        assert await items.retrieve(item.id, conversation_id=made.id) == item
    assert [item.id async for item in items.list(made.id, order="asc", limit=1)] == [item.id for item in added.data]
    second = added.data[1].id
    assert second is not None
    assert (await items.delete(second, conversation_id=made.id)).id == made.id
    for again in (items.retrieve, items.delete):
        with pytest.raises(openai.NotFoundError) as refused:
            await again(second, conversation_id=made.id)
        assert refused.value.code == "conversation_item_not_found"
    assert second not in [item.id async for item in items.list(made.id)]


async def test_every_kind_of_item_comes_back_as_the_sdk_knows_it(client: openai.AsyncOpenAI) -> None:
    kept: list[Any] = [item for item in HOSTED if item["type"] not in ("item_reference", "compaction_trigger")]
    made = await client.conversations.create(items=kept[:20])
    await client.conversations.items.create(made.id, items=kept[20:])
    listed = [item.type async for item in client.conversations.items.list(made.id, order="asc", limit=7)]
    assert listed == [item["type"] for item in kept]


async def test_what_is_not_asked_for_is_not_shown(client: openai.AsyncOpenAI) -> None:
    sources = [{"type": "url", "url": "https://example.org"}]
    given: list[Any] = [
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.org/a.png"}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "sealed"},
        {"type": "file_search_call", "queries": ["q"], "results": [{"file_id": "file-1"}]},
        {"type": "web_search_call", "action": {"type": "search", "query": "q", "sources": sources}},
    ]
    made = await client.conversations.create(items=given)
    image, thought, search, web = [
        item.to_dict() async for item in client.conversations.items.list(made.id, order="asc")
    ]
    assert image["content"][0]["image_url"] is None  # type: ignore[index] # of the SDK's any
    assert "encrypted_content" not in thought
    assert search["results"] is None
    assert "sources" not in web["action"]  # type: ignore[operator] # as above
    everything = client.conversations.items.list(
        made.id,
        order="asc",
        include=[
            "message.input_image.image_url",
            "reasoning.encrypted_content",
            "file_search_call.results",
            "web_search_call.action.sources",
        ],
    )
    image, thought, search, web = [item.to_dict() async for item in everything]
    assert image["content"][0]["image_url"] == "https://example.org/a.png"  # type: ignore[index] # as above
    assert thought["encrypted_content"] == "sealed"
    assert search["results"] == [{"file_id": "file-1"}]
    assert web["action"]["sources"] == sources  # type: ignore[index] # as above
    with pytest.raises(openai.BadRequestError) as refused:
        await client.conversations.items.list(made.id, include=["everything"])  # type: ignore[list-item] # on purpose
    assert (refused.value.param, refused.value.code) == ("include", "invalid_value")


async def test_the_synchronous_sdk_does_the_same(running: Service) -> None:
    def act() -> list[str]:
        with openai.OpenAI(
            base_url=running.openai_base_url,
            api_key=running.tenant.secret,
            max_retries=0,
            _strict_response_validation=True,
        ) as client:
            made = client.conversations.create(items=[{"role": "user", "content": "One"}])
            client.conversations.items.create(made.id, items=[{"role": "user", "content": "Two"}])
            seen = [text_of(item) for item in client.conversations.items.list(made.id, limit=1)]
            client.conversations.delete(made.id)
            return seen

    assert await asyncio.to_thread(act) == ["Two", "One"]


async def test_an_idempotency_key_adds_once(running: Service, client: openai.AsyncOpenAI, tenant: Tenant) -> None:
    made = await client.conversations.create()
    for _ in range(2):
        await client.conversations.items.create(
            made.id, items=[{"role": "user", "content": "Once"}], extra_headers={"Idempotency-Key": "k-1"}
        )
    status, listed = await call(running, "GET", f"/{made.id}/items")
    assert (status, len(listed["data"])) == (200, 1)
    assert said("Once")["content"] == listed["data"][0]["content"][0]["text"]
