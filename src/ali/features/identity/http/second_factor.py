"""One's own second factor: `/v1/ali/auth/second-factor`. Each change asks for the password once more."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from ali.features.identity import second_factor
from ali.features.identity.account import own, prove_password
from ali.features.identity.desk import Desk, Device
from ali.features.identity.http.access import Acting, Transaction
from ali.features.identity.http.desk import AtDesk, Body, Code, FromDevice, Password, Person, router
from ali.features.identity.models import User
from ali.features.identity.principal import Principal
from ali.features.identity.second_factor import CodeRefused

routes = router()


class Proof(Body):
    """The password, once more."""

    password: Password


class ProofWithCode(Proof):
    """The password, once more, and a code of the second factor as it is."""

    code: Code


class Confirmation(Body):
    """An enrolment, and the first code of its authenticator."""

    enrolment: Annotated[str, Field(min_length=1, max_length=1000)]
    code: Code


@routes.post("/second-factor/enrol", summary="Begin to set up an authenticator")
async def enrol(wanted: Proof, person: Person, desk: AtDesk, device: FromDevice) -> dict[str, Any]:
    """The authenticator's secret, shown this once. Nothing changes before a first code confirms it (15 minutes)."""
    now = datetime.now(UTC)
    user = await _proven(desk, person, wanted, device=device, now=now)
    begun = second_factor.enrol(user, hmac_secret=desk.hmac_secret, now=now)
    return {
        "object": "ali.second_factor.enrolment",
        "secret": begun.secret,
        "uri": begun.uri,
        "enrolment": begun.token,
        "expires_at": int((now + second_factor.ENROLMENT_LIFETIME).timestamp()),
    }


@routes.post("/second-factor/confirm", summary="Take an authenticator into use")
async def confirm(
    wanted: Confirmation, person: Person, desk: AtDesk, transaction: Transaction, acting: Acting
) -> dict[str, Any]:
    """From now on signing in takes a code. The recovery codes are shown this once."""
    user_id, _ = person.require_person()
    codes = await second_factor.confirm(
        transaction,
        await own(transaction, user_id=user_id),
        token=wanted.enrolment,
        code=wanted.code,
        hmac_secret=desk.hmac_secret,
        actor=acting,
        now=datetime.now(UTC),
    )
    return {"object": "ali.second_factor", "enabled": True, "recovery_codes": list(codes)}


@routes.post("/second-factor/disable", summary="Go without a second factor")
async def disable(wanted: ProofWithCode, person: Person, desk: AtDesk, device: FromDevice) -> dict[str, Any]:
    """Takes the authenticator and the recovery codes away."""
    now = datetime.now(UTC)
    second_factor.require_one(await _proven(desk, person, wanted, device=device, now=now))
    await _with_code(desk, person, wanted.code, renews=False, device=device, now=now)
    return {"object": "ali.second_factor", "enabled": False}


@routes.post("/second-factor/recovery-codes", summary="Get new recovery codes")
async def renew_codes(wanted: ProofWithCode, person: Person, desk: AtDesk, device: FromDevice) -> dict[str, Any]:
    """Those before are void. They are shown this once."""
    now = datetime.now(UTC)
    second_factor.require_one(await _proven(desk, person, wanted, device=device, now=now))
    codes = await _with_code(desk, person, wanted.code, renews=True, device=device, now=now)
    return {"object": "ali.second_factor", "enabled": True, "recovery_codes": list(codes)}


async def _proven(desk: Desk, person: Principal, wanted: Proof, *, device: Device, now: datetime) -> User:
    """The person, who has given their password once more. Raises `PasswordWrong`, `TooManyAttempts`."""
    user_id, _ = person.require_person()
    async with desk.tenant(person.organization_id) as session:
        user = await own(session, user_id=user_id)
    password = wanted.password.get_secret_value()
    await prove_password(desk, email=user.email, stored=user.password_hash, password=password, device=device, now=now)
    return user


async def _with_code(
    desk: Desk, person: Principal, code: str, *, renews: bool, device: Device, now: datetime
) -> tuple[str, ...]:
    """Use `code` up, and for it renew the recovery codes, which are returned, or take the second factor away.

    Raises `CodeRefused`, `TooManyAttempts`, `SecondFactorConflict`.
    """
    user_id, _ = person.require_person()
    codes: tuple[str, ...] = ()
    turn = desk.turnstile.turn_of_account("code", str(user_id))
    await desk.turnstile.enter(turn, now=now)
    async with desk.tenant(person.organization_id) as session:
        user = await own(session, user_id=user_id)
        actor, secret = device.person(user_id), desk.hmac_secret
        accepted = await second_factor.accepted(session, user, code=code, hmac_secret=secret, actor=actor, now=now)
        if accepted and renews:
            codes = await second_factor.renew_recovery_codes(session, user, hmac_secret=secret, actor=actor)
        elif accepted:
            await second_factor.remove(session, user, actor=actor)
    if not accepted:
        raise CodeRefused("This is no code of the second factor, or it was used already.", param="code")
    await desk.turnstile.passed(turn)
    return codes
