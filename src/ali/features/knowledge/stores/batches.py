"""Files that were added to a vector store together; in the caller's transaction."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.knowledge.models import StoreFile, StoreFileBatch, VectorStore
from ali.features.knowledge.stores import files
from ali.features.knowledge.stores.errors import batch_not_found
from ali.features.knowledge.stores.files import Addition
from ali.kernel.ids import uuid7


async def create(
    session: AsyncSession, store: VectorStore, additions: Sequence[Addition], *, most_files: int
) -> StoreFileBatch:
    """A new batch of these files. Raises as `files.add`, and then there is none of them."""
    batch = StoreFileBatch(
        id=uuid7(),
        vector_store_id=store.id,
        organization_id=store.organization_id,
        project_id=store.project_id,
        created_at=datetime.now(UTC),
    )
    session.add(batch)
    await session.flush()
    await files.add(session, store, additions, most_files=most_files, batch_id=batch.id)
    return batch


async def found(session: AsyncSession, store: VectorStore, batch_id: UUID | None) -> StoreFileBatch:
    """One batch of a store. Raises `FileBatchNotFound`."""
    batch = await session.scalar(
        select(StoreFileBatch).where(StoreFileBatch.vector_store_id == store.id, StoreFileBatch.id == batch_id)
    )
    if batch is None:
        raise batch_not_found()
    return batch


async def cancel(session: AsyncSession, store: VectorStore, batch_id: UUID | None) -> StoreFileBatch:
    """Read no more of its files; those that are read stay. A batch that has ended stays as it is.

    Raises `FileBatchNotFound`.
    """
    batch = await found(session, store, batch_id)
    stopped = await session.execute(
        update(StoreFile)
        .where(StoreFile.batch_id == batch.id, StoreFile.status == "in_progress")
        .values(status="cancelled", ended_at=func.now(), instance_id=None, claimed_at=None)
        .returning(StoreFile.id)
    )
    if stopped.all() and batch.cancelled_at is None:
        batch.cancelled_at = datetime.now(UTC)
        await session.flush()
    return batch


def status_of(batch: StoreFileBatch, files_by_status: Counter[str]) -> str:
    """How far a batch is, in OpenAI's words: `failed` where every file did, `completed` where one did not."""
    if files_by_status["in_progress"]:
        return "in_progress"
    if batch.cancelled_at is not None:
        return "cancelled"
    return "failed" if files_by_status["failed"] and not files_by_status["completed"] else "completed"
