"""Responses that meet: on one conversation, with its deletion or their own, with their cancellation, at the last room.

Two whole services run in the test's process on one database.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import openai
import pytest

from ali.ops.simulator import Answer, Simulator
from tests.contract.judges import openai_client
from tests.fixtures.database import Tenant
from tests.fixtures.service import Service, running
from tests.responses.conftest import behind
from tests.responses.test_faults_responses import check_nothing_is_left, make_conversation, rows

MODEL = "local/gpt-4.1"
ENDED = ("completed", "incomplete", "failed", "cancelled")


@pytest.fixture
async def pair(tenant: Tenant, tmp_path: Path, simulator: Simulator) -> AsyncIterator[tuple[Service, Service]]:
    async with (
        running(tenant, tmp_path / "one", **behind(simulator)) as one,
        running(tenant, tmp_path / "other", **behind(simulator)) as other,
    ):
        yield one, other


async def call(service: Service, method: str, path: str, body: object = None) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(headers=service.headers) as session,
        session.request(method, f"{service.url}/v1{path}", json=body) as response,
    ):
        text = await response.read()
        return response.status, await response.json() if response.content_type == "application/json" else text


async def create(service: Service, text: str = "Hello", **members: object) -> tuple[int, Any]:
    return await call(service, "POST", "/responses", {"model": MODEL, "input": text, **members})


async def until(service: Service, name: str, *statuses: str) -> dict[str, Any]:
    async with asyncio.timeout(8):
        while True:
            _, found = await call(service, "GET", f"/responses/{name}")
            if found["status"] in statuses:
                return dict(found)
            await asyncio.sleep(0.03)


async def responders(service: Service, conversation: str) -> list[UUID]:
    """By whom the conversation's items were added, in their order."""
    statement = "select conversation_id, response_id from ali.conversation_item where project_id = %s order by position"
    wanted = UUID(conversation.removeprefix("conv_"))
    return [row["response_id"] for row in await rows(service, statement) if row["conversation_id"] == wanted]


async def both_are_clean(pair: tuple[Service, Service], simulator: Simulator) -> None:
    for service in pair:
        await check_nothing_is_left(service, simulator)


async def test_of_parallel_responses_on_one_conversation_each_is_whole_or_refused(
    pair: tuple[Service, Service], simulator: Simulator
) -> None:
    conversation = await make_conversation(pair[0])
    answers = await asyncio.gather(*(create(pair[at % 2], f"{at}", conversation=conversation) for at in range(8)))
    done = [UUID(body["id"].removeprefix("resp_")) for status, body in answers if status == 200]
    refused = [body["error"]["code"] for status, body in answers if status != 200]
    assert {status for status, _ in answers} <= {200, 409}
    assert set(refused) <= {"conversation_locked"}
    assert done
    added = await responders(pair[0], conversation)
    assert len(added) == 2 * len(done)
    assert added[::2] == added[1::2], "the items of one response stand together"
    assert set(added) == set(done)
    await both_are_clean(pair, simulator)


async def test_with_the_sdks_retries_all_of_them_complete(pair: tuple[Service, Service], simulator: Simulator) -> None:
    conversation = await make_conversation(pair[0])
    async with openai_client(pair[0], max_retries=9) as one, openai_client(pair[1], max_retries=9) as other:
        asked = (
            (one, other)[at % 2].responses.create(model=MODEL, input=f"{at}", conversation=conversation)
            for at in range(8)
        )
        made = await asyncio.gather(*asked)
    assert {response.status for response in made} == {"completed"}
    added = await responders(pair[0], conversation)
    assert added[::2] == added[1::2]
    assert len(added) == 16
    await both_are_clean(pair, simulator)


async def test_two_continuations_of_one_response_are_a_fork(
    pair: tuple[Service, Service], simulator: Simulator
) -> None:
    _, first = await create(pair[0])
    answers = await asyncio.gather(*(create(service, previous_response_id=first["id"]) for service in pair))
    assert [status for status, _ in answers] == [200, 200]
    await both_are_clean(pair, simulator)


@pytest.mark.parametrize("background", [True, False])
async def test_a_conversation_that_is_deleted_meanwhile_takes_nothing_with_it(
    pair: tuple[Service, Service], simulator: Simulator, *, background: bool
) -> None:
    conversation = await make_conversation(pair[0])
    simulator.answer(Answer(tokens=20, tokens_per_second=30))
    asking = asyncio.create_task(create(pair[0], conversation=conversation, background=background))
    await simulator.until(lambda: simulator.counters.requests == 1, timeout_s=3)
    status, _ = await call(pair[1], "DELETE", f"/conversations/{conversation}")
    assert status == 200
    status, made = await asking
    assert status == 200
    assert (await until(pair[1], made["id"], *ENDED))["status"] == "completed"
    await both_are_clean(pair, simulator)


