"""`./run bench limits`: what a limit check costs in each store, beside a naive counter of one process."""

import argparse
import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import redis.asyncio
import uvloop

from ali.features.metering.limiting import Claim, ProcessStore, Rule, RuleBook, claim, counting
from ali.features.metering.limiting.in_postgres import PostgresStore
from ali.features.metering.limiting.in_redis import RedisStore
from ali.features.metering.limiting.redis_scripts import CHECK
from ali.kernel.db import make_pool
from bench.database import migrated
from bench.gateway.machine import this_machine

NAME = "limits"
SUMMARY = "What a rate limit check of three claims costs in process, in Redis and in PostgreSQL (about 10 seconds)."
GOAL_US = 10.0
_RESULT = Path(__file__).resolve().parents[1] / "bench" / "results" / "limits.json"
_ROUNDS = 5
_BILLION = 10**9
_CONSTANTS = {"buckets": 120, "ttl": 122, "retry_us": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Microseconds a check: on the clock, and of this process's CPU."""

    name: str
    wall_us: float
    cpu_us: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--checks", type=int, default=2000, metavar="N", help="checks of a round (default 2000)")


def run(options: argparse.Namespace) -> int:
    """Measure, print, keep; 1 where a check in process misses its goal."""
    figures = [*_in_process(options.checks * 10), *uvloop.run(_shared(options.checks))]
    naive = figures[0].wall_us
    print(f"{this_machine()}. Best of {_ROUNDS} rounds, three claims a check.\n")
    print("| a check | µs | µs of CPU | CPU against the naive counter |\n|---|---:|---:|---:|")
    for figure in figures:
        print(f"| {figure.name} | {figure.wall_us:.2f} | {figure.cpu_us:.2f} | {figure.cpu_us / naive:.0f}x |")
    reached = figures[1].wall_us <= GOAL_US
    print(f"\nGoal in process: at most {GOAL_US:.0f} µs. Reached: {'yes' if reached else 'no'}.")
    _RESULT.parent.mkdir(parents=True, exist_ok=True)
    kept = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": str(this_machine()),
        "figures": [asdict(figure) for figure in figures],
    }
    _RESULT.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return 0 if reached else 1


def _claims() -> tuple[Claim, ...]:
    return tuple(
        claim(scope=scope, identity=uuid4().bytes, kind="requests", limit=_BILLION)
        for scope in ("organization", "project", "key")
    )


def _in_process(checks: int) -> Iterator[Figure]:
    claims, counted, store = _claims(), dict[bytes, int](), ProcessStore(lease_s=45)

    def naive() -> bool:
        for each in claims:
            count = counted.get(each.key, 0)
            if count >= each.limit:
                return False
            counted[each.key] = count + 1
        return True

    yield _timed("naive counter, in process, no window", naive, checks)
    yield _timed("in process", lambda: store.check(claims, now_us=time.monotonic_ns() // 1000), checks)
    book, who = RuleBook(requests_per_key=_BILLION), (uuid4(), uuid4(), uuid4())
    book.replace([Rule(who[0], "project", who[1], requests_per_minute=1, tokens_per_minute=1)])

    def rules() -> object:
        found = book.rules_for(organization_id=who[0], project_id=who[1], key_id=who[2], user_id=None, models=("m",))
        return counting(found, tokens=1, stream=False)

    yield _timed("the rules of a request, remembered", rules, checks)


def _timed(name: str, check: Callable[[], object], checks: int) -> Figure:
    best = min(_round(check, checks) for _ in range(_ROUNDS))
    return Figure(name=name, wall_us=best, cpu_us=best)  # it waits for nothing


def _round(check: Callable[[], object], checks: int) -> float:
    began = time.perf_counter()
    for _ in range(checks):
        check()
    return (time.perf_counter() - began) / checks * 1e6


async def _shared(checks: int) -> list[Figure]:
    figures: list[Figure] = []
    claims = _claims()
    async with _redis() as url:
        if url is None:
            print("redis-server is not installed; Redis is left out.", file=sys.stderr)
        else:
            store = RedisStore(url, secret=b"bench", lease_s=45, silence_s=10)
            await store.open()
            figures += await _both("Redis, one connection", lambda: store.check(claims), checks)
            await store.close()
            client = redis.asyncio.Redis.from_url(url)
            script = client.register_script(CHECK % _CONSTANTS)
            arguments: list[bytes | str | int] = [0, b"", 1, *([_BILLION, 500_000, 1] * len(claims))]
            keys = [each.key.hex() for each in claims]
            figures += await _both("Redis, redis-py's client", lambda: script(keys=keys, args=arguments), checks)
            await client.aclose()
    with migrated() as server:
        pool = make_pool(server.service_dsn, size=4)
        await pool.open()
        in_postgres = PostgresStore(pool, secret=b"bench", lease_s=45)
        figures += await _both("PostgreSQL", lambda: in_postgres.check(claims), checks // 4)
        await pool.close()
    return figures


async def _both(name: str, check: Callable[[], Awaitable[object]], checks: int) -> list[Figure]:
    return [await _concurrently(f"{name}, {at_once} at once", check, checks, at_once=at_once) for at_once in (1, 32)]


async def _concurrently(name: str, check: Callable[[], Awaitable[object]], checks: int, *, at_once: int) -> Figure:
    async def some() -> None:
        for _ in range(checks // at_once):
            await check()

    best = Figure(name=name, wall_us=float("inf"), cpu_us=float("inf"))
    for _ in range(_ROUNDS):
        began, cpu_began = time.perf_counter(), time.process_time()
        await asyncio.gather(*(some() for _ in range(at_once)))
        done = checks // at_once * at_once
        wall_us, cpu_us = ((time.perf_counter() - began) / done * 1e6, (time.process_time() - cpu_began) / done * 1e6)
        best = Figure(name=name, wall_us=min(best.wall_us, wall_us), cpu_us=min(best.cpu_us, cpu_us))
    return best


@contextlib.asynccontextmanager
async def _redis() -> AsyncIterator[str | None]:
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ali-bench-") as folder:
        path = Path(folder) / "r.sock"
        server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
            [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(10):
                while not path.exists():  # noqa: ASYNC110 - a file of another process sets no event
                    await asyncio.sleep(0.02)
            yield f"unix://{path}"
        finally:
            server.terminate()
            server.wait(10)
