"""The parent's side of reading: a few child processes, each with one document at a time.

A document that crashes, hangs or fills its reader ends that child alone. Children start with the first document, end
after some, and end when none has come for a while, so that an installation at rest does not hold their memory.
"""

import asyncio
import os
import signal
import sys
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, overload

import msgspec

import ali
from ali.features.knowledge.chunk import Prepared
from ali.features.knowledge.reading.failures import FAULT, INVALID, ReadingFailed
from ali.features.knowledge.reading.frames import LENGTH, MAX_FRAME_BYTES, PLACE_BYTES, PLACES, Event, Order, framed
from ali.kernel import log

_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TESSDATA_PREFIX")
_PROGRAM = "from ali.features.knowledge.reading.worker import main; main()"
_SOURCE = str(Path(ali.__file__).resolve().parent.parent)
_START_S = 20.0
_GRACE_S = 5.0
_IDLE_S = 60.0
_SHOWN_NAME = 100
_CRASH: Final = {
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP),
    *(signal.SIGSYS, signal.SIGXFSZ),
}
_TOO_LONG: Final = {signal.SIGALRM, signal.SIGPROF, signal.SIGVTALRM, signal.SIGXCPU}


class _ChildDied(Exception):
    """The child ended before it had carried out its order."""


class PreparedChunks(Sequence[Prepared]):
    """A document's chunks, read and decoded as they are asked for: they lie in a file without a name, not in memory.

    The file is open as long as this is. Raises `ValueError` where it is not what `count` chunks look like.
    """

    def __init__(self, handle: int, *, count: int) -> None:
        weakref.finalize(self, os.close, handle)
        self._handle = handle
        self._decode = msgspec.msgpack.Decoder(Prepared).decode
        end = os.fstat(handle).st_size - count * PLACE_BYTES
        self._places = array(PLACES, os.pread(handle, count * PLACE_BYTES, max(end, 0)))
        if len(self._places) != count or not count or self._places[0] or end <= self._places[-1]:
            raise ValueError("the chunks are not whole")
        self._places.append(end)

    def __len__(self) -> int:
        return len(self._places) - 1

    @overload
    def __getitem__(self, index: int) -> Prepared: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Prepared]: ...
    def __getitem__(self, index: int | slice) -> Prepared | Sequence[Prepared]:
        numbers = range(len(self))[index]
        return self._at(numbers) if isinstance(numbers, int) else [self._at(number) for number in numbers]

    def __iter__(self) -> Iterator[Prepared]:
        return map(self._at, range(len(self)))

    def _at(self, number: int) -> Prepared:
        start, end = self._places[number], self._places[number + 1]
        return self._decode(os.pread(self._handle, end - start, start))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A document as it was read: at most 50,000 chunks, in its order; `pages` is None where it has none."""

    prepared: Sequence[Prepared]
    pages: int | None
    characters: int


class Reader:
    """Reads documents, at most `processes` at once; others wait.

    One may take `document_s` seconds. A child is replaced after `documents_per_child`. Start-up is lazy.
    """

    def __init__(self, *, processes: int = 2, document_s: float = 3600.0, documents_per_child: int = 200) -> None:
        self._document_s = document_s
        self._documents_per_child = documents_per_child
        self._turns = asyncio.Semaphore(processes)
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._closed = False

    async def read(
        self,
        source: Path,
        *,
        name: str,
        chunking: str,
        key: bytes,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Reading:
        """Read, cut and analyse the file at `source`, which its owner called `name`.

        `chunking`: `auto`, or SIZE/OVERLAP in tokens. `key`: the project's, for the index. `on_progress` is told (pages
        done, pages in all) of documents that have pages. Raises `ReadingFailed`. When cancelled, the child is killed at
        once.
        """
        shown = name if len(name) <= _SHOWN_NAME else name[:_SHOWN_NAME] + "…"
        async with self._turns:
            if self._closed:
                raise ReadingFailed(FAULT, "The service is going down. Try again.")
            with _result_file() as result:
                order = Order(source=str(source), result=str(result), name=shown, chunking=chunking, key=key)
                ended = await self._carried_out(order, on_progress or (lambda _done, _pages: None))
                if ended.kind == "failed":
                    raise ReadingFailed(ended.code, ended.message)
                return Reading(prepared=_chunks(result, ended), pages=ended.pages, characters=ended.characters)

    async def _carried_out(self, order: Order, on_progress: Callable[[int, int], None]) -> Event:
        """The last event of an order."""
        child = await self._free_child()
        self._busy.add(child)
        whole = False
        try:
            async with asyncio.timeout(self._document_s + _GRACE_S):
                ended = await child.carry_out(order, on_progress)
            whole = not ended.last
        except TimeoutError:
            ended = Event(kind="failed", code=INVALID, message=_slow(order.name))
        except _ChildDied:
            ended = await self._death_of(child, order.name)
        finally:
            self._busy.discard(child)
            if whole and not self._closed:
                self._idle.append(child)
                child.end_after(_IDLE_S, self._forget)
            else:
                await asyncio.shield(child.end())
        return ended

    async def _free_child(self) -> "_Child":
        """A child without an order; those that have ended meanwhile are let go."""
        while self._idle:
            child = self._idle.pop()
            child.keep()
            if child.process.returncode is None:
                return child
            await child.end()
        return await _started(document_s=self._document_s, documents=self._documents_per_child)

    async def _death_of(self, child: "_Child", name: str) -> Event:
        """Why a child died, as far as its end tells."""
        await child.end()
        ended_by = -(child.process.returncode or 0)
        log.warning("reading.process_died", signal=ended_by)
        if ended_by in _TOO_LONG:
            return Event(kind="failed", code=INVALID, message=_slow(name))
        if ended_by in _CRASH:
            return Event(
                kind="failed",
                code=INVALID,
                message=f"{name} crashes the reader, or needs more memory than a file of its size may take. "
                "Save it anew, as PDF or text.",
            )
        return Event(
            kind="failed",
            code=FAULT,
            # Not by what is in the file: its own limits end the process in other ways.
            message=f"The process that read {name} was killed, perhaps for lack of memory. Add it anew.",
        )

    def _forget(self, child: "_Child") -> None:
        with suppress(ValueError):
            self._idle.remove(child)

    async def close(self) -> None:
        """End all children, busy ones too."""
        self._closed = True
        for child in [*self._idle, *self._busy]:
            await child.end()
        self._idle.clear()


class _Child:
    """One process, and the pipe to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._end: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    async def carry_out(self, order: Order, on_progress: Callable[[int, int], None]) -> Event:
        """The last event of an order. Raises `_ChildDied`."""
        assert self.process.stdin is not None  # noqa: S101 - it was started with pipes
        try:
            self.process.stdin.write(framed(msgspec.msgpack.encode(order)))
            await self.process.stdin.drain()
            while True:
                event = await self.next_event()
                if event.kind in {"done", "failed"}:
                    return event
                if event.kind == "progress" and event.pages is not None:
                    on_progress(event.done, event.pages)
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError) as error:
            raise _ChildDied from error

    async def next_event(self) -> Event:
        """What the child says next."""
        assert self.process.stdout is not None  # noqa: S101 - it was started with pipes
        (length,) = LENGTH.unpack(await self.process.stdout.readexactly(LENGTH.size))
        if length > MAX_FRAME_BYTES:
            raise ConnectionError("the child speaks nonsense")
        return msgspec.msgpack.decode(await self.process.stdout.readexactly(length), type=Event)

    def end_after(self, seconds: float, forget: Callable[["_Child"], None]) -> None:
        """End it when it has had nothing to do for so long."""

        def expire() -> None:
            forget(self)
            self._ending = asyncio.get_running_loop().create_task(self.end())

        self._end = asyncio.get_running_loop().call_later(seconds, expire)

    def keep(self) -> None:
        """It has something to do."""
        if self._end is not None:
            self._end.cancel()
            self._end = None

    async def end(self) -> None:
        """Kill the process and what it started, and wait for its end."""
        self.keep()
        if self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


