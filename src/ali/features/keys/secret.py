"""The secret of an API key: `ali_`, 40 random base62 characters, and a checksum of 6.

The checksum lets secret scanners tell a real key from a lookalike, and lets the service refuse a mistyped one without
asking the database. 40 characters carry 238 bits, so a plain HMAC needs no stretching.
"""

import secrets
from typing import Final

from ali.features.identity.opaque import ALPHABET, CHECKSUM, digest, has_checksum, with_checksum

__all__ = ["LENGTH", "PREFIX", "digest", "hint", "mint", "well_formed"]

PREFIX: Final = "ali_"
_BODY: Final = 40
LENGTH: Final = len(PREFIX) + _BODY + CHECKSUM


def mint() -> str:
    """A new secret, from the system's randomness."""
    return with_checksum(PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(_BODY)))


def well_formed(secret: str) -> bool:
    """Whether `secret` has the shape and checksum of a minted one. Says nothing of whether it was ever issued."""
    return len(secret) == LENGTH and secret.startswith(PREFIX) and has_checksum(secret)


def hint(secret: str) -> str:
    """The last four characters, which people may see to tell keys apart."""
    return secret[-4:]
