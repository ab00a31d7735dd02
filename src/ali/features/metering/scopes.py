"""What a limit or a budget is of: an organization, a project, a key or a person; and how far a caller reaches."""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from ali.features.identity import Principal
from ali.features.identity.models import Project, ProjectMember, User
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.reach import member_alone
from ali.features.keys.models import ApiKey

ScopeKind = Literal["organization", "project", "key", "user"]

KINDS: Final[dict[str, Kind]] = {
    "organization": Kind.ORGANIZATION,
    "project": Kind.PROJECT,
    "key": Kind.API_KEY,
    "user": Kind.USER,
}
"""Whose identifier each kind of scope takes."""


def scope_name(kind: str, scope_id: UUID) -> str:
    """The identifier of a scope, as callers see it."""
    return named(KINDS[kind], scope_id)


def read_scope(kind: str, text: str) -> UUID | None:
    """The UUID that `scope_name` wrote; None for anything else."""
    return read(KINDS[kind], text)


def in_full(kind: str, text: str) -> str:
    """What a person typed for a scope: a plain UUID gets its prefix, anything else stays as it is."""
    try:
        return scope_name(kind, UUID(text))
    except (ValueError, KeyError):
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """All of an organization (`projects` None); or some of its projects, what is in them, and the caller themselves."""

    organization_id: UUID
    projects: frozenset[UUID] | None = None
    person: UUID | None = None

    def holds(self, project_id: UUID | None) -> bool:
        """Whether something of that project (None: of the whole organization) is within reach."""
        return self.projects is None or project_id in self.projects


async def reach_of(session: AsyncSession, principal: Principal) -> Reach:
    """How far a caller sees; at most two statements.

    One project for what is bound to it. A person without an organization-wide role: the projects of their memberships.
    """
    organization_id, project_id = principal.organization_id, principal.visible_project
    if project_id is not None:
        return Reach(organization_id=organization_id, projects=frozenset({project_id}))
    member = await member_alone(session, principal)
    if member is None:
        return Reach(organization_id=organization_id)
    own = select(ProjectMember.project_id).where(ProjectMember.user_id == member)
    projects = frozenset((await session.scalars(own)).all())
    return Reach(organization_id=organization_id, projects=projects, person=member)


def within(
    reach: Reach, *, kind: InstrumentedAttribute[str], scope_id: InstrumentedAttribute[UUID | None]
) -> ColumnElement[bool] | None:
    """What narrows a statement to rows whose scope is in the projects reached; None where all are."""
    if reach.projects is None:
        return None
    keys = select(ApiKey.id).where(ApiKey.project_id.in_(reach.projects))
    reached = [and_(kind == "project", scope_id.in_(reach.projects)), and_(kind == "key", scope_id.in_(keys))]
    if reach.person is not None:
        reached.append(and_(kind == "user", scope_id == reach.person))
    return or_(*reached)


@dataclass(frozen=True, slots=True)
class Placed:
    """A scope that is there; `project_id`: the project in which it lies."""

    project_id: UUID | None


async def place(session: AsyncSession, kind: str, scope_id: UUID | None, *, reach: Reach) -> Placed | None:
    """Where a scope lies; None where it is beyond reach, archived, revoked or nothing at all. At most one statement."""
    organization_id, project_id = reach.organization_id, None
    if kind == "organization":
        there = scope_id == organization_id
    elif kind == "project":
        project = select(Project.id).where(Project.id == scope_id, Project.organization_id == organization_id)
        project_id = await session.scalar(project.where(Project.archived_at.is_(None)))
        there = project_id is not None
    elif kind == "key":
        key = select(ApiKey).where(ApiKey.id == scope_id, ApiKey.organization_id == organization_id)
        issued = await session.scalar(key.where(ApiKey.revoked_at.is_(None)))
        there, project_id = issued is not None, issued.project_id if issued else None
    else:
        user = select(User.id).where(User.id == scope_id, User.organization_id == organization_id)
        there = await session.scalar(user) is not None
    return Placed(project_id) if there and reach.holds(project_id) else None
