"""From a secret to its principal: an in-process memory over one statement, told of changes by a polled counter.

A poll was chosen over LISTEN/NOTIFY because it works behind a pooler in transaction mode; it bounds how long a revoked
key lives in another process to the poll's interval (0.5 s) and one round trip.
"""

import asyncio
from collections import OrderedDict
from datetime import UTC, datetime

import psycopg
import psycopg_pool
import structlog

from ali.features.keys import queries
from ali.features.keys.principal import ROLES, Principal
from ali.features.keys.secret import digest, well_formed
from ali.kernel.db import Pool
from ali.kernel.errors import AuthenticationFailed, Unavailable

log = structlog.get_logger(__name__)

POLL_INTERVAL_S = 0.5
BLIND_LIMIT_S = 10.0
"""How long remembered keys are believed while the database cannot be asked; then nobody is."""

NO_CREDENTIAL = (
    "No API key was sent. Send it as `Authorization: Bearer ali_…` or `x-api-key: ali_…`; "
    "the first one of an embedded installation is in $ALI_HOME/credentials/owner-api-key."
)
BAD_CREDENTIAL = (
    "This API key is not valid here: it is mistyped, expired, revoked, or of another installation. "
    "Use a key of this service (it begins with ali_), not a provider's."
)


class KeyRing:
    """What this process remembers of API keys, at most `capacity` of them, the longest unused forgotten first."""

    def __init__(self, pool: Pool, *, hmac_secret: bytes, capacity: int = 10_000) -> None:
        self._pool = pool
        self._hmac_secret = hmac_secret
        self._capacity = capacity
        self._known: OrderedDict[bytes, Principal] = OrderedDict()
        self._epoch = -1
        self._last_heard_s = 0.0

    def remembered(self, secret: str) -> Principal | None:
        """The principal of `secret`, if this process knows it and it has not expired. Costs one HMAC, no await."""
        fingerprint = digest(secret, hmac_secret=self._hmac_secret)
        principal = self._known.get(fingerprint)
        if principal is None:
            return None
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            del self._known[fingerprint]
            return None
        self._known.move_to_end(fingerprint)
        return principal

    async def recognise(self, secret: str | None) -> Principal:
        """The principal of `secret`; one database round trip where it is not remembered.

        Raises `AuthenticationFailed`, or `Unavailable` when the database cannot be asked.
        """
        if not secret:
            raise AuthenticationFailed(NO_CREDENTIAL)
        if principal := self.remembered(secret):
            return principal
        if not well_formed(secret):
            raise AuthenticationFailed(BAD_CREDENTIAL)
        fingerprint = digest(secret, hmac_secret=self._hmac_secret)
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(queries.RECOGNISE, (fingerprint,))
                row = await cursor.fetchone()
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            raise Unavailable(
                "The service's database does not answer, so the API key cannot be checked. Try again shortly."
            ) from error
        if row is None or row[0] is None:
            raise AuthenticationFailed(BAD_CREDENTIAL)
        key_id, organization_id, project_id, role, expires_at, epoch = row
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise AuthenticationFailed(BAD_CREDENTIAL)
        principal = Principal(
            key_id=key_id,
            organization_id=organization_id,
            project_id=project_id,
            role=role,
            permissions=ROLES.get(role, frozenset()),
            expires_at=expires_at,
        )
        if epoch == self._epoch:
            self._remember(fingerprint, principal)
        return principal

    def _remember(self, fingerprint: bytes, principal: Principal) -> None:
        self._known[fingerprint] = principal
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)

    async def watch(self) -> None:
        """Forget everything when the epoch has moved, and after `BLIND_LIMIT_S` without word. Runs until cancelled."""
        loop = asyncio.get_running_loop()
        self._last_heard_s = loop.time()
        while True:
            try:
                async with asyncio.timeout(POLL_INTERVAL_S * 4), self._pool.connection() as connection:
                    cursor = await connection.execute(queries.EPOCH)
                    row = await cursor.fetchone()
                self.heard(row[0] if row else -1, now_s=loop.time())
            except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError) as error:
                if loop.time() - self._last_heard_s > BLIND_LIMIT_S and self._known:
                    self._known.clear()
                    log.warning("keys.forgotten", reason=type(error).__name__)
            await asyncio.sleep(POLL_INTERVAL_S)

    def heard(self, epoch: int, *, now_s: float) -> None:
        """Take word of the database's epoch."""
        if epoch != self._epoch:
            self._known.clear()
            self._epoch = epoch
        self._last_heard_s = now_s
