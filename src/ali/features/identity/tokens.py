"""Access tokens: JWTs of ten minutes (RFC 9068) that say who is signed in, to which session and organization, as what.

A token is believed for who it says is signed in, until it runs out. Whether the session lasts and what its person may
do is `recognise_session`'s to ask.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
import orjson
from jwt import PyJWS

from ali.features.identity.jose import TokenRefused, read_header, verified_claims
from ali.features.identity.signing_keys import KeySet
from ali.kernel.errors import AuthenticationFailed

LIFETIME: Final = timedelta(minutes=10)
LEEWAY: Final = timedelta(seconds=5)
"""How far the clocks of two replicas may be apart."""
LARGEST_BYTES: Final = 4096
TYPE: Final = "at+jwt"

_JWS: Final = PyJWS(algorithms=["EdDSA", "ES256"])


class AccessTokenRefused(AuthenticationFailed):
    """401: the access token is no token of this service for this audience, or is signed by a key that is gone."""

    code = "invalid_access_token"

    def __init__(self, *, reason: str) -> None:
        super().__init__("This access token is not valid here. Sign in again, or refresh the session.")
        self.reason = reason
        """Why, for the log."""


class AccessTokenExpired(AuthenticationFailed):
    """401: the access token was good, and has run out."""

    code = "access_token_expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessClaims:
    """What a verified access token says."""

    user_id: UUID
    session_id: UUID
    organization_id: UUID
    role: str
    token_id: str
    issued_at: datetime
    expires_at: datetime


class _Claims(msgspec.Struct, frozen=True):
    """The claims as they must be typed. Others are ignored: a newer release may add some."""

    iss: str
    aud: str
    sub: UUID
    sid: UUID
    org: UUID
    role: str
    jti: str
    iat: int
    exp: int
    nbf: int | None = None


def issue(
    keys: KeySet,
    *,
    issuer: str,
    audience: str,
    user_id: UUID,
    session_id: UUID,
    organization_id: UUID,
    role: str,
    now: datetime,
) -> str:
    """A new access token, signed with the active key. Costs about 60 µs. Raises `NoSigningKey`."""
    key = keys.active(now=now)
    issued_at_s = int(now.timestamp())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": str(user_id),
        "sid": str(session_id),
        "org": str(organization_id),
        "role": role,
        "jti": uuid4().hex,
        "iat": issued_at_s,
        "exp": issued_at_s + int(LIFETIME.total_seconds()),
    }
    headers = {"typ": TYPE, "kid": key.kid}
    return _JWS.encode(orjson.dumps(claims), key.private_key, algorithm=key.algorithm, headers=headers)


class TokenVerifier:
    """Verifies access tokens, and remembers those that it verified until they run out, at most `capacity` of them.

    A first verification costs about 230 µs, a repeated one about 2 µs. Where `keys` may be out of date, as in a replica
    after another one has rotated them, a caller that gets `reason == "unknown key"` reads them anew, once.
    """

    def __init__(self, keys: KeySet, *, issuer: str, audience: str, capacity: int = 10_000) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._capacity = capacity
        self._verified: OrderedDict[bytes, AccessClaims] = OrderedDict()

    def use_keys(self, keys: KeySet) -> None:
        """From now on believe these keys, and nothing that was verified before."""
        self._keys = keys
        self._verified.clear()

    def forget(self) -> None:
        """Verify every token anew."""
        self._verified.clear()

    def verified(self, token: str, *, now: datetime) -> AccessClaims:
        """What `token` says. Raises `AccessTokenRefused` or `AccessTokenExpired`."""
        fingerprint = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = self._verified.get(fingerprint)
        if claims is None:
            try:
                claims = self._first_verification(token, now=now)
            except TokenRefused as refusal:
                raise AccessTokenRefused(reason=refusal.reason) from refusal
        if claims.expires_at + LEEWAY <= now:
            self._verified.pop(fingerprint, None)
            raise AccessTokenExpired("This access token has expired. Refresh the session, or sign in again.")
        self._verified[fingerprint] = claims
        self._verified.move_to_end(fingerprint)
        if len(self._verified) > self._capacity:
            self._verified.popitem(last=False)
        return claims

    def _first_verification(self, token: str, *, now: datetime) -> AccessClaims:
        header = read_header(token, largest_bytes=LARGEST_BYTES)
        if header.typ != TYPE:
            raise TokenRefused("not an access token")
        if header.kid is None:
            raise TokenRefused("no key named")
        key = self._keys.find(header.kid, now=now)
        if key is None:
            raise TokenRefused("unknown key")
        if header.algorithm != key.algorithm:
            raise TokenRefused("an algorithm that is not the key's")
        claims = verified_claims(token, key=key.private_key.public_key(), algorithm=key.algorithm)
        return self._checked(claims, now=now)

    def _checked(self, raw: dict[str, Any], *, now: datetime) -> AccessClaims:
        """Everything but whether it has run out, which each use asks anew."""
        try:
            claims = msgspec.convert(raw, _Claims)
            issued_at, expires_at = (datetime.fromtimestamp(value, UTC) for value in (claims.iat, claims.exp))
            not_before = datetime.fromtimestamp(claims.nbf or 0, UTC)
        except (msgspec.ValidationError, ValueError, OverflowError, OSError) as error:
            raise TokenRefused("a claim that is missing or of the wrong type") from error
        if claims.iss != self._issuer:
            raise TokenRefused("another issuer")
        if claims.aud != self._audience:
            raise TokenRefused("another audience")
        if max(issued_at, not_before) > now + LEEWAY:
            raise TokenRefused("not valid yet")
        if not timedelta(0) < expires_at - issued_at <= LIFETIME:
            raise TokenRefused("a lifetime that this service does not give")
        return AccessClaims(
            user_id=claims.sub,
            session_id=claims.sid,
            organization_id=claims.org,
            role=claims.role,
            token_id=claims.jti,
            issued_at=issued_at,
            expires_at=expires_at,
        )
