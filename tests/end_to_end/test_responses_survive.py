"""Two services on one database, one of which is killed: its responses run again or end as they stood, and nobody who
comes back misses an event or gets one twice.
"""

import asyncio
import io
import random
import signal
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.end_to_end.service import Service, serving
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant
from tests.simulators.fixtures import KEY, SimulatorProcess, simulator_process

MODEL = "local/gpt-4.1"
TERMINAL = {"response.completed", "response.failed", "response.incomplete", "error"}
RATE = 30


@pytest.fixture(scope="module")
def house(worker_dsn: str) -> Iterator[tuple[Tenant, SimulatorProcess]]:
    with simulator_process() as provider:
        yield make_tenant(worker_dsn), provider


def start(stack: ExitStack, house: tuple[Tenant, SimulatorProcess]) -> Service:
    tenant, provider = house
    local = {"name": "local", "base_url": provider.openai_base_url, "api_key": KEY, "models": []}
    variables = {
        "DATABASE_URL": tenant.dsn,
        "ALI_API_KEY_HMAC_SECRET": HMAC_SECRET,
        "ALI_COMPATIBLE_PROVIDERS": orjson.dumps([local]).decode(),
        "ALI_LOG_LEVEL": "warning",
        "ALI_DRAIN_S": "1",
        "ALI_MAX_BODY_BYTES": str(64 * 1024 * 1024),
    }
    home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    return stack.enter_context(serving(home, variables=variables))


@pytest.fixture(scope="module")
def survivor(house: tuple[Tenant, SimulatorProcess]) -> Iterator[Service]:
    with ExitStack() as stack:
        yield start(stack, house)


@pytest.fixture
def victim(house: tuple[Tenant, SimulatorProcess]) -> Iterator[Service]:
    with ExitStack() as stack:
        yield start(stack, house)


@dataclass(slots=True)
class Reader:
    """A caller who reads one response's events, wherever it gets them."""

    session: aiohttp.ClientSession
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        name: str = self.events[0]["response"]["id"]
        return name

    @property
    def after(self) -> int:
        return int(self.events[-1]["sequence_number"]) if self.events else -1

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1]["type"] in TERMINAL

    @property
    def text(self) -> str:
        return "".join(event["delta"] for event in self.events if event["type"] == "response.output_text.delta")

    async def create(self, at: Service, text: str, *, events: int | None = None, **more: object) -> None:
        """Read a new response up to the end, or only so many events."""
        body = {"model": MODEL, "input": text, "stream": True, **more}
        async with self.session.post(f"{url(at)}/v1/responses", json=body) as response:
            assert response.status == 200, await response.text()
            await self._read(response, events)

    async def resume(self, at: Service, *, events: int | None = None) -> None:
        """Go on after the last event that was seen."""
        wanted = {"stream": "true", "starting_after": str(self.after)}
        async with self.session.get(f"{url(at)}/v1/responses/{self.name}", params=wanted) as response:
            assert response.status == 200, await response.text()
            await self._read(response, events)

    async def _read(self, response: aiohttp.ClientResponse, events: int | None) -> None:
        left = events
        async with aclosing(data_of(response)) as received:
            async for event in received:
                self.events.append(event)
                left = None if left is None else left - 1
                if left == 0:
                    return

    def check(self) -> None:
        """Each event once, in order, and one terminal event at the end."""
        assert [event["sequence_number"] for event in self.events] == list(range(len(self.events)))
        assert [event["type"] for event in self.events if event["type"] in TERMINAL] == [self.events[-1]["type"]]


async def data_of(response: aiohttp.ClientResponse) -> AsyncGenerator[dict[str, Any], None]:
    async for line in response.content:
        if line.startswith(b"data: "):
            yield orjson.loads(line[6:])


def url(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


def session_of(tenant: Tenant) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"authorization": f"Bearer {tenant.secret}"})


async def fetched(session: aiohttp.ClientSession, at: Service, name: str) -> dict[str, Any]:
    async with session.get(f"{url(at)}/v1/responses/{name}") as response:
        found: dict[str, Any] = await response.json()
        return found


def rows(tenant: Tenant, statement: str, *parameters: object) -> list[dict[str, Any]]:
    with psycopg.connect(tenant.dsn, row_factory=dict_row) as owner:
        return owner.execute(statement, parameters).fetchall()


