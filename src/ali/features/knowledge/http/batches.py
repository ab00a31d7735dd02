"""`/v1/vector_stores/{id}/file_batches`: create, retrieve, cancel, list files. Source: OpenAI's API reference."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.conversations.refusals import missing, wrong_value
from ali.features.files.naming import read_file
from ali.features.identity.http.access import Transaction
from ali.features.identity.http.answers import Json, listing
from ali.features.identity.http.authority import Id
from ali.features.identity.http.inputs import Body
from ali.features.knowledge.attributes import read_attributes
from ali.features.knowledge.chunking import read_chunking
from ali.features.knowledge.http.answers import file_batch, vector_store_file
from ali.features.knowledge.http.inputs import Attributes, Chunking, FilesListed, MostFiles, Name, Reading, Writing
from ali.features.knowledge.models import StoreFile, StoreFileBatch
from ali.features.knowledge.naming import MOST_BATCH_FILES, read_batch, read_store
from ali.features.knowledge.stores import batches, files, lifecycle
from ali.features.knowledge.stores.files import Addition
from ali.features.knowledge.stores.sums import counts_of

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/file_batches", tags=["vector stores"])


class BatchFile(Body):
    """One file of a batch, with what is its own."""

    file_id: Name
    attributes: Attributes = None
    chunking_strategy: Chunking = None


class NewFileBatch(Body):
    """Files to be added together: `file_ids`, which share attributes and chunking, or `files`, which have their own."""

    file_ids: Annotated[list[Name], Field(max_length=MOST_BATCH_FILES)] | None = None
    files: Annotated[list[BatchFile], Field(max_length=MOST_BATCH_FILES)] | None = None
    attributes: Attributes = Field(default=None, description="Of each of `file_ids`.")
    chunking_strategy: Chunking = Field(default=None, description="Of each of `file_ids`.")


@router.post("", summary="Add files to a vector store")
async def create_file_batch(
    vector_store_id: Id, home: Writing, most: MostFiles, transaction: Transaction, body: NewFileBatch
) -> Json:
    """All of them or, where one cannot be added, none. They are read in the background, and each fails alone."""
    additions = _additions(body)
    store = await lifecycle.usable(transaction, read_store(vector_store_id), home=home)
    return await _shown(transaction, await batches.create(transaction, store, additions, most_files=most))


@router.get("/{batch_id}", summary="Retrieve a file batch")
async def retrieve_file_batch(vector_store_id: Id, batch_id: Id, home: Reading, transaction: Transaction) -> Json:
    """How far its files are."""
    store = await lifecycle.found(transaction, read_store(vector_store_id), home=home)
    return await _shown(transaction, await batches.found(transaction, store, read_batch(batch_id)))


@router.post("/{batch_id}/cancel", summary="Cancel a file batch")
async def cancel_file_batch(vector_store_id: Id, batch_id: Id, home: Writing, transaction: Transaction) -> Json:
    """No more of its files are read. Those that were stay in the store."""
    store = await lifecycle.found(transaction, read_store(vector_store_id), home=home)
    return await _shown(transaction, await batches.cancel(transaction, store, read_batch(batch_id)))


@router.get("/{batch_id}/files", summary="List the files of a file batch")
async def list_files_in_file_batch(
    *, vector_store_id: Id, batch_id: Id, home: Reading, transaction: Transaction, wanted: FilesListed
) -> Json:
    """Its files, by when they were added."""
    store = await lifecycle.found(transaction, read_store(vector_store_id), home=home)
    batch = await batches.found(transaction, store, read_batch(batch_id))
    return listing(await files.listed(transaction, store, wanted, batch=batch), vector_store_file)


def _additions(body: NewFileBatch) -> list[Addition]:
    """Raises `InvalidRequest`."""
    if body.file_ids is not None and body.files is not None:
        raise wrong_value("files", expected="Send file_ids or files, not both.")
    if body.files is None:
        attributes = None if body.attributes is None else read_attributes(body.attributes)
        chunking = read_chunking(body.chunking_strategy)
        if not body.file_ids:
            raise missing("file_ids")
        return [
            Addition(file_id=read_file(each), attributes=attributes, chunking=chunking, param=f"file_ids[{place}]")
            for place, each in enumerate(body.file_ids)
        ]
    if not body.files:
        raise missing("files")
    if len({each.file_id for each in body.files}) < len(body.files):
        raise wrong_value("files", expected="It names a file twice. Send each once.")
    return [
        Addition(
            file_id=read_file(each.file_id),
            attributes=None
            if each.attributes is None
            else read_attributes(each.attributes, param=f"files[{place}].attributes"),
            chunking=read_chunking(each.chunking_strategy, param=f"files[{place}].chunking_strategy"),
            param=f"files[{place}].file_id",
        )
        for place, each in enumerate(body.files)
    ]


async def _shown(transaction: AsyncSession, batch: StoreFileBatch) -> Json:
    counts = await counts_of(transaction, StoreFile.batch_id, [batch.id])
    return file_batch(batch, counts.get(batch.id, {}))
