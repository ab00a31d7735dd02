"""A person's own account: who they are outside, proving the password once more, and giving it another one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record
from ali.features.identity import sessions
from ali.features.identity.desk import Desk, Device
from ali.features.identity.models import PasswordReset, User
from ali.features.identity.naming import Kind, named
from ali.features.identity.principal import SessionEnded
from ali.kernel.errors import PermissionRefused


class PasswordWrong(PermissionRefused):
    """403: the present password, asked for once more, is another one."""

    code = "password_wrong"


def email_key(text: str) -> str:
    """An e-mail address as it is stored and counted: in lower case. Others than ASCII are nobody's, and stay as they
    are: some letters of other scripts become ASCII in lower case, and one address another's.
    """
    return text.lower() if text.isascii() else text


async def own(session: AsyncSession, *, user_id: UUID) -> User:
    """The person who is calling, their row locked. Raises `SessionEnded` where they have just left."""
    user = await session.scalar(select(User).where(User.id == user_id, User.disabled_at.is_(None)).with_for_update())
    if user is None:
        raise SessionEnded("This session has ended. Sign in again.")
    return user


async def prove_password(
    desk: Desk, *, email: str, stored: str | None, password: str, device: Device, now: datetime
) -> None:
    """Go on only with an account's present password, asked for again; counted like a sign-in.

    Not to be awaited in a transaction: it takes 40 ms and more. Raises `PasswordWrong`, `TooManyAttempts`,
    `HashingBusy`.
    """
    turn = desk.turnstile.turn("password", email, address=device.address)
    before = await desk.turnstile.enter(turn, now=now)
    try:
        right = await desk.passwords.matches(password, stored=stored)
    except BaseException:
        await desk.turnstile.withdraw(turn, before)
        raise
    if not right:
        await desk.turnstile.failed(turn, now=now)
        raise PasswordWrong("This is not the account's present password.", param="password")
    await desk.turnstile.passed(turn)


async def set_password(
    session: AsyncSession,
    *,
    user_id: UUID,
    organization_id: UUID,
    hashed: str,
    actor: Actor,
    by: str,
    now: datetime,
    but: UUID | None = None,
) -> None:
    """Give an account another password: links to a new one become void, and its sessions end, `but` the present one.

    `by` says how it came about, for the record.
    """
    await session.execute(
        update(User).where(User.id == user_id).values(password_hash=hashed).execution_options(synchronize_session=False)
    )
    await session.execute(
        delete(PasswordReset).where(PasswordReset.user_id == user_id).execution_options(synchronize_session=False)
    )
    event = AuditEvent(
        action="user.password_changed",
        organization_id=organization_id,
        target_kind="user",
        target_id=named(Kind.USER, user_id),
        detail={"by": by},
    )
    await record(session, event, actor=actor)
    await sessions.end_all(session, user_id=user_id, reason="password_changed", actor=actor, now=now, but=but)
