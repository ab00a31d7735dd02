"""Sessions: begun by a sign-in, renewed by refresh tokens, ended by their person, an administrator or a theft."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record
from ali.features.identity import queries, refresh
from ali.features.identity.desk import Desk, Device
from ali.features.identity.models import Session, User
from ali.features.identity.naming import Kind, named
from ali.features.identity.refresh import Decision, RefreshRefused
from ali.kernel import log
from ali.kernel.epoch import ADVANCE_EPOCH
from ali.kernel.errors import NotFound
from ali.kernel.ids import uuid7

ACCESS_LIFETIME: Final = timedelta(minutes=10)
"""As `tokens.LIFETIME`, whose module a start does not import; a test holds them equal."""


class SessionNotFound(NotFound):
    """404: no such session of this person, or it has ended already."""

    code = "session_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A session's tokens. They exist here and with the caller."""

    session_id: UUID
    user: User
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


async def begin(
    session: AsyncSession,
    desk: Desk,
    *,
    user: User,
    method: str,
    device: Device,
    second_factor: bool,
    now: datetime,
) -> Opened:
    """A new session of `user`, in the caller's transaction. Await `desk.tokens.keys()` before it."""
    session_id = uuid7()
    token = refresh.mint(session_id, hmac_secret=desk.hmac_secret)
    session.add(
        Session(
            id=session_id,
            organization_id=user.organization_id,
            user_id=user.id,
            method=method,
            current=refresh.read(token, hmac_secret=desk.hmac_secret).digest,
            created_at=now,
            last_used_at=now,
            second_factor_at=now if second_factor else None,
            user_agent=device.user_agent,
            address=device.address,
        )
    )
    await session.flush()
    event = AuditEvent(
        action="user.signed_in",
        organization_id=user.organization_id,
        target_kind="session",
        target_id=shown(session_id),
        detail={"method": method, "second_factor": second_factor},
    )
    await record(session, event, actor=device.person(user.id))
    return _opened(desk, user, session_id=session_id, refresh_token=token, now=now)


async def renew(desk: Desk, token: str, *, device: Device, now: datetime) -> Opened:
    """New tokens for a refresh token, which is used up. One that was used before ends its session.

    Raises `RefreshRefused`, `NoSigningKey`, `Unavailable`.
    """
    presented = refresh.read(token, hmac_secret=desk.hmac_secret)
    await desk.tokens.keys()
    found = await desk.asked(queries.ORGANIZATION_OF_SESSION, session_id=presented.session_id)
    opened: Opened | None = None
    if found is not None and found[0] is not None:
        async with desk.tenant(found[0]) as session:
            opened = await _renewed(session, desk, presented, device=device, now=now)
    if opened is None:
        raise RefreshRefused(refresh.REFUSAL)
    return opened


async def _renewed(
    session: AsyncSession, desk: Desk, presented: refresh.Presented, *, device: Device, now: datetime
) -> Opened | None:
    """The session's next tokens, or None once its end is written down."""
    row = await session.scalar(select(Session).where(Session.id == presented.session_id).with_for_update())
    user = await session.get(User, row.user_id) if row is not None else None
    if row is None or user is None:
        return None
    family = refresh.Family(
        current=row.current, started_at=row.created_at, rotated_at=row.last_used_at, ended_at=row.ended_at
    )
    decision = refresh.decide(presented, family=family, now=now)
    if decision is Decision.REUSED:
        log.warning("session.refresh_reused", session_id=str(row.id), user_id=str(user.id))
        await _recorded(session, row, action="session.refresh_reused", actor=device.nobody(), detail={})
        await _end(session, [row], reason="refresh_reused", actor=device.nobody(), now=now)
    elif decision is Decision.EXPIRED:
        await _end(session, [row], reason="expired", actor=device.nobody(), now=now)
    if decision is not Decision.ROTATED or user.disabled_at is not None:
        return None
    token = refresh.mint(row.id, hmac_secret=desk.hmac_secret)
    row.current = refresh.read(token, hmac_secret=desk.hmac_secret).digest
    row.last_used_at = now
    row.address, row.user_agent = device.address, device.user_agent
    await session.flush()
    return _opened(desk, user, session_id=row.id, refresh_token=token, now=now)


async def listed(session: AsyncSession, *, user_id: UUID, now: datetime) -> Sequence[Session]:
    """A person's sessions that last, the one used last first; at most 100."""
    query = (
        select(Session)
        .where(
            Session.user_id == user_id,
            Session.ended_at.is_(None),
            Session.created_at > now - refresh.ABSOLUTE_LIFETIME,
            Session.last_used_at > now - refresh.IDLE_LIFETIME,
        )
        .order_by(Session.last_used_at.desc(), Session.id.desc())
        .limit(100)
    )
    return (await session.scalars(query)).all()


async def end(
    session: AsyncSession, *, user_id: UUID, session_id: UUID | None, reason: str, actor: Actor, now: datetime
) -> None:
    """End one session of a person, everywhere within a second. Raises `SessionNotFound`, also for another person's."""
    row = await session.scalar(
        select(Session)
        .where(Session.id == session_id, Session.user_id == user_id, Session.ended_at.is_(None))
        .with_for_update()
    )
    if row is None:
        raise SessionNotFound("There is no such session, or it has ended. GET /v1/ali/auth/sessions lists yours.")
    await _end(session, [row], reason=reason, actor=actor, now=now)


async def end_all(
    session: AsyncSession, *, user_id: UUID, reason: str, actor: Actor, now: datetime, but: UUID | None = None
) -> int:
    """End all sessions of a person, `but` the one they are in if it shall stay. How many there were."""
    query = select(Session).where(Session.user_id == user_id, Session.ended_at.is_(None)).order_by(Session.id)
    if but is not None:
        query = query.where(Session.id != but)
    rows = (await session.scalars(query.with_for_update())).all()
    await _end(session, rows, reason=reason, actor=actor, now=now)
    return len(rows)


def shown(session_id: UUID) -> str:
    """A session's identifier as callers see it."""
    return named(Kind.SESSION, session_id)


async def _end(session: AsyncSession, rows: Sequence[Session], *, reason: str, actor: Actor, now: datetime) -> None:
    if not rows:
        return
    await session.execute(
        update(Session)
        .where(Session.id.in_([row.id for row in rows]))
        .values(ended_at=now, end_reason=reason)
        .execution_options(synchronize_session=False)
    )
    for row in rows:
        await _recorded(session, row, action="session.ended", actor=actor, detail={"reason": reason})
    await session.execute(text(ADVANCE_EPOCH))
    log.info("session.ended", count=len(rows), reason=reason)


async def _recorded(
    session: AsyncSession, row: Session, *, action: str, actor: Actor, detail: dict[str, object]
) -> None:
    event = AuditEvent(
        action=action,
        organization_id=row.organization_id,
        target_kind="session",
        target_id=shown(row.id),
        detail=detail,
    )
    await record(session, event, actor=actor)


def _opened(desk: Desk, user: User, *, session_id: UUID, refresh_token: str, now: datetime) -> Opened:
    access_token = desk.tokens.issue(
        user_id=user.id, session_id=session_id, organization_id=user.organization_id, role=user.role, now=now
    )
    return Opened(session_id=session_id, user=user, access_token=access_token, refresh_token=refresh_token)
