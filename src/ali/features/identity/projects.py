"""Projects: making, renaming, archiving."""

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import AuditEvent, record
from ali.features.identity.authority import Authority
from ali.features.identity.models import Project
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Page, Place, page_of
from ali.features.identity.reach import Reached
from ali.kernel.epoch import ADVANCE_EPOCH
from ali.kernel.ids import uuid7


async def create(session: AsyncSession, authority: Authority, *, name: str) -> Project:
    """A new project of the organization."""
    project = Project(id=uuid7(), organization_id=authority.organization_id, name=name)
    session.add(project)
    await session.flush()
    await session.refresh(project)
    await _recorded(session, authority, project, action="project.created")
    return project


async def rename(session: AsyncSession, reached: Reached, *, name: str) -> Project:
    """The project under another name. Raises `ProjectArchived`."""
    project = await _locked(session, reached)
    reached.require_active()
    project.name = name
    await _recorded(session, reached.authority, project, action="project.updated", detail={"fields": ["name"]})
    return project


async def archive(session: AsyncSession, reached: Reached) -> Project:
    """The project, archived for good: its keys stop in every process within a second. Again changes nothing."""
    project = await _locked(session, reached)
    if project.archived_at is None:
        project.archived_at = func.now()
        await session.flush()
        await session.refresh(project)
        await _recorded(session, reached.authority, project, action="project.archived")
        await session.execute(text(ADVANCE_EPOCH))
    return project


async def listed(
    session: AsyncSession, *, within: ColumnElement[bool], include_archived: bool, place: Place
) -> Page[Project]:
    """A page of the projects `within` reach."""
    statement = select(Project).where(within)
    if not include_archived:
        statement = statement.where(Project.archived_at.is_(None))
    return await page_of(session, statement, key=Project.id, place=place)


async def _locked(session: AsyncSession, reached: Reached) -> Project:
    """The project's present row, which nobody else changes until the transaction ends."""
    await session.refresh(reached.project, with_for_update={"key_share": True})
    return reached.project


async def _recorded(
    session: AsyncSession,
    authority: Authority,
    project: Project,
    *,
    action: str,
    detail: dict[str, object] | None = None,
) -> None:
    event = AuditEvent(
        action=action,
        organization_id=project.organization_id,
        project_id=project.id,
        target_kind="project",
        target_id=named(Kind.PROJECT, project.id),
        detail=detail or {},
    )
    await record(session, event, actor=authority.actor)
