"""The moving window is the same in the process, in Redis and in PostgreSQL, and is what it promises to be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings

from ali.features.metering.limiting import Claim, ProcessStore, Verdict, claim
from ali.features.metering.limiting.in_postgres import PostgresStore
from ali.features.metering.limiting.in_redis import RedisStore
from ali.kernel.db import make_pool
from tests.fixtures.redis_server import RedisServer
from tests.unit.metering.window_model import START_US, History, histories, hold_to_the_model

shared = settings(max_examples=40)


@given(histories())
@settings(max_examples=300)
def test_the_process_counts_a_moving_window(history: History) -> None:
    store = ProcessStore(lease_s=45)

    async def check(made: Claim, now_us: int) -> Verdict:
        return store.check((made,), now_us=now_us)

    asyncio.run(hold_to_the_model(check, history))


@given(histories())
@shared
def test_redis_counts_a_moving_window(shared_redis: RedisServer, history: History) -> None:
    async def run() -> None:
        async with redis_store(shared_redis.url) as store:
            await hold_to_the_model(lambda made, now_us: store.check((made,), now_us=now_us), history)

    asyncio.run(run())


@given(histories())
@shared
def test_postgresql_counts_a_moving_window(worker_dsn: str, history: History) -> None:
    async def run() -> None:
        async with postgres_store(worker_dsn) as store:
            await hold_to_the_model(lambda made, now_us: store.check((made,), now_us=now_us), history)

    asyncio.run(run())


def test_idle_windows_are_forgotten() -> None:
    store = ProcessStore(lease_s=45)
    for number in range(5000):
        made = claim(scope="key", identity=number.to_bytes(4), kind="requests", limit=5)
        store.check((made,), now_us=START_US + number * 1_000_000)
    assert len(store._counters) < 2500


@pytest.mark.parametrize(("limit", "amount", "window_s"), [(-1, 1, 60), (1, -1, 60), (1, 1, 0)])
def test_a_claim_that_makes_no_sense_is_refused(limit: int, amount: int, window_s: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        claim(scope="key", identity=b"k", kind="requests", limit=limit, amount=amount, window_s=window_s)


@asynccontextmanager
async def redis_store(url: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(url, secret=b"tests", lease_s=45)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def postgres_store(dsn: str) -> AsyncIterator[PostgresStore]:
    pool = make_pool(dsn, size=2)
    await pool.open()
    try:
        yield PostgresStore(pool, secret=b"tests", lease_s=45)
    finally:
        await pool.close()
