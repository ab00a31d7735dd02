"""A new password by a one-time link, for who has lost theirs."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record
from ali.features.identity import letters, opaque, queries
from ali.features.identity.account import email_key, set_password
from ali.features.identity.desk import Desk, Device
from ali.features.identity.letters import Language
from ali.features.identity.models import PasswordReset, User
from ali.features.identity.naming import Kind, named
from ali.kernel import log
from ali.kernel.errors import InvalidRequest

VALID_FOR: Final = timedelta(hours=1)
_MOST_AT_ONCE: Final = 3
"""Links of one account that are good at a time; who asks for more gets no more letters."""


class LinkRefused(InvalidRequest):
    """400: the one-time link is unknown, used already, or has run out."""

    code = "link_refused"


def link(address: str, token: str) -> str:
    """Where a person chooses a new password. Behind `#`, which no browser sends and no server logs."""
    return f"{address}/reset-password#token={token}"


async def request(desk: Desk, *, email: str, language: Language, device: Device, now: datetime) -> None:
    """Have a link sent to an account's address, if there is such an account with a password.

    What is done until this returns is the same for every address. Raises `TooManyAttempts`.
    """
    wanted = email_key(email)
    turn = desk.turnstile.turn("reset", wanted, address=device.address)
    await desk.turnstile.enter(turn, now=now)  # a request never passes, so that each one makes the next one wait
    await desk.turnstile.failed(turn, now=now)

    async def write() -> None:
        account = await desk.asked(queries.ACCOUNT_OF_EMAIL, email=wanted)
        if account is None or account.password_hash is None:
            return
        async with desk.tenant(account.organization_id) as session:
            token = await issue(
                session, user_id=account.id, hmac_secret=desk.hmac_secret, actor=device.nobody(), now=now
            )
        if token is not None:
            letter = letters.password_reset(link=link(desk.address, token), valid_for=VALID_FOR, language=language)
            await desk.post(letter, recipient=wanted, now=now)

    desk.letters.leave(write)


async def issue(session: AsyncSession, *, user_id: UUID, hmac_secret: bytes, actor: Actor, now: datetime) -> str | None:
    """A new link's token, or None where enough of them are good already."""
    user = await session.scalar(select(User).where(User.id == user_id).with_for_update())
    if user is None:
        return None
    good = await session.scalar(
        select(func.count()).where(PasswordReset.user_id == user_id, PasswordReset.expires_at > now)
    )
    if (good or 0) >= _MOST_AT_ONCE:
        log.info("password_reset.enough", user_id=str(user_id))
        return None
    token = opaque.mint(opaque.PASSWORD_RESET)
    session.add(
        PasswordReset(
            digest=opaque.digest(token, hmac_secret=hmac_secret),
            organization_id=user.organization_id,
            user_id=user_id,
            created_at=now,
            expires_at=now + VALID_FOR,
        )
    )
    await session.flush()
    event = AuditEvent(
        action="user.password_reset_requested",
        organization_id=user.organization_id,
        target_kind="user",
        target_id=named(Kind.USER, user_id),
    )
    await record(session, event, actor=actor)
    return token


async def confirm(desk: Desk, *, token: str, password: str, device: Device, now: datetime) -> None:
    """Set a new password and use the link up; all sessions end. The second factor stays.

    Raises `LinkRefused`, `PasswordRefused`, `TooManyAttempts`, `HashingBusy`. A refused password leaves the link good.
    """
    turn = desk.turnstile.turn_of_address(device.address)
    await desk.turnstile.enter(turn, now=now)
    digest = opaque.digest(token, hmac_secret=desk.hmac_secret)
    account = None
    if opaque.well_formed(token, prefix=opaque.PASSWORD_RESET):
        account = await desk.asked(queries.ACCOUNT_OF_RESET, digest=digest)
    if account is None:
        await desk.turnstile.failed(turn, now=now)
        raise _refusal()
    hashed = await desk.passwords.hashed(password, email=account.email)
    async with desk.tenant(account.organization_id) as session:
        used = await session.scalar(
            delete(PasswordReset)
            .where(PasswordReset.digest == digest, PasswordReset.expires_at > now)
            .returning(PasswordReset.user_id)
            .execution_options(synchronize_session=False)
        )
        if used is None:
            raise _refusal()
        await set_password(
            session,
            user_id=account.id,
            organization_id=account.organization_id,
            hashed=hashed,
            actor=device.person(account.id),
            by="reset",
            now=now,
        )
    log.info("password_reset.done", user_id=str(account.id))


def _refusal() -> LinkRefused:
    return LinkRefused("This link is not valid: it was used already, or has run out. Ask for a new one.", param="token")
