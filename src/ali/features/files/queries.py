"""Reading and changing rows of files, of one project each. What is not there for it is `FileMissing`."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.files.draft import Written
from ali.features.files.models import StoredFile
from ali.features.files.naming import SHOWN
from ali.features.identity.paging import Page, Place, page_of
from ali.kernel.errors import Conflict, NotFound


class FileMissing(NotFound):
    """404: no such file, or none that this caller may see."""

    code = "file_not_found"


class FileHeld(Conflict):
    """409: something still reads the file, such as a batch that has not ended."""

    code = "file_in_use"


def alive(project_id: UUID) -> ColumnElement[bool]:
    """What a file of the project is while its bytes are there to be read, whatever it is for."""
    unexpired = or_(StoredFile.expires_at.is_(None), StoredFile.expires_at > func.now(), StoredFile.holds > 0)
    return (StoredFile.project_id == project_id) & (StoredFile.state == "ready") & unexpired


def _there(project_id: UUID, *, purposes: Sequence[str]) -> ColumnElement[bool]:
    return alive(project_id) & StoredFile.purpose.in_(purposes)


def missing(*, param: str = "file_id") -> FileMissing:
    """What a file that is not there is answered with."""
    return FileMissing(
        "There is no such file in this project, or it has expired. GET /v1/files lists those there are.", param=param
    )


async def listed(session: AsyncSession, project_id: UUID, *, purpose: str | None, place: Place) -> Page[StoredFile]:
    """The files of a project, of one purpose or all; nothing for a purpose that is none."""
    there = _there(project_id, purposes=[each for each in SHOWN if purpose in (None, each)])
    return await page_of(session, select(StoredFile).where(there), key=StoredFile.id, place=place)


async def among(session: AsyncSession, project_id: UUID, file_ids: Sequence[UUID | None]) -> Page[StoredFile]:
    """Those of these files that are there, newest first."""
    wanted = [each for each in file_ids if each is not None]
    rows = await session.scalars(
        select(StoredFile)
        .where(_there(project_id, purposes=SHOWN), StoredFile.id.in_(wanted))
        .order_by(StoredFile.id.desc())
    )
    return Page(rows=rows.all(), has_more=False)


async def found(
    session: AsyncSession,
    project_id: UUID,
    file_id: UUID | None,
    *,
    purposes: Sequence[str] = SHOWN,
    param: str = "file_id",
) -> StoredFile:
    """One file. Raises `FileMissing`."""
    row = await session.scalar(
        select(StoredFile).where(_there(project_id, purposes=purposes), StoredFile.id == file_id)
    )
    if row is None:
        raise missing(param=param)
    return row


async def give_up(
    session: AsyncSession, project_id: UUID, file_id: UUID | None, *, purposes: Sequence[str] = SHOWN
) -> None:
    """Delete a file: nobody sees it any more, and its object goes within moments. Raises `FileMissing`, `FileHeld`."""
    row = await session.scalar(
        select(StoredFile).where(_there(project_id, purposes=purposes), StoredFile.id == file_id).with_for_update()
    )
    if row is None:
        raise missing()
    if row.holds:
        raise FileHeld("A batch still reads this file. Wait for its end, or cancel it; then delete the file.")
    row.state = "gone"
    await session.flush()


async def hold(session: AsyncSession, project_id: UUID, file_id: UUID | None, *, param: str) -> StoredFile:
    """Keep a file from being deleted and from expiring. Raises `FileMissing`."""
    row = await session.scalar(
        select(StoredFile).where(_there(project_id, purposes=SHOWN), StoredFile.id == file_id).with_for_update()
    )
    if row is None:
        raise missing(param=param)
    row.holds += 1
    await session.flush()
    return row


async def keep_held(session: AsyncSession, file_id: UUID, *, purpose: str, written: Written) -> StoredFile:
    """Keep a file that was written a moment ago, held by what is made in the same transaction."""
    row: StoredFile | None = await session.scalar(
        update(StoredFile)
        .where(StoredFile.id == file_id, StoredFile.state == "writing")
        .values(state="ready", purpose=purpose, size_bytes=written.size_bytes, digest=written.digest, holds=1)
        .returning(StoredFile)
    )
    if row is None:
        raise missing()
    return row


async def let_go(session: AsyncSession, file_id: UUID) -> None:
    """Delete a file that nothing leads to any more."""
    await session.execute(update(StoredFile).where(StoredFile.id == file_id).values(state="gone"))


async def found_all(
    session: AsyncSession, project_id: UUID, file_ids: Sequence[UUID], *, purposes: Sequence[str] = SHOWN
) -> dict[UUID, StoredFile]:
    """Those of these files that are there. One statement."""
    rows = await session.scalars(
        select(StoredFile).where(_there(project_id, purposes=purposes), StoredFile.id.in_(file_ids))
    )
    return {row.id: row for row in rows}
