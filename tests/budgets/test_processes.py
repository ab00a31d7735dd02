"""The program itself, four processes on one database: nobody overspends, and the dead hold nothing."""

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import aiohttp
import orjson
import psycopg
import pytest

from ali.kernel.service_role import with_role
from tests.budgets.ground import ASKING, COST, MODEL, PRICES, TOKENS, Stand, add_budget, stand
from tests.end_to_end.service import Service, serving, wait_for
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant
from tests.simulators.fixtures import KEY, simulator_process

WORKERS = 4


@pytest.fixture(scope="module")
def budgets(worker_dsn: str) -> dict[str, tuple[Tenant, UUID]]:
    """Two tenants and their budgets, which are there before the first process is."""
    made = {name: make_tenant(worker_dsn) for name in ("parallel", "killed")}
    limits = {"parallel": 30 * COST, "killed": 8 * COST}
    return {name: (tenant, add_budget(tenant, limit=limits[name])) for name, tenant in made.items()}


@pytest.fixture(scope="module")
def service(worker_dsn: str, budgets: object) -> Iterator[Service]:
    """`ali serve --workers 4` in front of a simulated provider."""
    with simulator_process("--latency", "0.1") as provider, tempfile.TemporaryDirectory() as home:
        local = {"name": "local", "base_url": provider.openai_base_url, "api_key": KEY, "models": [MODEL]}
        variables = {
            "DATABASE_URL": worker_dsn,
            "ALI_API_KEY_HMAC_SECRET": HMAC_SECRET,
            "ALI_COMPATIBLE_PROVIDERS": orjson.dumps([local]).decode(),
            "ALI_MODEL_PRICES": orjson.dumps(PRICES).decode(),
            "ALI_LOG_LEVEL": "warning",
        }
        with serving(Path(home), "--workers", str(WORKERS), variables=variables) as started:
            yield started


def instances(tenant: Tenant, table: str) -> int:
    """How many processes have written rows of the tenant's."""
    statement = psycopg.sql.SQL("select count(distinct instance_id) from ali.{} where organization_id = %s")
    with psycopg.connect(tenant.dsn) as owner:
        row = owner.execute(statement.format(psycopg.sql.Identifier(table)), (tenant.organization_id,)).fetchone()
    assert row is not None
    return int(row[0])


async def test_of_200_parallel_calls_a_budget_for_30_lets_30_through_and_overspends_nothing(
    service: Service, budgets: dict[str, tuple[Tenant, UUID]]
) -> None:
    tenant, budget = budgets["parallel"]

    async def ask(session: aiohttp.ClientSession) -> tuple[int, str | None]:
        async with session.post("/v1/chat/completions", json=ASKING) as response:
            await response.read()
            return response.status, response.headers.get("x-ali-error-code")

    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{service.port}",
        headers={"authorization": f"Bearer {tenant.secret}"},
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
    ) as session:
        answers = Counter(await asyncio.gather(*(ask(session) for _ in range(200))))
        assert answers == {(200, None): 30, (429, "insufficient_quota"): 170}
        assert await ask(session) == (429, "insufficient_quota")
    assert stand(tenant.dsn, budget) == Stand(spent=30 * COST, reserved=0, held=0, reservations=0)
    assert instances(tenant, "usage_record") > 1


async def test_what_killed_processes_held_is_let_go_by_the_others(
    service: Service, budgets: dict[str, tuple[Tenant, UUID]]
) -> None:
    tenant, budget = budgets["killed"]
    slow = {"role": "user", "content": f"[[latency:30]] [[tokens:{TOKENS}]] Take your time."}
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{service.port}",
        headers={"authorization": f"Bearer {tenant.secret}"},
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
    ) as session:
        calls = [
            asyncio.create_task(session.post("/v1/chat/completions", json={**ASKING, "messages": [slow]}))
            for _ in range(8)
        ]
        await asyncio.to_thread(wait_for, lambda: stand(tenant.dsn, budget).reservations == 8, what="all are held")
        for pid in service.worker_pids():
            os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*calls, return_exceptions=True)
    assert stand(tenant.dsn, budget).held == 8 * COST, "nobody was left to let go"
    await asyncio.sleep(0.3)
    with psycopg.connect(with_role(tenant.dsn, "ali_service"), autocommit=True) as survivor:
        survivor.execute("select ali.release_orphaned_reservations(interval '0.2 s')")
    assert stand(tenant.dsn, budget) == Stand(spent=0, reserved=0, held=0, reservations=0)
