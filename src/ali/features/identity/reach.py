"""How far a principal reaches: the whole organization, or which of its projects, and what it may do there.

A key of a project reaches that project. A key of the organization that belongs to nobody reaches all of it. A person,
and whatever key is theirs, reaches all of it with an organization-wide role, and otherwise the projects that they are
members of. What lies beyond is not there: a foreign identifier and a random one get the same 404.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor
from ali.features.identity.authority import Authority
from ali.features.identity.models import Project, ProjectMember, User
from ali.features.identity.principal import Principal
from ali.features.identity.roles import ORGANIZATION_WIDE, Permission, membership_permissions, permissions_of
from ali.kernel.errors import Conflict, NotFound, PermissionRefused


class ProjectArchived(Conflict):
    """409: the project is archived, and nothing in it can be made or changed any more."""

    code = "project_archived"


class ProjectNotFound(NotFound):
    """404: no such project, or none that this caller may see."""

    code = "project_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A project that a principal reaches, and its authority there."""

    project: Project
    authority: Authority

    def require_active(self) -> None:
        """Raises `ProjectArchived`."""
        if self.project.archived_at is not None:
            raise ProjectArchived("This project is archived. Use another; an archived one stays as it is.")


async def over_organization(
    session: AsyncSession, principal: Principal, *, permission: Permission, actor: Actor
) -> Authority:
    """The authority of `principal` over the whole organization; at most one statement.

    Raises `PermissionRefused` for a credential of one project, for a role that is not organization-wide, and for a
    person whose own role does not carry `permission`: a membership carries nothing outside its project.
    """
    principal.require_organization()
    permissions, role = principal.permissions, principal.role
    if principal.user_id is not None:
        own = await _role_of(session, principal.user_id)
        permissions &= permissions_of(own)
        role = own if principal.key_id is None or own not in ORGANIZATION_WIDE else role
    require(permissions if role in ORGANIZATION_WIDE else frozenset(), permission)
    return _authority(principal, permissions=permissions, actor=actor)


async def in_project(
    session: AsyncSession, principal: Principal, *, project_id: UUID | None, permission: Permission, actor: Actor
) -> Reached:
    """The project and what `principal` may do there; at most three statements.

    Raises `ProjectNotFound` beyond its reach (and for None, which is no identifier), `PermissionRefused` where the
    project is seen and `permission` is not carried there.
    """
    project = None if project_id is None else await _visible(session, principal, project_id)
    if project is None:
        raise ProjectNotFound("There is no such project here. GET /v1/organization/projects lists those you can see.")
    permissions = principal.permissions
    if principal.user_id is not None:
        role = await _role_of(session, principal.user_id)
        member = await session.get(ProjectMember, (project.id, principal.user_id))
        if member is None and role not in ORGANIZATION_WIDE:
            raise ProjectNotFound(
                "There is no such project here. GET /v1/organization/projects lists those you can see."
            )
        own = permissions_of(role) | membership_permissions(member.role if member else None)
        permissions = own if principal.key_id is None else permissions & own
    require(permissions, permission)
    return Reached(project=project, authority=_authority(principal, permissions=permissions, actor=actor))


async def projects_within(session: AsyncSession, principal: Principal) -> ColumnElement[bool]:
    """What narrows a statement on `Project` to those that `principal` reaches; at most one statement."""
    own = Project.organization_id == principal.organization_id
    if principal.visible_project is not None:
        return own & (Project.id == principal.visible_project)
    member = await member_alone(session, principal)
    if member is None:
        return own & true()
    return own & Project.id.in_(select(ProjectMember.project_id).where(ProjectMember.user_id == member))


async def member_alone(session: AsyncSession, principal: Principal) -> UUID | None:
    """The person whose memberships are all that `principal` reaches; None for a key of a project and for whoever
    reaches the whole organization. At most one statement.
    """
    if principal.visible_project is not None or principal.user_id is None:
        return None
    return None if await _role_of(session, principal.user_id) in ORGANIZATION_WIDE else principal.user_id


def require(permissions: frozenset[Permission], permission: Permission) -> None:
    """Raises `PermissionRefused` unless `permission` is among `permissions`."""
    if permission not in permissions:
        raise PermissionRefused(
            f"Your role does not carry the permission {permission.value} here. Ask an owner of the organization."
        )


async def _visible(session: AsyncSession, principal: Principal, project_id: UUID) -> Project | None:
    if principal.bound and project_id != principal.project_id:
        return None
    owned = Project.organization_id == principal.organization_id
    return await session.scalar(select(Project).where(owned, Project.id == project_id))


async def _role_of(session: AsyncSession, user_id: UUID) -> str:
    """A person's present role; one that carries nothing where they are gone or disabled."""
    role = await session.scalar(select(User.role).where(User.id == user_id, User.disabled_at.is_(None)))
    return role or ""


def _authority(principal: Principal, *, permissions: frozenset[Permission], actor: Actor) -> Authority:
    return Authority(
        organization_id=principal.organization_id,
        actor=actor,
        permissions=permissions,
        user_id=principal.user_id,
        service_account_id=principal.service_account_id,
        allowed_models=principal.allowed_models,
        allowed_networks=principal.allowed_networks,
        # A session's end is no bound of what a person makes in it.
        expires_at=principal.expires_at if principal.key_id is not None else None,
    )
