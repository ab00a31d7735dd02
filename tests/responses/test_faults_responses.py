"""Something breaks at each stage of a response: its caller is told once, and nothing is left half-done or held."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import psycopg
import pytest
from psycopg.rows import dict_row

from ali.features.chat.operations import RESPONSES
from ali.ops.simulator import Answer, Fault, FaultLimits, Simulator
from tests.fixtures.service import Serve, Service
from tests.responses.conftest import behind

NATIVE, LOCAL, CLAUDE = "gpt-4.1", "local/gpt-4.1", "claude-sonnet-5-5"
MODELS = (NATIVE, LOCAL, CLAUDE)
ENDS = {"response.completed", "response.failed", "response.incomplete", "error"}

BEFORE_OUTPUT = (
    Fault.HTTP_400, Fault.HTTP_401, Fault.HTTP_429, Fault.HTTP_500, Fault.HTTP_502_HTML, Fault.STALL_BEFORE_HEAD,
    Fault.STALL_AFTER_HEAD, Fault.ERROR_EVENT_FIRST, Fault.OK_EMPTY, Fault.HTML, Fault.JSON_FOR_STREAM, Fault.GARBAGE,
    Fault.CLOSED_ON_ACCEPT, Fault.RESET_BEFORE_HEAD, Fault.OK_WITH_ERROR, Fault.GZIP_BOMB,
)  # fmt: skip
AT_ANY_TIME = (
    Fault.MISSING_END, Fault.BAD_JSON, Fault.BAD_UTF8, Fault.ERROR_EVENT, Fault.JSON_ARRAY, Fault.STALL_MID_STREAM,
    Fault.RESET_MID_CHUNK, Fault.HALF_CHUNK_THEN_FIN, Fault.WRONG_CHUNKED, Fault.ENDLESS_PINGS, Fault.ENORMOUS_LINE,
)  # fmt: skip
"""In the middle of the stream; where all of it arrives at once, before the caller was told anything."""
WAYS = [(model, how) for model in MODELS for how in ("stream", "whole", "background")]


@pytest.fixture
async def sick() -> AsyncIterator[Simulator]:
    async with Simulator(limits=FaultLimits(fault_limit_s=4)) as simulator:
        yield simulator


QUICK: dict[str, Any] = {
    "upstream_connect_s": 0.5,
    "upstream_first_byte_s": 0.4,
    "upstream_silence_s": 0.4,
    "upstream_total_s": 2.0,
    "max_upstream_body_bytes": 2_000_000,
    "max_event_bytes": 1_000_000,
    "drain_s": 1,
    "limiter_store": "process",
}


@pytest.fixture
async def service(serve: Serve, sick: Simulator) -> AsyncIterator[Service]:
    aliases = {"both": {"targets": [LOCAL, CLAUDE]}, "native_first": {"targets": [NATIVE, LOCAL]}}
    async with serve(**{**behind(sick), **QUICK}, aliases=aliases) as running:
        yield running


@dataclass(slots=True)
class Told:
    """What a caller was told."""

    status: int
    events: list[dict[str, Any]] = field(default_factory=list)
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> dict[str, Any]:
        """The response object at the end."""
        found: dict[str, Any] = self.events[-1]["response"]
        return found

    def check_events(self) -> None:
        """In order, each number once, one beginning, one end, a `…done` for whatever was added."""
        kinds = [event["type"] for event in self.events]
        assert [event["sequence_number"] for event in self.events] == list(range(len(kinds)))
        assert [kind for kind in kinds if kind in ENDS] == [kinds[-1]]
        assert kinds.count("response.created") == 1
        for kind in ("output_item", "content_part"):
            assert kinds.count(f"response.{kind}.added") == kinds.count(f"response.{kind}.done")
        assert len(self.last["output"]) == kinds.count("response.output_item.added")


async def ask(service: Service, **members: object) -> Told:
    body = {"model": LOCAL, "input": "Count to twenty, please", **members}
    async with (
        aiohttp.ClientSession(headers=service.headers) as session,
        session.post(f"{service.url}/v1/responses", json=body) as response,
    ):
        text = await response.read()
        if response.content_type == "application/json":
            return Told(response.status, body=orjson.loads(text))
        return Told(response.status, events=events_in(text))


def events_in(text: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith(b"data: ")]


async def rows(service: Service, statement: str) -> list[dict[str, Any]]:
    async with await psycopg.AsyncConnection.connect(service.tenant.dsn, row_factory=dict_row) as owner:
        found = await owner.execute(statement, (service.tenant.project_id,))
        return await found.fetchall()


async def responses(service: Service) -> list[dict[str, Any]]:
    return await rows(service, "select * from ali.response where project_id = %s order by id")


async def make_conversation(service: Service) -> str:
    async with (
        aiohttp.ClientSession(headers=service.headers) as session,
        session.post(f"{service.url}/v1/conversations", json={}) as response,
    ):
        made: dict[str, Any] = await response.json()
        return str(made["id"])


async def check_nothing_is_left(service: Service, sick: Simulator) -> list[dict[str, Any]]:
    """Nothing runs, is claimed, or is open; the stored responses."""
    async with asyncio.timeout(6):
        while service.app.api.state.engine.state.late.pending:  # noqa: ASYNC110 - nothing sets an event here
            await asyncio.sleep(0.02)
        while any(row["status"] in ("queued", "in_progress") for row in await responses(service)):  # noqa: ASYNC110 - nothing sets an event here
            await asyncio.sleep(0.05)
        while service.gateway.metrics.in_flight or service.app.api.state.background.running:  # noqa: ASYNC110 - nothing sets an event here
            await asyncio.sleep(0.02)
        await sick.until(lambda: sick.counters.in_flight == 0)
    claimed = await rows(service, "select id from ali.conversation where project_id = %s and claimed_by is not null")
    assert not claimed
    for record in await service.records():
        assert record["outcome"] != "open"
        assert record["duration_ms"] is not None
        assert 0 <= record["cost_microusd"] < 20_000_000
    return await responses(service)


async def test_every_fault_of_a_provider_at_every_way_of_asking(service: Service, sick: Simulator) -> None:
    """One service for the whole table: what a case leaves behind, the next one finds."""
    count = 0
    conversations = [await make_conversation(service) for _ in WAYS]
    for fault in (*BEFORE_OUTPUT, *AT_ANY_TIME):
        known = {row["id"] for row in await responses(service)}
        sick.default = Answer(text="Count to twenty, please, and slowly.", fault=fault)
        for model in MODELS:
            for target in service.gateway.router.resolve(model, RESPONSES).targets:
                target.breaker.succeeded()
        asked = [
            ask(service, model=model, conversation=place, stream=how == "stream", background=how == "background")
            for (model, how), place in zip(WAYS, conversations, strict=True)
        ]
        answers = await asyncio.gather(*asked)
        kept = {row["id"]: row for row in await check_nothing_is_left(service, sick) if row["id"] not in known}
        assert {row["status"] for row in kept.values()} == {"failed"}, fault
        pieces = await rows(
            service, "select * from ali.response_event where project_id = %s order by response_id, first_number"
        )
        for (model, how), told in zip(WAYS, answers, strict=True):
            case, row = (fault, model, how, told), None
            if how == "background":
                assert (told.status, told.body["status"]) == (200, "queued"), case
                row = kept.pop(UUID(told.body["id"].removeprefix("resp_")))
                log = b"".join(bytes(piece["body"]) for piece in pieces if piece["response_id"] == row["id"])
                told = Told(200, events=events_in(log))  # noqa: PLW2901 - what a reader of it is told
            if told.events:
                told.check_events()
                assert told.events[-1]["type"] == "response.failed", case
                assert told.last["error"]["message"], case
                if how == "stream":
                    assert fault in AT_ANY_TIME, case
                    row = kept.pop(UUID(told.last["id"].removeprefix("resp_")))
                assert row is not None
                assert orjson.loads(row["output"]) == told.last["output"], case
            else:
                assert 400 <= told.status < 600, case
                assert told.status != 500, case
                assert told.body["error"]["message"], case
            count += 1
        assert not kept or fault in AT_ANY_TIME, "those who wait for the whole are told that it failed"
        assert len(kept) <= len(MODELS)
    assert count == 27 * 9
    items = await rows(service, "select item_id from ali.conversation_item where project_id = %s")
    assert not items, "what failed says nothing in its conversation"


@pytest.mark.parametrize(
    "fault",
    [
        Fault.HTTP_500,
        Fault.STALL_AFTER_HEAD,
        Fault.ERROR_EVENT_FIRST,
        Fault.BAD_JSON,
        Fault.BAD_UTF8,
        Fault.MISSING_END,
    ],
)
@pytest.mark.parametrize("alias", ["both", "native_first"])
async def test_a_stand_in_answers_as_if_nobody_had_been_asked_before(
    service: Service, sick: Simulator, alias: str, fault: Fault
) -> None:
    sick.script(fault)
    told = await ask(service, model=alias, stream=True)
    told.check_events()
    if told.events[-1]["type"] == "response.completed":
        assert len(told.last["output"]) == 1
        assert sick.counters.requests == 2
    else:
        assert fault in AT_ANY_TIME, "it had begun to answer"
    await check_nothing_is_left(service, sick)


LEAVING = ("before the head", "before the text", "in the text", "at the end")


@pytest.mark.parametrize("stage", LEAVING)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_who_leaves_frees_everything(
    service: Service, sick: Simulator, *, stage: str, stream: bool
) -> None:
    conversation = await make_conversation(service)
    answers = {
        "before the head": Answer(latency_s=0.35),
        "before the text": Answer(latency_s=0.2, tokens=50, tokens_per_second=20),
        "in the text": Answer(tokens=400, tokens_per_second=40),
        "at the end": Answer(text="Yes."),
    }
    sick.answer(answers[stage])
    body = {"model": LOCAL, "input": "Hello", "stream": stream, "conversation": conversation}
    waits = {"before the head": 0.15, "before the text": 0.25, "in the text": 0.6, "at the end": 0.03}
    with suppress(TimeoutError):
        async with (
            aiohttp.ClientSession(
                headers=service.headers, timeout=aiohttp.ClientTimeout(total=waits[stage])
            ) as session,
            session.post(f"{service.url}/v1/responses", json=body) as response,
        ):
            await response.read()
    await sick.until(lambda: sick.counters.in_flight == 0, timeout_s=2)
    kept = await check_nothing_is_left(service, sick)
    records = await service.records()
    if kept and kept[0]["status"] == "cancelled":
        assert [record["outcome"] for record in records] == ["cancelled"]
        assert stage != "in the text" or orjson.loads(kept[0]["output"])[0]["content"][0]["text"]


class Outage:
    """A database that does not answer, for what waits for one of these tables."""

    def __init__(self, dsn: str, *tables: str) -> None:
        self._dsn = dsn
        self._tables = tables

    async def __aenter__(self) -> None:
        self._lock = await psycopg.AsyncConnection.connect(self._dsn)
        for table in self._tables:
            await self._lock.execute(f"lock table ali.{table} in access exclusive mode")

    async def __aexit__(self, *_: object) -> None:
        await self._lock.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadlines of the database, shortened."""
    monkeypatch.setattr("ali.features.responses.state._DEADLINE_S", 0.5)
    monkeypatch.setattr("ali.features.metering.ledger.SETTLE_DEADLINE_S", 0.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["stream", "whole", "background"])
