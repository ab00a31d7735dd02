"""One audit event and its writing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit.models import AuditRow
from ali.kernel.ids import uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts: a person, a key, the operator at the command line, or the service itself."""

    kind: Literal["user", "api_key", "operator", "service"]
    id: UUID | None = None
    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """What was done. `action` is `noun.verb` in the past tense, as in `project.created`."""

    action: str
    organization_id: UUID
    project_id: UUID | None = None
    target_kind: str | None = None
    target_id: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


async def record(session: AsyncSession, event: AuditEvent, *, actor: Actor) -> None:
    """Add `event` to the caller's transaction: it is there exactly when the act is. One insert."""
    session.add(
        AuditRow(
            id=uuid7(),
            organization_id=event.organization_id,
            project_id=event.project_id,
            action=event.action,
            actor_kind=actor.kind,
            actor_id=actor.id,
            address=actor.address,
            request_id=actor.request_id,
            target_kind=event.target_kind,
            target_id=event.target_id,
            detail=dict(event.detail),
        )
    )
    await session.flush()


async def record_deletion(
    session: AsyncSession, kind: str, name: str, *, organization_id: UUID, project_id: UUID, actor: Actor
) -> None:
    """Record that a thing of a project is gone, as `<kind>.deleted`. `name`: its identifier as callers know it."""
    event = AuditEvent(
        action=f"{kind}.deleted",
        organization_id=organization_id,
        project_id=project_id,
        target_kind=kind,
        target_id=name,
    )
    await record(session, event, actor=actor)
