"""Recovery codes, for who has lost the authenticator: ten of them, each of 80 bits and good once.

Written in Crockford's base32, in groups of four; read without regard to case, hyphens and the letters that look like
digits. Stored as HMAC: 80 bits need no stretching.
"""

import hmac
import secrets
from collections.abc import Iterable
from typing import Final
from uuid import UUID

COUNT: Final = 10
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH: Final = 16
_GROUP: Final = 4
_AS_MEANT: Final = str.maketrans("OIL", "011", "- ")


def mint() -> tuple[str, ...]:
    """Ten new codes, to be shown once: `7Q4M-…`."""
    return tuple(_grouped("".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))) for _ in range(COUNT))


def digest(code: str, *, user_id: UUID, hmac_secret: bytes) -> bytes:
    """The 32 bytes under which an account's code is stored, however the code is typed."""
    meant = code.upper().translate(_AS_MEANT)
    label = b"recovery code:" + user_id.bytes
    return hmac.digest(hmac_secret, label + meant.encode("utf-8", "surrogatepass"), "sha256")


def matched(code: str, *, stored: Iterable[bytes], user_id: UUID, hmac_secret: bytes) -> bytes | None:
    """Which of an account's `stored` digests is the code's, or None. Delete it: a code works once."""
    given = digest(code, user_id=user_id, hmac_secret=hmac_secret)
    found = None
    for candidate in stored:
        if hmac.compare_digest(candidate, given):
            found = candidate
    return found


def _grouped(code: str) -> str:
    return "-".join(code[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP))