async def test_a_database_that_is_away_at_the_beginning_is_said_before_anything_is_spent(
    service: Service, sick: Simulator, how: str
) -> None:
    conversation = await make_conversation(service)
    async with Outage(service.tenant.dsn, "response"):
        told = await ask(service, conversation=conversation, stream=how == "stream", background=how == "background")
        assert (told.status, told.body["error"]["code"]) == (503, "state_unavailable")
    assert not sick.requests
    assert not await check_nothing_is_left(service, sick)
    assert (await ask(service, conversation=conversation)).status == 200


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("table", ["response", "usage_record", "conversation_item"])
@pytest.mark.parametrize("how", ["stream", "whole", "background"])
async def test_a_database_that_is_away_at_the_end_is_told_in_band_and_the_state_follows(
    service: Service, sick: Simulator, how: str, table: str
) -> None:
    conversation = await make_conversation(service)
    sick.answer(Answer(tokens=20, tokens_per_second=40))
    asking = asyncio.create_task(
        ask(service, conversation=conversation, stream=how == "stream", background=how == "background")
    )
    await sick.until(lambda: sick.counters.requests == 1, timeout_s=3)
    await asyncio.sleep(0.1)
    async with Outage(service.tenant.dsn, table):
        await asyncio.sleep(1.4 if how == "background" else 0)
        told = await asking
    [row] = await check_nothing_is_left(service, sick)
    items = await rows(service, "select item_id from ali.conversation_item where project_id = %s")
    if how == "background":  # nobody waits: it ends as it would have
        assert row["status"] == "completed"
        assert len(items) == 2
    else:
        if how == "stream":
            told.check_events()
            assert told.events[-1]["type"] == "response.failed"
        else:
            assert told.status == 503
        assert row["status"] == "failed"
        assert not items
    [record] = await service.records()
    assert record["input_tokens"] > 0
    assert (await ask(service, conversation=conversation)).status == 200, "the claim is free"


