"""`/v1/files`: upload, list, retrieve, read, delete. Source: OpenAI's API reference, "Files"."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from ali.features.audit import record_deletion
from ali.features.files import queries
from ali.features.files.models import StoredFile
from ali.features.files.naming import SHOWN, UPLOADED, file_name, read_file
from ali.features.files.store import FileStore
from ali.features.files.upload import Upload
from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import Acting, Transaction, requires
from ali.features.identity.http.answers import Json, listing, maybe_unix, unix
from ali.features.identity.http.authority import Id
from ali.features.identity.http.inputs import cursor
from ali.features.identity.paging import Place

PATH: Final = "/v1/files"

router = APIRouter(prefix=PATH, tags=["files"])

Reader = Annotated[Principal, requires(Permission.FILES_READ)]
Writer = Annotated[Principal, requires(Permission.FILES_WRITE)]

_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": list(UPLOADED)},
                        "expires_after[anchor]": {"type": "string", "const": "created_at"},
                        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
                    },
                }
            }
        },
    }
}


@router.post("", summary="Upload a file", openapi_extra=_FORM)
async def upload_file(request: Request, writer: Writer) -> Json:
    """A file, kept until it is deleted or expires. One for a batch expires after 30 days unless it says otherwise."""
    project_id = writer.require_project()
    store: FileStore = request.app.state.files
    upload = Upload(request.headers.get("content-type", ""), _body_of(request))
    draft = await store.begin(organization_id=writer.organization_id, project_id=project_id, counted=True)
    try:
        written = await store.write(draft, upload.file(), max_bytes=store.max_bytes)
        row = await store.finish(draft, upload.wishes(size_bytes=written.size_bytes), written)
    except BaseException:
        await asyncio.shield(store.abandon(draft))
        raise
    return shown(row)


async def _body_of(request: Request) -> AsyncIterator[bytes]:
    try:
        async for data in request.stream():
            yield data
    except ClientDisconnect:  # the form is told that it ended too early
        return


@router.get("", summary="List files")
async def list_files(
    *,
    reader: Reader,
    transaction: Transaction,
    purpose: Annotated[str | None, Query(max_length=100, description=f"One of: {', '.join(SHOWN)}.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    after: Annotated[str | None, Query(max_length=100)] = None,
    order: Literal["asc", "desc"] = "desc",
) -> Json:
    """The files of the caller's project."""
    place = Place(limit=limit, after=cursor(after, read_file, param="after"), descending=order == "desc")
    page = await queries.listed(transaction, reader.require_project(), purpose=purpose, place=place)
    return listing(page, shown)


@router.get("/{file_id}", summary="Retrieve a file")
async def retrieve_file(file_id: Id, reader: Reader, transaction: Transaction) -> Json:
    """What is known of a file."""
    return shown(await queries.found(transaction, reader.require_project(), read_file(file_id)))


@router.delete("/{file_id}", summary="Delete a file")
async def delete_file(file_id: Id, writer: Writer, acting: Acting, transaction: Transaction) -> Json:
    """The file is gone at once; its bytes are deleted within a minute."""
    tenant = {"organization_id": writer.organization_id, "project_id": writer.require_project()}
    await queries.give_up(transaction, tenant["project_id"], read_file(file_id))
    await record_deletion(transaction, "file", file_id, **tenant, actor=acting)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get(
    "/{file_id}/content",
    summary="Retrieve a file's content",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def retrieve_file_content(
    file_id: Id, request: Request, reader: Reader, transaction: Transaction
) -> StreamingResponse:
    """The file's bytes."""
    row = await queries.found(transaction, reader.require_project(), read_file(file_id))
    await transaction.commit()  # nothing is held while the object store is asked
    store: FileStore = request.app.state.files
    name = quote(row.name.decode("utf-8", "replace"), safe="")
    return StreamingResponse(
        await store.objects.open(row.object_name),
        media_type="application/octet-stream",
        headers={
            "content-length": str(row.size_bytes),
            "content-disposition": f"attachment; filename*=UTF-8''{name}",
        },
    )


def shown(row: StoredFile) -> Json:
    """`file`."""
    return {
        "id": file_name(row.id),
        "object": "file",
        "bytes": row.size_bytes,
        "created_at": unix(row.created_at),
        "expires_at": maybe_unix(row.expires_at),
        "filename": row.name.decode("utf-8", "replace"),
        "purpose": row.purpose,
        "status": "processed",
        "status_details": None,
    }
