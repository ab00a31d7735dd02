"""Invitations by e-mail: a link that opens an account, once, until it expires.

The link's token is shown or sent once and never kept, only its HMAC: `ali_inv_`, 43 random base62 characters (256 bits,
so a plain HMAC needs no stretching), and a CRC-32 in six digits by which secret scanners know it.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import AuditEvent, record
from ali.features.identity import opaque
from ali.features.identity.authority import Authority
from ali.features.identity.models import Invite, User
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Page, Place, page_of
from ali.kernel.errors import Conflict, NotFound
from ali.kernel.ids import uuid7

EMAIL: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*"
)
"""HTML's definition, which leaves out only what no mail server takes (quoted local parts, comments)."""
LONGEST_EMAIL: Final = 254

VALID_FOR: Final = timedelta(days=7)


class InviteNotFound(NotFound):
    """404: no such invitation."""

    code = "invite_not_found"


class InviteExists(Conflict):
    """409: somebody of this e-mail address is invited already, or is in the organization."""

    code = "invite_exists"


class InviteAccepted(Conflict):
    """409: the invitation was accepted, and is history."""

    code = "invite_accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A new invitation. `token` exists here and nowhere else: send or show its link once."""

    invite: Invite
    token: str


Deliver = Callable[[Invitation], Awaitable[None]]
"""What sends an invitation's link to its address; called after the invitation is committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A membership that acceptance brings."""

    project_id: UUID
    role: str


def link(address: str, token: str) -> str:
    """Where a person accepts an invitation. Behind `#`, which no browser sends and no server logs."""
    return f"{address}/accept-invitation#token={token}"


async def create(
    session: AsyncSession,
    authority: Authority,
    *,
    email: str,
    role: str,
    grants: Sequence[Grant] = (),
    hmac_secret: bytes,
) -> Invitation:
    """An invitation of `email`, in lower case, which is good for `VALID_FOR`. The caller has checked the `grants`.

    Raises `InviteExists`, and `PermissionRefused` for a role beyond `authority`.
    """
    authority.require_may_give(role)
    own = Invite.organization_id == authority.organization_id
    if await session.scalar(
        select(User.id).where(User.organization_id == authority.organization_id, User.email == email)
    ):
        raise InviteExists("They are in the organization already. Change their role instead.", param="email")
    await session.execute(
        delete(Invite).where(own, Invite.email == email, Invite.accepted_at.is_(None), Invite.expires_at < func.now())
    )
    token = opaque.mint(opaque.INVITATION)
    projects: list[Any] = [{"id": str(grant.project_id), "role": grant.role} for grant in grants]
    invite = Invite(
        id=uuid7(),
        organization_id=authority.organization_id,
        email=email,
        role=role,
        projects=projects,
        digest=opaque.digest(token, hmac_secret=hmac_secret),
        invited_by=authority.user_id,
        expires_at=datetime.now(UTC) + VALID_FOR,
    )
    session.add(invite)
    try:
        await session.flush()
    except IntegrityError as error:
        raise InviteExists(
            "This e-mail address is invited already. Delete that invitation first to send another.", param="email"
        ) from error
    await session.refresh(invite)
    await _recorded(session, authority, invite.id, action="invite.sent", detail={"role": role})
    return Invitation(invite=invite, token=token)


async def found(session: AsyncSession, authority: Authority, *, invite_id: UUID | None) -> Invite:
    """An invitation of the organization. Raises `InviteNotFound`, also for None, which is no identifier."""
    own = Invite.organization_id == authority.organization_id
    invite = await session.scalar(select(Invite).where(own, Invite.id == invite_id))
    if invite is None:
        raise _nothing()
    return invite


async def withdraw(session: AsyncSession, authority: Authority, *, invite_id: UUID | None) -> UUID:
    """End an invitation: its link opens nothing any more.

    Raises `InviteNotFound`, `InviteAccepted`, `PermissionRefused`.
    """
    own = Invite.organization_id == authority.organization_id
    invite = await session.scalar(select(Invite).where(own, Invite.id == invite_id).with_for_update())
    if invite is None:
        raise _nothing()
    authority.require_above(invite.role)
    if invite.accepted_at is not None:
        raise InviteAccepted("This invitation was accepted. Remove the person instead.")
    await session.execute(delete(Invite).where(Invite.id == invite.id).execution_options(synchronize_session=False))
    await _recorded(session, authority, invite.id, action="invite.deleted", detail={})
    return invite.id


async def listed(session: AsyncSession, authority: Authority, *, place: Place) -> Page[Invite]:
    """A page of the organization's invitations, whatever became of them."""
    statement = select(Invite).where(Invite.organization_id == authority.organization_id)
    return await page_of(session, statement, key=Invite.id, place=place)


def _nothing() -> InviteNotFound:
    return InviteNotFound("There is no such invitation here. GET /v1/organization/invites lists them.")


async def _recorded(
    session: AsyncSession, authority: Authority, invite_id: UUID, *, action: str, detail: dict[str, object]
) -> None:
    event = AuditEvent(
        action=action,
        organization_id=authority.organization_id,
        target_kind="invite",
        target_id=named(Kind.INVITE, invite_id),
        detail=detail,
    )
    await record(session, event, actor=authority.actor)