@pytest.mark.parametrize("background", [True, False])
async def test_a_response_that_is_deleted_in_its_run_leaves_its_conversation_free(
    pair: tuple[Service, Service], simulator: Simulator, *, background: bool
) -> None:
    conversation = await make_conversation(pair[0])
    simulator.answer(Answer(tokens=40, tokens_per_second=30))
    asking = asyncio.create_task(create(pair[0], conversation=conversation, background=background))
    await simulator.until(lambda: simulator.counters.requests == 1, timeout_s=3)
    [row] = await rows(pair[0], "select id from ali.response where project_id = %s")
    assert (await call(pair[1], "DELETE", f"/responses/resp_{row['id'].hex}"))[0] == 200
    status, _ = await asking
    assert status == 200
    assert not await check_nothing_is_left(pair[0], simulator)
    assert (await create(pair[1], conversation=conversation))[0] == 200
    assert (await pair[0].records())[0]["outcome"] == ("cancelled" if background else "ok")


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_response_stops_keeps_what_it_had_and_is_paid_for(
    pair: tuple[Service, Service], simulator: Simulator, where: str, times: int
) -> None:
    conversation = await make_conversation(pair[0])
    simulator.answer(Answer(tokens=400, tokens_per_second=40))
    _, made = await create(pair[0], background=True, conversation=conversation)
    await simulator.until(lambda: simulator.counters.requests == 1, timeout_s=3)
    await asyncio.sleep(0.3)
    at = pair[0] if where == "here" else pair[1]
    answers = await asyncio.gather(*(call(at, "POST", f"/responses/{made['id']}/cancel") for _ in range(times)))
    for status, body in answers:
        assert (status, body["status"]) == (200, "cancelled"), body
        assert body["output"][0]["content"][0]["text"]
    assert (await call(at, "POST", f"/responses/{made['id']}/cancel"))[1]["status"] == "cancelled"
    await both_are_clean(pair, simulator)
    [record] = await pair[0].records()
    assert (record["outcome"], record["error_code"]) == ("cancelled", "cancelled")
    assert record["output_tokens"] > 0
    events = await call(pair[1], "GET", f"/responses/{made['id']}?stream=true")
    numbers = [int(line.rsplit(b":", 1)[1][:-1]) for line in events[1].splitlines() if line.startswith(b"data: ")]
    assert numbers == list(range(len(numbers)))
    assert (await create(pair[1], conversation=conversation))[0] == 200


async def test_a_cancellation_at_the_very_end_changes_nothing_or_all(
    pair: tuple[Service, Service], simulator: Simulator
) -> None:
    async def one(at: int) -> None:
        conversation = await make_conversation(pair[0])
        _, made = await create(pair[0], "[[tokens:10]] [[rate:50]] Go", background=True, conversation=conversation)
        await asyncio.sleep(0.12 + at * 0.012)
        status, body = await call(pair[at % 2], "POST", f"/responses/{made['id']}/cancel")
        assert status in (200, 400), body
        ended = await until(pair[0], made["id"], *ENDED)
        assert ended["status"] in ("completed", "cancelled")
        items = await responders(pair[0], conversation)
        assert len(items) == (2 if ended["status"] == "completed" else 0)
        _, events = await call(pair[1], "GET", f"/responses/{made['id']}?stream=true")
        numbers = [int(line.rsplit(b":", 1)[1][:-1]) for line in events.splitlines() if line.startswith(b"data: ")]
        assert numbers == list(range(len(numbers)))

    await asyncio.gather(*(one(at) for at in range(16)))
    await both_are_clean(pair, simulator)


async def test_what_is_accepted_above_capacity_waits_and_may_be_cancelled_or_deleted_before_it_runs(
    pair: tuple[Service, Service], simulator: Simulator
) -> None:
    for service in pair:
        service.app.api.state.background.most_at_once = 1
    _, conversation = await call(pair[0], "POST", "/conversations", {})
    long = "[[tokens:40]] [[rate:40]] Go"
    running_now = [(await create(service, long, background=True))[1]["id"] for service in pair]
    waiting = [(await create(pair[0], background=True))[1]["id"] for _ in range(3)]
    _, doomed = await create(pair[0], background=True, conversation=conversation["id"])
    assert (await create(pair[0], conversation=conversation["id"]))[0] == 409, "it waits, and has its conversation"
    status, cancelled = await call(pair[1], "POST", f"/responses/{waiting[2]}/cancel")
    assert (status, cancelled["status"]) == (200, "cancelled")
    assert (await call(pair[1], "GET", f"/responses/{running_now[0]}"))[1]["status"] == "in_progress"
    assert (await call(pair[1], "DELETE", f"/responses/{doomed['id']}"))[0] == 200
    assert (await create(pair[0], conversation=conversation["id"]))[0] == 200
    for name in (*running_now, *waiting[:2]):
        assert (await until(pair[0], name, *ENDED))["status"] == "completed"
    await both_are_clean(pair, simulator)


async def test_a_cancellation_that_meets_a_deletion_is_no_error_of_the_service(
    pair: tuple[Service, Service], simulator: Simulator
) -> None:
    async with openai_client(pair[0]) as client:
        simulator.default = Answer(tokens=100, tokens_per_second=50)
        for _ in range(4):
            made = await client.responses.create(model=MODEL, input="Go", background=True)
            await asyncio.sleep(0.1)
            found, _ = await asyncio.gather(
                client.responses.cancel(made.id), client.responses.delete(made.id), return_exceptions=True
            )
            assert not isinstance(found, openai.InternalServerError)
    await both_are_clean(pair, simulator)
