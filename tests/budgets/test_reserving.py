"""Requests under a hard budget: held before they go out, charged when they end, let go whatever ends them."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import orjson
import psycopg
import psycopg_pool
import pytest

from ali.features.metering.budgets.book import BudgetBook
from ali.features.metering.budgets.period import span_of
from ali.kernel.db import make_pool
from ali.kernel.service_role import with_role
from ali.ops.simulator import Answer, Fault, Simulator
from tests.budgets.ground import ASKING, COST, MODEL, PRICES, Stand, add_budget, stand
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service, running

CHAT = "/v1/chat/completions"


@pytest.fixture
async def service(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    """One model with a price of the operator's and one with none, simulated."""
    local = {
        "name": "local",
        "base_url": simulator.openai_base_url,
        "api_key": "sk-simulated",
        "models": [MODEL, "gpt-unpriced"],
    }
    async with serve(compatible_providers=[local], model_prices=PRICES, upstream_first_byte_s=1.5) as started:
        yield started


@pytest.fixture
async def client(service: Service) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(service.url, headers=service.headers) as session:
        yield session


async def settled(service: Service, budget: object) -> Stand:
    """How the budget stands once the ledger has written what it has."""
    await service.records()
    return await asyncio.to_thread(stand, service.tenant.dsn, budget)  # type: ignore[arg-type] # a UUID


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_is_held_while_it_runs_and_charged_when_it_ends(
    service: Service, client: aiohttp.ClientSession, simulator: Simulator, *, stream: bool
) -> None:
    budget = add_budget(service.tenant, limit=2 * COST)
    await service.learn()
    simulator.answer(Answer(latency_s=0.3))
    asking = asyncio.create_task(client.post(CHAT, json={**ASKING, "stream": stream}))
    await simulator.until(lambda: simulator.counters.in_flight == 1, timeout_s=2)
    assert await asyncio.to_thread(stand, service.tenant.dsn, budget) == Stand(0, COST, COST, 1)
    response = await asking
    assert response.status == 200
    await response.read()
    assert await asyncio.to_thread(stand, service.tenant.dsn, budget) == Stand(COST, 0, 0, 0)


async def test_parallel_calls_get_what_the_budget_has_and_not_one_more(
    service: Service, client: aiohttp.ClientSession, simulator: Simulator
) -> None:
    budget = add_budget(service.tenant, limit=7 * COST + COST - 1)
    await service.learn()

    async def ask() -> int:
        async with client.post(CHAT, json=ASKING) as response:
            await response.read()
            return response.status

    assert sorted(await asyncio.gather(*(ask() for _ in range(40)))) == [200] * 7 + [429] * 33
    assert await settled(service, budget) == Stand(7 * COST, 0, 0, 0)
    assert simulator.counters.requests == 7


async def test_a_refusal_says_which_budget_and_when_it_renews_in_the_callers_dialect(
    service: Service, client: aiohttp.ClientSession
) -> None:
    add_budget(service.tenant, limit=COST - 1, period="day")
    await service.learn()
    async with client.post(CHAT, json=ASKING) as response:
        assert response.status == 429
        error = (await response.json())["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
        end = span_of("day", datetime.now(UTC)).end
        assert re.search(rf"project's budget for this day .* \$0\.016000\..*renews at {end:%Y-%m-%d}", error["message"])
        left_s = (end - datetime.now(UTC)).total_seconds()
        assert left_s - 5 <= int(response.headers["retry-after"]) <= left_s + 5
        assert response.headers["x-should-retry"] == "false"
        assert response.headers["x-ali-budget"] == "project/day"
    async with client.post("/v1/messages", json=ASKING) as response:
        assert response.status == 429
        assert (await response.json())["error"]["type"] == "rate_limit_error"
        assert response.headers["x-ali-error-code"] == "insufficient_quota"
    exposition = service.gateway.metrics.exposition().decode()
    assert 'ali_budget_refusals_total{period="day",scope="project"} 2.0' in exposition
    assert await service.records() == []


async def test_where_only_running_calls_stand_in_the_way_the_next_try_is_soon(
    service: Service, client: aiohttp.ClientSession, simulator: Simulator
) -> None:
    add_budget(service.tenant, limit=COST)
    await service.learn()
    simulator.answer(Answer(latency_s=0.3, tokens=0))
    asking = asyncio.create_task(client.post(CHAT, json=ASKING))
    await simulator.until(lambda: simulator.counters.in_flight == 1, timeout_s=2)
    async with client.post(CHAT, json=ASKING) as response:
        assert (response.status, response.headers["retry-after"]) == (429, "1")
        assert response.headers["x-should-retry"] == "true"
    (await asking).close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [Fault.HTTP_500, Fault.RESET_BEFORE_HEAD, Fault.RESET_MID_CHUNK])
