"""Accepting an invitation: a person chooses a password, or comes through their issuer, and has an account."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import AuditEvent, record
from ali.features.identity import letters, opaque, queries, sessions
from ali.features.identity.desk import Desk, Device
from ali.features.identity.invitations import VALID_FOR, Deliver, Invitation, link
from ali.features.identity.letters import Language
from ali.features.identity.models import Invite, Organization, Project, ProjectMember, User
from ali.features.identity.naming import Kind, named
from ali.features.identity.password_reset import LinkRefused
from ali.features.identity.sessions import Opened
from ali.kernel import log
from ali.kernel.errors import Conflict
from ali.kernel.ids import uuid7

LONGEST_NAME: Final = 200


class AccountExists(Conflict):
    """409: this e-mail address has an account already, in this organization or another."""

    code = "account_exists"


async def invitation(desk: Desk, *, token: str, device: Device, now: datetime) -> Row[Any]:
    """The invitation of a link's token (`id`, `organization_id`, `email`), if it is good.

    Raises `LinkRefused`, `TooManyAttempts`.
    """
    turn = desk.turnstile.turn_of_address(device.address)
    await desk.turnstile.enter(turn, now=now)
    found = None
    if opaque.well_formed(token, prefix=opaque.INVITATION):
        digest = opaque.digest(token, hmac_secret=desk.hmac_secret)
        found = await desk.asked(queries.INVITE_OF_DIGEST, digest=digest)
    if found is None:
        await desk.turnstile.failed(turn, now=now)
        raise _refusal()
    return found


async def accept(desk: Desk, *, token: str, name: str, password: str, device: Device, now: datetime) -> Opened:
    """Make the account of an invitation, with its role and memberships, and sign its person in.

    Raises `LinkRefused`, `PasswordRefused`, `AccountExists`, `HashingBusy`. A refused password leaves the link good.
    """
    found = await invitation(desk, token=token, device=device, now=now)
    hashed = await desk.passwords.hashed(password, email=found.email)
    await desk.tokens.keys()
    async with desk.tenant(found.organization_id) as session:
        user = await joined(session, invite_id=found.id, name=name, password_hash=hashed, device=device, now=now)
        opened = await sessions.begin(
            session, desk, user=user, method="password", device=device, second_factor=False, now=now
        )
    desk.metrics.sign_ins.labels("ok").inc()
    return opened


async def joined(
    session: AsyncSession, *, invite_id: UUID, name: str, password_hash: str | None, device: Device, now: datetime
) -> User:
    """The account of an invitation, which is used up. Raises `LinkRefused`, `AccountExists`."""
    invite = await session.scalar(
        update(Invite)
        .where(Invite.id == invite_id, Invite.accepted_at.is_(None), Invite.expires_at > now)
        .values(accepted_at=now)
        .returning(Invite)
    )
    if invite is None:
        raise _refusal()
    user = User(
        id=uuid7(),
        organization_id=invite.organization_id,
        email=invite.email,
        name=name,
        role=invite.role,
        password_hash=password_hash,
        created_at=now,
    )
    await added(session, user)
    projects = {UUID(str(grant["id"])): str(grant["role"]) for grant in invite.projects}
    there = await session.scalars(select(Project.id).where(Project.id.in_(projects), Project.archived_at.is_(None)))
    session.add_all(
        ProjectMember(
            project_id=project_id,
            user_id=user.id,
            organization_id=invite.organization_id,
            role=projects[project_id],
        )
        for project_id in there.all()
    )
    await session.flush()
    event = AuditEvent(
        action="invite.accepted",
        organization_id=invite.organization_id,
        target_kind="invite",
        target_id=named(Kind.INVITE, invite.id),
        detail={"user": named(Kind.USER, user.id), "role": user.role},
    )
    await record(session, event, actor=device.person(user.id))
    log.info("invite.accepted", user_id=str(user.id))
    return user


async def added(session: AsyncSession, user: User) -> None:
    """Add a new account. Raises `AccountExists` where its e-mail address has one."""
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        raise AccountExists(
            "This e-mail address has an account already. Sign in with it, or ask for a new password."
        ) from error


def _refusal() -> LinkRefused:
    return LinkRefused(
        "This invitation is not valid: it was accepted already, or has run out. Ask for a new one.", param="token"
    )


def posting(desk: Desk, *, language: Language) -> Deliver:
    """What sends an invitation's letter in `language`; through the line of letters, so that nobody waits for mail."""

    async def deliver(invitation: Invitation) -> None:
        invite = invitation.invite
        async with desk.tenant(invite.organization_id) as session:
            organization = await session.get_one(Organization, invite.organization_id)
        letter = letters.invitation(
            organization=organization.name,
            link=link(desk.address, invitation.token),
            valid_for=VALID_FOR,
            language=language,
        )
        desk.letters.leave(lambda: desk.post(letter, recipient=invite.email, now=datetime.now(UTC)))

    return deliver
