"""Exact repeats shared through a real Redis, and what happens without it."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

import ali.features.chat.repeats_redis  # noqa: F401 - imported before a loop runs, as `ali serve` does it
from ali.ops.simulator import Simulator
from tests.fixtures.service import Serve, Service, providers
from tests.fixtures.tools import requires_tool

_BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Count to twenty, please"}]}


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    program = requires_tool("redis-server")
    path = tmp_path / "r.sock"
    server = subprocess.Popen(  # noqa: S603 - the tool that was just found
        [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"unix://{path}"
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(tmp_path, ignore_errors=True)


async def ask(url: str, headers: dict[str, str]) -> tuple[int, str | None]:
    async with (
        aiohttp.ClientSession(headers={**headers, "x-ali-cache-ttl": "60"}) as session,
        session.post(f"{url}/v1/chat/completions", json=_BODY) as response,
    ):
        await response.read()
        return response.status, response.headers.get("x-ali-cache")


async def asked_until_hit(service: Service) -> None:
    """Redis may still be starting, or slower than the quarter of a second that is waited for it: a miss, no failure."""
    for _ in range(50):
        status, hit = await ask(service.url, service.headers)
        assert status == 200
        if hit:
            return
        await asyncio.sleep(0.1)
    pytest.fail("no repeat was ever answered from Redis")


async def test_a_repeat_is_answered_by_another_process_through_redis(
    serve: Serve, simulator: Simulator, redis_url: str
) -> None:
    async with serve(**providers(simulator), redis_url=redis_url) as service:
        await asked_until_hit(service)
    asked = simulator.counters.requests
    async with serve(**providers(simulator), redis_url=redis_url) as other:
        await asked_until_hit(other)
    assert simulator.counters.requests - asked <= 2, "the first process's answer was there"


async def test_without_redis_every_repeat_is_a_miss_and_nothing_fails(
    serve: Serve, simulator: Simulator, tmp_path: Path
) -> None:
    async with serve(**providers(simulator), redis_url=f"unix://{tmp_path / 'none.sock'}") as service:
        for _ in range(2):
            assert await ask(service.url, service.headers) == (200, None)
