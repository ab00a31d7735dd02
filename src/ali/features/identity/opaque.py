"""Secrets that are handed out and mean nothing by themselves: a prefix, random characters, and a checksum.

The shape is that of API keys (`ali_…`): base62, and a CRC-32 in six digits by which a secret scanner tells a real one
from a lookalike and the service refuses a mistyped one without asking the database.
"""

import hmac
import secrets
import zlib
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = {character: value for value, character in enumerate(ALPHABET)}
RANDOM: Final = 43
"""43 base62 characters carry 256 bits: a plain HMAC needs no stretching."""
CHECKSUM: Final = 6

INVITATION: Final = "ali_inv_"
PASSWORD_RESET: Final = "ali_rst_"  # noqa: S105 - a prefix, not a password


def mint(prefix: str) -> str:
    """A new secret of the kind that `prefix` names, with 256 random bits."""
    return with_checksum(prefix + random_characters())


def well_formed(token: str, *, prefix: str) -> bool:
    """Whether `token` has the shape and checksum of one that `mint(prefix)` made. Says nothing of its validity."""
    return len(token) == len(prefix) + RANDOM + CHECKSUM and token.startswith(prefix) and has_checksum(token)


def digest(token: str, *, hmac_secret: bytes) -> bytes:
    """The 32 bytes under which a token is stored and looked up: HMAC-SHA256 under the installation's own secret."""
    return hmac.digest(hmac_secret, token.encode("utf-8", "surrogatepass"), "sha256")


def random_characters() -> str:
    """256 random bits in base62."""
    return "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))


def with_checksum(body: str) -> str:
    """`body` and its checksum."""
    return body + base62(zlib.crc32(body.encode()), width=CHECKSUM)


def has_checksum(token: str) -> bool:
    """Whether `token` is ASCII and ends in the checksum of what stands before."""
    return token.isascii() and with_checksum(token[:-CHECKSUM]) == token


def base62(value: int, *, width: int) -> str:
    """A natural number in base62, with leading zeros."""
    digits = []
    for _ in range(width):
        value, digit = divmod(value, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def from_base62(text: str) -> int:
    """The number that `base62` wrote. Raises ValueError."""
    value = 0
    for character in text:
        if character not in _DIGITS:
            raise ValueError("not base62")
        value = value * len(ALPHABET) + _DIGITS[character]
    return value
