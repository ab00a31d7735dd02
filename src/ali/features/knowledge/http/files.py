"""`/v1/vector_stores/{id}/files`: add, list, retrieve, change, take out. Source: OpenAI's API reference."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from ali.features.files.naming import read_file
from ali.features.identity.http.access import Acting, Transaction
from ali.features.identity.http.answers import Json, deleted, listing
from ali.features.identity.http.authority import Id
from ali.features.identity.http.inputs import Body
from ali.features.knowledge.attributes import read_attributes
from ali.features.knowledge.chunking import read_chunking
from ali.features.knowledge.content import Contents
from ali.features.knowledge.http.answers import vector_store_file
from ali.features.knowledge.http.inputs import Attributes, Chunking, FilesListed, MostFiles, Name, Reading, Writing
from ali.features.knowledge.naming import read_store
from ali.features.knowledge.stores import files, lifecycle
from ali.features.knowledge.stores.files import Addition

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/files", tags=["vector stores"])

_SAID: Final = "At most 16 texts of up to 512 characters, numbers and truth values, by name."


class NewVectorStoreFile(Body):
    """A file to be added."""

    file_id: Name
    attributes: Attributes = Field(default=None, description=_SAID)
    chunking_strategy: Chunking = Field(default=None, description="How it is cut.")


class VectorStoreFileChange(Body):
    """Attributes in place of those that a file has."""

    attributes: Attributes = Field(description=_SAID)


@router.post("", summary="Add a file to a vector store")
async def create_vector_store_file(
    *, vector_store_id: Id, home: Writing, most: MostFiles, transaction: Transaction, body: NewVectorStoreFile
) -> Json:
    """A file of purpose `assistants` or `user_data`, to be read in the background: searches find it once `completed`.

    One that is there already is changed, and read again where it failed or is to be cut in another way.
    """
    addition = Addition(
        file_id=read_file(body.file_id),
        attributes=None if body.attributes is None else read_attributes(body.attributes),
        chunking=read_chunking(body.chunking_strategy),
        param="file_id",
    )
    store = await lifecycle.usable(transaction, read_store(vector_store_id), home=home)
    await files.add(transaction, store, [addition], most_files=most)
    return vector_store_file(await files.found(transaction, store, addition.file_id))


@router.get("", summary="List the files of a vector store")
async def list_vector_store_files(
    vector_store_id: Id, home: Reading, transaction: Transaction, wanted: FilesListed
) -> Json:
    """The files of a store, by when they were added."""
    store = await lifecycle.found(transaction, read_store(vector_store_id), home=home)
    return listing(await files.listed(transaction, store, wanted), vector_store_file)


@router.get("/{file_id}", summary="Retrieve a file of a vector store")
async def retrieve_vector_store_file(vector_store_id: Id, file_id: Id, home: Reading, transaction: Transaction) -> Json:
    """How far a file is, and why it failed if it did."""
    store = await lifecycle.found(transaction, read_store(vector_store_id), home=home)
    return vector_store_file(await files.found(transaction, store, read_file(file_id)))


@router.post("/{file_id}", summary="Change the attributes of a file of a vector store")
async def update_vector_store_file(
    *, vector_store_id: Id, file_id: Id, home: Writing, transaction: Transaction, body: VectorStoreFileChange
) -> Json:
    """The attributes that are sent take the place of those there were; null removes them."""
    attributes = read_attributes(body.attributes)
    store = await lifecycle.found(transaction, read_store(vector_store_id), home=home)
    return vector_store_file(await files.describe(transaction, store, read_file(file_id), attributes=attributes))


@router.delete("/{file_id}", summary="Take a file out of a vector store")
async def delete_vector_store_file(
    *, vector_store_id: Id, file_id: Id, home: Writing, acting: Acting, transaction: Transaction
) -> Json:
    """No search of the store finds it from now on. The file itself stays."""
    store = await lifecycle.found(transaction, read_store(vector_store_id), home=home)
    await files.remove(transaction, store, read_file(file_id), home=home, actor=acting)
    return deleted("vector_store.file", file_id)


@router.get(
    "/{file_id}/content",
    summary="Retrieve what was read of a file of a vector store",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def retrieve_vector_store_file_content(
    *, vector_store_id: Id, file_id: Id, request: Request, home: Reading, transaction: Transaction
) -> StreamingResponse:
    """Its chunks in the document's order, as searches find them."""
    store = await lifecycle.found(transaction, read_store(vector_store_id), home=home)
    stretch = await files.stretch_of(transaction, store, read_file(file_id))
    await transaction.commit()  # nothing is held while the caller reads
    contents: Contents = request.app.state.knowledge.contents
    return StreamingResponse(contents.page(stretch, home=home), media_type="application/json")
