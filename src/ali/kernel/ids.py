"""Prefixed, sortable identifiers: a short noun and a UUIDv7 (RFC 9562), as in `req_0199…`."""

import os
import re
import time
from uuid import UUID

_last = 0


def uuid7() -> UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then 74 random bits. In one thread each is greater than the one before.

    Within a millisecond, and while the clock goes back, the next one counts up (RFC 9562, 6.2): rows of one transaction
    sort as they were made.
    """
    global _last  # noqa: PLW0603 - the order is the process's
    random = int.from_bytes(os.urandom(10), "big")
    value = (time.time_ns() // 1_000_000 & 0xFFFFFFFFFFFF) << 80
    value |= 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62 | random & 0x3FFFFFFFFFFFFFFF
    if value <= _last:
        value = _last + 1
    _last = value
    return UUID(int=value)


def new_id(prefix: str, *, separator: str = "_") -> str:
    """`prefix`, `separator` and 32 hex digits of a fresh UUIDv7: `req_0199…`, `file-0199…`."""
    return f"{prefix}{separator}{uuid7().hex}"


def shown_id(prefix: str, value: UUID) -> str:
    """An identifier as callers see it: `prefix` (`appr_`, `file-`) and the UUID's 32 hex digits."""
    return prefix + value.hex


def read_id(text: str, *, prefix: str) -> UUID | None:
    """The UUID in an identifier of that prefix, as `shown_id` writes it; None for anything else, however close.

    Callers answer None as they answer an identifier that nobody has: the two are never told apart.
    """
    if not text.startswith(prefix) or not _HEX.fullmatch(text, len(prefix)):
        return None
    return UUID(hex=text[len(prefix) :])


_HEX = re.compile(r"[0-9a-f]{32}")
