"""`/v1/uploads`: a file in parts: create, add parts, complete, cancel. Source: OpenAI's API reference, "Uploads"."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import Field, StringConstraints

from ali.features.files.form import FileForm, cleaned_name, read_media_type
from ali.features.files.http.bodies import body_of
from ali.features.files.http.files import Writer, shown
from ali.features.files.models import StoredFile, Upload
from ali.features.files.naming import UPLOADED, part_name, read_part, read_upload, upload_name
from ali.features.files.uploads import MOST_PARTS, Uploads
from ali.features.files.wishes import Wishes, read_purpose, read_ttl
from ali.features.identity.http.access import Transaction
from ali.features.identity.http.answers import Json, unix
from ali.features.identity.http.authority import Id
from ali.features.identity.http.inputs import Body

PATH: Final = "/v1/uploads"
PARTS_PATH: Final = (f"{PATH}/", "/parts")
"""How the paths begin and end whose bodies are parts."""

router = APIRouter(prefix=PATH, tags=["files"])

_DATA: Final = "data"
_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [_DATA],
                    "properties": {_DATA: {"type": "string", "format": "binary", "maxLength": 67_108_864}},
                }
            }
        },
    }
}
Text = Annotated[str, StringConstraints(max_length=512)]


class ExpiresAfter(Body):
    """How long after its creation the file is kept."""

    anchor: Text
    seconds: Annotated[int, Field(strict=True)]


class NewUpload(Body):
    """A file that will be sent in parts."""

    bytes: Annotated[int, Field(ge=0, le=2**53, strict=True)]
    filename: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    mime_type: Text
    purpose: Annotated[Text, Field(description=f"One of: {', '.join(UPLOADED)}.")]
    expires_after: ExpiresAfter | None = None


class Completion(Body):
    """Of which parts the file consists."""

    part_ids: Annotated[list[Text], Field(max_length=MOST_PARTS)]
    md5: Annotated[str, StringConstraints(max_length=64)] | None = None


@router.post("", summary="Create an upload")
async def create_upload(request: Request, writer: Writer, transaction: Transaction, body: NewUpload) -> Json:
    """An upload takes parts for an hour. Its file is there once it is completed."""
    purpose = read_purpose(body.purpose, size_bytes=body.bytes)
    after = body.expires_after
    wishes = Wishes(
        name=cleaned_name(body.filename) or "file",
        purpose=purpose,
        ttl_s=read_ttl(after.anchor if after else None, after.seconds if after else None, purpose=purpose),
        media_type=read_media_type(body.mime_type),
    )
    uploads: Uploads = request.app.state.uploads
    upload = await uploads.begin(
        *(transaction, wishes),
        organization_id=writer.organization_id,
        project_id=writer.require_project(),
        size_bytes=body.bytes,
    )
    return shown_upload(upload)


@router.post("/{upload_id}/parts", summary="Add an upload's part", openapi_extra=_FORM)
async def add_upload_part(upload_id: Id, request: Request, writer: Writer) -> Json:
    """At most 64 MB of the file. Parts may be sent side by side: what order they are in is said at the end."""
    form = FileForm(request.headers.get("content-type", ""), body_of(request), field_name=_DATA, nameless=True)
    uploads: Uploads = request.app.state.uploads
    part = await uploads.take(
        form,
        organization_id=writer.organization_id,
        project_id=writer.require_project(),
        upload_id=read_upload(upload_id),
    )
    return {
        "id": part_name(part.id),
        "object": "upload.part",
        "created_at": unix(part.created_at),
        "upload_id": upload_id,
    }


@router.post("/{upload_id}/complete", summary="Complete an upload")
async def complete_upload(upload_id: Id, request: Request, writer: Writer, body: Completion) -> Json:
    """The parts become one file, in the order in which they are named. Together they are as large as was announced."""
    uploads: Uploads = request.app.state.uploads
    upload, file = await uploads.complete(
        organization_id=writer.organization_id,
        project_id=writer.require_project(),
        upload_id=read_upload(upload_id),
        part_ids=[read_part(each) for each in body.part_ids],
        md5=body.md5,
    )
    return shown_upload(upload, file)


@router.post("/{upload_id}/cancel", summary="Cancel an upload")
async def cancel_upload(upload_id: Id, request: Request, writer: Writer, transaction: Transaction) -> Json:
    """What was sent of it is deleted, and no more is taken."""
    uploads: Uploads = request.app.state.uploads
    return shown_upload(await uploads.cancel(transaction, writer.require_project(), read_upload(upload_id)))


def shown_upload(upload: Upload, file: StoredFile | None = None) -> Json:
    """`upload`."""
    return {
        "id": upload_name(upload.id),
        "object": "upload",
        "bytes": upload.size_bytes,
        "created_at": unix(upload.created_at),
        "expires_at": unix(upload.expires_at),
        "filename": upload.name.decode(),
        "purpose": upload.purpose,
        "status": upload.status,
        "file": None if file is None else shown(file),
    }
