"""A file sent in parts: begun, sent part by part, and made one file of, or given up.

A part is a file that nobody sees, and expires with its upload; so what becomes of its bytes, whatever dies, is the
store's to know. In the end the parts are copied into one object, a piece at a time, and one transaction shows the file,
gives up the parts and completes the upload.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from ali.features.files.draft import Draft, Written
from ali.features.files.form import FileForm
from ali.features.files.models import StoredFile, Upload
from ali.features.files.naming import UPLOAD_PART, file_name
from ali.features.files.queries import alive
from ali.features.files.store import FileStore
from ali.features.files.wishes import Wishes
from ali.kernel.db import enter_tenant
from ali.kernel.errors import InvalidRequest, NotFound, PayloadTooLarge
from ali.kernel.ids import uuid7
from ali.kernel.objects import ObjectMissing

MOST_PART_BYTES: Final = 64 * 1024 * 1024
"""Source: OpenAI's API reference, "Uploads"; as is the hour."""
UPLOAD_TTL_S: Final = 3600
_COMPLETION_TTL_S: Final = 3600
"""What completing an upload at its last moment has, before its parts expire too."""
MOST_PARTS: Final = 10_000
_PART_TOO_LARGE: Final = "A part has at most {} bytes. Send more parts."


class UploadMissing(NotFound):
    """404: no such upload, or none that this caller may see."""

    code = "upload_not_found"


class UploadEnded(InvalidRequest):
    """400: the upload is completed, cancelled or expired, and takes no more."""

    code = "upload_not_pending"


class UploadIncomplete(InvalidRequest):
    """400: the parts that are named are not the file that was announced."""

    code = "upload_incomplete"


