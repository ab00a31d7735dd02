"""From a secret to its principal: an in-process memory over one statement, dropped when the access epoch moves."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import psycopg_pool

from ali.features.identity import Permission, Principal
from ali.features.identity.principal import ProjectMismatch
from ali.features.identity.principal_memory import PrincipalMemory
from ali.features.identity.roles import ORGANIZATION_WIDE, membership_permissions, permissions_of
from ali.features.keys import queries
from ali.features.keys.secret import digest, well_formed
from ali.kernel.db import Pool
from ali.kernel.epoch import EpochWatch
from ali.kernel.errors import AuthenticationFailed, Unavailable

MARK_USED_S = 30.0

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

    def __init__(self, pool: Pool, *, hmac_secret: bytes, epoch: EpochWatch, capacity: int = 10_000) -> None:
        self._pool = pool
        self._hmac_secret = hmac_secret
        self._memory = PrincipalMemory(epoch, capacity=capacity)
        self._used: set[UUID] = set()
        self._mark_at_s = time.monotonic() + MARK_USED_S

    def remembered(self, secret: str, project: UUID | None = None) -> Principal | None:
        """The principal of `secret` in `project`, if this process knows it and it has not expired.

        Costs one HMAC, no await.
        """
        principal = self._memory.find(digest(secret, hmac_secret=self._hmac_secret), project)
        if principal is not None and principal.key_id is not None:
            self._used.add(principal.key_id)
        return principal

    async def authenticate(self, secret: str | None, *, project: UUID | None = None) -> Principal:
        """The principal of `secret` in `project`; one database round trip where it is not remembered.

        Raises `AuthenticationFailed`, or `Unavailable` when the database cannot be asked.
        """
        if not secret:
            raise AuthenticationFailed(NO_CREDENTIAL)
        if principal := self.remembered(secret, project):
            return principal
        if not well_formed(secret):
            raise AuthenticationFailed(BAD_CREDENTIAL)
        return await self._ask(queries.RECOGNISE, digest(secret, hmac_secret=self._hmac_secret), project)

    async def by_id(self, key_id: UUID, *, project: UUID) -> Principal:
        """As `authenticate`, for work that goes on after its request: who the key is of, and what it may now."""
        return self._memory.find(key_id.bytes, project) or await self._ask(queries.RECOGNISE_ID, key_id, project)

    async def _ask(self, statement: LiteralString, sought: bytes | UUID, project: UUID | None) -> Principal:
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statement, (sought, project))
                row = await cursor.fetchone()
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            raise Unavailable(
                "The service's database does not answer, so the API key cannot be checked. Try again shortly."
            ) from error
        if row is None or row[0] is None:
            raise AuthenticationFailed(BAD_CREDENTIAL)
        principal, epoch = _principal(row), row[-1]
        if principal is None:
            raise AuthenticationFailed(BAD_CREDENTIAL)
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            raise AuthenticationFailed(BAD_CREDENTIAL)
        if project is not None and principal.project_id != project:
            raise ProjectMismatch(
                "The OpenAI-Project header names a project that this API key is not of. Leave the header out, or use a "
                "key of that project.",
                param="OpenAI-Project",
            )
        fingerprint = sought.bytes if isinstance(sought, UUID) else sought  # of different lengths
        self._memory.keep(fingerprint, project, principal, epoch=epoch)
        self._used.add(row[0])
        return principal

    async def mark_used(self) -> None:
        """Write down which keys were used, at most every `MARK_USED_S`: a chore of the epoch's watch."""
        if not self._used or time.monotonic() < self._mark_at_s:
            return
        used, self._used = list(self._used), set()
        self._mark_at_s = time.monotonic() + MARK_USED_S
        async with self._pool.connection() as connection:
            await connection.execute(queries.MARK_USED, (used,))


def _principal(row: Sequence[Any]) -> Principal | None:
    """The principal of a row of `recognise_credential`; None for a key whose person has left its project.

    A key never carries more than whoever it belongs to carries now: who is demoted takes their keys along.
    """
    (key_id, organization_id, project_id, role, expires_at, user_id, service_account_id, *others, _) = row
    permissions, models, networks, bound, user_role, member_role, account_role = others
    granted = permissions_of(role)
    if permissions is not None:
        granted &= {Permission(name) for name in permissions if name in set(Permission)}
    if account_role is not None:
        granted &= permissions_of(account_role)
    if user_id is not None:
        granted &= permissions_of(user_role) | membership_permissions(member_role)
        if user_role not in ORGANIZATION_WIDE and member_role is None:
            if bound is not None:
                return None
            project_id = None
    return Principal(
        key_id=key_id,
        organization_id=organization_id,
        project_id=project_id,
        bound=bound is not None,
        role=role,
        permissions=granted,
        user_id=user_id,
        service_account_id=service_account_id,
        allowed_models=frozenset(models) if models is not None else None,
        allowed_networks=tuple(ip_network(network) for network in networks) if networks is not None else None,
        expires_at=expires_at,
    )
