"""What the process that reads a store's file reads and writes in the database.

What it does with any tenant's rows is a function of the database; what it does with one file is done as its tenant.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from ali.features.knowledge.chunk import Prepared
from ali.features.knowledge.index import Document, StoreGone, write
from ali.kernel.db import Pool, enter_project
from ali.kernel.ids import uuid7

_TAKE: Final = "select * from ali.take_store_files(%s, make_interval(secs => %s), %s, %s)"
_REPORT: Final = "select * from ali.report_store_files(%s, %s, %s, %s)"
_RELEASE: Final = "select ali.release_store_file(%s, %s, make_interval(secs => %s), %s)"
_FAIL: Final = "select ali.fail_store_file(%s, %s, %s, %s)"

_HOLD: Final = """
select from ali.store_file f
where f.id = %s and f.instance_id = %s and f.status = 'in_progress' for no key update
"""
_SOURCE: Final = """
select x.name, x.object_name, x.size_bytes, x.digest from ali.file x
where x.id = %s and x.state = 'ready' and (x.expires_at is null or x.expires_at > now() or x.holds > 0)
"""
_TWIN: Final = """
update ali.store_document d set state = 'ready'
where d.vector_store_id = %s and d.digest = %s and d.chunking = %s and d.state <> 'gone'
    and exists (select from ali.vector_store s where s.id = d.vector_store_id and s.state = 'ready')
returning d.id, d.pages
"""
_COMPLETE: Final = """
update ali.store_file f set
    status = 'completed', document_id = %s, pages = %s, pages_done = coalesce(%s, 0), ended_at = now(),
    instance_id = null, claimed_at = null, error_code = null, error_message = null
where f.id = %s and f.instance_id = %s and f.status = 'in_progress'
"""

WriteVectors = Callable[[AsyncConnection[Any], UUID, UUID], Awaitable[None]]
"""Writes the vectors of a document that was written just now, in the transaction that did: store, document."""


class Job(NamedTuple):
    """A store's file that this process reads."""

    id: UUID
    vector_store_id: UUID
    organization_id: UUID
    project_id: UUID
    file_id: UUID
    chunking: str
    attempts: int
    """How often its reading was begun, this time included."""


class Source(NamedTuple):
    """The file itself. `digest`: SHA-256 of its bytes, where it is known."""

    name: str
    object_name: str
    size_bytes: int
    digest: bytes | None


class JobLost(Exception):
    """The file is no longer this process's to read: it was taken out, cancelled, or taken over."""


class Book:
    """The jobs of all tenants, for the process `instance_id`. Methods raise `psycopg.Error` and `PoolTimeout`."""

    def __init__(self, pool: Pool, *, instance_id: UUID, dead_after_s: float) -> None:
        self._pool = pool
        self._instance_id = instance_id
        self._dead_after_s = dead_after_s
        self._behind = UUID(int=0)
        """The project that had the last turn."""

    async def take(self, at_most: int) -> list[Job]:
        """Files that wait, or whose process died, which are this process's from now on."""
        rows = await self._rows(_TAKE, self._instance_id, self._dead_after_s, at_most, self._behind)
        jobs = [Job(*row) for row in rows]
        if jobs:
            self._behind = jobs[-1].project_id
        return jobs

    async def report(self, progress: Mapping[UUID, tuple[int, int | None]]) -> set[UUID]:
        """Note pages done and in all; which of these files are still this process's."""
        done = [pages_done for pages_done, _ in progress.values()]
        totals = [pages for _, pages in progress.values()]
        rows = await self._rows(_REPORT, self._instance_id, list(progress), done, totals)
        return {row[0] for row in rows}

    async def release(self, job: UUID, *, pause_s: float, counted: bool) -> None:
        """Let another process, or this one, take it, after a pause. `counted`: the try was one of those it has."""
        await self._rows(_RELEASE, job, self._instance_id, pause_s, counted)

    async def fail(self, job: UUID, *, code: str, message: str) -> bool:
        """It cannot be read. False where it was not this process's any more."""
        return bool((await self._rows(_FAIL, job, self._instance_id, code, message.encode()))[0][0])

    async def source(self, job: Job) -> Source:
        """What is to be read. Raises `JobLost` where the file is not there any more."""
        async with self._pool.connection() as connection, connection.transaction():
            await self._enter(connection, job)
            row = await (await connection.execute(_SOURCE, (job.file_id,))).fetchone()
        if row is None:
            raise JobLost
        name, object_name, size_bytes, digest = row
        return Source(name.decode("utf-8", "replace"), object_name, size_bytes, digest)

    async def link(self, job: Job, digest: bytes) -> bool:
        """Complete the file with the document that its store has of the same content, if there is one.

        Raises `JobLost`.
        """
        async with self._pool.connection() as connection, connection.transaction():
            await self._enter(connection, job)
            held = await connection.execute(_HOLD, (job.id, self._instance_id))
            if await held.fetchone() is None:
                raise JobLost
            twin = await connection.execute(_TWIN, (job.vector_store_id, digest, job.chunking))
            document = await twin.fetchone()
            if document is None:
                return False
            await self._complete(connection, job, document=document[0], pages=document[1])
        return True

    async def complete(
        self,
        job: Job,
        *,
        digest: bytes,
        prepared: Sequence[Prepared],
        pages: int | None,
        write_vectors: WriteVectors | None = None,
    ) -> bool:
        """Write the document and complete the file: both, or neither.

        False where the store has the same content by now, and nothing was written: then `link` it. Raises `JobLost`.
        """
        document = Document(id=uuid7(), digest=digest, chunking=job.chunking, pages=pages)
        try:
            async with self._pool.connection() as connection, connection.transaction():
                await self._enter(connection, job)
                written = await write(connection, store=job.vector_store_id, document=document, prepared=prepared)
                if written.fresh:
                    if write_vectors is not None:
                        await write_vectors(connection, job.vector_store_id, document.id)
                    await self._complete(connection, job, document=document.id, pages=pages)
        except StoreGone as error:
            raise JobLost from error
        return written.fresh

    async def _complete(
        self, connection: AsyncConnection[TupleRow], job: Job, *, document: UUID, pages: int | None
    ) -> None:
        """Raises `JobLost`, which takes back what the transaction has written."""
        done = await connection.execute(_COMPLETE, (document, pages, pages, job.id, self._instance_id))
        if done.rowcount == 0:
            raise JobLost

    async def _enter(self, connection: AsyncConnection[TupleRow], job: Job) -> None:
        await enter_project(connection, organization_id=job.organization_id, project_id=job.project_id)

    async def _rows(self, statement: LiteralString, *values: object) -> Sequence[Sequence[Any]]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(statement, values)).fetchall()
