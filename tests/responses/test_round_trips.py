"""How often a response asks the database: counted where its statements leave."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from ali.kernel.statement import StatementConnection
from ali.ops.simulator import Simulator
from tests.fixtures.service import Serve, Service
from tests.responses.conftest import behind
from tests.responses.test_faults_responses import ask, make_conversation

BEGIN, SETTLE, CHECKPOINT, LEDGER = "begin_response", "settle_response", "checkpoint_response", "settle_usage"


@pytest.fixture
async def service(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    async with serve(**{**behind(simulator), "background": "worker"}) as running:
        yield running


@contextmanager
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The functions of responses and of the ledger that are called within the block; chores of the process left out."""
    seen: list[str] = []
    theirs, ours = psycopg.AsyncConnection.execute, StatementConnection.execute

    def note(query: object) -> None:
        text = query.decode() if isinstance(query, bytes) else str(query)
        known = [name for name in (BEGIN, SETTLE, CHECKPOINT, LEDGER) if name in text]
        chore = any(
            word in text for word in ("service_instance", "access_epoch", "orphan", "credential", "limit_rules")
        )
        if known or not chore:
            seen.append(known[0] if known else text)

    async def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on as it came
        note(query)
        return await theirs(self, query, *args, **kwargs)

    async def write(self: Any, query: bytes, *args: Any) -> None:  # noqa: ANN401 - passed on as it came
        note(query)
        await ours(self, query, *args)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.AsyncConnection, "execute", execute)
        patch.setattr(StatementConnection, "execute", write)
        yield seen


@pytest.mark.parametrize("stream", [True, False])
async def test_a_response_takes_three_round_trips_with_its_usage(
    service: Service, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    first = await ask(service)
    conversation = await make_conversation(service)
    await service.records()
    kept = {"stream": stream}
    for members in (
        kept,
        {**kept, "previous_response_id": first.body["id"]},
        {**kept, "conversation": conversation},
    ):
        with statements(monkeypatch) as seen:
            assert (await ask(service, **members)).status == 200
        assert seen == [BEGIN, LEDGER, SETTLE], members


async def test_what_is_not_kept_costs_the_ledgers_alone(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await ask(service)
    await service.records()
    with statements(monkeypatch) as seen:
        assert (await ask(service, store=False)).status == 200
    assert seen == [LEDGER]
    with statements(monkeypatch) as seen:
        assert (await ask(service, store=False, previous_response_id=first.body["id"])).status == 200
    assert seen == [BEGIN, LEDGER]


async def test_a_background_response_is_accepted_in_one_round_trip(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(service)
    await service.records()
    with statements(monkeypatch) as seen:
        assert (await ask(service, background=True)).body["status"] == "queued"
    assert seen == [BEGIN]


async def test_a_refusal_of_a_provider_leaves_no_row_and_costs_two(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(service)
    await service.records()
    with statements(monkeypatch) as seen:
        assert (await ask(service, input="[[status:400]]")).status == 400
        await service.records()
    assert [name for name in seen if name in (BEGIN, SETTLE)] == [BEGIN]
    assert sum("discard_response" in name for name in seen) == 1