class Uploads:
    """The uploads of all projects. `max_bytes`: of one file that is sent in parts."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession], files: FileStore, *, max_bytes: int) -> None:
        self._sessions = sessions
        self._files = files
        self._max_bytes = max_bytes

    async def begin(
        self, session: AsyncSession, wishes: Wishes, *, organization_id: UUID, project_id: UUID, size_bytes: int
    ) -> Upload:
        """A new upload of a file of so many bytes. Raises `PayloadTooLarge`, `StorageQuotaExceeded`."""
        if size_bytes > self._max_bytes:
            raise PayloadTooLarge(
                f"A file that is sent in parts has at most {self._max_bytes} bytes here. Send several files, or ask "
                "the operator to raise ALI_MAX_UPLOAD_BYTES.",
                param="bytes",
            )
        await self._files.require_room(session, project_id, size_bytes=size_bytes)
        upload = Upload(
            id=uuid7(),
            organization_id=organization_id,
            project_id=project_id,
            purpose=wishes.purpose,
            name=wishes.name.encode(),
            media_type=wishes.media_type,
            size_bytes=size_bytes,
            ttl_s=wishes.ttl_s,
            expires_at=datetime.now(UTC) + timedelta(seconds=UPLOAD_TTL_S),
        )
        session.add(upload)
        await session.flush()
        await session.refresh(upload)
        return upload

    async def take(
        self, form: FileForm, *, organization_id: UUID, project_id: UUID, upload_id: UUID | None
    ) -> StoredFile:
        """A further part, the file of `form`.

        Raises `UploadMissing`, `UploadEnded`, `UploadIncomplete`, `UploadMalformed`, and as `FileStore.write`.
        """
        async with self._entered(organization_id, project_id) as session:
            upload = await self._pending(session, project_id, upload_id)
            await _require_room_for_part(session, upload)
        left = upload.expires_at - datetime.now(UTC)
        ttl_s = int(left.total_seconds()) + _COMPLETION_TTL_S
        draft = await self._files.begin(
            organization_id=organization_id,
            project_id=project_id,
            purpose=UPLOAD_PART,
            ttl_s=ttl_s,
            upload_id=upload.id,
            counted=True,
        )
        wishes = Wishes(name="", purpose=UPLOAD_PART, ttl_s=ttl_s)
        async with self._abandoning(draft):
            written = await self._files.write(draft, form.file(), max_bytes=MOST_PART_BYTES, too_large=_PART_TOO_LARGE)
            form.require_file()
            async with self._entered(organization_id, project_id) as session:
                await self._pending(session, project_id, upload_id, lock="share")
                part, spare = await self._files.finish_in(session, draft, wishes, written)
        await self._files.clear_spare(spare)
        return part

    async def complete(
        self,
        *,
        organization_id: UUID,
        project_id: UUID,
        upload_id: UUID | None,
        part_ids: Sequence[UUID | None],
        md5: str | None,
    ) -> tuple[Upload, StoredFile]:
        """Make one file of these parts, in this order. `md5`: of the whole, in hex, to be compared.

        Raises `UploadMissing`, `UploadEnded`, `UploadIncomplete`, `ObjectsUnavailable`.
        """
        async with self._entered(organization_id, project_id) as session:
            upload = await self._pending(session, project_id, upload_id)
            objects = await _objects_of(session, upload, part_ids)
        draft = await self._files.begin(organization_id=organization_id, project_id=project_id)
        wishes = Wishes(
            name=upload.name.decode(), purpose=upload.purpose, ttl_s=upload.ttl_s, media_type=upload.media_type
        )
        async with self._abandoning(draft):
            written = await self._joined(draft, objects, upload=upload, with_md5=md5 is not None)
            if md5 is not None and written.md5 is not None and written.md5.hex() != md5.strip().lower():
                raise UploadIncomplete("The file that these parts make has another md5. Send them again.", param="md5")
            async with self._entered(organization_id, project_id) as session:
                upload = await self._pending(session, project_id, upload_id, lock="update", in_time=False)
                file, spare = await self._files.finish_in(session, draft, wishes, written)
                upload.status, upload.file_id = "completed", file.id
                await _give_up_parts(session, upload)
        await self._files.clear_spare(spare)
        return upload, file

    async def cancel(self, session: AsyncSession, project_id: UUID, upload_id: UUID | None) -> Upload:
        """Give up an upload and what was sent of it. Raises `UploadMissing`, `UploadEnded`."""
        upload = await self._pending(session, project_id, upload_id, lock="update")
        upload.status = "cancelled"
        await _give_up_parts(session, upload)
        return upload

    async def _joined(self, draft: Draft, objects: Sequence[str], *, upload: Upload, with_md5: bool) -> Written:
        async def pieces() -> AsyncIterator[bytes]:
            for name in objects:
                async for piece in await self._files.objects.open(name):
                    yield piece

        try:
            return await self._files.write(draft, pieces(), with_md5=with_md5)
        except ObjectMissing:
            async with self._entered(draft.organization_id, draft.project_id) as session:
                await self._pending(session, draft.project_id, upload.id)  # cancelled meanwhile, or completed
            raise

    async def _pending(
        self,
        session: AsyncSession,
        project_id: UUID,
        upload_id: UUID | None,
        *,
        lock: Literal["share", "update"] | None = None,
        in_time: bool = True,
    ) -> Upload:
        """An upload that takes more. Raises `UploadMissing`, `UploadEnded`."""
        wanted = select(Upload).where(Upload.project_id == project_id, Upload.id == upload_id)
        upload = await session.scalar(wanted if lock is None else wanted.with_for_update(read=lock == "share"))
        if upload is None:
            raise UploadMissing("There is no such upload in this project, or it ended a day ago.", param="upload_id")
        if upload.file_id is not None:
            raise UploadEnded(f"The upload is completed: its file is {file_name(upload.file_id)}.", param="upload_id")
        if upload.status != "pending":
            raise UploadEnded(f"The upload is {upload.status}. Begin another.", param="upload_id")
        if in_time and upload.expires_at <= datetime.now(UTC):
            raise UploadEnded("The upload has expired, an hour after it was begun. Begin another.", param="upload_id")
        return upload

    @asynccontextmanager
    async def _entered(self, organization_id: UUID, project_id: UUID) -> AsyncIterator[AsyncSession]:
        async with self._sessions() as session, session.begin():
            await enter_tenant(session, organization_id=organization_id, project_id=project_id)
            yield session

    @asynccontextmanager
    async def _abandoning(self, draft: Draft) -> AsyncIterator[None]:
        """Leave nothing of `draft` where the block raises."""
        try:
            yield
        except BaseException:
            await asyncio.shield(self._files.abandon(draft))
            raise


def _parts_of(upload: Upload) -> ColumnElement[bool]:
    return alive(upload.project_id) & (StoredFile.upload_id == upload.id)


async def _require_room_for_part(session: AsyncSession, upload: Upload) -> None:
    """A part may be sent again, as after a lost answer, but not without end. Raises `UploadIncomplete`."""
    found = await session.execute(
        select(func.count(), func.coalesce(func.sum(StoredFile.size_bytes), 0)).where(_parts_of(upload))
    )
    parts, size_bytes = found.one()
    if parts >= MOST_PARTS or size_bytes > 2 * upload.size_bytes:
        raise UploadIncomplete(
            f"The parts of this upload are {parts}, with {size_bytes} bytes together, for a file of "
            f"{upload.size_bytes}. Complete it, or cancel it and begin another with larger parts."
        )


async def _objects_of(session: AsyncSession, upload: Upload, part_ids: Sequence[UUID | None]) -> list[str]:
    """The objects of these parts, in their order. Raises `UploadIncomplete`."""
    rows = (await session.scalars(select(StoredFile).where(_parts_of(upload)))).all()
    parts = {row.id: row for row in rows}
    chosen = [parts[each] for each in part_ids if each in parts]
    if len(chosen) != len(part_ids):
        raise UploadIncomplete("part_ids has what is no part of this upload.", param="part_ids")
    if len({part.id for part in chosen}) != len(chosen):
        raise UploadIncomplete("part_ids has a part twice.", param="part_ids")
    size_bytes = sum(part.size_bytes for part in chosen)
    if size_bytes != upload.size_bytes:
        raise UploadIncomplete(
            f"These parts have {size_bytes} bytes together, and the upload was begun for {upload.size_bytes}. Send "
            "what is missing, or begin another.",
            param="part_ids",
        )
    return [part.object_name for part in chosen]


async def _give_up_parts(session: AsyncSession, upload: Upload) -> None:
    await session.execute(
        update(StoredFile)
        .where(
            StoredFile.project_id == upload.project_id,
            StoredFile.upload_id == upload.id,
            StoredFile.state == "ready",
        )
        .values(state="gone")
    )
    await session.flush()
