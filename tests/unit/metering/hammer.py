"""A process of its own that asks a shared limit as fast as it can: `python -m tests.unit.metering.hammer`."""

import asyncio
import sys
from uuid import UUID

from ali.features.metering.limiting import Claim, claim
from ali.features.metering.limiting.in_postgres import PostgresStore
from ali.features.metering.limiting.in_redis import RedisStore
from ali.features.metering.limiting.shared import SharedStore
from ali.kernel.db import make_pool

KEYS = 40
LIMIT = 10
ASKED = 6
"""Of each key, by each of four processes: more than may pass, and all of them at about the same moment."""


def claims_of(identity: UUID, key: int) -> tuple[Claim, ...]:
    """What each request asks: one that is short, and one that never is."""
    return (
        claim(scope="user", identity=identity.bytes + bytes([key]), kind="requests", limit=10**6),
        claim(scope="key", identity=identity.bytes + bytes([key]), kind="requests", limit=LIMIT),
    )


async def hammer(store: SharedStore, identity: UUID) -> int:
    """Ask of one key after the other, `ASKED` times at once; returns how many passed."""
    passed = 0
    for key in range(KEYS):
        verdicts = await asyncio.gather(*(store.check(claims_of(identity, key)) for _ in range(ASKED)))
        passed += sum(verdict.allowed for verdict in verdicts)
    return passed


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
    print("ready", flush=True)  # noqa: T201 - as below
    sys.stdin.readline()  # all of them begin together
    print(asyncio.run(_main(sys.argv[1], UUID(sys.argv[2]))))  # noqa: T201 - the answer to the process that started it