@pytest.mark.usefixtures("impatient")
async def test_a_checkpoint_that_cannot_be_written_is_not_missed(service: Service, sick: Simulator) -> None:
    sick.answer(Answer(tokens=70, tokens_per_second=40))
    asking = asyncio.create_task(ask(service, stream=True))
    await sick.until(lambda: sick.counters.requests == 1, timeout_s=3)
    await asyncio.sleep(0.7)
    async with Outage(service.tenant.dsn, "response"):
        await asyncio.sleep(0.8)
    told = await asking
    told.check_events()
    assert told.events[-1]["type"] == "response.completed"
    [row] = await check_nothing_is_left(service, sick)
    assert row["status"] == "completed"


@pytest.mark.usefixtures("impatient")
async def test_limits_get_back_what_a_failing_response_claimed(serve: Serve, sick: Simulator) -> None:
    settings = {**behind(sick), **QUICK, "requests_per_minute": 100}
    async with serve(**settings) as service:
        for fault in (None, Fault.HTTP_500, Fault.RESET_MID_CHUNK):
            for how in ("stream", "background"):
                if fault is not None:
                    sick.script(*[fault] * 3)
                await ask(service, stream=how == "stream", background=how == "background")
                await check_nothing_is_left(service, sick)
                sick.reset()


