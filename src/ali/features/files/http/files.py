"""`/v1/files`: upload, list, retrieve, read, delete; in OpenAI's form, and in Anthropic's for who speaks its dialect.

A file is one and the same in both, by one identifier. Sources: OpenAI's API reference, "Files"; Anthropic's, "Files".
"""

import asyncio
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from ali.features.audit import record_deletion
from ali.features.files import queries
from ali.features.files.form import FileForm
from ali.features.files.http import in_anthropic
from ali.features.files.http.bodies import body_of
from ali.features.files.http.in_anthropic import Dialect
from ali.features.files.models import StoredFile
from ali.features.files.naming import SHOWN, UPLOADED, file_name, read_file
from ali.features.files.store import FileStore
from ali.features.files.wishes import anthropic_wishes, openai_wishes
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
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": list(UPLOADED)},
                        "expires_after[anchor]": {"type": "string", "const": "created_at"},
                        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
                        "expires_in_seconds": {"type": "integer", "minimum": 3600, "maximum": 7_776_000},
                    },
                }
            }
        },
    }
}


@router.post("", summary="Upload a file", openapi_extra=_FORM)
async def upload_file(request: Request, writer: Writer, dialect: Dialect) -> Json:
    """A file, kept until it is deleted or expires. One for a batch expires after 30 days unless it says otherwise.

    OpenAI's form has `purpose`, and perhaps `expires_after`; Anthropic's perhaps `expires_in_seconds`.
    """
    project_id = writer.require_project()
    store: FileStore = request.app.state.files
    anthropic = dialect == "anthropic"
    form = FileForm(request.headers.get("content-type", ""), body_of(request), nameless=anthropic)
    draft = await store.begin(organization_id=writer.organization_id, project_id=project_id, counted=True)
    try:
        written = await store.write(draft, form.file(), max_bytes=store.max_bytes)
        wishes = anthropic_wishes(form) if anthropic else openai_wishes(form, size_bytes=written.size_bytes)
        row = await store.finish(draft, wishes, written)
    except BaseException:
        await asyncio.shield(store.abandon(draft))
        raise
    return in_anthropic.shown(row) if anthropic else shown(row)


@router.get("", summary="List files")
async def list_files(
    *,
    reader: Reader,
    transaction: Transaction,
    dialect: Dialect,
    purpose: Annotated[str | None, Query(max_length=100, description=f"One of: {', '.join(SHOWN)}.")] = None,
    limit: Annotated[
        int | None, Query(ge=1, le=10_000, description="By default 10,000; in Anthropic's form 20, at most 1,000.")
    ] = None,
    after: Annotated[str | None, Query(max_length=100)] = None,
    order: Literal["asc", "desc"] = "desc",
    asked: in_anthropic.Asked,
) -> Json:
    """The files of the caller's project."""
    project_id = reader.require_project()
    if dialect == "anthropic":
        return await in_anthropic.listing(transaction, project_id, asked, limit=limit)
    place = Place(limit=limit or 10_000, after=cursor(after, read_file, param="after"), descending=order == "desc")
    return listing(await queries.listed(transaction, project_id, purpose=purpose, place=place), shown)


@router.get("/{file_id}", summary="Retrieve a file")
async def retrieve_file(file_id: Id, reader: Reader, transaction: Transaction, dialect: Dialect) -> Json:
    """What is known of a file."""
    row = await queries.found(transaction, reader.require_project(), read_file(file_id))
    return in_anthropic.shown(row) if dialect == "anthropic" else shown(row)


@router.delete("/{file_id}", summary="Delete a file")
async def delete_file(file_id: Id, writer: Writer, acting: Acting, transaction: Transaction, dialect: Dialect) -> Json:
    """The file is gone at once; its bytes are deleted within a minute."""
    tenant = {"organization_id": writer.organization_id, "project_id": writer.require_project()}
    await queries.give_up(transaction, tenant["project_id"], read_file(file_id))
    await record_deletion(transaction, "file", file_id, **tenant, actor=acting)
    if dialect == "anthropic":
        return {"id": file_id, "type": "file_deleted"}
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
