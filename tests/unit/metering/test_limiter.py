"""The limiter: PostgreSQL takes over from Redis and gives back, streams are freed, corrections arrive."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import psycopg
import pytest

from ali.features.metering.limiting import Claim, Limiter, LimitsUnavailable, ProcessStore, claim, explain
from ali.features.metering.limiting.claims import Kind
from ali.features.metering.limiting.in_postgres import PostgresStore
from ali.features.metering.limiting.in_redis import RedisStore
from ali.kernel.db import make_pool
from ali.kernel.telemetry import Metrics
from tests.fixtures.logs import captured_logs
from tests.fixtures.redis_server import RedisServer

LEASE_S = 0.6


def limit_of(limit: int, *, kind: Kind = "requests", amount: int = 1) -> Claim:
    return claim(scope="key", identity=uuid4().bytes, kind=kind, limit=limit, amount=amount)


@asynccontextmanager
async def limiting(dsn: str, *, redis: str | None, lease_s: float = 45) -> AsyncIterator[Limiter]:
    """A limiter as the service runs one."""
    pool = make_pool(dsn, size=2)
    await pool.open()
    stores = [PostgresStore(pool, secret=b"tests", lease_s=lease_s)]
    limiter = Limiter(
        [RedisStore(redis, secret=b"tests", lease_s=lease_s), *stores] if redis else stores,
        metrics=Metrics(),
        lease_s=lease_s,
        hold_s=0.1,
    )
    await limiter.open()
    running = asyncio.create_task(limiter.run())
    try:
        yield limiter
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await limiter.drain()
        await limiter.close()
        await pool.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what happens in Redis' process sets no event of ours
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("end", ["kill", "freeze"])
async def test_postgresql_takes_over_when_redis_ends_and_gives_back_when_it_returns(
    worker_dsn: str, redis_server: RedisServer, end: str
) -> None:
    made = limit_of(10)
    async with limiting(worker_dsn, redis=redis_server.url) as limiter:
        for _ in range(10):
            assert (await limiter.check((made,))).store == "redis"
        assert not (await limiter.check((made,))).allowed
        with captured_logs() as logs:
            (redis_server.kill if end == "kill" else redis_server.freeze)()
            try:
                verdicts = await asyncio.gather(*(limiter.check((made,)) for _ in range(15)))
                assert sum(verdict.allowed for verdict in verdicts) == 10, "one more limit in this window, not fifteen"
                assert {verdict.store for verdict in verdicts if verdict.allowed} == {"postgres"}
                assert limiter.degraded == ("redis",)
                shown = limiter._metrics.exposition().decode()
                assert 'ali_limiter_store{store="postgres"} 1.0' in shown
                assert 'ali_limiter_store{store="redis"} 0.0' in shown
            finally:
                (redis_server.start if end == "kill" else redis_server.thaw)()
            await until(lambda: limiter.degraded == ())
        assert (await limiter.check((limit_of(1),))).store == "redis"
    assert [event["event"] for event in logs] == ["limits.store_failed", "limits.store_recovered"]


async def test_a_redis_that_is_away_at_the_start_keeps_nobody_waiting(
    worker_dsn: str, redis_server: RedisServer
) -> None:
    redis_server.kill()
    async with limiting(worker_dsn, redis=redis_server.url) as limiter:
        assert (await limiter.check((limit_of(1),))).store == "postgres"
        redis_server.start()
        await until(lambda: limiter.store == "redis")


async def test_the_end_of_redis_is_noticed_without_any_request(worker_dsn: str, redis_server: RedisServer) -> None:
    async with limiting(worker_dsn, redis=redis_server.url) as limiter:
        redis_server.kill()
        await until(lambda: limiter.degraded == ("redis",))


async def test_when_nothing_counts_the_caller_is_told_to_come_back() -> None:
    async with limiting("postgresql://ali@127.0.0.1:1/ali", redis=None) as limiter:
        with pytest.raises(LimitsUnavailable, match="Try again"):
            await limiter.check((limit_of(1),))


async def test_a_stream_is_held_while_it_runs_and_freed_at_its_end(worker_dsn: str) -> None:
    streams = limit_of(1, kind="streams")
    async with limiting(worker_dsn, redis=None, lease_s=LEASE_S) as limiter, limiting(worker_dsn, redis=None) as other:
        held = await limiter.check((streams,), lease=b"one")
        await asyncio.sleep(LEASE_S * 1.5)
        assert not (await other.check((streams,), lease=b"two")).allowed, "its lease was renewed meanwhile"
        limiter.settle(held)
        await until(lambda: not limiter._releases)
        assert (await other.check((streams,), lease=b"two")).allowed


async def test_streams_of_a_process_that_died_are_freed(worker_dsn: str, shared_redis: RedisServer) -> None:
    streams = limit_of(1, kind="streams")
    for redis in (None, shared_redis.url):
        async with limiting(worker_dsn, redis=redis) as living:
            async with limiting(worker_dsn, redis=redis, lease_s=LEASE_S) as dying:
                await dying.check((streams,), lease=b"one")
            assert not (await living.check((streams,), lease=b"two")).allowed
            await asyncio.sleep(LEASE_S)
            assert (await living.check((streams,), lease=b"two")).allowed


async def test_streams_that_run_when_redis_ends_still_count(worker_dsn: str, redis_server: RedisServer) -> None:
    streams = limit_of(1, kind="streams")
    async with limiting(worker_dsn, redis=redis_server.url) as limiter:
        await limiter.check((streams,), lease=b"one")
        redis_server.kill()
        await limiter.check((limit_of(1),))
        await until(lambda: not limiter._renew_due.is_set())
        await until(lambda: not limiter._telling.locked())
        assert not (await limiter.check((streams,), lease=b"two")).allowed


@pytest.mark.parametrize("redis", [False, True])
async def test_what_was_used_beyond_the_estimate_is_counted_after_the_answer(
    worker_dsn: str, shared_redis: RedisServer, *, redis: bool
) -> None:
    tokens = limit_of(100, kind="tokens", amount=60)
    async with limiting(worker_dsn, redis=shared_redis.url if redis else None) as limiter:
        first = await limiter.check((tokens,))
        limiter.settle(first, tokens=-50)
        await limiter.drain()
        second = await limiter.check((tokens,))
        assert second.standings[0].remaining == 30
        limiter.settle(second, tokens=500)
        await limiter.drain()
        assert not (await limiter.check((tokens,))).allowed


async def test_draining_waits_for_what_is_on_its_way(worker_dsn: str) -> None:
    tokens = limit_of(100, kind="tokens", amount=60)
    async with limiting(worker_dsn, redis=None) as limiter:
        first = await limiter.check((tokens,))
        async with await psycopg.AsyncConnection.connect(worker_dsn) as blocker:
            await blocker.execute("lock table ali.limit_bucket in access exclusive mode")
            limiter.settle(first, tokens=-50)
            await until(lambda: not limiter._amendments)
            draining = asyncio.create_task(limiter.drain())
            await asyncio.sleep(0.05)
            assert not draining.done()
        await draining
        assert (await limiter.check((tokens,))).standings[0].remaining == 30


async def test_what_redis_counted_is_not_taken_back_in_postgresql(worker_dsn: str, redis_server: RedisServer) -> None:
    tokens = limit_of(100, kind="tokens", amount=60)
    async with limiting(worker_dsn, redis=redis_server.url) as limiter:
        first = await limiter.check((tokens,))
        redis_server.kill()
        await limiter.check((tokens,))
        limiter.settle(first, tokens=-60)
        await limiter.drain()
        assert not (await limiter.check((tokens,))).allowed


def test_in_one_process_nothing_is_awaited() -> None:
    async def run() -> None:
        limiter = Limiter(ProcessStore(lease_s=45), metrics=Metrics())
        tokens, streams = limit_of(100, kind="tokens", amount=60), limit_of(1, kind="streams")
        first = limiter.check_now((tokens, streams), lease=b"one")
        assert first is not None
        assert first.allowed
        limiter.settle(first, tokens=-50)
        second = limiter.check_now((tokens, streams), lease=b"two")
        assert second is not None
        assert second.allowed
        third = limiter.check_now((tokens, streams), lease=b"three")
        assert third is not None
        assert not third.allowed
        assert limiter.degraded == ()
        assert 'ali_limit_refusals_total{kind="streams",scope="key"}' not in limiter._metrics.exposition().decode()
        assert 'ali_limit_refusals_total{kind="tokens",scope="key"} 1.0' in limiter._metrics.exposition().decode()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (limit_of(1), "This API key has sent its 1 requests of this minute. Try again in 60"),
        (limit_of(1, kind="tokens"), "This API key has used its 1 tokens of this minute. Try again in 60"),
        (limit_of(1, kind="tokens", amount=5), "The request is counted as 5 tokens, and this API key may use 1 in any"),
        (limit_of(1, kind="streams"), "This API key has its 1 streams open at once. Let one end"),
        (
            claim(scope="project", identity=b"p", kind="requests", limit=1, window_s=3600, model="gpt-5*"),
            "This project has sent its 1 requests of this 3600 s for gpt-5*. Try again in 36",
        ),
    ],
)
def test_a_refusal_says_which_limit_and_what_to_do(made: Claim, told: str) -> None:
    store = ProcessStore(lease_s=45)
    store.check((made,), now_us=10**9, lease=b"one")
    verdict = store.check((made,), now_us=10**9, lease=b"two")
    assert explain(verdict).startswith(told)
