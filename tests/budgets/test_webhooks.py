"""A threshold that is crossed is told once a period: logged, counted, and posted, signed, until somebody takes it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import openai
import orjson
import psycopg
import pytest
from aiohttp import web

from ali.features.metering.budgets import webhook
from ali.features.metering.budgets.book import BudgetBook
from ali.features.metering.budgets.keeper import MOST_ATTEMPTS, BudgetKeeper
from ali.features.metering.budgets.reservations import Reservations
from ali.kernel.db import make_pool
from ali.kernel.ids import uuid7
from ali.kernel.service_role import with_role
from ali.kernel.telemetry import Metrics
from tests.budgets.ground import add_budget, till
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant
from tests.fixtures.logs import captured_logs


@dataclass(slots=True)
class Receiver:
    """Whoever asked to be told: `statuses` are answered in turn, then 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    messages: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.messages.append(((await request.read()).decode(), dict(request.headers)))
        self.heard.set()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)


@pytest.fixture
def tenant(database_dsn: str) -> Tenant:
    """In a database of its own: a keeper tells of every crossing in the installation."""
    return make_tenant(database_dsn)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/told", receiver.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/told"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def keeper(tenant: Tenant) -> AsyncIterator[BudgetKeeper]:
    """One that has an ordinary client, where the service has one that guards its addresses."""
    pool = make_pool(with_role(tenant.dsn, "ali_service"), size=2)
    await pool.open()
    metrics, book = Metrics(), BudgetBook(pool)

    async def post(url: str, *, body: bytes, headers: Mapping[str, str]) -> int:
        async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
            return answer.status

    yield BudgetKeeper(
        pool,
        book,
        Reservations(pool, book, instance_id=uuid7(), metrics=metrics),
        hmac_secret=HMAC_SECRET.encode(),
        post=post,
        metrics=metrics,
    )
    await pool.close()


def spend(tenant: Tenant, cost: int) -> None:
    with till(tenant) as counter:
        counter.settle(counter.row(uuid7(), cost))


def make_due(tenant: Tenant) -> None:
    """As if the time until the next attempt had gone by."""
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute(
            "update ali.budget_notice set due_at = now() where organization_id = %s and due_at > now()",
            (tenant.organization_id,),
        )


def counted(keeper: BudgetKeeper, name: str, **labels: str) -> float | None:
    return keeper._metrics.registry.get_sample_value(name, labels)


async def told(keeper: BudgetKeeper, receiver: Receiver, tenant: Tenant) -> list[int]:
    """The thresholds of which the receiver hears just now, each signature checked by OpenAI's own SDK."""
    before = len(receiver.messages)
    await keeper.send_due()
    secret = webhook.secret_of(tenant.organization_id, hmac_secret=HMAC_SECRET.encode())
    client = openai.OpenAI(api_key="unused", webhook_secret=secret)
    for body, headers in receiver.messages[before:]:
        client.webhooks.verify_signature(body, headers)
    return sorted(orjson.loads(body)["data"]["percent"] for body, _ in receiver.messages[before:])


@pytest.mark.parametrize("mode", ["soft", "hard"])
async def test_each_threshold_is_told_once_a_period(
    keeper: BudgetKeeper, receiver: Receiver, tenant: Tenant, mode: str
) -> None:
    budget = add_budget(tenant, limit=1000, mode=mode, warn=(50, 80, 100), url=receiver.url)
    spend(tenant, 499)
    assert await told(keeper, receiver, tenant) == []
    spend(tenant, 1)
    assert await told(keeper, receiver, tenant) == [50]
    spend(tenant, 700)
    assert await told(keeper, receiver, tenant) == [80, 100]
    spend(tenant, 700)
    make_due(tenant)
    assert await told(keeper, receiver, tenant) == []
    last = orjson.loads(receiver.messages[-1][0])
    now = datetime.now(UTC)
    assert last["type"] == "budget.threshold_crossed"
    assert last["data"] == {
        "id": f"budget_{budget.hex}",
        "scope": {"kind": "project", "id": f"proj_{tenant.project_id.hex}"},
        "period": "month",
        "period_start": int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp()),
        "mode": mode,
        "percent": last["data"]["percent"],
        "limit_microusd": 1000,
        "spent_microusd": 1200,
    }
    assert counted(keeper, "ali_budget_thresholds_crossed_total", scope="project", period="month") == 3
    assert counted(keeper, "ali_budget_webhooks_total", result="delivered") == 3


