"""Files as rows and objects together: written so that neither is ever without the other.

    row `writing` ─► object whole ─► row `ready` ─► row `gone` ─► object deleted ─► row deleted

A crash anywhere leaves a row that leads to the object, and `sweep` finishes what was begun. A file of bytes that the
project has already comes to share their object, and the one just written is cleared away (`sharing`).
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import psycopg
import psycopg_pool
from sqlalchemy import insert, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from ali.features.files import queries
from ali.features.files.draft import Draft, Measured, Written
from ali.features.files.models import StoredFile
from ali.features.files.naming import read_file
from ali.features.files.sharing import Spare, enter_files_of, shared, taken_bytes
from ali.features.files.wishes import Wishes
from ali.kernel import log
from ali.kernel.db import Pool, enter_tenant
from ali.kernel.errors import AliError, InvalidRequest, PayloadTooLarge
from ali.kernel.ids import uuid7
from ali.kernel.objects import ObjectMissing, Objects, ObjectsUnavailable
from ali.kernel.telemetry import Metrics

SWEEP_S: Final = 10.0
"""How long the object of a deleted file stays at most, as long as the object store answers."""
_ABANDONED_S: Final = 86_400
"""After which a file that is still being written is taken for one that nobody writes any more."""
_AT_ONCE: Final = 100
_TOO_LARGE: Final = (
    "The file is larger than the {} bytes that this service takes at once. Send it in parts (POST /v1/uploads) or in "
    "several files, or ask the operator to raise ALI_MAX_FILE_BYTES."
)

_FORGET_UPLOADS_S: Final = 86_400
"""How long it is known of an upload, beyond its end, what became of it."""
_SWEEP: Final = "select id, object_name from ali.sweep_files(make_interval(secs => %s), %s)"
_FORGET: Final = "select ali.forget_files(%s)"
_FORGET_UPLOADS: Final = "select ali.forget_uploads(make_interval(secs => %s))"


class StorageQuotaExceeded(InvalidRequest):
    """400: the project's files have as many bytes together as they may."""

    code = "storage_quota_exceeded"
    anthropic_code = code


