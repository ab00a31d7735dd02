"""Prefixed, sortable identifiers: a short noun and a UUIDv7 (RFC 9562), as in `req_0199…`."""

import os
import time
from uuid import UUID


def uuid7(*, now_ms: int | None = None) -> UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then 74 random bits. Sorts by time, to the millisecond."""
    millis = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    random = int.from_bytes(os.urandom(10), "big")
    value = (millis & 0xFFFFFFFFFFFF) << 80
    value |= 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62 | random & 0x3FFFFFFFFFFFFFFF
    return UUID(int=value)


def new_id(prefix: str, *, separator: str = "_") -> str:
    """`prefix`, `separator` and 32 hex digits of a fresh UUIDv7: `req_0199…`, `file-0199…`."""
    return f"{prefix}{separator}{uuid7().hex}"
