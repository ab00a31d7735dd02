"""The child process in which documents are read, cut and analysed: one order in, events out, until its input ends.

Started by `reader` with an environment that holds no secrets. What a document may take is limited by the kernel, step
by step: memory in proportion to the file's size, processor time for each step, and the size of what is written. A
process that was hurt by a document ends, and the parent starts another.
"""

import ctypes
import os
import resource
import signal
import sys
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from ali.features.knowledge.analysis import index_terms
from ali.features.knowledge.chunk import Prepared
from ali.features.knowledge.reading.content import is_empty
from ali.features.knowledge.reading.cutting import chunks_of, read_chunking
from ali.features.knowledge.reading.failures import FAULT, INVALID, ReadingFailed
from ali.features.knowledge.reading.frames import LENGTH, MAX_FRAME_BYTES, PLACES, Event, Order, framed
from ali.features.knowledge.reading.opening import read_content
from ali.features.knowledge.reading.recognition import Recognition
from ali.features.knowledge.reading.watch import Watch

MAX_CHUNKS = 50_000
_HARD_MEMORY_BYTES = 2 << 30
_BASE_BYTES = 48 << 20
_BYTES_PER_BYTE = 8
_MAX_RESULT_BYTES = 2 << 30
_OPEN_FILES = 64
_TIRED_BYTES = 256 << 20
"""A process that a document has left larger than this ends."""
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_PROGRESS_PAGES = 10


def main() -> None:
    """Carry out the parent's orders. `argv[1]`: seconds allowed to each; `argv[2]`: how many, before it ends."""
    deadline_s, documents = int(float(sys.argv[1])), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    orders = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not break the framing
    _confine()
    recognition = Recognition()
    _tell(events, Event(kind="ready"))
    for number in range(1, documents + 1):
        head = orders.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return
        body = orders.read(min(LENGTH.unpack(head)[0], MAX_FRAME_BYTES))
        order = msgspec.msgpack.decode(body, type=Order)
        signal.alarm(deadline_s)
        ended, hurt = _carry_out(order, recognition=recognition, events=events)
        signal.alarm(0)
        last = hurt or number == documents or _resident_bytes() > _TIRED_BYTES
        _tell(events, msgspec.structs.replace(ended, last=last))
        if last:
            return


def _confine() -> None:
    """Limits that hold for the life of the process."""
    with suppress(ValueError, OSError):  # not every system can limit address space
        resource.setrlimit(resource.RLIMIT_AS, (_HARD_MEMORY_BYTES, _HARD_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no document on the disk
    for limit, most in ((resource.RLIMIT_FSIZE, _MAX_RESULT_BYTES), (resource.RLIMIT_NOFILE, _OPEN_FILES)):
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _carry_out(order: Order, *, recognition: Recognition, events: IO[bytes]) -> tuple[Event, bool]:
    """How an order ended, and whether this process was hurt by it."""
    watch = Watch()
    try:
        _allow(_BASE_BYTES + _BYTES_PER_BYTE * Path(order.source).stat().st_size)
        return _read(order, recognition=recognition, watch=watch, events=events), False
    except ReadingFailed as failure:
        return Event(kind="failed", code=failure.code, message=failure.message), False
    except (MemoryError, RecursionError):
        message = f"{order.name} needs more memory to be read than a file of its size may take. Save it anew, in parts."
        return Event(kind="failed", code=INVALID, message=message), True
    except OSError as failure:
        message = f"The file could not be read here ({type(failure).__name__}). Try again."
        return Event(kind="failed", code=FAULT, message=message), True
    except Exception as failure:  # noqa: BLE001 - the boundary of the process: whatever it is, the parent must hear
        message = f"Reading {order.name} failed ({type(failure).__name__}). This is a fault of the service."
        return Event(kind="failed", code=FAULT, message=message), True
    finally:
        watch.pause()
        _allow(None)


def _read(order: Order, *, recognition: Recognition, watch: Watch, events: IO[bytes]) -> Event:
    """Read, cut, analyse, write. Half of the progress is reading, half is the rest. Raises `ReadingFailed`."""
    tokens = read_chunking(order.chunking)
    content = read_content(
        Path(order.source), name=order.name, recognition=recognition, watch=watch, on_page=_progress(events, half=0)
    )
    if is_empty(content.pages):
        raise ReadingFailed(INVALID, f"{order.name} has no text.")
    characters = sum(map(len, content.pages))
    watch.step(watch.by_size_s(4 * characters))
    pages = len(content.pages) if content.paged else None
    tell = _progress(events, half=1)
    encode = msgspec.msgpack.Encoder().encode
    places = array(PLACES)
    with Path(order.result).open("wb") as result:
        for chunk in chunks_of(content, tokens=tokens):
            if len(places) == MAX_CHUNKS:
                raise ReadingFailed(INVALID, f"{order.name} has more than {MAX_CHUNKS:,} passages. Split it.")
            places.append(result.tell())
            result.write(encode(Prepared(chunk=chunk, analysed=index_terms(chunk, key=order.key))))
            if pages and chunk.spans[-1].page:
                tell(chunk.spans[-1].page, pages)
        result.write(places.tobytes())
    return Event(kind="done", pages=pages, chunks=len(places), characters=characters)


def _progress(events: IO[bytes], *, half: int) -> Callable[[int, int], None]:
    """Tells the parent of pages: read in the first half, cut in the second."""
    told = 0

    def on_page(done: int, pages: int) -> None:
        nonlocal told
        now = (done + half * pages) // 2
        if now >= told + max(1, min(_PROGRESS_PAGES, pages // 100)):
            told = now
            _tell(events, Event(kind="progress", done=now, pages=pages))

    return on_page


def _allow(more_bytes: int | None) -> None:
    """Let this process grow by so much; None: up to its hard limit."""
    soft = _HARD_MEMORY_BYTES
    if more_bytes is not None:
        soft = min(soft, _statm(0) + more_bytes)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (soft, _HARD_MEMORY_BYTES))


def _resident_bytes() -> int:
    return _statm(1)


def _statm(field: int) -> int:
    """Of the process's memory: 0 its address space, 1 what is resident; 0 bytes where the system does not tell."""
    try:
        with Path("/proc/self/statm").open(encoding="ascii") as file:
            return int(file.read().split()[field]) * resource.getpagesize()
    except OSError:
        return 0


def _tell(events: IO[bytes], event: Event) -> None:
    events.write(framed(msgspec.msgpack.encode(event)))
    events.flush()