def a_minute_later(tenant: Tenant, name: str) -> None:
    """As the database has it when the process that ran the response has been silent for a minute."""
    response_id = UUID(name.removeprefix("resp_"))
    [row] = rows(tenant, "select instance_id from ali.response where id = %s", response_id)
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute(
            "update ali.service_instance set heartbeat_at = now() - interval '1 minute' where id = %s",
            (row["instance_id"],),
        )
        owner.execute("update ali.response set created_at = now() - interval '1 minute' where id = %s", (response_id,))
        owner.execute(
            "update ali.conversation set claimed_at = now() - interval '1 minute' where claimed_by = %s", (response_id,)
        )


async def until_ended(session: aiohttp.ClientSession, at: Service, name: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (found := await fetched(session, at, name))["status"] in ("queued", "in_progress"):  # noqa: ASYNC110 - nothing sets an event here
            await asyncio.sleep(0.1)
    return found


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_a_killed_process_ran_goes_on_or_ends_as_it_stood(
    house: tuple[Tenant, SimulatorProcess], survivor: Service, victim: Service, seed: int
) -> None:
    tenant, _ = house
    chance = random.Random(seed)  # noqa: S311 - where the kill falls
    async with session_of(tenant) as session:
        async with session.post(f"{url(survivor)}/v1/conversations", json={}) as made:
            conversation = (await made.json())["id"]
        long = f"[[tokens:2000]] [[rate:{RATE}]] Tell me everything."
        unbegun = Reader(session)
        begun = Reader(session)
        talk = Reader(session)
        foreground = Reader(session)
        reading = [
            asyncio.create_task(unbegun.create(victim, "[[latency:3]] [[text:Here you are.]]", background=True)),
            asyncio.create_task(begun.create(victim, long, background=True)),
            asyncio.create_task(talk.create(victim, long, background=True, conversation=conversation)),
            asyncio.create_task(foreground.create(victim, long)),
        ]
        async with asyncio.timeout(20):
            while not (unbegun.events and begun.text and talk.text and foreground.text):  # noqa: ASYNC110 - nothing sets an event here
                await asyncio.sleep(0.02)
        await asyncio.sleep(1.3 + chance.random())
        victim.program.process.send_signal(signal.SIGKILL)
        await asyncio.gather(*reading, return_exceptions=True)
        readers = (unbegun, begun, talk, foreground)
        assert not any(reader.ended for reader in readers)
        await asyncio.to_thread(a_minute_later, tenant, foreground.name)
        for reader in (unbegun, begun, talk):
            await asyncio.to_thread(a_minute_later, tenant, reader.name)

        # Before any output: run again, whole.
        await unbegun.resume(survivor)
        unbegun.check()
        assert unbegun.events[-1]["type"] == "response.completed"
        assert unbegun.text == "Here you are."
        # In mid-stream: failed, with all that anybody was shown.
        for reader in (begun, talk):
            await reader.resume(survivor)
            reader.check()
            last = reader.events[-1]
            assert last["type"] == "response.failed"
            assert last["response"]["error"]["code"] == "server_error"
            [item] = last["response"]["output"]
            assert (item["status"], item["content"][0]["text"]) == ("incomplete", reader.text)
            assert {**await fetched(session, survivor, reader.name)} == last["response"]
        # In the foreground: to be retrieved as it stood within the last second.
        stood = await until_ended(session, survivor, foreground.name)
        assert stood["status"] == "failed"
        [item] = stood["output"]
        kept = item["content"][0]["text"]
        assert item["status"] == "incomplete"
        assert foreground.text.startswith(kept) or kept.startswith(foreground.text)
        assert len(foreground.text.split()) - len(kept.split()) < 2 * RATE
        # Nothing is held any more.
        async with session.post(
            f"{url(survivor)}/v1/responses", json={"model": MODEL, "input": "Again.", "conversation": conversation}
        ) as response:
            assert response.status == 200, await response.text()
        await asyncio.to_thread(rows, tenant, "select ali.close_orphans(interval '45 s')")
        records = await asyncio.to_thread(
            rows, tenant, "select * from ali.usage_record where project_id = %s", tenant.project_id
        )
        assert not [record for record in records if record["outcome"] == "open"]
        by_id = {record["id"]: record for record in records}
        for reader in readers:
            assert by_id[UUID(reader.name.removeprefix("resp_"))]["outcome"] == "lost"


@pytest.mark.parametrize("seed", [11, 12, 13])
async def test_whoever_loses_the_connection_goes_on_at_either_process(
    house: tuple[Tenant, SimulatorProcess], survivor: Service, victim: Service, seed: int
) -> None:
    tenant, _ = house
    chance = random.Random(seed)  # noqa: S311 - where connections break

    async def read(session: aiohttp.ClientSession) -> None:
        reader = Reader(session)
        await reader.create(
            victim,
            f"[[tokens:{chance.randrange(5, 60)}]] [[rate:60]] Go.",
            background=True,
            events=chance.randrange(1, 9),
        )
        while not reader.ended:
            await reader.resume(chance.choice((survivor, victim)), events=chance.randrange(1, 25))
        reader.check()
        assert reader.events[-1]["type"] == "response.completed"
        assert reader.events[-1]["response"]["output"][0]["content"][0]["text"] == reader.text
        began = time.monotonic()
        seen = len(reader.events)
        await reader.resume(survivor)  # with nothing left to come
        assert len(reader.events) == seen
        assert time.monotonic() - began < 5

    async with session_of(tenant) as session, asyncio.timeout(40):
        await asyncio.gather(*(read(session) for _ in range(6)))


async def test_a_process_that_is_stopped_gives_back_what_it_has_not_begun_and_ends_the_rest(
    house: tuple[Tenant, SimulatorProcess], survivor: Service, victim: Service
) -> None:
    tenant, _ = house
    async with session_of(tenant) as session:
        unbegun, begun, foreground = Reader(session), Reader(session), Reader(session)
        long = f"[[tokens:2000]] [[rate:{RATE}]] Tell me everything."
        reading = [
            asyncio.create_task(unbegun.create(victim, "[[latency:4]] [[text:Here.]] Slowly.", background=True)),
            asyncio.create_task(begun.create(victim, long, background=True)),
            asyncio.create_task(foreground.create(victim, long)),
        ]
        async with asyncio.timeout(20):
            while not (unbegun.events and begun.text and foreground.text):  # noqa: ASYNC110 - nothing sets an event here
                await asyncio.sleep(0.02)
        code = await asyncio.to_thread(victim.program.end, signal.SIGTERM)
        with suppress(aiohttp.ClientError):
            await asyncio.gather(*reading, return_exceptions=True)
        assert code == 0
        assert "crashed" not in victim.program.said
        assert "Traceback" not in victim.program.said
        foreground.check()
        assert foreground.events[-1]["type"] == "response.failed"
        for reader, end in ((unbegun, "response.completed"), (begun, "response.failed")):
            told = reader.events.pop()
            assert (told["type"], told["code"], told["sequence_number"]) == ("error", "service_stopping", reader.after)
            await reader.resume(survivor)
            reader.check()
            assert reader.events[-1]["type"] == end
        records = await asyncio.to_thread(
            rows,
            tenant,
            "select * from ali.usage_record where id = any(%s)",
            [UUID(reader.name.removeprefix("resp_")) for reader in (unbegun, begun, foreground)],
        )
        assert [record["outcome"] for record in records] == ["cancelled"] * 3
        assert all(record["input_tokens"] > 0 for record in records)


async def test_an_item_that_is_too_large_is_refused_within_two_seconds(
    house: tuple[Tenant, SimulatorProcess], survivor: Service
) -> None:
    """Of a process of its own: reading 33 MiB takes the loop of whoever serves it a while."""
    tenant, _ = house
    before = rows(tenant, "select id from ali.response where project_id = %s", tenant.project_id)
    body = orjson.dumps({"model": MODEL, "input": [{"role": "user", "content": "x" * (33 * 1024 * 1024)}]})
    headers = {"content-type": "application/json"}
    async with (
        asyncio.timeout(2),
        session_of(tenant) as session,
        session.post(f"{url(survivor)}/v1/responses", data=io.BytesIO(body), headers=headers) as answer,
    ):
        assert answer.status == 400
        error = (await answer.json())["error"]
    assert (error["param"], error["code"]) == ("input[0]", "item_too_large")
    assert rows(tenant, "select id from ali.response where project_id = %s", tenant.project_id) == before
