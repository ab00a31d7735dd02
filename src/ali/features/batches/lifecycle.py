"""Batches as their owners see them: handed in, read, cancelled, deleted; each within one project."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.batches.models import Batch
from ali.features.batches.naming import MESSAGE_INPUT, MESSAGE_RESULTS, MESSAGES, RESULTS_TTL_S, WINDOW_S
from ali.features.files import queries as files
from ali.features.files.draft import Written
from ali.features.files.models import StoredFile
from ali.features.identity import Principal
from ali.features.identity.paging import Page, Place, page_of
from ali.kernel.errors import Conflict, InvalidRequest, NotFound
from ali.kernel.ids import uuid7


class BatchNotFound(NotFound):
    """404: no such batch, or none that this caller may see."""

    code = "batch_not_found"


class BatchEnded(Conflict):
    """409: the batch has ended, or is about to, and cannot be cancelled any more."""

    code = "batch_ended"


class BatchRunning(Conflict):
    """409: the batch has not ended, so that it has no results and cannot be deleted yet."""

    code = "batch_running"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedIn:
    """A batch in OpenAI's form, as its owner wants it."""

    input_file: UUID | None
    endpoint: str
    metadata: Mapping[str, str] | None
    output_ttl_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesIn:
    """A batch in Anthropic's form: its requests are in the file `input_file`, which nobody sees yet."""

    input_file: UUID
    input_object: str
    written: Written
    total: int
    version: str
    beta: str | None


async def hand_in(session: AsyncSession, principal: Principal, wanted: HandedIn) -> Batch:
    """A new batch, to be run in the background. Raises `FileMissing`, `InvalidRequest`."""
    project_id = principal.require_project()
    source = await files.hold(session, project_id, wanted.input_file, param="input_file_id")
    if source.purpose != "batch":
        raise InvalidRequest("The input of a batch is a file of purpose batch.", param="input_file_id")
    batch = _new(principal, project_id, dialect="openai", endpoint=wanted.endpoint, source=source)
    batch.details = None if wanted.metadata is None else dict(wanted.metadata)
    batch.output_ttl_s = wanted.output_ttl_s
    return await _added(session, batch)


async def hand_in_messages(session: AsyncSession, principal: Principal, wanted: MessagesIn) -> Batch:
    """A new batch of messages; its input is kept from now on."""
    project_id = principal.require_project()
    source = await files.keep_held(session, wanted.input_file, purpose=MESSAGE_INPUT, written=wanted.written)
    batch = _new(principal, project_id, dialect="anthropic", endpoint=MESSAGES, source=source)
    batch.output_ttl_s = RESULTS_TTL_S
    batch.total = wanted.total
    batch.anthropic_version, batch.anthropic_beta = wanted.version, wanted.beta
    return await _added(session, batch)


def _new(principal: Principal, project_id: UUID, *, dialect: str, endpoint: str, source: StoredFile) -> Batch:
    return Batch(
        id=uuid7(),
        organization_id=principal.organization_id,
        project_id=project_id,
        api_key_id=principal.key_id,
        user_id=principal.user_id,
        dialect=dialect,
        status="validating",
        endpoint=endpoint,
        input_file_id=source.id,
        input_object=source.object_name,
        expires_at=datetime.now(UTC) + timedelta(seconds=WINDOW_S),
    )


async def _added(session: AsyncSession, batch: Batch) -> Batch:
    session.add(batch)
    await session.flush()
    await session.refresh(batch)
    return batch


async def listed(session: AsyncSession, project_id: UUID, *, dialect: str, place: Place) -> Page[Batch]:
    """The batches of a project in one dialect."""
    there = (Batch.project_id == project_id) & (Batch.dialect == dialect)
    return await page_of(session, select(Batch).where(there), key=Batch.id, place=place)


async def found(
    session: AsyncSession, project_id: UUID, batch_id: UUID | None, *, dialect: str, for_update: bool = False
) -> Batch:
    """One batch. Raises `BatchNotFound`."""
    there = (Batch.project_id == project_id) & (Batch.dialect == dialect) & (Batch.id == batch_id)
    statement = select(Batch).where(there)
    batch = await session.scalar(statement.with_for_update() if for_update else statement)
    if batch is None:
        raise BatchNotFound("There is no such batch in this project.", param="batch_id")
    return batch


async def cancel(session: AsyncSession, project_id: UUID, batch_id: UUID | None, *, dialect: str) -> Batch:
    """Run no more of it: what is done, and what is under way, is kept. Raises `BatchNotFound`, `BatchEnded`."""
    batch = await found(session, project_id, batch_id, dialect=dialect, for_update=True)
    if batch.status in ("validating", "in_progress"):
        batch.status, batch.cancelling_at = "cancelling", datetime.now(UTC)
        await session.flush()
    elif batch.status != "cancelling":
        raise BatchEnded(f"The batch is {batch.status}: it cannot be cancelled any more. Its results stay.")
    return batch


async def remove(session: AsyncSession, project_id: UUID, batch_id: UUID | None, *, dialect: str) -> None:
    """Delete a batch that has ended, and its results. Raises `BatchNotFound`, `BatchRunning`."""
    batch = await found(session, project_id, batch_id, dialect=dialect, for_update=True)
    require_ended(batch)
    if batch.output_file_id is not None:
        await files.let_go(session, batch.output_file_id)
    await session.execute(delete(Batch).where(Batch.id == batch.id))


def require_ended(batch: Batch) -> None:
    """Raises `BatchRunning`."""
    if batch.ended_at is None:
        raise BatchRunning("The batch has not ended. Ask again later, or cancel it and wait for its end.")


async def results_of(session: AsyncSession, batch: Batch) -> StoredFile:
    """The file with a message batch's results. Raises `BatchRunning`, and `FileMissing` once they have expired."""
    require_ended(batch)
    return await files.found(session, batch.project_id, batch.output_file_id, purposes=(MESSAGE_RESULTS,))