async def test_a_failing_provider_gives_back_what_was_held(
    service: Service, client: aiohttp.ClientSession, simulator: Simulator, *, fault: Fault, stream: bool
) -> None:
    budget = add_budget(service.tenant, limit=3 * COST)
    await service.learn()
    simulator.script(*[fault] * 3)
    with contextlib.suppress(aiohttp.ClientError):
        async with client.post(CHAT, json={**ASKING, "stream": stream}) as response:
            await response.read()
    [record] = await service.records()
    now = await settled(service, budget)
    assert (record["outcome"], record["cost_microusd"]) == ("error", now.spent)
    assert now == Stand(now.spent, 0, 0, 0)
    assert now.spent <= COST


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_who_leaves_holds_nothing_any_more(
    service: Service, client: aiohttp.ClientSession, simulator: Simulator, *, stream: bool
) -> None:
    budget = add_budget(service.tenant, limit=COST)
    await service.learn()
    simulator.answer(Answer(latency_s=0.0 if stream else 5.0, tokens_per_second=20, tokens=16))
    with contextlib.suppress(TimeoutError):
        async with client.post(
            CHAT, json={**ASKING, "stream": stream}, timeout=aiohttp.ClientTimeout(total=0.3)
        ) as response:
            await response.read()
    await simulator.until(lambda: simulator.counters.disconnects == 1, timeout_s=2)
    now = await settled(service, budget)
    assert now == Stand(now.spent, 0, 0, 0)
    assert now.spent <= COST


async def test_a_repeat_from_the_cache_costs_nothing_and_holds_nothing(
    service: Service, client: aiohttp.ClientSession
) -> None:
    budget = add_budget(service.tenant, limit=2 * COST)
    await service.learn()
    for hit in (None, "hit", "hit", "hit"):
        async with client.post(CHAT, json=ASKING, headers={"x-ali-cache-ttl": "60"}) as response:
            assert (response.status, response.headers.get("x-ali-cache")) == (200, hit)
    assert await settled(service, budget) == Stand(COST, 0, 0, 0)


async def test_an_estimate_is_never_charged_above_what_was_held(
    service: Service, client: aiohttp.ClientSession, simulator: Simulator
) -> None:
    budget = add_budget(service.tenant, limit=COST)
    await service.learn()
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    message = {"role": "assistant", "content": "x" * 4000}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    simulator.answer(Answer(body=orjson.dumps({**answer, "choices": choices})))
    async with client.post(CHAT, json=ASKING) as response:
        assert response.status == 200
    [record] = await service.records()
    assert not record["usage_reported"]
    assert await settled(service, budget) == Stand(COST, 0, 0, 0)


async def test_a_soft_budget_never_refuses(service: Service, client: aiohttp.ClientSession) -> None:
    budget = add_budget(service.tenant, limit=1, mode="soft")
    await service.learn()
    for spent in (COST, 2 * COST):
        async with client.post(CHAT, json=ASKING) as response:
            assert response.status == 200
        assert await settled(service, budget) == Stand(spent, 0, 0, 0)


async def test_a_model_without_a_price_cannot_be_used_round_a_budget_and_counting_is_free(
    service: Service, client: aiohttp.ClientSession, simulator: Simulator
) -> None:
    for model in ("gpt-unpriced", "local/gpt-unheard-of"):
        async with client.post(CHAT, json={**ASKING, "model": model}) as response:
            assert response.status == 200, "without a budget it is served"
    budget = add_budget(service.tenant, limit=1)
    await service.learn()
    await until_known(service)
    for model in ("gpt-unpriced", "local/gpt-unheard-of"):
        async with client.post(CHAT, json={**ASKING, "model": model}) as response:
            assert response.status == 400
            assert "ALI_MODEL_PRICES" in (await response.json())["error"]["message"]
            assert response.headers["x-ali-error-code"] == "model_without_price"
    counting = {"model": "gpt-unpriced", "messages": ASKING["messages"]}
    async with client.post("/v1/messages/count_tokens", json=counting) as response:
        assert response.status == 200
    assert simulator.counters.requests == 2
    assert await settled(service, budget) == Stand(0, 0, 0, 0)


async def until_known(service: Service) -> None:
    """Until this process has read the budgets that are there now."""
    await service.gateway.reservations._book.load()


async def test_a_request_costs_one_round_trip_under_budgets_and_none_without(
    service: Service, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[object] = []
    connection = psycopg_pool.AsyncConnectionPool.connection

    def counted(pool: psycopg_pool.AsyncConnectionPool, *args: float) -> object:
        trips.append(pool)
        return connection(pool, *args)

    async def asked() -> int:
        async with client.post(CHAT, json=ASKING) as response:
            assert response.status == 200
        return sum(pool is reservations._pool for pool in trips)

    reservations = service.gateway.reservations
    await asked()
    reservations._pool = await apart(service.tenant.dsn)
    monkeypatch.setattr(psycopg_pool.AsyncConnectionPool, "connection", counted)
    try:
        assert await asked() == 0
        for scope in ("organization", "project", "key"):
            add_budget(service.tenant, limit=9 * COST, scope=scope)
        add_budget(service.tenant, limit=9 * COST, scope="key", mode="soft")
        await service.learn()
        await until_known(service)
        trips.clear()
        assert await asked() == 1
        assert await asked() == 2
    finally:
        await reservations._pool.close()


async def apart(dsn: str) -> psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[psycopg.rows.TupleRow]]:
    """A pool of the service's role that nothing else uses."""
    pool = make_pool(with_role(dsn, "ali_service"), size=1)
    await pool.open()
    return pool


