"""The keys that sign access tokens: made, published as JWKS, rotated with overlap, wrapped at rest.

One key signs; those before it stay published until the last token that they signed has run out. Ed25519 is what is
made; P-256 is taken as well, for an installation whose key comes from elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from ali.features.identity.jose import base64url
from ali.features.identity.sealing import seal, unseal
from ali.kernel.errors import Unavailable

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
PublicKey = Ed25519PublicKey | EllipticCurvePublicKey

OVERLAP: Final = timedelta(minutes=20)
"""How long a retired key stays published: twice the life of the tokens that it may have signed a moment before."""

_PURPOSE: Final = "signing key"


class NoSigningKey(Unavailable):
    """503: no key signs tokens just now."""

    code = "no_signing_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key, known to the world by `kid`, its RFC 7638 thumbprint. It signs until `retired_at`."""

    kid: str
    algorithm: str
    private_key: PrivateKey = field(repr=False)
    created_at: datetime
    retired_at: datetime | None = None

    def published(self, *, now: datetime) -> bool:
        """Whether tokens that it signed are still to be believed."""
        return self.retired_at is None or now < self.retired_at + OVERLAP


@dataclass(frozen=True)
class KeySet:
    """All keys of the installation, in any order."""

    keys: tuple[SigningKey, ...]

    def active(self, *, now: datetime) -> SigningKey:
        """The youngest key that is not retired: the one that signs. Raises `NoSigningKey`."""
        usable = [key for key in self.keys if key.retired_at is None or now < key.retired_at]
        if not usable:
            raise NoSigningKey(
                "There is no key to sign access tokens with. An operator makes one: ali auth rotate-keys."
            )
        return max(usable, key=lambda key: (key.created_at, key.kid))

    def find(self, kid: str, *, now: datetime) -> SigningKey | None:
        """The published key of that name."""
        key = self._by_kid.get(kid)
        return key if key is not None and key.published(now=now) else None

    def rotated(self, new: SigningKey, *, now: datetime) -> "KeySet":
        """With `new` as the one that signs; those before are retired, and dropped once nothing they signed can live."""
        kept = (replace(key, retired_at=key.retired_at or now) for key in self.keys if key.published(now=now))
        return KeySet((*kept, new))

    def jwks(self, *, now: datetime) -> dict[str, Any]:
        """The document of `/.well-known/jwks.json` (RFC 7517): public halves of the published keys, youngest first."""
        published = sorted((key for key in self.keys if key.published(now=now)), key=lambda key: key.created_at)
        return {"keys": [_public_jwk(key) for key in reversed(published)]}

    @cached_property
    def _by_kid(self) -> dict[str, SigningKey]:
        return {key.kid: key for key in self.keys}


def new_signing_key(*, now: datetime) -> SigningKey:
    """A fresh Ed25519 key."""
    return signing_key(Ed25519PrivateKey.generate(), created_at=now)


def signing_key(private_key: PrivateKey, *, created_at: datetime, retired_at: datetime | None = None) -> SigningKey:
    """A private key with the name and algorithm that follow from it. Raises ValueError for another curve than P-256."""
    return SigningKey(
        kid=thumbprint(private_key.public_key()),
        algorithm="EdDSA" if isinstance(private_key, Ed25519PrivateKey) else "ES256",
        private_key=private_key,
        created_at=created_at,
        retired_at=retired_at,
    )


def thumbprint(key: PublicKey) -> str:
    """RFC 7638: SHA-256 over the required members of the JWK, in order, without spaces."""
    members = json.dumps(_members(key), separators=(",", ":"), sort_keys=True)
    return base64url(hashlib.sha256(members.encode()).digest())


def wrap(key: SigningKey, *, secret: bytes) -> bytes:
    """The private half for storing, under the installation's secret and bound to `kid`."""
    der = key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return seal(der, secret=secret, purpose=_PURPOSE, name=key.kid)


def unwrap(
    wrapped: bytes, *, kid: str, secret: bytes, created_at: datetime, retired_at: datetime | None = None
) -> SigningKey:
    """The key that `wrap` was given. Raises `SealBroken`."""
    private_key = load_der_private_key(unseal(wrapped, secret=secret, purpose=_PURPOSE, name=kid), password=None)
    if not isinstance(private_key, PrivateKey):
        raise TypeError("what was wrapped is no key of a kind that signs tokens")
    return signing_key(private_key, created_at=created_at, retired_at=retired_at)


def key_set(keys: Iterable[SigningKey]) -> KeySet:
    """The set of `keys`."""
    return KeySet(tuple(keys))


def _public_jwk(key: SigningKey) -> dict[str, str]:
    return {**_members(key.private_key.public_key()), "kid": key.kid, "alg": key.algorithm, "use": "sig"}


def _members(key: PublicKey) -> dict[str, str]:
    """The members that RFC 7638 requires: `crv`, `kty`, `x` (RFC 8037), and `y` of a P-256 key (RFC 7518)."""
    if isinstance(key, Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": base64url(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    if not isinstance(key.curve, SECP256R1):
        raise ValueError(f"a key on P-256 or an Ed25519 key signs tokens; this one is on {key.curve.name}")  # noqa: TRY004 - the type is right, the curve is not
    point = key.public_numbers()
    return {
        "crv": "P-256",
        "kty": "EC",
        "x": base64url(point.x.to_bytes(32, "big")),
        "y": base64url(point.y.to_bytes(32, "big")),
    }
