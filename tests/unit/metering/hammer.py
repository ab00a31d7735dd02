"""A process of its own that asks a shared limit as fast as it can: `python -m tests.unit.metering.hammer`."""

import asyncio
import sys
from uuid import UUID

from ali.features.metering.limiting import Claim, claim
from ali.features.metering.limiting.in_postgres import PostgresStore
from ali.features.metering.limiting.in_redis import RedisStore
from ali.features.metering.limiting.shared import SharedStore
from ali.kernel.db import make_pool

LIMIT = 400
ASKED = 300
AT_ONCE = 8


def claims_of(identity: UUID) -> tuple[Claim, ...]:
    """What each request asks: one that is short, and one that never is."""
    return (
        claim(scope="organization", identity=identity.bytes, kind="requests", limit=10**6, window_s=60),
        claim(scope="key", identity=identity.bytes, kind="requests", limit=LIMIT, window_s=60),
    )


async def hammer(store: SharedStore, identity: UUID) -> int:
    """Ask `ASKED` times, `AT_ONCE` at a time; returns how many passed."""
    claims = claims_of(identity)

    async def ask() -> int:
        return sum([(await store.check(claims)).allowed for _ in range(ASKED // AT_ONCE)])

    return sum(await asyncio.gather(*(ask() for _ in range(AT_ONCE))))


async def _main(where: str, identity: UUID) -> int:
    if where.startswith("unix:"):
        redis = RedisStore(where, secret=b"tests", lease_s=45, silence_s=10)
        await redis.open()
        passed = await hammer(redis, identity)
        await redis.close()
        return passed
    pool = make_pool(where, size=4)
    await pool.open()
    try:
        return await hammer(PostgresStore(pool, secret=b"tests", lease_s=45), identity)
    finally:
        await pool.close()


if __name__ == "__main__":
    print(asyncio.run(_main(sys.argv[1], UUID(sys.argv[2]))))  # noqa: T201 - the answer to the process that started it