async def test_while_the_budgets_cannot_be_asked_nothing_is_spent_and_nothing_stays_held(
    service: Service, client: aiohttp.ClientSession, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ali.features.metering.budgets.reservations.RESERVE_DEADLINE_S", 0.3)
    budget = add_budget(service.tenant, limit=3 * COST)
    await service.learn()
    async with client.post(CHAT, json=ASKING) as response:
        assert response.status == 200
    with psycopg.connect(service.tenant.dsn) as lock:
        lock.execute("select * from ali.budget_period where budget_id = %s for update", (budget,))
        async with client.post(CHAT, json=ASKING) as response:
            assert response.status == 503
            assert response.headers["x-ali-error-code"] == "budgets_unavailable"
    assert simulator.counters.requests == 1
    await service.gateway.reservations.release_adrift()
    assert await settled(service, budget) == Stand(COST, 0, 0, 0)


async def test_a_refusal_of_the_ledger_after_the_hold_lets_go(
    service: Service, client: aiohttp.ClientSession, simulator: Simulator
) -> None:
    budget = add_budget(service.tenant, limit=3 * COST)
    await service.learn()
    service.gateway.ledger._failing = True
    async with client.post(CHAT, json=ASKING) as response:
        assert response.status == 503
    assert (await asyncio.to_thread(stand, service.tenant.dsn, budget)).held == COST
    await service.gateway.reservations.release_adrift()
    assert (await asyncio.to_thread(stand, service.tenant.dsn, budget)).held == 0
    assert simulator.counters.requests == 0


async def test_two_settlements_of_one_record_in_one_batch_are_one(service: Service, tenant: Tenant) -> None:
    """As of a call that is cut off while it waits for its commit."""
    ledger = service.gateway.ledger
    async with (
        aiohttp.ClientSession(service.url, headers=service.headers) as session,
        session.post(CHAT, json=ASKING) as response,
    ):
        assert response.status == 200
    settle_soon = ledger.settle_soon

    async def twice(record: object) -> None:
        settle_soon(record)  # type: ignore[arg-type] # the record that came
        settle_soon(record)  # type: ignore[arg-type] # as above

    ledger.settle = twice  # type: ignore[method-assign] # sends what it gets, twice
    async with (
        aiohttp.ClientSession(service.url, headers=service.headers) as session,
        session.post(CHAT, json=ASKING) as response,
    ):
        assert response.status == 200
    assert [record["outcome"] for record in await service.records()] == ["ok", "ok"]


async def test_a_change_of_budgets_reaches_a_running_process(service: Service, client: aiohttp.ClientSession) -> None:
    async with client.post(CHAT, json=ASKING) as response:
        assert response.status == 200
    add_budget(service.tenant, limit=1)
    await service.learn()
    async with asyncio.timeout(5):
        while True:
            async with client.post(CHAT, json=ASKING) as response:
                if response.status == 429:
                    break
            await asyncio.sleep(0.05)


async def test_the_first_request_of_a_process_finds_the_budgets(
    tenant: Tenant, tmp_path: Path, simulator: Simulator
) -> None:
    """Before the first word of the epoch: the book is read then and there."""
    add_budget(tenant, limit=1)
    pool = await apart(tenant.dsn)
    book = BudgetBook(pool)
    await asyncio.gather(book.load_once(), book.load_once())
    assert book.binding(organization_id=tenant.organization_id, project_id=tenant.project_id, key_id=None, user_id=None)
    await pool.close()
    local = {"name": "local", "base_url": simulator.openai_base_url, "api_key": "sk-simulated", "models": [MODEL]}
    async with (
        running(tenant, tmp_path, compatible_providers=[local], model_prices=PRICES) as service,
        aiohttp.ClientSession(service.url, headers=service.headers) as session,
        session.post(CHAT, json=ASKING) as response,
    ):
        assert response.status == 429


@pytest.mark.parametrize(
    ("period", "moment", "start", "end"),
    [
        ("day", "2026-02-28T23:59:59.999+00:00", "2026-02-28", "2026-03-01"),
        ("day", "2026-03-01T00:00:00+02:00", "2026-02-28", "2026-03-01"),
        ("month", "2026-12-31T23:00:00+00:00", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T00:00:00+00:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_periods_are_days_and_months_in_utc(period: str, moment: str, start: str, end: str) -> None:
    span = span_of(period, datetime.fromisoformat(moment))
    assert (span.start.isoformat(), span.end.isoformat()) == (f"{start}T00:00:00+00:00", f"{end}T00:00:00+00:00")
    assert span_of(period, span.end).start == span.end
    assert span_of(period, span.end - timedelta(microseconds=1)) == span
