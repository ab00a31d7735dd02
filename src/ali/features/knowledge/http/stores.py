"""`/v1/vector_stores`: create, list, retrieve, modify, delete. Source: OpenAI's API reference, "Vector stores"."""

from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.conversations.tags import read_metadata
from ali.features.files.naming import read_file
from ali.features.identity.http.access import Acting, Transaction
from ali.features.identity.http.answers import Json, deleted, listing
from ali.features.identity.http.authority import Id
from ali.features.identity.http.inputs import Body
from ali.features.identity.paging import Place
from ali.features.knowledge.chunking import read_chunking
from ali.features.knowledge.http.answers import vector_store
from ali.features.knowledge.http.inputs import (
    Chunking,
    ExpiresAfter,
    Metadata,
    MostFiles,
    Name,
    Reading,
    Writing,
    place_among,
)
from ali.features.knowledge.models import VectorStore
from ali.features.knowledge.naming import LONGEST_DESCRIPTION, LONGEST_NAME, MOST_FIRST_FILES, read_store
from ali.features.knowledge.stores import files, lifecycle
from ali.features.knowledge.stores.files import Addition
from ali.features.knowledge.stores.lifecycle import Change, Wanted
from ali.features.knowledge.stores.sums import Sums, sums_of

PATH: Final = "/v1/vector_stores"

router = APIRouter(prefix=PATH, tags=["vector stores"])

_NO_CONTROLS: Final = r"^[^\x00\ud800-\udfff]*$"
Title = Annotated[str, StringConstraints(max_length=LONGEST_NAME)]
Description = Annotated[str, StringConstraints(max_length=LONGEST_DESCRIPTION)]


class NewVectorStore(Body):
    """A vector store to be made, and the files that it begins with."""

    name: Title | None = None
    description: Description | None = None
    file_ids: Annotated[list[Name], Field(max_length=MOST_FIRST_FILES)] | None = None
    chunking_strategy: Chunking = Field(default=None, description="How these files are cut.")
    expires_after: ExpiresAfter | None = None
    metadata: Metadata = Field(default=None, description="At most 16 texts of up to 512 characters, by name.")


class VectorStoreChange(Body):
    """What a store is to have in place of what it has; what is not sent stays."""

    name: Title | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata = Field(default=None, description="At most 16 texts of up to 512 characters, by name.")


@router.post("", summary="Create a vector store")
async def create_vector_store(
    home: Writing, acting: Acting, most: MostFiles, transaction: Transaction, body: NewVectorStore
) -> Json:
    """A store, and its first files, which are read in the background: a search finds each once it is `completed`."""
    wanted = Wanted(
        name=body.name or "",
        description=body.description,
        metadata=read_metadata(body.metadata),
        expires_after_days=body.expires_after.days if body.expires_after else None,
    )
    chunking = read_chunking(body.chunking_strategy)
    store = await lifecycle.create(transaction, wanted, home=home, actor=acting)
    additions = [
        Addition(file_id=read_file(each), attributes=None, chunking=chunking, param=f"file_ids[{place}]")
        for place, each in enumerate(body.file_ids or ())
    ]
    if additions:
        await files.add(transaction, store, additions, most_files=most)
    return await _shown(transaction, store)


@router.get("", summary="List vector stores")
async def list_vector_stores(
    home: Reading, transaction: Transaction, place: Annotated[Place, place_among(read_store)]
) -> Json:
    """The vector stores of the caller's project, expired ones too."""
    page = await lifecycle.listed(transaction, home=home, place=place)
    sums = await sums_of(transaction, [store.id for store in page.rows])
    return listing(page, lambda store: vector_store(store, sums.get(store.id, Sums())))


@router.get("/{vector_store_id}", summary="Retrieve a vector store")
async def retrieve_vector_store(vector_store_id: Id, home: Reading, transaction: Transaction) -> Json:
    """A vector store: how many files it has, how far they are, and how much room they take."""
    return await _shown(transaction, await lifecycle.found(transaction, read_store(vector_store_id), home=home))


@router.post("/{vector_store_id}", summary="Modify a vector store")
async def modify_vector_store(
    *, vector_store_id: Id, home: Writing, acting: Acting, transaction: Transaction, body: VectorStoreChange
) -> Json:
    """Name, metadata and expiry. `null` takes metadata and expiry away."""
    days = body.expires_after.days if body.expires_after else 0
    change = Change(
        name=body.name,
        metadata=read_metadata(body.metadata) if "metadata" in body.model_fields_set else None,
        expires_after_days=days if "expires_after" in body.model_fields_set else None,
    )
    store = await lifecycle.change(transaction, read_store(vector_store_id), change, home=home, actor=acting)
    return await _shown(transaction, store)


@router.delete("/{vector_store_id}", summary="Delete a vector store")
async def delete_vector_store(vector_store_id: Id, home: Writing, acting: Acting, transaction: Transaction) -> Json:
    """The store is gone at once, and what it holds within moments. The files stay: the Files API deletes them."""
    await lifecycle.remove(transaction, read_store(vector_store_id), home=home, actor=acting)
    return deleted("vector_store", vector_store_id)


async def _shown(transaction: AsyncSession, store: VectorStore) -> Json:
    return vector_store(store, (await sums_of(transaction, [store.id])).get(store.id, Sums()))
