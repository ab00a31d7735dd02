"""Files of a vector store: added, read, changed, taken out; in the caller's transaction.

A file's row is also the job of reading it: while it is `in_progress`, a process claims it (`ingestion`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func, null, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, record_deletion
from ali.features.conversations.lifecycle import Home
from ali.features.files import queries as kept
from ali.features.files.models import StoredFile
from ali.features.files.naming import file_name
from ali.features.identity.paging import Page, Place, page_of_rows
from ali.features.knowledge.attributes import Scalar
from ali.features.knowledge.content import Stretch
from ali.features.knowledge.models import StoreDocument, StoreFile, StoreFileBatch, VectorStore
from ali.features.knowledge.naming import STORABLE
from ali.features.knowledge.stores.errors import file_not_in_store, file_not_ready, purpose_wrong, store_full
from ali.kernel.errors import InvalidRequest
from ali.kernel.ids import uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A file to be added. `attributes` None: those that it has there already. `param`: where the caller named it."""

    file_id: UUID | None
    attributes: Mapping[str, Scalar] | None
    chunking: str
    param: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A page of files to be listed: of one status, or of any; `after` and `before` are files of the list."""

    status: str | None
    after: UUID | None
    before: UUID | None
    limit: int
    descending: bool


Held = tuple[StoreFile, int | None]
"""A file of a store, and how much room its document takes there; None where it has none."""


async def add(
    session: AsyncSession,
    store: VectorStore,
    additions: Sequence[Addition],
    *,
    most_files: int,
    batch_id: UUID | None = None,
) -> list[StoreFile]:
    """Add files, to be read in the background; about four statements, however many there are.

    One that is in the store already, read or being read, stays as it is but for `attributes`; one that failed, or is to
    be cut in another way, is read anew. Raises `FileMissing`, `FilePurposeWrong`, `VectorStoreFull`, `InvalidRequest`.
    """
    wanted = {each.file_id: each for each in additions}
    there = await kept.found_all(session, store.project_id, [each for each in wanted if each is not None])
    for file_id, addition in wanted.items():
        file = there.get(file_id) if file_id is not None else None
        if file is None:
            raise kept.missing(param=addition.param)
        if file.purpose not in STORABLE:
            raise purpose_wrong(addition.param)
    held = select(func.count()).where(StoreFile.vector_store_id == store.id, StoreFile.file_id.not_in(there))
    if (await session.scalar(held) or 0) + len(there) > most_files:
        raise store_full(most_files)
    rows: list[StoreFile] = []
    for said, group in groupby(sorted(wanted.values(), key=_order), key=_says_attributes):
        rows += await _put(session, store, list(group), batch_id=batch_id, replaces_attributes=said)
    return rows


def _says_attributes(addition: Addition) -> bool:
    return addition.attributes is not None


def _order(addition: Addition) -> tuple[bool, UUID]:
    assert addition.file_id is not None  # noqa: S101 - one that is missing was refused
    return _says_attributes(addition), addition.file_id


async def _put(
    session: AsyncSession,
    store: VectorStore,
    additions: Sequence[Addition],
    *,
    batch_id: UUID | None,
    replaces_attributes: bool,
) -> list[StoreFile]:
    statement = insert(StoreFile).values(
        [
            {
                "id": uuid7(),
                "vector_store_id": store.id,
                "file_id": each.file_id,
                "organization_id": store.organization_id,
                "project_id": store.project_id,
                "batch_id": batch_id,
                "attributes": dict(each.attributes or {}),
                "chunking": each.chunking,
                "status": "in_progress",
            }
            for each in additions
        ]
    )
    new = statement.excluded
    stays = (StoreFile.chunking == new.chunking) & StoreFile.status.in_(("completed", "in_progress"))
    anew: dict[str, Any] = {
        **dict.fromkeys(
            ("error_code", "error_message", "instance_id", "claimed_at", "resume_at", "ended_at", "pages"), null()
        ),
        "status": "in_progress",
        "pages_done": 0,
        "attempts": 0,
    }
    changes: dict[str, Any] = {
        name: case((stays, getattr(StoreFile, name)), else_=value) for name, value in anew.items()
    }
    changes["chunking"] = new.chunking
    if batch_id is not None:
        changes["batch_id"] = new.batch_id
    if replaces_attributes:
        changes["attributes"] = new.attributes
    put = statement.on_conflict_do_update(
        index_elements=[StoreFile.vector_store_id, StoreFile.file_id], set_=changes
    ).returning(StoreFile)
    return list((await session.scalars(put, execution_options={"populate_existing": True})).all())


async def listed(
    session: AsyncSession, store: VectorStore, wanted: Listed, *, batch: StoreFileBatch | None = None
) -> Page[Held]:
    """A page of a store's files, or of those of a batch. Raises `InvalidRequest` for a cursor that is none of them."""
    place = Place(
        limit=wanted.limit,
        after=await _place_of(session, store, wanted.after, param="after"),
        before=await _place_of(session, store, wanted.before, param="before"),
        descending=wanted.descending,
    )
    statement = _held().where(StoreFile.vector_store_id == store.id, _alive())
    if batch is not None:
        statement = statement.where(StoreFile.batch_id == batch.id)
    if wanted.status is not None:
        statement = statement.where(StoreFile.status == wanted.status)
    page = await page_of_rows(session, statement, key=StoreFile.id, place=place)
    return Page(rows=[(row[0], row[1]) for row in page.rows], has_more=page.has_more)


