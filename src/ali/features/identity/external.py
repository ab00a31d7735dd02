"""Sign-in through an issuer of OpenID Connect: from the browser that is sent there to a session here.

An attempt is the browser's that began it: it keeps the state in a cookie and brings it back beside the answer. What
else belongs to an attempt lies sealed in the database, and is used up by the first answer.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import delete

from ali.features.identity.desk import Desk, Device
from ali.features.identity.external_accounts import Purpose, opened_for
from ali.features.identity.models import OpenIdAttempt
from ali.features.identity.opaque import digest
from ali.features.identity.openid.person import SignInRefused
from ali.features.identity.openid.request import ATTEMPT_LIFETIME, Attempt
from ali.features.identity.sealing import seal, unseal
from ali.features.identity.sessions import Opened
from ali.kernel import log
from ali.kernel.errors import AliError, AuthenticationFailed, NotFound, PermissionRefused

if TYPE_CHECKING:
    from ali.features.identity.openid import RelyingParty

_PURPOSE: Final = "OpenID Connect attempt"
_NO_SIGN_IN: Final = "This answer belongs to no sign-in that this browser has begun here. Sign in again."


class ProviderNotFound(NotFound):
    """404: no issuer of that name is configured here."""

    code = "openid_provider_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where the browser goes, and what it must bring back beside the answer (`state`, as a cookie)."""

    url: str
    state: str


async def begin(desk: Desk, name: str, *, purpose: Purpose, device: Device, now: datetime) -> Begun:
    """A new attempt at the provider `name`. Raises `ProviderNotFound`, `IssuerFailed`, `TooManyAttempts`."""
    party = _party(desk, name)
    await desk.turnstile.enter(desk.turnstile.turn_of_address(device.address), now=now)
    attempt, url = await party.begin(redirect_uri=callback_url(desk.address, name), now=now)
    sealed = seal(_written(attempt, purpose), secret=desk.hmac_secret, purpose=_PURPOSE, name=name)
    async with desk.sessions() as session, session.begin():
        session.add(
            OpenIdAttempt(
                digest=digest(attempt.state, hmac_secret=desk.hmac_secret),
                sealed=sealed,
                expires_at=now + ATTEMPT_LIFETIME,
            )
        )
    return Begun(url=url, state=attempt.state)


def callback_url(address: str, name: str) -> str:
    """The redirect address to be registered at the issuer."""
    return f"{address}/v1/ali/auth/openid/{name}/callback"


async def finish(
    desk: Desk, name: str, *, answer: Mapping[str, str], state: str, device: Device, now: datetime
) -> Opened:
    """A session for the person with whom the browser came back; `state` is what it kept. The attempt is used up.

    Raises `SignInRefused`, `NotAdmitted`, `IssuerFailed`, `LinkRequired`, `IdentityTaken`, `AccountExists`.
    """
    party = _party(desk, name)
    turn = desk.turnstile.turn_of_address(device.address)
    await desk.turnstile.enter(turn, now=now)
    try:
        attempt, purpose = await _attempt(desk, name, answer=answer, state=state, now=now)
        person = await party.finish(answer, attempt=attempt, now=now)
        opened = await opened_for(desk, person, purpose, provider=party.provider, device=device, now=now)
    except AliError as error:
        at_fault = isinstance(error, AuthenticationFailed | PermissionRefused)
        desk.metrics.sign_ins.labels("refused" if at_fault else "unavailable").inc()
        log.info("sign_in.refused", provider=name, error=error.error_code)
        if at_fault:
            await desk.turnstile.failed(turn, now=now)
        raise
    desk.metrics.sign_ins.labels("ok").inc()
    log.info("sign_in.ok", provider=name, user_id=str(opened.user.id), session_id=str(opened.session_id))
    return opened


async def _attempt(
    desk: Desk, name: str, *, answer: Mapping[str, str], state: str, now: datetime
) -> tuple[Attempt, Purpose]:
    """The attempt that this browser began. Of several that bring it at once, one gets it."""
    given = answer.get("state", "")
    if not given or not hmac.compare_digest(given.encode("utf-8", "replace"), state.encode("utf-8", "replace")):
        raise SignInRefused(_NO_SIGN_IN, reason="another browser")
    async with desk.sessions() as session, session.begin():
        sealed = await session.scalar(
            delete(OpenIdAttempt)
            .where(OpenIdAttempt.digest == digest(given, hmac_secret=desk.hmac_secret), OpenIdAttempt.expires_at > now)
            .returning(OpenIdAttempt.sealed)
            .execution_options(synchronize_session=False)
        )
    if sealed is None:
        raise SignInRefused(_NO_SIGN_IN, reason="no such attempt")
    return _read(unseal(sealed, secret=desk.hmac_secret, purpose=_PURPOSE, name=name))


def _party(desk: Desk, name: str) -> "RelyingParty":
    party = desk.parties.get(name)
    if party is None:
        raise ProviderNotFound("No issuer of this name signs people in here. GET /v1/ali/auth/openid lists them.")
    return party


def _written(attempt: Attempt, purpose: Purpose) -> bytes:
    ids = (purpose.user_id, purpose.organization_id, purpose.invite_id)
    return json.dumps(
        {
            "provider": attempt.provider,
            "redirect_uri": attempt.redirect_uri,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "verifier": attempt.verifier,
            "started_at": attempt.started_at.timestamp(),
            "purpose": [str(value) if value else None for value in ids],
        }
    ).encode()


def _read(written: bytes) -> tuple[Attempt, Purpose]:
    value = json.loads(written)
    user_id, organization_id, invite_id = (UUID(text) if text else None for text in value["purpose"])
    attempt = Attempt(
        provider=value["provider"],
        redirect_uri=value["redirect_uri"],
        state=value["state"],
        nonce=value["nonce"],
        verifier=value["verifier"],
        started_at=datetime.fromtimestamp(value["started_at"], UTC),
    )
    return attempt, Purpose(user_id=user_id, organization_id=organization_id, invite_id=invite_id)
