"""Object storage: named, immutable bytes, in a folder or in a bucket, written and read in pieces.

obstore does the work. Its blocking interface is used, in threads of our own, rather than its asynchronous one: that one
wakes the loop from threads that the loop does not know, also when it is closed (obstore 0.12).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote, urlsplit

from ali.kernel import log
from ali.kernel.cleanup import to_its_end
from ali.kernel.errors import Unavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PIECE_BYTES: Final = 1024 * 1024
"""About how much is read or written at once, and held in memory for each."""
_THREADS: Final = 8
_PROBE: Final = ".probe"
_UNFINISHED: Final = "#1"
"""What obstore puts behind the name of an object in a folder until all of it is there (0.12)."""

Result = TypeVar("Result")


class ObjectsUnavailable(Unavailable):
    """503: the object store does not take or give bytes now."""

    code = "objects_unavailable"


class ObjectMissing(ObjectsUnavailable):
    """503: the database knows of an object that the object store does not have."""

    code = "object_missing"


def checked_objects_url(value: str) -> str:
    """`value` if it names a folder (`file:///…`) or a bucket (`gs://bucket/prefix`). Raises ValueError."""
    parts = urlsplit(value)
    folder = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
    bucket = parts.scheme == "gs" and bool(parts.hostname)
    if not (folder or bucket) or parts.username or parts.query or parts.fragment:
        raise ValueError("object storage is file:///an/absolute/folder or gs://bucket/prefix")
    return value


class Objects:
    """The objects under one URL (as `checked_objects_url` takes it). Nothing is opened before it is used.

    Names are the caller's to choose, unguessable and of letters, digits, `-` and `/` alone. Every method raises
    `ObjectsUnavailable` where the store fails.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="objects")

    @cached_property
    def _store(self) -> "ObjectStore":
        """Made in a thread, when first used."""
        from obstore.store import LocalStore, from_url  # noqa: PLC0415 - 25 ms of import, off the start's budget

        if self._folder is None:
            return from_url(self._url)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return LocalStore(self._folder)

    async def write(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """Write an object from `pieces`, and return its size in bytes. What `pieces` raises comes through.

        The object is there whole or not at all; in a folder it has reached the disk.
        """
        from obstore import open_writer  # noqa: PLC0415 - as above

        writer = await self._do(lambda: open_writer(self._store, name, buffer_size=PIECE_BYTES * 5, max_concurrency=2))
        size = 0
        try:
            async for piece in _gathered(pieces):
                await self._do(partial(writer.write, piece))
                size += len(piece)
            await self._do(writer.close)
        except BaseException as error:  # a cancellation too: it takes back what it has written
            with suppress(ObjectsUnavailable):
                await to_its_end(self._do(partial(writer.__exit__, type(error), error, None)))
            raise
        if self._folder is not None:
            await self._do(partial(_to_disk, self._folder / name))
        return size

    async def read(self, name: str, *, start: int, size: int) -> bytes:
        """`size` bytes (at least one) from `start`."""
        from obstore import get_range  # noqa: PLC0415 - as above

        return bytes(await self._do(lambda: get_range(self._store, name, start=start, length=size)))

    async def open(self, name: str) -> AsyncIterator[bytes]:
        """An object's bytes in pieces. What is wrong with it at once is raised here, before the first piece."""
        from obstore import get  # noqa: PLC0415 - as above

        found = await self._do(lambda: get(self._store, name))
        return self._pieces(iter(found.stream(min_chunk_size=PIECE_BYTES)))

    async def _pieces(self, pieces: Iterator[object]) -> AsyncIterator[bytes]:
        while (piece := await self._do(lambda: next(pieces, None))) is not None:
            yield bytes(piece)  # type: ignore[call-overload] # obstore's own kind of buffer

    async def delete(self, name: str) -> None:
        """Delete an object, and what a process that died has left of it; one that is not there is gone already."""
        from obstore import delete  # noqa: PLC0415 - as above

        def gone() -> None:
            if self._folder is not None:
                (self._folder / f"{name}{_UNFINISHED}").unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                delete(self._store, name)

        await self._do(gone)

    async def probe(self) -> None:
        """Write, read and delete an object: whether the store can be used."""

        async def word() -> AsyncIterator[bytes]:
            yield b"ali"

        name = f"{_PROBE}/{os.urandom(16).hex()}"
        await self.write(name, word())
        await self.read(name, start=0, size=3)
        await self.delete(name)

    async def close(self) -> None:
        """Let the last of what was begun end."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def _do(self, act: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(_told, act))
        except _StoreFailure as failure:
            missing = isinstance(failure.__cause__, FileNotFoundError)
            log.warning("objects.failed", error=type(failure.__cause__).__name__)
            if missing:
                raise ObjectMissing(
                    "The bytes of this are not in the object store. Ask the operator to run `ali doctor`."
                ) from failure
            raise ObjectsUnavailable(
                "The object store does not answer as it should. Try again shortly; the operator can run `ali doctor`."
            ) from failure


class _StoreFailure(Exception):
    """Carries a failure of the store out of its thread; never leaves this module."""


def _told(act: Callable[[], Result]) -> Result:
    from obstore.exceptions import BaseError  # noqa: PLC0415 - as above

    try:
        return act()
    except (BaseError, OSError) as error:
        raise _StoreFailure from error


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`pieces` in fewer and larger ones: each costs a change of threads."""
    waiting: list[bytes] = []
    size = 0
    async for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _to_disk(path: Path) -> None:
    """Have a file and its name survive a loss of power; nobody but its owner reads it."""
    path.chmod(0o600)
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
