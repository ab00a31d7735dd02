"""The same bytes twice in a project are stored once: a new file comes to share the object of one that is there.

A file comes to share only with one that is `ready`, whose row it locks, so that it is not given up at the same time;
and an object is deleted only when no row but `gone` ones names it (`migrations.file_functions`). Of two files that are
sent at once, `enter_files_of` lets one be there first.
"""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.files.draft import Draft, Written
from ali.features.files.models import StoredFile
from ali.features.files.queries import alive
from ali.kernel.ids import uuid7


class Spare(NamedTuple):
    """An object that nobody needs, and the row that leads to it until it is deleted."""

    id: UUID
    object_name: str


async def enter_files_of(session: AsyncSession, project_id: UUID) -> None:
    """From here to the end of the transaction nobody else shows a new file of the project."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:what, 0))"), {"what": f"ali.file {project_id.hex}"}
    )


async def taken_bytes(session: AsyncSession, project_id: UUID) -> int:
    """How many bytes the project's files have together, each counted for itself. Reads all of their rows."""
    return int(await session.scalar(select(func.sum(StoredFile.size_bytes)).where(alive(project_id))) or 0)


async def shared(session: AsyncSession, draft: Draft, written: Written) -> tuple[str, Spare | None]:
    """The object that `draft` is to have, and what is then to be cleared away. After `enter_files_of`."""
    twin: str | None = await session.scalar(
        select(StoredFile.object_name)
        .where(
            alive(draft.project_id),
            StoredFile.digest == written.digest,
            StoredFile.size_bytes == written.size_bytes,
            StoredFile.id != draft.id,
        )
        .order_by(StoredFile.id)
        .limit(1)
        .with_for_update(read=True)
    )
    if twin is None:
        return draft.object_name, None
    spare = Spare(uuid7(), draft.object_name)
    await session.execute(
        insert(StoredFile).values(
            id=spare.id,
            organization_id=draft.organization_id,
            project_id=draft.project_id,
            purpose="",
            name=b"",
            object_name=spare.object_name,
            state="gone",
        )
    )
    return twin, spare