async def _started(*, document_s: float, documents: int) -> _Child:
    """A child that said it is ready. Raises `ReadingFailed`."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment |= {"PYTHONPATH": _SOURCE, "MALLOC_ARENA_MAX": "1"}
    child = None
    try:
        child = _Child(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-c",
                _PROGRAM,
                str(document_s),
                str(documents),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # so that what it starts can be killed with it
            )
        )
        async with asyncio.timeout(_START_S):
            await child.next_event()
    except BaseException as error:
        if child is not None:
            await asyncio.shield(child.end())
        if isinstance(error, OSError | asyncio.IncompleteReadError | TimeoutError | msgspec.DecodeError):
            raise ReadingFailed(
                FAULT, f"The process that reads documents does not start ({type(error).__name__}). Try again later."
            ) from error
        raise
    return child


def _slow(name: str) -> str:
    return f"{name} takes too long to read. Split it, or save it anew, as PDF or text."


class _result_file:  # noqa: N801 - reads as a statement: with _result_file() as path
    """A file for a child to write to, gone afterwards: what reads it has it open by then."""

    def __enter__(self) -> Path:
        handle, path = tempfile.mkstemp(prefix="ali-reading-")
        os.close(handle)
        self.path = Path(path)
        return self.path

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)


def _chunks(result: Path, ended: Event) -> PreparedChunks:
    """The chunks that a child wrote. Raises `ReadingFailed` where they are not what it said."""
    try:
        return PreparedChunks(os.open(result, os.O_RDONLY | os.O_CLOEXEC), count=ended.chunks)
    except (ValueError, OSError) as error:
        raise ReadingFailed(FAULT, f"What was read could not be kept ({type(error).__name__}). Try again.") from error
