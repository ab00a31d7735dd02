"""Limits in PostgreSQL: one function, one round trip. For installations without Redis, and while Redis is away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, LiteralString

import psycopg
import psycopg_pool

from ali.features.metering.limiting.claims import Amendment, Claim, Verdict, weigh
from ali.features.metering.limiting.shared import Held, StoreFailed, pseudonym
from ali.kernel.db import Pool

_WAIT_S: Final = 1.0
_TIDIED: Final = 5000
"""Rows that one cleaning removes at most."""

_CHECK: Final = (
    "select ali.limit_check(%b::bytea[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bytea, %b::bigint, %b::bigint)"
)
_AMEND: Final = "select ali.limit_amend(%b::bytea[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint)"
_RENEW: Final = "select ali.limit_renew(%b::bytea[], %b::bytea[], %b::bigint, %b::bigint)"
_RELEASE: Final = "select ali.limit_release(%b::bytea[], %b::bytea[])"
_TIDY: Final = "select ali.limit_tidy(%b::int)"


class PostgresStore:
    """`SharedStore` over the service's own database. `secret`: of the pseudonyms, the same in all processes."""

    name: Literal["postgres"] = "postgres"
    alive: Final = True

    def __init__(self, pool: Pool, *, secret: bytes, lease_s: float) -> None:
        self._pool = pool
        self._hidden = pseudonym(secret)
        self._lease_us = int(lease_s * 1e6)

    async def open(self) -> None:
        """Nothing: the pool connects."""

    async def check(self, claims: Sequence[Claim], *, lease: bytes = b"", now_us: int | None = None) -> Verdict:
        """Count all claims, or none. `now_us`: in place of the server's clock."""
        answer = await self._call(
            _CHECK,
            [self._hidden(each.key) for each in claims],
            [each.limit for each in claims],
            [each.width_us for each in claims],
            [each.amount for each in claims],
            lease,
            self._lease_us,
            now_us,
        )
        return weigh(claims, answer, store=self.name, lease=lease)

    async def amend(self, amendments: Sequence[Amendment], *, now_us: int | None = None) -> None:
        """Correct what was counted."""
        await self._call(
            _AMEND,
            [self._hidden(each.claim.key) for each in amendments],
            [each.claim.width_us for each in amendments],
            [each.delta for each in amendments],
            [each.at_us for each in amendments],
            now_us,
        )

    async def renew(self, held: Held, *, now_us: int | None = None) -> None:
        """Keep leases for their full time again."""
        keys, leases = self._columns(held)
        await self._call(_RENEW, keys, leases, self._lease_us, now_us)

    async def release(self, held: Held) -> None:
        """Free leases."""
        await self._call(_RELEASE, *self._columns(held))

    async def tidy(self) -> None:
        """Remove buckets and leases that count for nobody, at most 5,000 of each."""
        await self._call(_TIDY, _TIDIED)

    async def close(self) -> None:
        """Nothing: the pool is not ours."""

    def _columns(self, held: Held) -> tuple[list[bytes], list[bytes]]:
        return [self._hidden(each.key) for each, _ in held], [lease for _, lease in held]

    async def _call(self, statement: LiteralString, *parameters: object) -> Any:  # noqa: ANN401 - what the function returns
        async with _explained(), asyncio.timeout(_WAIT_S), self._pool.connection(timeout=_WAIT_S) as connection:
            cursor = await connection.execute(statement, parameters, binary=True)
            row = await cursor.fetchone()
        return row[0] if row else None


@asynccontextmanager
async def _explained() -> AsyncIterator[None]:
    try:
        yield
    except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError) as error:
        raise StoreFailed(type(error).__name__) from error
