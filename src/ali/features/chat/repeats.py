"""Exact repeats answered from memory: opt-in per request or alias, never across projects.

The key is a hash of the project, the operation, the API version and the body's bytes; what is kept is the answer as the
caller saw it, whole answers and complete streams alike, for at most the time that was asked.
"""

import hashlib
import time
from collections import OrderedDict
from typing import Protocol
from uuid import UUID

LONGEST_TTL_S = 86_400
_LARGEST_BYTES = 1024 * 1024


def repeat_key(*, project_id: UUID, operation: str, version: str, body: bytes) -> bytes:
    """32 bytes that differ whenever anything that shapes the answer differs."""
    digest = hashlib.sha256(project_id.bytes)
    digest.update(f"\0{operation}\0{version}\0".encode())
    digest.update(body)
    return digest.digest()


class RepeatCache(Protocol):
    """Answers by key. A cache that fails is a cache that misses."""

    async def get(self, key: bytes) -> bytes | None:
        """The answer's bytes, or None."""
        ...

    async def put(self, key: bytes, answer: bytes, *, ttl_s: int) -> None:
        """Keep an answer for `ttl_s` seconds, unless it is too large."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class InProcessRepeats:
    """The least recently used go when `max_bytes` is reached."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: bytes) -> bytes | None:
        """The answer's bytes, or None."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        until_s, answer = kept
        if until_s < time.monotonic():
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return answer

    async def put(self, key: bytes, answer: bytes, *, ttl_s: int) -> None:
        """Keep an answer, unless it is too large."""
        if len(answer) > min(_LARGEST_BYTES, self._max_bytes):
            return
        self._forget(key)
        self._kept[key] = (time.monotonic() + ttl_s, answer)
        self._size += len(answer)
        while self._size > self._max_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size -= len(kept[1])

    async def close(self) -> None:
        """Nothing to let go of."""