async def found(session: AsyncSession, store: VectorStore, file_id: UUID | None, *, for_update: bool = False) -> Held:
    """One file of a store. Raises `VectorStoreFileNotFound`."""
    statement = _held().where(StoreFile.vector_store_id == store.id, StoreFile.file_id == file_id, _alive())
    if for_update:
        statement = statement.with_for_update(of=StoreFile)
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise file_not_in_store()
    return row[0], row[1]


async def describe(
    session: AsyncSession, store: VectorStore, file_id: UUID | None, *, attributes: Mapping[str, Scalar]
) -> Held:
    """Give a file these attributes in place of what it had. Raises `VectorStoreFileNotFound`."""
    file, size_bytes = await found(session, store, file_id, for_update=True)
    file.attributes = dict(attributes)
    await session.flush()
    return file, size_bytes


async def remove(session: AsyncSession, store: VectorStore, file_id: UUID | None, *, home: Home, actor: Actor) -> None:
    """Take a file out of a store, on record: no search finds it from now on. Raises `VectorStoreFileNotFound`."""
    gone = delete(StoreFile).where(StoreFile.vector_store_id == store.id, StoreFile.file_id == file_id)
    row = (await session.execute(gone.returning(StoreFile.file_id))).scalar_one_or_none()
    if row is None:
        raise file_not_in_store()
    tenant = {"organization_id": home.organization_id, "project_id": home.project_id}
    await record_deletion(session, "vector_store_file", file_name(row), **tenant, actor=actor)


async def stretch_of(session: AsyncSession, store: VectorStore, file_id: UUID | None) -> Stretch:
    """Where the chunks of a file are. Raises `VectorStoreFileNotFound`, `VectorStoreFileNotReady`."""
    file, _ = await found(session, store, file_id)
    document = None
    if file.status == "completed":
        document = await session.scalar(select(StoreDocument).where(StoreDocument.id == file.document_id))
    if document is None:
        raise file_not_ready(file.status)
    return Stretch(
        vector_store_id=store.id,
        document_id=document.id,
        first_number=document.first_number,
        chunks=document.chunks,
    )


def _held() -> Any:  # noqa: ANN401 - a Select of two columns, which outer joins make of a type that SQLAlchemy cannot say
    return select(StoreFile, StoreDocument.size_bytes).outerjoin(
        StoreDocument, StoreDocument.id == StoreFile.document_id
    )


def _alive() -> ColumnElement[bool]:
    """A file that has expired leaves its stores when it is swept, within seconds; until then it is not shown."""
    there = (StoredFile.id == StoreFile.file_id) & (StoredFile.state == "ready")
    alive = or_(StoredFile.expires_at.is_(None), StoredFile.expires_at > func.now(), StoredFile.holds > 0)
    return select(StoredFile.id).where(there, alive).exists()


async def _place_of(session: AsyncSession, store: VectorStore, file_id: UUID | None, *, param: str) -> UUID | None:
    """Where a file stands in the order of a store's files."""
    if file_id is None:
        return None
    place = await session.scalar(
        select(StoreFile.id).where(StoreFile.vector_store_id == store.id, StoreFile.file_id == file_id)
    )
    if place is None:
        raise InvalidRequest(f"{param} is an id from this list, such as its last_id.", param=param)
    return place
