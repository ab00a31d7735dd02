"""Organizations: made and listed by the operator alone."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record
from ali.features.identity.models import Organization, Project, User
from ali.features.identity.naming import Kind, named
from ali.kernel.errors import NotFound
from ali.kernel.ids import uuid7


async def create(session: AsyncSession, *, name: str, actor: Actor) -> tuple[Organization, Project]:
    """A new organization and its first project. Nobody is in it yet."""
    organization = Organization(id=uuid7(), name=name)
    session.add(organization)
    await session.flush()
    project = Project(id=uuid7(), organization_id=organization.id, name="Default project")
    session.add(project)
    await session.flush()
    event = AuditEvent(
        action="organization.created",
        organization_id=organization.id,
        target_kind="organization",
        target_id=named(Kind.ORGANIZATION, organization.id),
    )
    await record(session, event, actor=actor)
    await session.refresh(organization)
    return organization, project


async def listed(session: AsyncSession) -> Sequence[Organization]:
    """All organizations of the installation, oldest first."""
    return (await session.scalars(select(Organization).order_by(Organization.id))).all()


async def counted(session: AsyncSession, *, organization_id: UUID) -> tuple[Organization, int, int]:
    """An organization, its active projects and its people. Raises `NotFound`."""
    organization = await session.get(Organization, organization_id)
    if organization is None:
        raise NotFound("There is no such organization. `ali organizations list` shows them.", param="organization")
    projects = await session.scalar(
        select(func.count()).where(Project.organization_id == organization_id, Project.archived_at.is_(None))
    )
    people = await session.scalar(select(func.count()).where(User.organization_id == organization_id))
    return organization, projects or 0, people or 0
