"""People of an organization: their roles, and their leaving. They come by invitation (`invitations`).

Whoever changes roles holds the organization's row, so that two owners who unmake each other cannot both succeed.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import AuditEvent, record
from ali.features.identity.authority import Authority
from ali.features.identity.models import Organization, User
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Page, Place, page_of
from ali.kernel.epoch import ADVANCE_EPOCH
from ali.kernel.errors import Conflict, NotFound

OWNER = "owner"


class UserNotFound(NotFound):
    """404: no such person in the organization."""

    code = "user_not_found"


class LastOwner(Conflict):
    """409: the organization would be left without an owner."""

    code = "last_owner"


async def found(session: AsyncSession, authority: Authority, *, user_id: UUID | None) -> User:
    """A person of the organization. Raises `UserNotFound`, also for None, which is no identifier."""
    user = await session.scalar(
        select(User).where(User.organization_id == authority.organization_id, User.id == user_id)
    )
    if user is None:
        raise _nobody()
    return user


async def listed(
    session: AsyncSession, authority: Authority, *, place: Place, emails: Sequence[str] = ()
) -> Page[User]:
    """A page of the organization's people; only those of `emails`, where some are given."""
    statement = select(User).where(User.organization_id == authority.organization_id)
    if emails:
        statement = statement.where(User.email.in_([email.lower() for email in emails]))
    return await page_of(session, statement, key=User.id, place=place)


async def set_role(session: AsyncSession, authority: Authority, *, user_id: UUID | None, role: str) -> User:
    """A person with another role in the whole organization; what their keys may do follows.

    Raises `UserNotFound`, `LastOwner`, and `PermissionRefused` for a role or a person beyond `authority`.
    """
    authority.require_may_give(role)
    user = await _locked(session, authority, user_id)
    if user.role != role:
        if user.role == OWNER:
            await _require_another_owner(session, user)
        user.role = role
        await _recorded(session, authority, user.id, action="user.updated", detail={"role": role})
    return user


async def set_disabled(session: AsyncSession, authority: Authority, *, user_id: UUID | None, disabled: bool) -> User:
    """A person locked out, with all their keys, or let in again. Raises as `set_role`."""
    user = await _locked(session, authority, user_id)
    if (user.disabled_at is not None) != disabled:
        if disabled and user.role == OWNER:
            await _require_another_owner(session, user)
        user.disabled_at = func.now() if disabled else None
        await session.flush()
        await session.refresh(user)
        await _recorded(session, authority, user.id, action="user.updated", detail={"disabled": disabled})
    return user


async def remove(session: AsyncSession, authority: Authority, *, user_id: UUID | None) -> UUID:
    """End a person's account with their memberships and keys. Raises as `set_role`."""
    user = await _locked(session, authority, user_id)
    if user.role == OWNER:
        await _require_another_owner(session, user)
    await session.execute(delete(User).where(User.id == user.id).execution_options(synchronize_session=False))
    await _recorded(session, authority, user.id, action="user.deleted", detail={})
    return user.id


async def _locked(session: AsyncSession, authority: Authority, user_id: UUID | None) -> User:
    """A person whom nobody else changes until the transaction ends, and who may do no more than the caller."""
    held = select(Organization.id).where(Organization.id == authority.organization_id)
    await session.execute(held.with_for_update(key_share=True))
    user = await session.scalar(
        select(User)
        .where(User.organization_id == authority.organization_id, User.id == user_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if user is None:
        raise _nobody()
    authority.require_above(user.role)
    return user


async def _require_another_owner(session: AsyncSession, user: User) -> None:
    others = await session.scalar(
        select(func.count()).where(
            User.organization_id == user.organization_id,
            User.role == OWNER,
            User.disabled_at.is_(None),
            User.id != user.id,
        )
    )
    if not others:
        raise LastOwner("They are the organization's last owner. Make somebody else an owner first.")


def _nobody() -> UserNotFound:
    return UserNotFound("There is no such person here. GET /v1/organization/users lists those who are.")


async def _recorded(
    session: AsyncSession, authority: Authority, user_id: UUID, *, action: str, detail: dict[str, object]
) -> None:
    event = AuditEvent(
        action=action,
        organization_id=authority.organization_id,
        target_kind="user",
        target_id=named(Kind.USER, user_id),
        detail=detail,
    )
    await record(session, event, actor=authority.actor)
    await session.execute(text(ADVANCE_EPOCH))
