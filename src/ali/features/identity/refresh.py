"""Refresh tokens: each is good once, and one that is presented twice ends its whole family (RFC 9700, section 4.14.2).

A family is what began with one sign-in: a session. Only the digest of its current token is stored. The token names its
session and carries a tag under the installation's secret, so that an old one is known for having been issued without
any old one being kept, and a made-up one can end nobody's session.
"""

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from ali.features.identity.opaque import (
    CHECKSUM,
    RANDOM,
    base62,
    digest,
    from_base62,
    has_checksum,
    random_characters,
    with_checksum,
)
from ali.kernel.errors import AuthenticationFailed

PREFIX: Final = "ali_rt_"
ABSOLUTE_LIFETIME: Final = timedelta(days=30)
IDLE_LIFETIME: Final = timedelta(days=14)

_WIDE: Final = 22
"""Base62 characters for 128 bits: the session's identifier, and the tag."""
_BODY: Final = len(PREFIX) + _WIDE + RANDOM
LENGTH: Final = _BODY + _WIDE + CHECKSUM


class RefreshRefused(AuthenticationFailed):
    """401: the refresh token is unknown, expired, used already, or of a session that has ended."""

    code = "invalid_refresh_token"


class Decision(StrEnum):
    """What a presented token deserves."""

    ROTATED = "rotated"
    """Good: store the digest of a new one in its place, and hand that out."""
    REUSED = "reused"
    """Presented before: two parties hold it, and nobody can tell which is the thief. End the family."""
    EXPIRED = "expired"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A token that this installation did issue, at some time."""

    session_id: UUID
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What is stored of a session's refresh tokens."""

    current: bytes = field(repr=False)
    """Digest of the only one that is good."""
    started_at: datetime
    rotated_at: datetime
    ended_at: datetime | None = None


def mint(session_id: UUID, *, hmac_secret: bytes) -> str:
    """A new token of a session, with 256 random bits."""
    body = PREFIX + base62(session_id.int, width=_WIDE) + random_characters()
    return with_checksum(body + _tag(body, hmac_secret=hmac_secret))


def read(token: str, *, hmac_secret: bytes) -> Presented:
    """Whose token it is. Raises `RefreshRefused` for one that this installation never issued. Costs two HMACs."""
    if len(token) != LENGTH or not token.startswith(PREFIX) or not has_checksum(token):
        raise RefreshRefused(REFUSAL)
    body, tag = token[:_BODY], token[_BODY : _BODY + _WIDE]
    if not hmac.compare_digest(tag, _tag(body, hmac_secret=hmac_secret)):
        raise RefreshRefused(REFUSAL)
    session_id = UUID(int=from_base62(body[len(PREFIX) : len(PREFIX) + _WIDE]))
    return Presented(session_id=session_id, digest=digest(token, hmac_secret=hmac_secret))


def decide(presented: Presented, *, family: Family, now: datetime) -> Decision:
    """What to do about `presented`. Ask while the family's row is locked: of parallel askers one is rotated.

    There is no grace for a token that was just replaced: a client that lost the answer signs in again.
    """
    if family.ended_at is not None:
        return Decision.ENDED
    if not hmac.compare_digest(presented.digest, family.current):
        return Decision.REUSED
    if now >= expires_at(family):
        return Decision.EXPIRED
    return Decision.ROTATED


def expires_at(family: Family) -> datetime:
    """When the family's current token runs out if nobody uses it before."""
    return min(family.started_at + ABSOLUTE_LIFETIME, family.rotated_at + IDLE_LIFETIME)


REFUSAL: Final = "This refresh token is not valid: it is unknown, expired, or was used already. Sign in again."


def _tag(body: str, *, hmac_secret: bytes) -> str:
    """128 bits of an HMAC in base62, under a label of its own so that it says nothing of the stored digest."""
    return base62(int.from_bytes(digest("tag:" + body, hmac_secret=hmac_secret)[:16], "big"), width=_WIDE)
