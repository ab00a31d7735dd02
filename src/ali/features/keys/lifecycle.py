"""Issuing and revoking API keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.identity import ROLES, Project
from ali.features.keys import queries
from ali.features.keys.models import ApiKey
from ali.features.keys.secret import digest, hint, mint
from ali.kernel.errors import InvalidRequest, NotFound
from ali.kernel.ids import uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key. `secret` exists here and nowhere else: show it once."""

    id: UUID
    secret: str


async def issue(
    session: AsyncSession,
    *,
    project_id: UUID,
    name: str,
    role: str,
    hmac_secret: bytes,
    expires_at: datetime | None = None,
) -> IssuedKey:
    """A new key of a project. Raises `InvalidRequest` for an unknown role, `NotFound` for an unknown project."""
    if role not in ROLES:
        raise InvalidRequest(f"There is no role {role!r}. The roles are: {', '.join(ROLES)}.", param="role")
    project = await session.scalar(select(Project).where(Project.id == project_id, Project.archived_at.is_(None)))
    if project is None:
        raise NotFound("There is no such project.", param="project")
    secret = mint()
    key = ApiKey(
        id=uuid7(),
        organization_id=project.organization_id,
        project_id=project.id,
        name=name,
        role=role,
        digest=digest(secret, hmac_secret=hmac_secret),
        hint=hint(secret),
        expires_at=expires_at,
    )
    session.add(key)
    await session.flush()
    return IssuedKey(id=key.id, secret=secret)


async def revoke(session: AsyncSession, *, key_id: UUID) -> None:
    """End a key, in every process within a second. Raises `NotFound` for one that is unknown or revoked already."""
    revoked = await session.scalar(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.id)
    )
    if revoked is None:
        raise NotFound("There is no such API key, or it is revoked already.", param="key")
    await session.execute(text(queries.ADVANCE_EPOCH))


async def listed(session: AsyncSession, *, project_id: UUID) -> Sequence[ApiKey]:
    """The keys of a project, newest first, without their secrets."""
    return (await session.scalars(queries.keys_of(project_id))).all()
