"""The reading of one file of a store, from its claim to its end, or to where another process takes it on.

    in_progress ─► completed   its store has the same content already, or: downloaded, read, written, at once
         ├───────► failed      it cannot be read, or its reading has stopped its readers too often
         └─ taken out, cancelled, its store deleted: the reading is stopped, and nothing is left of it

All that a reading makes is written in one transaction, which also completes the file: a crash anywhere costs the
reading, which another process begins anew, and leaves nothing behind.
"""

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

import psycopg
import psycopg_pool

from ali.features.files.naming import file_name
from ali.features.knowledge.account import Account
from ali.features.knowledge.chunk import Prepared
from ali.features.knowledge.index import index_key
from ali.features.knowledge.ingestion.book import Book, Job, JobLost, Source, WriteVectors
from ali.features.knowledge.naming import store_name
from ali.features.knowledge.reading import Reader, ReadingFailed
from ali.kernel import log
from ali.kernel.objects import ObjectMissing, Objects, ObjectsUnavailable
from ali.kernel.telemetry import Metrics

MOST_FAULTS: Final = 3
"""So often a file is tried whose reader ends without being done with it."""
MOST_ATTEMPTS: Final = 6
"""So often the reading of a file is begun; also by processes that die at it, which cannot tell why."""
_PAUSE_S: Final = 10.0
_FAULT_PAUSE_S: Final = 2.0
_AWAY: Final = (psycopg.Error, psycopg_pool.PoolTimeout, ObjectsUnavailable, OSError)
"""What may pass, and is no fault of the file's: the database, the object store, this machine's disk."""

Progress = dict[UUID, tuple[int, int | None]]
"""Pages done and in all, by job."""


class VectorMaker(Protocol):
    """Makes the vectors of documents, where a model is configured that does."""

    async def make(self, prepared: Sequence[Prepared], *, account: Account) -> WriteVectors:
        """The vectors of a document's chunks, or as many as there can be now, and how they are written."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What readings share. `scratch`: a folder of this process for what is being read."""

    book: Book
    objects: Objects
    reader: Reader
    vectors: VectorMaker | None
    metrics: Metrics
    hmac_secret: bytes
    scratch: Path


async def carry_out(job: Job, means: Means, progress: Progress) -> None:
    """Read the file to its end, or leave it to be read again. Raises what is a bug."""
    began_s = time.monotonic()
    try:
        outcome = await _read(job, means, progress)
    except JobLost:
        await means.book.release(job.id, pause_s=_PAUSE_S, counted=False)  # of a file that expires just now
        _told(job, means, "dropped", began_s=began_s)
    except ObjectMissing:
        await _fail(job, means, ReadingFailed("server_error", "The bytes of this file are lost. Upload it anew."))
    except ReadingFailed as failure:
        if failure.code == "server_error" and job.attempts < MOST_FAULTS:
            await means.book.release(job.id, pause_s=_FAULT_PAUSE_S * job.attempts, counted=True)
            _told(job, means, "tried_again", began_s=began_s)
        else:
            await _fail(job, means, failure, began_s=began_s)
    except _AWAY as error:
        log.warning("store_file.paused", file=file_name(job.file_id), error_type=type(error).__name__)
        await means.book.release(job.id, pause_s=_PAUSE_S, counted=False)
    else:
        _told(job, means, outcome, began_s=began_s)


async def _read(job: Job, means: Means, progress: Progress) -> str:
    """What became of it: `completed`, or `linked` to a document that was there."""
    book = means.book
    if job.attempts > MOST_ATTEMPTS:
        raise ReadingFailed("server_error", "Reading this file has stopped the service several times.")
    source = await book.source(job)
    if source.digest is not None and await book.link(job, source.digest):
        return "linked"

    def on_progress(done: int, pages: int) -> None:
        progress[job.id] = done, pages

    with _new_file(means.scratch) as path:
        digest = await _download(means.objects, source, path)
        if source.digest is None and await book.link(job, digest):
            return "linked"
        reading = await means.reader.read(
            path,
            name=source.name,
            chunking=job.chunking,
            key=index_key(means.hmac_secret, project_id=job.project_id),
            on_progress=on_progress,
        )
    write_vectors = None
    if means.vectors is not None:
        account = Account(organization_id=job.organization_id, project_id=job.project_id)
        write_vectors = await means.vectors.make(reading.prepared, account=account)
    while not await book.complete(
        job, digest=digest, prepared=reading.prepared, pages=reading.pages, write_vectors=write_vectors
    ):
        if await book.link(job, digest):
            return "linked"
    return "completed"


@contextmanager
def _new_file(folder: Path) -> Iterator[Path]:
    """An empty file, gone at the end."""
    descriptor, path = tempfile.mkstemp(dir=folder)
    os.close(descriptor)
    try:
        yield Path(path)
    finally:
        Path(path).unlink(missing_ok=True)


async def _download(objects: Objects, source: Source, path: Path) -> bytes:
    """Bring the file here; its digest. Raises `ObjectsUnavailable`, `OSError`."""
    digest = hashlib.sha256()
    loop = asyncio.get_running_loop()
    with path.open("wb", buffering=0) as file:
        if source.size_bytes:
            async for piece in await objects.open(source.object_name):
                await loop.run_in_executor(None, _take, piece, file.fileno(), digest)
    return digest.digest()


def _take(piece: bytes, descriptor: int, digest: "hashlib._Hash") -> None:
    digest.update(piece)
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


async def _fail(job: Job, means: Means, failure: ReadingFailed, *, began_s: float | None = None) -> None:
    if await means.book.fail(job.id, code=failure.code, message=failure.message):
        _told(job, means, "failed", began_s=began_s, code=failure.code)


def _told(job: Job, means: Means, outcome: str, *, began_s: float | None = None, code: str | None = None) -> None:
    means.metrics.store_files.labels(outcome).inc()
    elapsed_s = 0.0 if began_s is None else time.monotonic() - began_s
    if outcome in ("completed", "failed"):
        means.metrics.store_file_seconds.observe(elapsed_s)
    log.info(
        "store_file.ended",
        outcome=outcome,
        code=code,
        file=file_name(job.file_id),
        vector_store=store_name(job.vector_store_id),
        project=job.project_id.hex,
        attempt=job.attempts,
        duration_ms=int(elapsed_s * 1000),
    )