class FileStore:
    """The files of all projects. `keep_house` must be running somewhere.

    `max_bytes`: of one uploaded file. `max_project_bytes`: of all files of a project together (None: no limit).
    """

    def __init__(
        self,
        sessions: async_sessionmaker[AsyncSession],
        pool: Pool,
        objects: Objects,
        *,
        max_bytes: int,
        max_project_bytes: int | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._sessions = sessions
        self._pool = pool
        self.objects = objects
        self.max_bytes = max_bytes
        self._max_project_bytes = max_project_bytes
        self._metrics = metrics

    async def begin(
        self,
        *,
        organization_id: UUID,
        project_id: UUID,
        purpose: str = "",
        name: str = "",
        ttl_s: int | None = None,
        upload_id: UUID | None = None,
        counted: bool = False,
    ) -> Draft:
        """A new file's row, not to be seen yet. `ttl_s`: seconds from now after which it expires (None: never).

        `counted`: somebody sends it, so it must fit into what the project may keep. Raises `StorageQuotaExceeded`.
        """
        draft = Draft(
            id=uuid7(),
            organization_id=organization_id,
            project_id=project_id,
            object_name=f"{project_id.hex}/{secrets.token_hex(16)}",
            counted=counted,
        )
        async with self._sessions() as session, session.begin():
            await enter_tenant(session, organization_id=organization_id, project_id=project_id)
            if counted and self._max_project_bytes is not None:
                room_bytes = self._max_project_bytes - await taken_bytes(session, project_id)
                if room_bytes <= 0:
                    raise self._full()
                draft = replace(draft, room_bytes=room_bytes)
            await session.execute(
                insert(StoredFile).values(
                    id=draft.id,
                    organization_id=organization_id,
                    project_id=project_id,
                    purpose=purpose,
                    name=name.encode(),
                    object_name=draft.object_name,
                    upload_id=upload_id,
                    state="writing",
                    expires_at=moment_in(ttl_s),
                )
            )
        return draft

    async def require_room(self, session: AsyncSession, project_id: UUID, *, size_bytes: int) -> None:
        """Raises `StorageQuotaExceeded` where so much more does not fit now."""
        most = self._max_project_bytes
        if most is not None and await taken_bytes(session, project_id) + size_bytes > most:
            raise self._full()

    async def write(
        self,
        draft: Draft,
        pieces: AsyncIterator[bytes],
        *,
        max_bytes: int | None = None,
        too_large: str = _TOO_LARGE,
        with_md5: bool = False,
    ) -> Written:
        """Write the file's bytes, at most `max_bytes` of them (None: as many as there are); else it is `too_large`.

        Raises `PayloadTooLarge`, `StorageQuotaExceeded`, `ObjectsUnavailable`, and what `pieces` raises.
        """
        bounds: list[tuple[int, AliError]] = []
        if max_bytes is not None:
            bounds.append((max_bytes, PayloadTooLarge(too_large.format(max_bytes))))
        if draft.room_bytes is not None:
            bounds.append((draft.room_bytes, self._full()))
        measured = Measured(pieces, most=min(bounds, key=itemgetter(0), default=None), with_md5=with_md5)
        await self.objects.write(draft.object_name, measured.pieces())
        return measured.written()

    async def finish(self, draft: Draft, wishes: Wishes, written: Written) -> StoredFile:
        """Show the file, whose bytes are written. Raises `StorageQuotaExceeded`."""
        async with self._sessions() as session, session.begin():
            await enter_tenant(session, organization_id=draft.organization_id, project_id=draft.project_id)
            row, spare = await self.finish_in(session, draft, wishes, written)
        await self.clear_spare(spare)
        return row

    async def finish_in(
        self, session: AsyncSession, draft: Draft, wishes: Wishes, written: Written
    ) -> tuple[StoredFile, Spare | None]:
        """As `finish`, within the caller's transaction, after which `clear_spare` is to have what else comes of it."""
        await enter_files_of(session, draft.project_id)
        if draft.counted:
            await self.require_room(session, draft.project_id, size_bytes=written.size_bytes)
        object_name, spare = await shared(session, draft, written)
        row: StoredFile | None = await session.scalar(
            update(StoredFile)
            .where(StoredFile.id == draft.id, StoredFile.state == "writing")
            .values(
                state="ready",
                name=wishes.name.encode(),
                purpose=wishes.purpose,
                media_type=wishes.media_type,
                expires_at=moment_in(wishes.ttl_s),
                size_bytes=written.size_bytes,
                digest=written.digest,
                object_name=object_name,
            )
            .returning(StoredFile)
        )
        if row is None:
            raise queries.missing()
        if self._metrics is not None:
            self._metrics.file_bytes.labels("shared" if spare else "stored").inc(written.size_bytes)
        return row, spare

    async def clear_spare(self, spare: Spare | None) -> None:
        """Delete an object that a file did not come to need. What cannot be done now is swept later."""
        if spare is not None:
            await self._clear_if_possible(spare)

    async def fetch(
        self, *, organization_id: UUID, project_id: UUID, name: str, most_bytes: int, param: str
    ) -> tuple[str, bytes]:
        """A file's own name and its bytes, by the identifier that callers know it by.

        Raises `FileMissing`, `PayloadTooLarge` for one of more than `most_bytes`, `ObjectsUnavailable`.
        """
        async with self._sessions() as session, session.begin():
            await enter_tenant(session, organization_id=organization_id, project_id=project_id)
            row = await queries.found(session, project_id, read_file(name), param=param)
            own_name, size, object_name = row.name.decode(), row.size_bytes or 0, row.object_name
        if size > most_bytes:
            raise PayloadTooLarge(
                f"The file has {size} bytes, and only {most_bytes} can be shown to a model here. Send a smaller one.",
                param=param,
            )
        if not size:
            return own_name, b""
        try:
            return own_name, await self.objects.read(object_name, start=0, size=size)
        except ObjectMissing:  # deleted a moment ago, or lost
            async with self._sessions() as session, session.begin():
                await enter_tenant(session, organization_id=organization_id, project_id=project_id)
                await queries.found(session, project_id, read_file(name), param=param)
            raise

    async def measure(self, draft: Draft, written: Written) -> None:
        """Note what was written of a file that somebody else will show."""
        await self._change(draft, size_bytes=written.size_bytes, digest=written.digest)

    async def abandon(self, draft: Draft) -> None:
        """Give up a file that is being written, and leave nothing of it. What cannot be done now is swept later.

        A file that is shown already, whatever its maker has heard of that, stays.
        """
        try:
            if await self._change(draft, state="gone"):
                await self._clear_if_possible(Spare(draft.id, draft.object_name))
        except SQLAlchemyError as error:
            log.warning("files.abandon_failed", error_type=type(error).__name__)

    async def _clear_if_possible(self, spare: Spare) -> None:
        try:
            await self._clear((spare,))
        except (psycopg.Error, psycopg_pool.PoolTimeout, ObjectsUnavailable) as error:
            log.warning("files.clear_failed", error_type=type(error).__name__)

    async def _change(self, draft: Draft, **values: object) -> bool:
        async with self._sessions() as session, session.begin():
            await enter_tenant(session, organization_id=draft.organization_id, project_id=draft.project_id)
            changed = await session.scalar(
                update(StoredFile)
                .where(StoredFile.id == draft.id, StoredFile.state == "writing")
                .values(**values)
                .returning(StoredFile.id)
            )
        return changed is not None

    async def keep_house(self) -> None:
        """Clear away what has expired, was deleted or given up. Runs until cancelled."""
        while True:
            try:
                while await self.sweep():
                    pass
                async with self._pool.connection() as connection:
                    await connection.execute(_FORGET_UPLOADS, (_FORGET_UPLOADS_S,))
            except (psycopg.Error, psycopg_pool.PoolTimeout, ObjectsUnavailable) as error:
                log.warning("files.sweep_failed", error_type=type(error).__name__)
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> int:
        """Clear away some files, and return of how many the bytes were deleted. Several processes may do so at once."""
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_SWEEP, (_ABANDONED_S, _AT_ONCE))).fetchall()
        await self._clear(rows)
        return len(rows)

    async def _clear(self, rows: Iterable[Sequence[Any]]) -> None:
        """Delete objects, and then the rows that lead to them: identifiers and names of objects."""
        gone = []
        try:
            for file_id, object_name in rows:
                await self.objects.delete(object_name)
                gone.append(file_id)
        finally:
            if gone:
                async with self._pool.connection() as connection:
                    await connection.execute(_FORGET, (gone,))
                log.info("files.swept", files=len(gone))

    def _full(self) -> StorageQuotaExceeded:
        return StorageQuotaExceeded(
            f"The files of a project have at most {self._max_project_bytes} bytes together here, and this one does not "
            "fit. Delete files that are not needed, or ask the operator to raise ALI_MAX_PROJECT_FILE_BYTES."
        )


def moment_in(ttl_s: int | None) -> datetime | None:
    """So many seconds from now; None stays None."""
    return None if ttl_s is None else datetime.now(UTC) + timedelta(seconds=ttl_s)
