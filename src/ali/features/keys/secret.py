"""The secret of an API key: `ali_`, 40 random base62 characters, and a checksum of 6.

The checksum lets secret scanners tell a real key from a lookalike, and lets the service refuse a mistyped one without
asking the database. 40 characters carry 238 bits, so a plain HMAC needs no stretching.
"""

import hmac
import secrets
import zlib

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = "ali_"
_BODY = 40
_CHECKSUM = 6
LENGTH = len(_PREFIX) + _BODY + _CHECKSUM


def mint() -> str:
    """A new secret, from the system's randomness."""
    body = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_BODY))
    return body + _checksum(body)


def well_formed(secret: str) -> bool:
    """Whether `secret` has the shape and checksum of a minted one. Says nothing of whether it was ever issued."""
    return (
        len(secret) == LENGTH and secret.startswith(_PREFIX) and _checksum(secret[:-_CHECKSUM]) == secret[-_CHECKSUM:]
    )


def digest(secret: str, *, hmac_secret: bytes) -> bytes:
    """The 32 bytes under which a secret is stored and looked up: HMAC-SHA256 under the installation's own key."""
    return hmac.digest(hmac_secret, secret.encode(), "sha256")


def hint(secret: str) -> str:
    """The last four characters, which people may see to tell keys apart."""
    return secret[-4:]


def _checksum(body: str) -> str:
    """CRC-32 of `body` in base62, six digits."""
    value = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM):
        value, digit = divmod(value, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
