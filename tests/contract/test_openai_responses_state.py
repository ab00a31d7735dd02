"""Responses that are kept, as OpenAI's SDK goes on from them, fetches, lists, cancels and deletes them."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import openai
import orjson
import pytest
import pytest_asyncio
from openai.types.responses import Response

from ali.ops.simulator import Answer, Simulator
from tests.administration.callers import add_key, add_project
from tests.contract.judges import CLAUDE, EXTRACTIVE, GPT, blocking_openai_client, openai_client
from tests.fixtures.database import Tenant
from tests.fixtures.service import Service
from tests.fixtures.standing_service import Standing, standing_service
from tests.responses.conftest import behind

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOCAL = "local/gpt-4.1"
EVERY_MODEL = pytest.mark.parametrize("model", [GPT, LOCAL, CLAUDE, EXTRACTIVE])
EVERY_UPSTREAM = pytest.mark.parametrize("model", [GPT, LOCAL, CLAUDE])
MATERIAL = "The guarantee lasts for 24 months from the day of purchase. The pump weighs 85 kilograms."
QUESTION = f"{MATERIAL} How long does the guarantee last?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    home = tmp_path_factory.mktemp("kept")
    async with Simulator() as simulator, standing_service(worker_dsn, home, simulator, **behind(simulator)) as standing:
        yield standing


@pytest.fixture
def simulator(standing: Standing) -> Simulator:
    return standing.emptied()


@pytest.fixture
def service(standing: Standing, tenant: Tenant) -> Service:
    return standing.of(tenant)


async def ended(client: openai.AsyncOpenAI, name: str) -> Response:
    """The response once it no longer runs."""
    async with asyncio.timeout(10):
        while (found := await client.responses.retrieve(name)).status in ("queued", "in_progress"):  # noqa: ASYNC110 - as callers poll
            await asyncio.sleep(0.02)
    return found


# Going on


@EVERY_MODEL
async def test_a_chain_remembers_what_was_said_and_not_its_instructions(
    service: Service, simulator: Simulator, model: str
) -> None:
    async with openai_client(service) as client:
        first = await client.responses.create(model=model, instructions="Speak like a pirate.", input=QUESTION)
        second = await client.responses.create(
            model=model, input="What does the pump weigh?", previous_response_id=first.id
        )
        third = await client.responses.create(
            model=model,
            instructions="Speak like a lawyer.",
            input="And the guarantee?",
            previous_response_id=second.id,
        )
        listed = [item async for item in client.responses.input_items.list(third.id, order="asc", limit=2)]
    assert (second.previous_response_id, third.previous_response_id) == (first.id, second.id)
    assert (second.instructions, third.instructions) == (None, "Speak like a lawyer.")
    assert [item.type for item in listed] == ["message"] * 5, "three questions and the two answers between them"
    if model == EXTRACTIVE:
        return
    asked = [request.body.decode() for request in simulator.requests]
    assert ["pirate" in body for body in asked] == [True, False, False]
    assert all(QUESTION in body for body in asked)
    assert first.output_text in asked[1]
    assert second.output_text in asked[2]


@EVERY_MODEL
async def test_one_response_can_be_gone_on_from_twice(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        first = await client.responses.create(model=model, input=QUESTION)
        left, right = await asyncio.gather(
            *(
                client.responses.create(model=model, input=f"And {word}? {MATERIAL}", previous_response_id=first.id)
                for word in ("the pump", "the price")
            )
        )
        heard = [item async for item in client.responses.input_items.list(left.id)]
    assert left.id != right.id
    assert "the price" not in orjson.dumps([item.to_dict() for item in heard]).decode()


@EVERY_MODEL
async def test_a_conversation_gathers_what_responses_say_in_it(
    service: Service, simulator: Simulator, model: str
) -> None:
    async with openai_client(service) as client:
        conversation = await client.conversations.create(items=[{"role": "user", "content": MATERIAL}])
        first = await client.responses.create(model=model, input=QUESTION, conversation=conversation.id)
        stream = await client.responses.create(
            model=model, input="What does the pump weigh?", conversation={"id": conversation.id}, stream=True
        )
        last = [event async for event in stream][-1]
        assert last.type == "response.completed"
        items = [item async for item in client.conversations.items.list(conversation.id, order="asc", limit=2)]
        assert first.conversation is not None
        assert first.conversation.id == conversation.id
        roles = [item.role for item in items if item.type == "message"]
        assert roles == ["user", "user", "assistant", "user", "assistant"]
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=model, input="Hm", previous_response_id=first.id)
        assert refused.value.code == "previous_response_unusable"
    if model != EXTRACTIVE:
        assert MATERIAL in simulator.requests[0].body.decode()
        assert first.output_text in simulator.last.body.decode()


@EVERY_UPSTREAM
async def test_a_conversation_in_which_a_response_runs_is_a_conflict(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(text="One two three four", tokens_per_second=5.0))
    async with openai_client(service) as client:
        conversation = await client.conversations.create()
        stream = await client.responses.create(model=model, input="Hi", conversation=conversation.id, stream=True)
        await anext(aiter(stream))
        with pytest.raises(openai.ConflictError) as refused:
            await client.responses.create(model=model, input="Me too", conversation=conversation.id)
        with pytest.raises(openai.ConflictError):
            await client.conversations.items.create(conversation.id, items=[{"role": "user", "content": "And me"}])
        async for _ in stream:
            pass
        assert (refused.value.code, refused.value.param) == ("conversation_locked", "conversation")
        made = await client.responses.create(model=model, input="Now me", conversation=conversation.id)
    assert made.status == "completed"
    assert "Me too" not in simulator.last.body.decode()


# Fetching, listing, deleting


@EVERY_UPSTREAM
async def test_what_was_asked_is_listed_in_pages_both_ways(service: Service, simulator: Simulator, model: str) -> None:
    said: Any = [{"role": "user", "content": f"Part {number}"} for number in range(7)]
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=said)
        up = [item.id async for item in client.responses.input_items.list(made.id, order="asc", limit=3)]
        down = [item.id async for item in client.responses.input_items.list(made.id, limit=2)]
        assert len(up) == 7
        assert down == up[::-1]
        page = await client.responses.input_items.list(made.id, order="asc", after=str(up[4]))
        assert [item.id for item in page.data] == up[5:]
        assert not page.has_more
        by_default = await client.responses.input_items.list(made.id)
        assert [item.id for item in by_default.data] == down
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.input_items.list(made.id, after="msg_nothing")
        assert refused.value.param == "after"


@EVERY_MODEL
async def test_what_is_deleted_is_gone_for_every_endpoint(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=QUESTION)
        await client.responses.delete(made.id)
        for gone in (
            client.responses.retrieve(made.id),
            client.responses.delete(made.id),
            client.responses.cancel(made.id),
            client.responses.input_items.list(made.id),
        ):
            with pytest.raises(openai.NotFoundError) as missing:
                await gone
            assert missing.value.code == "response_not_found"
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=model, input="And?", previous_response_id=made.id)
        assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")


async def test_another_project_of_the_organization_finds_nothing(
    service: Service, simulator: Simulator, tenant: Tenant
) -> None:
    other = add_key(tenant, project=add_project(tenant))
    async with openai_client(service) as client, openai_client(service, api_key=other) as stranger:
        made = await client.responses.create(model=GPT, input=QUESTION)
        with pytest.raises(openai.NotFoundError):
            await stranger.responses.retrieve(made.id)
        with pytest.raises(openai.BadRequestError) as refused:
            await stranger.responses.create(model=GPT, input="And?", previous_response_id=made.id)
    assert refused.value.code == "previous_response_not_found"


@EVERY_MODEL
async def test_what_is_not_stored_is_not_there(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=QUESTION, store=False)
        assert made.output_text
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)
        carried: Any = [{"role": "user", "content": QUESTION}, *(item.to_dict() for item in made.output)]
        again = await client.responses.create(
            model=model, input=[*carried, {"role": "user", "content": "What does the pump weigh?"}], store=False
        )
    assert again.status == "completed"
    if model != EXTRACTIVE:
        assert made.output_text in simulator.last.body.decode()


@EVERY_UPSTREAM
async def test_an_item_can_be_named_instead_of_sent(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=QUESTION)
        await client.responses.create(
            model=model,
            input=[
                {"type": "item_reference", "id": str(made.output[0].id)},
                {"role": "user", "content": "What did you mean?"},
            ],
        )
        assert made.output_text in simulator.last.body.decode()
        with pytest.raises(openai.NotFoundError) as missing:
            await client.responses.create(
                model=model,
                input=[{"type": "item_reference", "id": "msg_nothing"}, {"role": "user", "content": "What?"}],
            )
    assert missing.value.param == "input"


# In the background


@EVERY_MODEL
async def test_a_background_response_is_polled_to_its_end(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=QUESTION, background=True)
        assert (made.status, made.background, made.output) == ("queued", True, [])
        found = await ended(client, made.id)
        assert found.status == "completed"
        assert found.output_text
        assert found.usage is not None
        listed = await client.responses.input_items.list(made.id)
        assert len(listed.data) == 1
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.cancel(made.id)
        assert refused.value.code == "response_not_cancellable"


@EVERY_MODEL
async def test_a_background_stream_that_broke_off_is_taken_up_where_it_was(
    service: Service, simulator: Simulator, model: str
) -> None:
    async with openai_client(service) as client:
        stream = await client.responses.create(model=model, input=QUESTION, background=True, stream=True)
        seen: list[Any] = []
        async for event in stream:
            seen.append(event)
            if len(seen) == 5:
                break
        await stream.close()
        name = seen[0].response.id
        rest = [
            event
            async for event in await client.responses.retrieve(
                name, stream=True, starting_after=seen[-1].sequence_number
            )
        ]
        every = [event async for event in await client.responses.retrieve(name, stream=True)]
        async with client.responses.stream(response_id=name, starting_after=4) as manager:
            final = await manager.get_final_response()
    assert [event.sequence_number for event in [*seen, *rest]] == list(range(len(every)))
    assert [event.to_dict() for event in [*seen, *rest]] == [event.to_dict() for event in every]
    assert rest[-1].type == "response.completed"
    assert final.output_text == rest[-1].response.output_text


async def test_the_blocking_client_waits_for_a_background_response(service: Service, simulator: Simulator) -> None:
    def converse() -> str:
        with blocking_openai_client(service) as client:
            made = client.responses.create(model=GPT, input=QUESTION, background=True)
            events = list(client.responses.retrieve(made.id, stream=True, starting_after=1))
            last = events[-1]
            assert last.type == "response.completed"
            assert client.responses.retrieve(made.id).output_text == last.response.output_text
            return last.response.output_text

    assert await asyncio.to_thread(converse)


@EVERY_UPSTREAM
async def test_a_background_response_that_is_cancelled_keeps_what_it_had(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(tokens=400, tokens_per_second=20.0))
    async with openai_client(service) as client:
        stream = await client.responses.create(model=model, input="Count", background=True, stream=True)
        deltas = 0
        name = ""
        async for event in stream:
            name = event.response.id if event.type == "response.created" else name
            deltas += event.type == "response.output_text.delta"
            if deltas == 2:
                break
        await stream.close()
        cancelled = await client.responses.cancel(name)
        again = await client.responses.cancel(name)
        found = await client.responses.retrieve(name)
    assert cancelled.status == again.status == found.status == "cancelled"
    assert found.output_text
    assert found.output[-1].to_dict()["status"] == "incomplete"


async def test_only_what_runs_in_the_background_is_cancelled_or_streamed_again(
    service: Service, simulator: Simulator
) -> None:
    async with openai_client(service) as client:
        made = await client.responses.create(model=GPT, input=QUESTION)
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.cancel(made.id)
        assert refused.value.code == "response_not_cancellable"
        with pytest.raises(openai.BadRequestError) as unkept:
            await client.responses.retrieve(made.id, stream=True)
        assert (unkept.value.code, unkept.value.param) == ("response_not_streamable", "stream")


@EVERY_UPSTREAM
async def test_a_background_response_that_the_provider_refuses_says_why(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(status=400, message="Your input is odd."))
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=QUESTION, background=True)
        found = await ended(client, made.id)
    assert found.status == "failed"
    assert found.error is not None
    assert "Your input is odd." in found.error.message


@EVERY_UPSTREAM
async def test_metadata_is_kept_with_the_response(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=QUESTION, metadata={"ticket": "4711"})
        assert (await client.responses.retrieve(made.id)).metadata == {"ticket": "4711"}
        plain = await client.responses.create(model=model, input=QUESTION)
        assert plain.metadata == {}
    assert b"4711" not in simulator.requests[0].body


async def test_background_responses_that_end_together_are_each_accounted_for_as_they_ended(
    service: Service, simulator: Simulator
) -> None:
    answers = itertools.cycle([Answer(text="Yes."), Answer(text="One two three", tokens_per_second=200.0)])
    simulator.default = lambda _: next(answers)
    async with openai_client(service) as client:
        for _ in range(3):
            made = await asyncio.gather(
                *(
                    client.responses.create(model=model, input=QUESTION, background=True)
                    for model in (GPT, LOCAL, CLAUDE, EXTRACTIVE) * 10
                )
            )
            found = await asyncio.gather(*(ended(client, each.id) for each in made))
            assert {each.status for each in found} == {"completed"}
    records = await service.records()
    assert [(record["outcome"], record["status"]) for record in records] == [("ok", 200)] * 120
