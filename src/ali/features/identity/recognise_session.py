"""From an access token to its principal: an in-process memory over one statement, dropped when the access epoch moves.

A token proves who signed in; what they may do, and whether their session still lasts, the database says.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import psycopg
import psycopg_pool

from ali.features.identity import queries
from ali.features.identity.principal import Principal, ProjectMismatch, SessionEnded
from ali.features.identity.principal_memory import PrincipalMemory
from ali.features.identity.roles import ORGANIZATION_WIDE, membership_permissions, permissions_of
from ali.kernel.db import Pool
from ali.kernel.epoch import EpochWatch
from ali.kernel.errors import Unavailable

if TYPE_CHECKING:
    from ali.features.identity.access_tokens import AccessTokens
    from ali.features.identity.tokens import AccessClaims


class HasTokens(Protocol):
    """What knows the keys of access tokens: made when first asked for (`desk`)."""

    @property
    def tokens(self) -> "AccessTokens":
        """The one of the process."""
        ...


def looks_like_token(secret: str) -> bool:
    """Whether `secret` has the outline of a JWT; says nothing of its being one."""
    return secret.startswith("eyJ") and secret.count(".") == 2


class SessionRing:
    """What this process remembers of access tokens, at most `capacity` of them, the longest unused forgotten first."""

    def __init__(self, pool: Pool, *, desk: HasTokens, epoch: EpochWatch, capacity: int = 10_000) -> None:
        self._pool = pool
        self._desk = desk
        self._memory = PrincipalMemory(epoch, capacity=capacity)

    def remembered(self, token: str, project: UUID | None = None) -> Principal | None:
        """The principal of `token` in `project`, if this process knows it and it has not expired.

        Costs one hash, no await.
        """
        return self._memory.find(_fingerprint(token), project)

    async def authenticate(self, token: str, *, project: UUID | None = None) -> Principal:
        """The principal of `token` in `project`; one database round trip where it is not remembered.

        Raises `AuthenticationFailed`, or `Unavailable` when the database cannot be asked.
        """
        if principal := self.remembered(token, project):
            return principal
        claims = await self._desk.tokens.verified(token, now=datetime.now(UTC))
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(
                    queries.RECOGNISE_SESSION, (claims.session_id, claims.user_id, project)
                )
                row = await cursor.fetchone()
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            raise Unavailable(
                "The service's database does not answer, so the access token cannot be checked. Try again shortly."
            ) from error
        if row is None or row[0] is None or row[0] != claims.organization_id:
            raise SessionEnded("This session has ended. Sign in again.")
        principal, epoch = _principal(row, claims=claims, named=project is not None), row[-1]
        if project is not None and principal.project_id != project:
            raise ProjectMismatch(
                "The OpenAI-Project header names a project that you are no member of, or that is not there. "
                "GET /v1/ali/auth/me lists yours.",
                param="OpenAI-Project",
            )
        self._memory.keep(_fingerprint(token), project, principal, epoch=epoch)
        return principal

    async def person(self, user_id: UUID, *, project: UUID) -> Principal:
        """A person as they are now in `project`, for work that outlasts their session. Raises as `authenticate`."""
        if principal := self._memory.find(user_id.bytes, project):
            return principal
        try:
            async with self._pool.connection() as connection:
                row = await (await connection.execute(queries.RECOGNISE_PERSON, (user_id, project))).fetchone()
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            raise Unavailable(
                "The service's database does not answer, so the person cannot be recognised. Try again shortly."
            ) from error
        principal = None if row is None else _standing(row, named=True, user_id=user_id)
        if row is None or principal is None or principal.project_id != project:
            raise ProjectMismatch("The person who asked for this has left the project, so it is not done any more.")
        self._memory.keep(user_id.bytes, project, principal, epoch=row[-1])
        return principal


def _fingerprint(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _principal(row: Sequence[Any], *, claims: "AccessClaims", named: bool) -> Principal:
    """The principal of a row of `recognise_session`, in the session of `claims`."""
    principal = _standing(row, named=named, user_id=claims.user_id)
    return replace(principal, session_id=claims.session_id, expires_at=claims.expires_at)


def _standing(row: Sequence[Any], *, named: bool, user_id: UUID) -> Principal:
    """A person by a row of their role and part; of no project where they do not reach it.

    A person may what their role carries, and in a project also what their membership carries there. Where they `named`
    none they act in one of theirs, and are bound to none.
    """
    organization_id, role, project_id, member_role, _ = row
    everywhere = role in ORGANIZATION_WIDE
    if not everywhere and member_role is None:
        project_id = None
    return Principal(
        organization_id=organization_id,
        project_id=project_id,
        bound=named and project_id is not None and not everywhere,
        role=role,
        permissions=permissions_of(role) | membership_permissions(member_role),
        user_id=user_id,
    )
