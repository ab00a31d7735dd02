"""What an ID token must be before it is believed: OpenID Connect Core 1.0, section 3.1.3.7, and RFC 8725."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any, Final

from ali.features.identity.jose import TokenRefused, base64url, read_header, verified_claims
from ali.features.identity.openid.signers import SignerCache

LARGEST_BYTES: Final = 32 * 1024
"""Entra's tokens list up to 200 groups."""
LEEWAY: Final = timedelta(seconds=30)
"""The issuer's clock is not ours."""


async def verify_id_token(
    token: str,
    *,
    signers: SignerCache,
    issuer: str,
    client_id: str,
    jwks_uri: str,
    nonce: str,
    access_token: str | None,
    now: datetime,
) -> dict[str, Any]:
    """The claims of an ID token that `issuer` made for this client and this very sign-in.

    Raises `TokenRefused`, or `IssuerFailed` where its keys cannot be had.
    """
    header = read_header(token, largest_bytes=LARGEST_BYTES)
    if header.typ is not None and header.typ.upper() != "JWT":
        raise TokenRefused("a token of another kind")
    signer = await signers.signer(header, issuer=issuer, audience=client_id, jwks_uri=jwks_uri, now=now)
    claims = verified_claims(token, key=signer.key, algorithm=header.algorithm)
    check_claims(claims, issuer=issuer, client_id=client_id, nonce=nonce, now=now)
    at_hash = claims.get("at_hash")
    if at_hash is not None and (access_token is None or not _is_half_hash(at_hash, access_token, header.algorithm)):
        raise TokenRefused("another access token's hash")
    return claims


def check_claims(claims: dict[str, Any], *, issuer: str, client_id: str, nonce: str, now: datetime) -> None:
    """Raises `TokenRefused` unless verified claims are of this issuer, for this client, of this sign-in, and timely."""
    if claims.get("iss") != issuer:
        raise TokenRefused("another issuer")
    audience, party = claims.get("aud"), claims.get("azp")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client_id not in audiences:
        raise TokenRefused("another audience")
    if (party is not None or len(audiences) > 1) and party != client_id:
        raise TokenRefused("another authorized party")
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode("utf-8", "replace"), nonce.encode()):
        raise TokenRefused("another sign-in's nonce")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise TokenRefused("no subject")
    now_s, leeway_s = now.timestamp(), LEEWAY.total_seconds()
    if _seconds(claims, "exp") + leeway_s <= now_s:
        raise TokenRefused("expired")
    if _seconds(claims, "iat") - leeway_s > now_s or ("nbf" in claims and _seconds(claims, "nbf") - leeway_s > now_s):
        raise TokenRefused("not valid yet")


def _seconds(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused("a time that is missing or no number")
    return value


def _is_half_hash(at_hash: object, access_token: str, algorithm: str) -> bool:
    """Whether `at_hash` is the left half of the access token's hash: SHA-512 for EdDSA (Ed25519), else SHA-256."""
    name = "sha512" if algorithm == "EdDSA" else "sha256"
    whole = hashlib.new(name, access_token.encode()).digest()
    return isinstance(at_hash, str) and hmac.compare_digest(
        at_hash.encode(), base64url(whole[: len(whole) // 2]).encode()
    )
