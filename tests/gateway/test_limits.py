"""The service's rate limits with a real Redis that comes and goes, and with two processes' worth of applications."""

import asyncio

import aiohttp

import ali.features.chat.repeats_redis
import ali.features.metering.limiting.in_redis  # noqa: F401 - imported before a loop runs, as `ali serve` does it
from ali.ops.simulator import Simulator
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.service import Serve, Service, providers

_BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Count to twenty, please"}]}


async def ask(service: Service, *, times: int) -> list[int]:
    async with aiohttp.ClientSession(headers=service.headers) as session:

        async def one() -> int:
            async with session.post(f"{service.url}/v1/chat/completions", json=_BODY) as response:
                await response.read()
                return response.status

        return sorted(await asyncio.gather(*(one() for _ in range(times))))


async def readiness(service: Service) -> tuple[int, dict[str, object]]:
    async with aiohttp.ClientSession() as session, session.get(f"{service.url}/readyz") as response:
        return response.status, await response.json()


async def test_applications_side_by_side_share_one_limit(
    serve: Serve, simulator: Simulator, shared_redis: RedisServer
) -> None:
    for store in ({"redis_url": shared_redis.url}, {"limiter_store": "postgres"}):
        values = {**providers(simulator), "requests_per_minute": 6, **store}
        async with serve(**values) as one, serve(**values) as other:
            assert await ask(one, times=4) + await ask(other, times=4) == [200] * 4 + [200] * 2 + [429] * 2


async def test_when_redis_ends_requests_go_on_and_readiness_says_so_until_it_is_back(
    serve: Serve, simulator: Simulator, redis_server: RedisServer
) -> None:
    async with serve(**providers(simulator), requests_per_minute=10, redis_url=redis_server.url) as service:
        assert await ask(service, times=10) == [200] * 10
        assert await readiness(service) == (200, {"status": "ready"})
        redis_server.kill()
        assert await ask(service, times=12) == [200] * 10 + [429] * 2
        assert await readiness(service) == (200, {"status": "ready", "degraded": ["redis"]})
        redis_server.start()
        async with asyncio.timeout(10):
            while service.gateway.limiter.degraded:  # noqa: ASYNC110 - what happens in Redis' process sets no event
                await asyncio.sleep(0.1)
        assert await readiness(service) == (200, {"status": "ready"})
        assert await ask(service, times=1) == [200]
