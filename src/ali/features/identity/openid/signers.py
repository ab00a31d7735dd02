"""The keys that issuers sign with, fetched when first needed and kept for an hour.

Kept by issuer and audience together: a cache that knew less let one issuer's keys verify another's tokens
(CVE-2026-35030). A key that is not known makes the set be fetched anew, at most once in half a minute, so that made-up
names cannot turn this service into a load on the issuer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from ali.features.identity.jose import Header, TokenRefused, VerificationKey, algorithms_of
from ali.features.identity.openid.fetch import Fetch, IssuerFailed, Kept, fetched_object

KEPT_FOR: Final = timedelta(hours=1)
REFETCHED_AFTER: Final = timedelta(seconds=30)
_MOST_KEYS: Final = 100
_SMALLEST_RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A published key, and the algorithms that it is good for."""

    kid: str | None
    key: VerificationKey
    algorithms: frozenset[str]


class SignerCache:
    """Signers of all issuers that a process deals with. One for the process."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._kept: dict[tuple[str, str], Kept[tuple[Signer, ...]]] = {}

    async def signer(self, header: Header, *, issuer: str, audience: str, jwks_uri: str, now: datetime) -> Signer:
        """The key that a token with `header` must be signed by.

        Raises `TokenRefused` where the issuer publishes none, `IssuerFailed` where it cannot be asked.
        """
        kept = self._kept.get((issuer, audience))
        if kept is None:
            kept = self._kept[issuer, audience] = Kept(lambda: self._read(jwks_uri))
        for age in (KEPT_FOR, REFETCHED_AFTER):
            if found := chosen(await kept.no_older_than(age, now=now), header):
                return found
        raise TokenRefused("a key that the issuer does not publish")

    async def _read(self, jwks_uri: str) -> tuple[Signer, ...]:
        return signers_of(await fetched_object(self._fetch, jwks_uri))


def chosen(signers: tuple[Signer, ...], header: Header) -> Signer | None:
    """The one signer that fits `header`; none where several do, as with a token that names no key."""
    fitting = [
        signer
        for signer in signers
        if header.algorithm in signer.algorithms and (header.kid is None or header.kid == signer.kid)
    ]
    return fitting[0] if len(fitting) == 1 else None


def signers_of(document: dict[str, Any]) -> tuple[Signer, ...]:
    """The usable keys of a JWKS document (RFC 7517); others are passed over. Raises `IssuerFailed` where it is none."""
    keys = document.get("keys")
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise IssuerFailed("The issuer's keys are no JWKS document. Check the issuer in ALI_OPENID_PROVIDERS.")
    return tuple(signer for signer in map(_signer, keys) if signer is not None)


def _signer(jwk: object) -> Signer | None:
    """A public key for signatures, or None: symmetric keys, private halves, short RSA keys and unknown kinds are."""
    if not isinstance(jwk, dict) or jwk.get("kty") not in {"RSA", "EC", "OKP"} or "d" in jwk:
        return None
    kid, use, named = jwk.get("kid"), jwk.get("use", "sig"), jwk.get("alg")
    if use != "sig" or not isinstance(kid, str | None):
        return None
    try:
        key = PyJWK({name: value for name, value in jwk.items() if name != "alg"}).key
    except (PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if not isinstance(key, (Ed25519PublicKey, EllipticCurvePublicKey, RSAPublicKey)):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _SMALLEST_RSA_BITS:
        return None
    algorithms = algorithms_of(key)
    if named is not None:
        algorithms &= {"EdDSA" if named == "Ed25519" else named}  # RFC 9864's name for the same
    return Signer(kid=kid, key=key, algorithms=algorithms) if algorithms else None