async def test_a_receiver_that_fails_is_told_again_later_by_the_same_name(
    keeper: BudgetKeeper, receiver: Receiver, tenant: Tenant
) -> None:
    add_budget(tenant, limit=10, warn=(100,), url=receiver.url)
    receiver.statuses = [500, 302]
    spend(tenant, 10)
    assert await told(keeper, receiver, tenant) == [100]
    assert await told(keeper, receiver, tenant) == [], "not at once"
    for expected in ([100], [100], []):
        make_due(tenant)
        assert await told(keeper, receiver, tenant) == expected
    assert len({headers["webhook-id"] for _, headers in receiver.messages}) == 1
    assert counted(keeper, "ali_budget_webhooks_total", result="failed") == 2


async def test_a_receiver_that_is_gone_keeps_nobody_waiting_and_is_given_up_in_the_end(
    keeper: BudgetKeeper, receiver: Receiver, tenant: Tenant
) -> None:
    add_budget(tenant, limit=10, warn=(100,), url="http://127.0.0.1:1/nobody")
    add_budget(tenant, limit=10, scope="organization", warn=(90,), url=receiver.url)
    spend(tenant, 10)
    assert await told(keeper, receiver, tenant) == [90]
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute(
            "update ali.budget_notice set attempts = %s, due_at = now()"
            " where organization_id = %s and due_at is not null",
            (MOST_ATTEMPTS - 1, tenant.organization_id),
        )
    await keeper.send_due()
    assert counted(keeper, "ali_budget_webhooks_total", result="given_up") == 1
    with psycopg.connect(tenant.dsn) as owner:
        due = owner.execute(
            "select count(due_at) from ali.budget_notice where organization_id = %s", (tenant.organization_id,)
        ).fetchone()
    assert due == (0,)


async def test_of_several_processes_one_tells(keeper: BudgetKeeper, receiver: Receiver, tenant: Tenant) -> None:
    add_budget(tenant, limit=10, warn=(10, 20, 30), url=receiver.url)
    spend(tenant, 10)
    await asyncio.gather(*(keeper.send_due() for _ in range(4)))
    assert len(receiver.messages) == 3


async def test_without_a_way_out_crossings_are_logged_and_counted_all_the_same(
    keeper: BudgetKeeper, receiver: Receiver, tenant: Tenant
) -> None:
    keeper._post = None
    add_budget(tenant, limit=10, warn=(100,), url=receiver.url)
    spend(tenant, 10)
    with captured_logs() as logs:
        await keeper.send_due()
    [entry] = [entry for entry in logs if entry["event"] == "budget.threshold_crossed"]
    assert (entry["percent"], entry["scope"], entry["organization"]) == (100, "project", tenant.organization_id.hex)
    assert receiver.url not in str(logs)
    assert receiver.messages == []


async def test_a_message_of_another_organization_or_a_changed_one_is_no_message(tenant: Tenant) -> None:
    secret = webhook.secret_of(tenant.organization_id, hmac_secret=HMAC_SECRET.encode())
    headers = webhook.signed_headers("evt_1", b"{}", secret=secret, now=datetime.now(UTC))
    openai.OpenAI(api_key="unused", webhook_secret=secret).webhooks.verify_signature(b"{}", headers)
    foreign = webhook.secret_of(uuid7(), hmac_secret=HMAC_SECRET.encode())
    for body, held in ((b"{ }", secret), (b"{}", foreign)):
        with pytest.raises(openai.InvalidWebhookSignatureError):
            openai.OpenAI(api_key="unused", webhook_secret=held).webhooks.verify_signature(body, headers)


async def test_the_keepers_loop_tells_and_lets_go_by_itself(
    keeper: BudgetKeeper, receiver: Receiver, tenant: Tenant
) -> None:
    add_budget(tenant, limit=10, warn=(100,), url=receiver.url)
    spend(tenant, 10)
    await keeper._book.load()
    loops = [asyncio.create_task(loop) for loop in (keeper.keep_house(), keeper.tell_thresholds())]
    async with asyncio.timeout(5):
        await receiver.heard.wait()
    assert not any(loop.done() for loop in loops)
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
