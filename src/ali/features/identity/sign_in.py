"""Signing in with e-mail address and password, and the second factor where there is one.

An account that is unknown, disabled or without a password costs what a known one costs: one hash, the same statements,
the same answer. What only a known one's failure brings, a record of it, is written afterwards.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import AuditEvent, record
from ali.features.identity import queries, second_factor, sessions
from ali.features.identity.account import email_key
from ali.features.identity.backoff import TooManyAttempts
from ali.features.identity.desk import Desk, Device
from ali.features.identity.models import User
from ali.features.identity.naming import Kind, named
from ali.features.identity.passwords import PasswordRefused, needs_rehash
from ali.features.identity.sessions import Opened
from ali.kernel import log
from ali.kernel.errors import AliError, AuthenticationFailed


class SignInRefused(AuthenticationFailed):
    """401: no account has this e-mail address and password, or the code is not its second factor's."""

    code = "sign_in_refused"


class SecondFactorRequired(AuthenticationFailed):
    """401: the account has a second factor, and no code was sent."""

    code = "second_factor_required"


async def sign_in(desk: Desk, *, email: str, password: str, code: str | None, device: Device, now: datetime) -> Opened:
    """A new session for who shows the right password, and the right code where the account has a second factor.

    Raises `SignInRefused`, `SecondFactorRequired`, `TooManyAttempts`, and `Unavailable`'s leaves.
    """
    try:
        opened = await _signed_in(desk, email=email, password=password, code=code, device=device, now=now)
    except AliError as error:
        desk.metrics.sign_ins.labels(_result(error)).inc()
        log.info("sign_in.refused", error=error.error_code, request_id=device.request_id)
        raise
    desk.metrics.sign_ins.labels("ok").inc()
    log.info("sign_in.ok", user_id=str(opened.user.id), session_id=str(opened.session_id))
    return opened


def _result(error: AliError) -> str:
    match error:
        case SignInRefused():
            return "refused"
        case SecondFactorRequired() | TooManyAttempts():
            return error.code
        case _:
            return "unavailable"


async def _signed_in(
    desk: Desk, *, email: str, password: str, code: str | None, device: Device, now: datetime
) -> Opened:
    account = await _with_password(desk, email=email_key(email), password=password, device=device, now=now)
    if account.has_second_factor and not code:
        raise SecondFactorRequired(
            "This account has a second factor. Send the code of its authenticator, or a recovery code, as `code`."
        )
    await desk.tokens.keys()
    fresh = await _rehashed(desk, account.password_hash, password=password, email=email)
    if not account.has_second_factor:
        async with desk.tenant(account.organization_id) as session:
            user = await _present(session, account)
            if fresh is not None:
                await session.execute(update(User).where(User.id == user.id).values(password_hash=fresh))
            return await sessions.begin(
                session, desk, user=user, method="password", device=device, second_factor=False, now=now
            )
    # Only who knows the password gets here, so this count may be the account's, wherever the try comes from.
    turn = desk.turnstile.turn_of_account("code", str(account.id))
    await desk.turnstile.enter(turn, now=now)
    opened: Opened | None = None
    async with desk.tenant(account.organization_id) as session:
        user = await _present(session, account)
        actor = device.person(user.id)
        if await second_factor.accepted(
            session, user, code=code or "", hmac_secret=desk.hmac_secret, actor=actor, now=now
        ):
            opened = await sessions.begin(
                session, desk, user=user, method="password", device=device, second_factor=True, now=now
            )
    if opened is None:
        _record_failure(desk, account, reason="code", device=device)
        raise _refusal()
    await desk.turnstile.passed(turn)
    return opened


async def _with_password(desk: Desk, *, email: str, password: str, device: Device, now: datetime) -> Row[Any]:
    """The account that has this password. Raises as `sign_in`."""
    turn = desk.turnstile.turn("password", email, address=device.address)
    before = await desk.turnstile.enter(turn, now=now)
    try:
        account = await desk.asked(queries.ACCOUNT_OF_EMAIL, email=email)
        right = await desk.passwords.matches(password, stored=account.password_hash if account else None)
    except BaseException:
        await desk.turnstile.withdraw(turn, before)
        raise
    if account is None or not right:
        await desk.turnstile.failed(turn, now=now)
        if account is not None:
            _record_failure(desk, account, reason="password", device=device)
        raise _refusal()
    await desk.turnstile.passed(turn)
    return account


async def _present(session: AsyncSession, account: Row[Any]) -> User:
    """The account as it is now, locked. Raises `SignInRefused` where it has changed since its password was checked."""
    user = await session.scalar(select(User).where(User.id == account.id).with_for_update())
    if (
        user is None
        or user.disabled_at is not None
        or user.password_hash != account.password_hash
        or (user.totp_secret is not None) != account.has_second_factor
    ):
        raise _refusal()
    return user


async def _rehashed(desk: Desk, stored: str, *, password: str, email: str) -> str | None:
    """The password under today's parameters, where it was stored under others."""
    if not needs_rehash(stored):
        return None
    try:
        return await desk.passwords.hashed(password, email=email)
    except PasswordRefused:  # it was taken under older rules, and its owner is not to be shut out for that
        return None


def _refusal() -> SignInRefused:
    return SignInRefused(
        "The e-mail address, the password or the code is wrong. Try again, or ask for a new password: "
        "POST /v1/ali/auth/password/reset."
    )


def _record_failure(desk: Desk, account: Row[Any], *, reason: str, device: Device) -> None:
    organization_id: UUID = account.organization_id
    event = AuditEvent(
        action="user.sign_in_failed",
        organization_id=organization_id,
        target_kind="user",
        target_id=named(Kind.USER, account.id),
        detail={"reason": reason},
    )

    async def write() -> None:
        async with desk.tenant(organization_id) as session:
            await record(session, event, actor=device.nobody())

    desk.records.leave(write)
