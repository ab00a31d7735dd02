"""Members of a project: people of the organization, and what they may do in it."""

from uuid import UUID

from sqlalchemy import Select, delete, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import AuditEvent, record
from ali.features.identity.authority import Authority, require_known
from ali.features.identity.models import ProjectMember, User
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Page, Place, page_of_rows
from ali.features.identity.people import UserNotFound
from ali.features.identity.reach import Reached
from ali.features.identity.roles import membership_permissions
from ali.kernel.epoch import ADVANCE_EPOCH
from ali.kernel.errors import Conflict, NotFound, PermissionRefused


class MemberExists(Conflict):
    """409: they are a member of the project already."""

    code = "member_exists"


class MemberNotFound(NotFound):
    """404: nobody of that identifier is a member of the project."""

    code = "member_not_found"


Membership = tuple[ProjectMember, User]


async def add(
    session: AsyncSession, reached: Reached, *, user_id: UUID | None, email: str | None, role: str
) -> Membership:
    """A person of the organization, by id or e-mail address, made a member.

    Raises `UserNotFound`, `MemberExists`, `ProjectArchived`, and what `require_may_give` does.
    """
    reached.require_active()
    require_may_give(reached.authority, role)
    wanted = User.id == user_id if user_id is not None else User.email == email
    user = await session.scalar(select(User).where(User.organization_id == reached.project.organization_id, wanted))
    if user is None or (user_id is None and email is None):
        raise UserNotFound("There is no such person in the organization. Invite them first.", param="user_id")
    member = ProjectMember(
        project_id=reached.project.id,
        user_id=user.id,
        organization_id=reached.project.organization_id,
        role=role,
    )
    session.add(member)
    try:
        await session.flush()
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) == "23505":
            raise MemberExists(
                "They are a member of this project already. Change their role with POST to their own path.",
                param="user_id",
            ) from error
        raise UserNotFound("This person has just been removed from the organization.", param="user_id") from error
    await session.refresh(member)
    await _recorded(session, reached, user.id, action="user.added", role=role)
    return member, user


async def found(session: AsyncSession, reached: Reached, *, user_id: UUID | None) -> Membership:
    """A member. Raises `MemberNotFound`, also for None, which is no identifier."""
    row = (await session.execute(_members(reached).where(ProjectMember.user_id == user_id))).one_or_none()
    if row is None:
        raise _nobody()
    return row[0], row[1]


async def set_role(session: AsyncSession, reached: Reached, *, user_id: UUID | None, role: str) -> Membership:
    """A member with another role. Raises `MemberNotFound`, `ProjectArchived`, `PermissionRefused`."""
    reached.require_active()
    require_may_give(reached.authority, role)
    member, user = await _locked(session, reached, user_id)
    if member.role != role:
        member.role = role
        await _recorded(session, reached, user.id, action="user.updated", role=role)
    return member, user


async def remove(session: AsyncSession, reached: Reached, *, user_id: UUID | None) -> UUID:
    """End a membership, and their keys' reach with it. Raises `MemberNotFound`, `PermissionRefused`."""
    member, user = await _locked(session, reached, user_id)
    await session.execute(
        delete(ProjectMember).where(
            ProjectMember.project_id == member.project_id, ProjectMember.user_id == member.user_id
        )
    )
    await _recorded(session, reached, user.id, action="user.deleted", role=None)
    return user.id


async def listed(session: AsyncSession, reached: Reached, *, place: Place) -> Page[Membership]:
    """A page of the project's members."""
    return await page_of_rows(session, _members(reached), key=ProjectMember.user_id, place=place)


def require_may_give(authority: Authority, role: str) -> None:
    """Raises `InvalidRequest` for an unknown role, `PermissionRefused` for a membership beyond `authority`."""
    require_known(role)
    if not membership_permissions(role) <= authority.permissions:
        raise PermissionRefused(
            f"Nobody gives what they do not have: a membership as {role} carries more than this credential.",
            code="role_beyond_yours",
        )


def _members(reached: Reached) -> Select[ProjectMember, User]:
    return (
        select(ProjectMember, User)
        .join(User, User.id == ProjectMember.user_id)
        .where(ProjectMember.project_id == reached.project.id)
    )


async def _locked(session: AsyncSession, reached: Reached, user_id: UUID | None) -> Membership:
    """A member whose row nobody else changes until the transaction ends, and who may do no more than the caller."""
    statement = _members(reached).where(ProjectMember.user_id == user_id).with_for_update(of=ProjectMember)
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise _nobody()
    member, user = row
    reached.authority.require_carries(membership_permissions(member.role))
    return member, user


def _nobody() -> MemberNotFound:
    return MemberNotFound("Nobody of that id is a member of this project. GET …/users lists those who are.")


async def _recorded(session: AsyncSession, reached: Reached, user_id: UUID, *, action: str, role: str | None) -> None:
    event = AuditEvent(
        action=action,
        organization_id=reached.project.organization_id,
        project_id=reached.project.id,
        target_kind="user",
        target_id=named(Kind.USER, user_id),
        detail={} if role is None else {"role": role},
    )
    await record(session, event, actor=reached.authority.actor)
    await session.execute(text(ADVANCE_EPOCH))