async def test_a_bug_in_the_middle_is_told_in_band_and_ends_the_response(
    service: Service, sick: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ali.providers.turns.chat_turn.ChatTurn._on_done", broken)
    for how in ("stream", "whole", "background"):
        sick.answer(Answer(tokens=10, tokens_per_second=100))
        told = await ask(service, stream=how == "stream", background=how == "background")
        if how == "stream":
            told.check_events()
            assert told.events[-1]["type"] == "response.failed"
        elif how == "whole":
            assert told.status == 500
    kept = await check_nothing_is_left(service, sick)
    assert {row["status"] for row in kept} == {"failed"}


async def test_a_pool_without_connections_is_said_and_recovers(
    service: Service, sick: Simulator, impatient: None
) -> None:
    pool = service.app.api.state.engine.state._pool  # what operators set by its size
    assert (await ask(service)).status == 200, "and its key is known from now on"
    seen = sick.counters.requests
    async with AsyncExitStack() as stack:
        for _ in range(pool.max_size):
            await stack.enter_async_context(pool.connection())
        told = await ask(service, stream=True)
        assert (told.status, told.body["error"]["code"]) == (503, "state_unavailable")
        assert sick.counters.requests == seen
        assert (await ask(service, store=False)).status == 200, "what needs no state goes on"
    assert (await ask(service)).status == 200
    assert len(await check_nothing_is_left(service, sick)) == 2


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream_that_breaks_in_its_middle_tells_all_that_came_before(
    service: Service, sick: Simulator, model: str
) -> None:
    for fault in (Fault.BAD_JSON, Fault.ERROR_EVENT, Fault.STALL_MID_STREAM, Fault.RESET_MID_CHUNK):
        sick.answer(Answer(tokens=40, tokens_per_second=100, fault=fault))
        told = await ask(service, model=model, stream=True)
        if told.events:
            told.check_events()
            text = "".join(event["delta"] for event in told.events if event["type"] == "response.output_text.delta")
            [item] = told.last["output"]
            assert (item["status"], item["content"][0]["text"]) == ("incomplete", text)
        await check_nothing_is_left(service, sick)
