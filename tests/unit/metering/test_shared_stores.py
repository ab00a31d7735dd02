"""What several processes count together: all claims or none, corrections, leases, and one limit for four processes."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import redis as redis_py

from ali.features.metering.limiting import Claim, ProcessStore, Verdict, claim
from ali.features.metering.limiting.claims import Amendment, Kind
from ali.features.metering.limiting.in_postgres import PostgresStore
from ali.features.metering.limiting.in_redis import RedisStore
from ali.features.metering.limiting.shared import Held
from tests.fixtures.redis_server import RedisServer
from tests.unit.metering.hammer import ASKED, KEYS, LIMIT
from tests.unit.metering.test_windows import postgres_store, redis_store
from tests.unit.metering.window_model import START_US

ROOT = Path(__file__).resolve().parents[3]
LEASE_US = 45_000_000


class _Process:
    """The process store in the shape of the others, so that one set of tests holds all three."""

    def __init__(self) -> None:
        self._store = ProcessStore(lease_s=45)

    async def check(self, claims: tuple[Claim, ...], *, lease: bytes = b"", now_us: int) -> Verdict:
        return self._store.check(claims, lease=lease, now_us=now_us)

    async def amend(self, amendments: list[Amendment], *, now_us: int) -> None:
        self._store.amend(amendments, now_us=now_us)

    async def renew(self, held: Held, *, now_us: int) -> None:
        self._store.renew(held, now_us=now_us)

    async def release(self, held: Held) -> None:
        self._store.release(held)


Store = RedisStore | PostgresStore | _Process


@pytest.fixture(params=["process", "redis", "postgres"])
async def store(request: pytest.FixtureRequest, worker_dsn: str) -> AsyncIterator[Store]:
    if request.param == "process":
        yield _Process()
    elif request.param == "redis":
        server: RedisServer = request.getfixturevalue("shared_redis")
        async with redis_store(server.url) as redis:
            yield redis
    else:
        async with postgres_store(worker_dsn) as postgres:
            yield postgres


def limit_of(limit: int, *, kind: Kind = "requests", amount: int = 1) -> Claim:
    return claim(scope="project", identity=uuid4().bytes, kind=kind, limit=limit, amount=amount)


async def test_all_claims_are_counted_or_none(store: Store) -> None:
    wide, narrow = limit_of(10), limit_of(2)
    streams = limit_of(10, kind="streams")
    verdicts = [
        await store.check((wide, narrow, streams), lease=bytes([n]) * 16, now_us=START_US + n * 1000) for n in range(5)
    ]
    assert [verdict.allowed for verdict in verdicts] == [True, True, False, False, False]
    assert {verdict.refusing for verdict in verdicts[2:]} == {narrow}
    alone = await store.check((wide, streams), lease=b"x" * 16, now_us=START_US + 5000)
    assert [standing.remaining for standing in alone.standings] == [7, 7], "the refused ones counted nowhere"


async def test_the_wait_is_the_longest_of_all_claims_that_refuse(store: Store) -> None:
    first, second = limit_of(1), limit_of(1)
    await store.check((first,), now_us=START_US)
    await store.check((second,), now_us=START_US + 20_000_000)
    both = await store.check((first, second), now_us=START_US + 30_000_000)
    assert both.refusing == second
    assert 50 <= both.retry_after_s <= 50.5
    assert not (await store.check((first, second), now_us=START_US + 79_000_000)).allowed
    again = START_US + 30_000_000 + round(both.retry_after_s * 1e6)
    assert (await store.check((first, second), now_us=again)).allowed


async def test_an_estimate_is_corrected_both_ways_and_never_refused(store: Store) -> None:
    tokens = limit_of(1000, kind="tokens", amount=600)
    first = await store.check((tokens,), now_us=START_US)
    assert not (await store.check((tokens,), now_us=START_US + 1_000_000)).allowed
    await store.amend([Amendment(tokens, -500, first.at_us)], now_us=START_US + 2_000_000)
    second = await store.check((tokens,), now_us=START_US + 3_000_000)
    assert (second.allowed, second.standings[0].remaining) == (True, 300)
    await store.amend([Amendment(tokens, 900, second.at_us)], now_us=START_US + 10_000_000)
    over = await store.check((tokens,), now_us=START_US + 11_000_000)
    assert (over.allowed, over.standings[0].remaining) == (False, 0)
    assert over.retry_after_s > 58, "what was used beyond the estimate counts from when it was known"


async def test_what_is_taken_back_late_never_lets_more_through_than_the_limit(store: Store) -> None:
    tokens = limit_of(100, kind="tokens", amount=100)
    first = await store.check((tokens,), now_us=START_US)
    later = START_US + 70_000_000
    assert (await store.check((tokens,), now_us=later)).allowed
    await store.amend([Amendment(tokens, -100, first.at_us)], now_us=later + 1)
    assert not (await store.check((tokens,), now_us=later + 2)).allowed


async def test_streams_are_held_released_and_lapse(store: Store) -> None:
    streams = limit_of(2, kind="streams")
    one, two, three = (bytes([n]) * 16 for n in range(3))
    assert (await store.check((streams,), lease=one, now_us=START_US)).allowed
    assert (await store.check((streams,), lease=two, now_us=START_US + 1)).allowed
    refusal = await store.check((streams,), lease=three, now_us=START_US + 2)
    assert (refusal.allowed, refusal.retry_after_s) == (False, 1.0)
    await store.release([(streams, one)])
    assert (await store.check((streams,), lease=three, now_us=START_US + 3)).allowed
    await store.renew([(streams, two)], now_us=START_US + LEASE_US // 2)
    after = START_US + LEASE_US + 10
    assert (await store.check((streams,), lease=one, now_us=after)).allowed, "three was not renewed, so it lapsed"
    assert not (await store.check((streams,), lease=three, now_us=after + 1)).allowed, "two was"


async def test_a_request_that_can_never_pass_is_told_so(store: Store) -> None:
    verdict = await store.check((limit_of(10), limit_of(50, kind="tokens", amount=51)), now_us=START_US)
    assert (verdict.allowed, verdict.too_large) == (False, True)
    assert verdict.refusing is not None
    assert verdict.refusing.kind == "tokens"


@pytest.mark.parametrize("where", ["redis", "postgres"])
def test_four_processes_share_one_limit(request: pytest.FixtureRequest, worker_dsn: str, where: str) -> None:
    address = request.getfixturevalue("shared_redis").url if where == "redis" else worker_dsn
    identity = uuid4()
    hammers = [
        subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "tests.unit.metering.hammer", address, str(identity)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for hammer in hammers:
        assert hammer.stdout is not None
        assert hammer.stdout.readline() == "ready\n"
    for hammer in hammers:
        assert hammer.stdin is not None
        hammer.stdin.write("go\n")
        hammer.stdin.flush()
    passed = [int(hammer.communicate(timeout=60)[0]) for hammer in hammers]
    assert all(hammer.returncode == 0 for hammer in hammers)
    assert 4 * ASKED > 2 * LIMIT, "more was asked than may pass"
    assert sum(passed) == KEYS * LIMIT


async def test_redis_learns_the_script_again_after_it_forgot_it(shared_redis: RedisServer) -> None:
    made = limit_of(3)
    async with redis_store(shared_redis.url) as store:
        await store.check((made,))
        with redis_py.Redis.from_url(shared_redis.url) as other:
            other.script_flush()
        verdict = await store.check((made,))
    assert verdict.standings[0].remaining == 1


async def test_a_shared_store_never_learns_who_is_counted(shared_redis: RedisServer, worker_dsn: str) -> None:
    person = b"maria.da.silva@example.com"
    made = claim(scope="sign_in_account", identity=person, kind="requests", limit=3, window_s=900)
    async with redis_store(shared_redis.url) as redis, postgres_store(worker_dsn) as postgres:
        await redis.check((made,))
        await postgres.check((made,))
    with redis_py.Redis.from_url(shared_redis.url) as other:
        keys = list(other.scan_iter())
        assert keys
        assert all(key.startswith(b"ali:limit:1:") and other.pttl(key) > 0 for key in keys), "everything lapses"
    assert not any(person in key or made.key.hex().encode() in key for key in keys)
    with psycopg.connect(worker_dsn) as connection:
        rows = connection.execute("select key from ali.limit_bucket").fetchall()
    assert rows
    assert not any(person in row[0] or made.key == row[0] for row in rows)


async def test_postgresql_forgets_what_no_window_needs(worker_dsn: str) -> None:
    bucket, streams = limit_of(3), limit_of(3, kind="streams")
    async with postgres_store(worker_dsn) as store:
        await store.check((bucket, streams), lease=b"gone", now_us=START_US)
        await store.check((bucket, streams), lease=b"here")
        await store.tidy()
        hidden = [store._hidden(made.key) for made in (bucket, streams)]
    with psycopg.connect(worker_dsn) as connection:
        found = [
            connection.execute("select count(*) from ali.limit_bucket where key = %s", (hidden[0],)).fetchone(),
            connection.execute("select count(*) from ali.limit_lease where key = %s", (hidden[1],)).fetchone(),
        ]
    assert found == [(1,), (1,)]


async def test_opposite_orders_of_the_same_claims_never_deadlock_in_postgresql(worker_dsn: str) -> None:
    claims = tuple(limit_of(10**6) for _ in range(4))
    async with postgres_store(worker_dsn) as store:
        verdicts = await asyncio.gather(*(store.check(claims[:: 1 if n % 2 else -1]) for n in range(60)))
        last = await store.check(claims)
    assert all(verdict.allowed for verdict in verdicts)
    assert {standing.remaining for standing in last.standings} == {10**6 - 61}
