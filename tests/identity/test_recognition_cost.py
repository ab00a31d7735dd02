"""What recognising a caller asks of the database: counted on the wire, in PostgreSQL's own protocol."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from ali.features.keys.recognise import KeyRing
from ali.features.keys.secret import mint
from ali.kernel.db import Pool, make_pool
from ali.kernel.epoch import EpochWatch
from ali.kernel.errors import AuthenticationFailed
from tests.fixtures.database import HMAC_SECRET, Tenant


@pytest.fixture
async def pool(tenant: Tenant) -> AsyncIterator[Pool]:
    made = make_pool(tenant.dsn, size=1)
    await made.open(wait=True)
    yield made
    await made.close()


async def _ring(pool: Pool) -> KeyRing:
    epoch = EpochWatch(pool)
    ring = KeyRing(pool, hmac_secret=HMAC_SECRET.encode(), epoch=epoch)
    await epoch.poll()
    return ring


async def _trips(pool: Pool, ring: KeyRing, secret: str, folder: Path, *, project: UUID | None = None) -> int:
    """How often recognising `secret` sent something and waited: each wait ends with the server's ReadyForQuery."""
    log = folder / "wire"
    with log.open("w") as file:
        async with pool.connection() as connection:
            connection.pgconn.trace(file.fileno())
        try:
            await ring.authenticate(secret, project=project)
        except AuthenticationFailed:
            pass
        finally:
            async with pool.connection() as connection:
                connection.pgconn.untrace()
    return log.read_text().count("ReadyForQuery")


async def test_a_key_costs_one_round_trip_when_it_is_new_and_none_afterwards(
    tenant: Tenant, pool: Pool, tmp_path: Path
) -> None:
    ring = await _ring(pool)
    trips = [await _trips(pool, ring, tenant.secret, tmp_path) for _ in range(3)]
    assert trips == [1, 0, 0]
    assert await _trips(pool, ring, tenant.secret, tmp_path, project=tenant.project_id) == 1


async def test_a_mistyped_key_costs_none_and_one_that_nobody_issued_costs_one_each_time(
    tenant: Tenant, pool: Pool, tmp_path: Path
) -> None:
    ring = await _ring(pool)
    unknown = mint()
    assert await _trips(pool, ring, tenant.secret[:-1] + ("a" if tenant.secret[-1] != "a" else "b"), tmp_path) == 0
    assert [await _trips(pool, ring, unknown, tmp_path) for _ in range(2)] == [1, 1]
