"""The audit record with the names of today: which project, and whose address of e-mail."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import AuditRow
from ali.features.audit.queries import Wanted, events_of
from ali.features.identity.models import Project, User
from ali.features.identity.paging import Page, Place, page_of
from ali.kernel.db import time_limited


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event. The names are None where the thing is gone: the record keeps none itself."""

    row: AuditRow
    project_name: str | None
    actor_email: str | None


async def listed(
    session: AsyncSession,
    organization_id: UUID,
    *,
    wanted: Wanted,
    actor_emails: Sequence[str] = (),
    place: Place,
) -> Page[Entry]:
    """A page of the organization's events; at most four statements. Raises `QueryTooBroad`."""
    if actor_emails:
        wanted = replace(
            wanted, actors=[*(wanted.actors or ()), *await _people(session, organization_id, actor_emails)]
        )
    async with time_limited(session):
        page = await page_of(session, events_of(organization_id, wanted), key=AuditRow.id, place=place)
    projects = {row.project_id for row in page.rows if row.project_id is not None}
    people = {row.actor_id for row in page.rows if row.actor_kind == "user" and row.actor_id is not None}
    names: dict[UUID, str] = {}
    emails: dict[UUID, str] = {}
    if projects:
        found = await session.execute(select(Project.id, Project.name).where(Project.id.in_(projects)))
        names = {row.id: row.name for row in found}
    if people:
        known = await session.execute(select(User.id, User.email).where(User.id.in_(people)))
        emails = {row.id: row.email for row in known}
    entries = [
        Entry(
            row=row,
            project_name=names.get(row.project_id) if row.project_id else None,
            actor_email=emails.get(row.actor_id) if row.actor_id else None,
        )
        for row in page.rows
    ]
    return Page(rows=entries, has_more=page.has_more)


async def _people(session: AsyncSession, organization_id: UUID, emails: Sequence[str]) -> Sequence[UUID]:
    wanted = User.email.in_([email.lower() for email in emails])
    return (await session.scalars(select(User.id).where(User.organization_id == organization_id, wanted))).all()
