"""The second factor: codes of an authenticator app (TOTP, RFC 6238): six digits, 30 seconds, SHA-1, as all apps do."""

import hmac
from datetime import datetime
from typing import Final

import pyotp

from ali.features.identity.sealing import seal, unseal

STEP_S: Final = 30
_WINDOW: Final = (-1, 0, 1)
_PURPOSE: Final = "authenticator secret"


def new_secret() -> str:
    """160 random bits in base32, as RFC 4226 recommends."""
    return pyotp.random_base32(32)


def provisioning_uri(secret: str, *, email: str, issuer: str) -> str:
    """What the authenticator app scans: `otpauth://totp/…`. It contains the secret: show it once, never log it."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=issuer)


def matched_step(secret: str, code: str, *, now: datetime, used_step: int | None) -> int | None:
    """The time step whose code was given, or None.

    The step of `now` and its neighbours are tried, all of them always. Remember what is returned as the account's
    `used_step`: that step's code and older ones are not taken again, so each code works once.
    """
    given = "".join(code.split())
    if len(given) != 6 or not (given.isascii() and given.isdigit()):
        return None
    generator = pyotp.TOTP(secret, interval=STEP_S)
    current = int(now.timestamp()) // STEP_S
    matched = None
    for step in (current + offset for offset in _WINDOW):
        same = hmac.compare_digest(generator.generate_otp(step), given)
        if same and (used_step is None or step > used_step):
            matched = step
    return matched


def wrap(secret: str, *, user_id: str, hmac_secret: bytes) -> bytes:
    """The authenticator's secret for storing, under the installation's and bound to the account."""
    return seal(secret.encode(), secret=hmac_secret, purpose=_PURPOSE, name=user_id)


def unwrap(wrapped: bytes, *, user_id: str, hmac_secret: bytes) -> str:
    """What `wrap` was given. Raises `SealBroken`."""
    return unseal(wrapped, secret=hmac_secret, purpose=_PURPOSE, name=user_id).decode()
