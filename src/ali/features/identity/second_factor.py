"""A person's second factor: an authenticator app, set up with the password at hand, and recovery codes beside it."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record
from ali.features.identity import recovery_codes, totp
from ali.features.identity.models import RecoveryCode, User
from ali.features.identity.naming import Kind, named
from ali.features.identity.sealing import SealBroken, seal, unseal
from ali.kernel.errors import Conflict, InvalidRequest

ENROLMENT_LIFETIME: Final = timedelta(minutes=15)
_PURPOSE: Final = "authenticator enrolment"
_ISSUER: Final = "Ali"


class SecondFactorConflict(Conflict):
    """409: there is a second factor already, or none."""

    code = "second_factor_conflict"


class CodeRefused(InvalidRequest):
    """400: the code is not the authenticator's, or was used already; or the enrolment has run out."""

    code = "code_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """An authenticator that is being set up. `token` carries it, sealed, until a first code confirms it."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    token: str = field(repr=False)


def enrol(user: User, *, hmac_secret: bytes, now: datetime) -> Enrolment:
    """A new authenticator for a person, of which nothing is kept yet. Raises `SecondFactorConflict`."""
    _require_none(user)
    secret = totp.new_secret()
    expires_s = int((now + ENROLMENT_LIFETIME).timestamp())
    sealed = seal(json.dumps([secret, expires_s]).encode(), secret=hmac_secret, purpose=_PURPOSE, name=str(user.id))
    return Enrolment(
        secret=secret, uri=totp.provisioning_uri(secret, email=user.email, issuer=_ISSUER), token=sealed.hex()
    )


async def confirm(
    session: AsyncSession, user: User, *, token: str, code: str, hmac_secret: bytes, actor: Actor, now: datetime
) -> tuple[str, ...]:
    """Take the authenticator of an enrolment into use, and return new recovery codes.

    Raises `CodeRefused`, `SecondFactorConflict`.
    """
    _require_none(user)
    refusal = CodeRefused(
        "This enrolment is not valid or has run out. Begin again: POST /v1/ali/auth/second-factor/enrol.",
        param="enrolment",
    )
    try:
        sealed = bytes.fromhex(token)
        secret, expires_s = json.loads(unseal(sealed, secret=hmac_secret, purpose=_PURPOSE, name=str(user.id)))
    except (ValueError, SealBroken) as error:
        raise refusal from error
    if now.timestamp() >= expires_s:
        raise refusal
    step = totp.matched_step(secret, code, now=now, used_step=None)
    if step is None:
        raise CodeRefused(
            "This is not the authenticator's present code. Check that the clock of its device is right.", param="code"
        )
    wrapped = totp.wrap(secret, user_id=str(user.id), hmac_secret=hmac_secret)
    taken = await session.scalar(
        update(User)
        .where(User.id == user.id, User.totp_secret.is_(None))
        .values(totp_secret=wrapped, totp_step=step)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    )
    if taken is None:
        raise _already()
    await _recorded(session, user, action="user.second_factor_enabled", actor=actor)
    return await renew_recovery_codes(session, user, hmac_secret=hmac_secret, actor=actor)


async def accepted(
    session: AsyncSession, user: User, *, code: str, hmac_secret: bytes, actor: Actor, now: datetime
) -> bool:
    """Use up `code`, of the authenticator or for recovery; False where it is neither, or was used already.

    Of several that use one code at once, one is accepted: the database decides.
    """
    if user.totp_secret is None:
        return False
    secret = totp.unwrap(user.totp_secret, user_id=str(user.id), hmac_secret=hmac_secret)
    step = totp.matched_step(secret, code, now=now, used_step=user.totp_step)
    if step is not None:
        used = await session.scalar(
            update(User)
            .where(User.id == user.id, User.totp_step < step)
            .values(totp_step=step)
            .returning(User.id)
            .execution_options(synchronize_session=False)
        )
        return used is not None
    digest = recovery_codes.digest(code, user_id=user.id, hmac_secret=hmac_secret)
    gone = await session.scalar(
        delete(RecoveryCode)
        .where(RecoveryCode.user_id == user.id, RecoveryCode.digest == digest)
        .returning(RecoveryCode.digest)
        .execution_options(synchronize_session=False)
    )
    if gone is None:
        return False
    await _recorded(session, user, action="user.recovery_code_used", actor=actor)
    return True


async def remove(session: AsyncSession, user: User, *, actor: Actor) -> None:
    """Take a person's second factor and recovery codes away. Raises `SecondFactorConflict` where there is none."""
    require_one(user)
    await _forget_codes(session, user.id)
    await session.execute(
        update(User).where(User.id == user.id).values(totp_secret=None).execution_options(synchronize_session=False)
    )
    await _recorded(session, user, action="user.second_factor_disabled", actor=actor)


async def renew_recovery_codes(
    session: AsyncSession, user: User, *, hmac_secret: bytes, actor: Actor
) -> tuple[str, ...]:
    """New recovery codes in place of all before, to be shown once."""
    await _forget_codes(session, user.id)
    codes = recovery_codes.mint()
    session.add_all(
        RecoveryCode(
            digest=recovery_codes.digest(code, user_id=user.id, hmac_secret=hmac_secret),
            organization_id=user.organization_id,
            user_id=user.id,
        )
        for code in codes
    )
    await session.flush()
    await _recorded(session, user, action="user.recovery_codes_renewed", actor=actor)
    return codes


def require_one(user: User) -> None:
    """Raises `SecondFactorConflict` unless the person has a second factor."""
    if user.totp_secret is None:
        raise SecondFactorConflict(
            "There is no second factor. Set one up with POST /v1/ali/auth/second-factor/enrol first."
        )


def _require_none(user: User) -> None:
    if user.totp_secret is not None:
        raise _already()
    if user.password_hash is None:
        raise SecondFactorConflict(
            "This account has no password: its second factor is the business of the issuer that it signs in with."
        )


def _already() -> SecondFactorConflict:
    return SecondFactorConflict("There is a second factor already. Disable it first to set up another.")


async def _forget_codes(session: AsyncSession, user_id: UUID) -> None:
    await session.execute(
        delete(RecoveryCode).where(RecoveryCode.user_id == user_id).execution_options(synchronize_session=False)
    )


async def _recorded(session: AsyncSession, user: User, *, action: str, actor: Actor) -> None:
    event = AuditEvent(
        action=action,
        organization_id=user.organization_id,
        target_kind="user",
        target_id=named(Kind.USER, user.id),
    )
    await record(session, event, actor=actor)
