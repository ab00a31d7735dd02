"""A file that is being written: its row to be, and its bytes, counted, capped and hashed as they pass."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from ali.kernel.errors import AliError


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A file that is being written: nobody sees it yet."""

    id: UUID
    organization_id: UUID
    project_id: UUID
    object_name: str
    counted: bool
    """Whether it has to fit into what its project may keep."""
    room_bytes: int | None = None
    """How much of that was left when it was begun; None: as much as anybody wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written. `digest`: SHA-256 of it; `md5`: where it was asked for."""

    size_bytes: int
    digest: bytes
    md5: bytes | None = None


class Measured:
    """`pieces`, hashed as they pass. `most`: how many bytes may pass, and what is raised before the one too many.

    A piece is as large as the network or the store gives it, some 64 KB to 1 MB: up to a millisecond of hashing.
    """

    def __init__(
        self, pieces: AsyncIterator[bytes], *, most: tuple[int, AliError] | None = None, with_md5: bool = False
    ) -> None:
        self._pieces = pieces
        self._most = most
        self._size_bytes = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces."""
        async for piece in self._pieces:
            self._size_bytes += len(piece)
            if self._most is not None and self._size_bytes > self._most[0]:
                raise self._most[1]
            self._sha256.update(piece)
            if self._md5 is not None:
                self._md5.update(piece)
            yield piece

    def written(self) -> Written:
        """What has passed."""
        return Written(
            size_bytes=self._size_bytes,
            digest=self._sha256.digest(),
            md5=None if self._md5 is None else self._md5.digest(),
        )
