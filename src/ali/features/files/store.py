"""Files as rows and objects together: written so that neither is ever without the other.

    row `writing` ─► object whole ─► row `ready` ─► row `gone` ─► object deleted ─► row deleted

A crash anywhere leaves a row that leads to the object, and `sweep` finishes what was begun.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
import psycopg_pool
from sqlalchemy import insert, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from ali.features.files import queries
from ali.features.files.models import StoredFile
from ali.features.files.naming import read_file
from ali.features.files.upload import Wishes
from ali.kernel import log
from ali.kernel.db import Pool, enter_tenant
from ali.kernel.errors import PayloadTooLarge
from ali.kernel.ids import uuid7
from ali.kernel.objects import Objects, ObjectsUnavailable

SWEEP_S: Final = 10.0
"""How long the object of a deleted file stays at most, as long as the object store answers."""
_ABANDONED_S: Final = 86_400
"""After which a file that is still being written is taken for one that nobody writes any more."""
_AT_ONCE: Final = 100

_SWEEP: Final = "select id, object_name from ali.sweep_files(make_interval(secs => %s), %s)"
_FORGET: Final = "select ali.forget_files(%s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A file that is being written: nobody sees it yet."""

    id: UUID
    organization_id: UUID
    project_id: UUID
    object_name: str


class FileStore:
    """The files of all projects. `keep_house` must be running somewhere."""

    def __init__(
        self, sessions: async_sessionmaker[AsyncSession], pool: Pool, objects: Objects, *, max_bytes: int
    ) -> None:
        self._sessions = sessions
        self._pool = pool
        self.objects = objects
        self.max_bytes = max_bytes

    async def begin(
        self,
        *,
        organization_id: UUID,
        project_id: UUID,
        purpose: str = "",
        name: str = "",
        ttl_s: int | None = None,
    ) -> Draft:
        """A new file's row, not to be seen yet. `ttl_s`: seconds from now after which it expires (None: never)."""
        draft = Draft(
            id=uuid7(),
            organization_id=organization_id,
            project_id=project_id,
            object_name=f"{project_id.hex}/{secrets.token_hex(16)}",
        )
        async with self._sessions() as session, session.begin():
            await enter_tenant(session, organization_id=organization_id, project_id=project_id)
            await session.execute(
                insert(StoredFile).values(
                    id=draft.id,
                    organization_id=organization_id,
                    project_id=project_id,
                    purpose=purpose,
                    name=name.encode(),
                    object_name=draft.object_name,
                    state="writing",
                    expires_at=_moment(ttl_s),
                )
            )
        return draft

    async def write(self, draft: Draft, pieces: AsyncIterator[bytes], *, max_bytes: int | None = None) -> int:
        """Write the file's bytes, at most `max_bytes` of them (None: as many as there are), and return how many.

        Raises `PayloadTooLarge`, `ObjectsUnavailable`, and what `pieces` raises.
        """
        return await self.objects.write(
            draft.object_name, pieces if max_bytes is None else _capped(pieces, max_bytes=max_bytes)
        )

    async def finish(self, draft: Draft, wishes: Wishes, *, size_bytes: int) -> StoredFile:
        """Show the file, whose bytes are written."""
        async with self._sessions() as session, session.begin():
            await enter_tenant(session, organization_id=draft.organization_id, project_id=draft.project_id)
            row: StoredFile | None = await session.scalar(
                update(StoredFile)
                .where(StoredFile.id == draft.id, StoredFile.state == "writing")
                .values(
                    state="ready",
                    name=wishes.name.encode(),
                    purpose=wishes.purpose,
                    expires_at=_moment(wishes.ttl_s),
                    size_bytes=size_bytes,
                )
                .returning(StoredFile)
            )
        if row is None:
            raise queries.missing()
        return row

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
        return own_name, await self.objects.read(object_name, start=0, size=size)

    async def measure(self, draft: Draft, *, size_bytes: int) -> None:
        """Note the size of a file that somebody else will show."""
        await self._change(draft, size_bytes=size_bytes)

    async def abandon(self, draft: Draft) -> None:
        """Give up a file that is being written, and leave nothing of it. What cannot be done now is swept later."""
        try:
            await self._change(draft, state="gone")
            await self._clear(((draft.id, draft.object_name),))
        except (SQLAlchemyError, psycopg.Error, psycopg_pool.PoolTimeout, ObjectsUnavailable) as error:
            log.warning("files.abandon_failed", error_type=type(error).__name__)

    async def _change(self, draft: Draft, **values: object) -> None:
        async with self._sessions() as session, session.begin():
            await enter_tenant(session, organization_id=draft.organization_id, project_id=draft.project_id)
            await session.execute(
                update(StoredFile).where(StoredFile.id == draft.id, StoredFile.state == "writing").values(**values)
            )

    async def keep_house(self) -> None:
        """Clear away what has expired, was deleted or given up. Runs until cancelled."""
        while True:
            try:
                while await self.sweep() == _AT_ONCE:
                    pass
            except (psycopg.Error, psycopg_pool.PoolTimeout, ObjectsUnavailable) as error:
                log.warning("files.sweep_failed", error_type=type(error).__name__)
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> int:
        """Clear away some files, and return how many there were. Several processes may do so at once."""
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


def _moment(ttl_s: int | None) -> datetime | None:
    return None if ttl_s is None else datetime.now(UTC) + timedelta(seconds=ttl_s)


async def _capped(pieces: AsyncIterator[bytes], *, max_bytes: int) -> AsyncIterator[bytes]:
    left = max_bytes
    async for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise PayloadTooLarge(
                f"The file is larger than the {max_bytes} bytes that this service takes. Send it in several files, or "
                "ask the operator to raise ALI_MAX_FILE_BYTES."
            )
        yield piece
