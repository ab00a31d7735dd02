"""Access tokens over the keys in the database: which keys there are is read when first needed, and when that changed.

Apart from `tokens`, which decides, this knows where keys are kept. Importing it costs 16 ms, which `desk` defers.
"""

import asyncio
import time
from datetime import datetime
from uuid import UUID

import psycopg
import psycopg_pool

from ali.features.identity import queries, tokens
from ali.features.identity.signing_keys import KeySet, SigningKey, key_set, unwrap
from ali.features.identity.tokens import AccessClaims, AccessTokenRefused, TokenVerifier
from ali.kernel import log
from ali.kernel.db import Pool
from ali.kernel.errors import Unavailable

REREAD_AFTER_S = 0.1
"""Names of keys that this process does not know make it read the keys anew at most so often; all who ask share that."""


class AccessTokens:
    """Issues and verifies access tokens. One for the process."""

    def __init__(self, pool: Pool, *, hmac_secret: bytes, address: str) -> None:
        self._pool = pool
        self._hmac_secret = hmac_secret
        self._issuer = address
        self._audience = f"{address}/v1"
        self._keys = key_set(())
        self._verifier = TokenVerifier(self._keys, issuer=self._issuer, audience=self._audience)
        self._stale = True
        self._read_at_s = 0.0
        self._reading = asyncio.Lock()

    def forget(self) -> None:
        """Read the keys anew before the next use: others may have been rotated or destroyed."""
        self._stale = True

    async def keys(self) -> KeySet:
        """The keys as they are in the database. Raises `Unavailable`."""
        async with self._reading:
            if self._stale:
                self._stale = False  # before reading, so that word that comes meanwhile is not lost
                try:
                    await self._read()
                except BaseException:
                    self._stale = True
                    raise
        return self._keys

    async def verified(self, token: str, *, now: datetime) -> AccessClaims:
        """What `token` says. Raises `AccessTokenRefused`, `AccessTokenExpired` or `Unavailable`."""
        await self.keys()
        try:
            return self._verifier.verified(token, now=now)
        except AccessTokenRefused as refusal:
            if refusal.reason != "unknown key":
                log.info("access_token.refused", reason=refusal.reason)
                raise
        # Another replica may have signed with a key that word has not come of yet.
        await self._read_since(time.monotonic())
        return self._verifier.verified(token, now=now)

    async def _read_since(self, moment_s: float) -> None:
        """Have the keys read at some time after `moment_s`."""
        async with self._reading:
            if self._read_at_s <= moment_s:
                await asyncio.sleep(max(0.0, self._read_at_s + REREAD_AFTER_S - time.monotonic()))
                await self._read()

    def issue(self, *, user_id: UUID, session_id: UUID, organization_id: UUID, role: str, now: datetime) -> str:
        """A new access token, under the keys that `keys` read last: await it before. Raises `NoSigningKey`."""
        return tokens.issue(
            self._keys,
            issuer=self._issuer,
            audience=self._audience,
            user_id=user_id,
            session_id=session_id,
            organization_id=organization_id,
            role=role,
            now=now,
        )

    async def _read(self) -> None:
        began_s = time.monotonic()
        try:
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(queries.SIGNING_KEYS)).fetchall()
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            raise Unavailable(
                "The service's database does not answer, so the access token cannot be checked. Try again shortly."
            ) from error
        self._read_at_s = began_s
        found = key_set(
            unwrap(wrapped, kid=kid, secret=self._hmac_secret, created_at=created_at, retired_at=retired_at)
            for kid, wrapped, created_at, retired_at in sorted(rows)
        )
        if _identity(found.keys) != _identity(self._keys.keys):
            self._keys = found
            self._verifier.use_keys(found)


def _identity(keys: tuple[SigningKey, ...]) -> set[tuple[str, datetime | None]]:
    return {(key.kid, key.retired_at) for key in keys}
