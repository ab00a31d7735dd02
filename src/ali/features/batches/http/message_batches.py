"""`/v1/messages/batches`: create, list, retrieve, cancel, delete, results. Source: Anthropic's API reference."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from ali.features.audit import record_deletion
from ali.features.batches import lifecycle
from ali.features.batches.intake import MessageIntake
from ali.features.batches.lifecycle import MessagesIn
from ali.features.batches.models import Batch
from ali.features.batches.naming import MESSAGE_INPUT, RESULTS_TTL_S, batch_name, read_batch
from ali.features.chat.admission import anthropic_headers
from ali.features.chat.operations import MESSAGES
from ali.features.files.http.bodies import body_of
from ali.features.files.store import FileStore
from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import Acting, Transaction, requires
from ali.features.identity.http.answers import Json
from ali.features.identity.http.authority import Id
from ali.features.identity.http.inputs import cursor
from ali.features.identity.paging import Place
from ali.kernel.db import enter_tenant

PATH: Final = "/v1/messages/batches"

router = APIRouter(prefix=PATH, tags=["batches"])

_DIALECT: Final = "anthropic"
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["requests"],
                    "properties": {
                        "requests": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 100_000,
                            "items": {
                                "type": "object",
                                "required": ["custom_id", "params"],
                                "properties": {
                                    "custom_id": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"},
                                    "params": {"type": "object", "description": "As POST /v1/messages takes it."},
                                },
                            },
                        }
                    },
                }
            }
        },
    }
}

Reader = Annotated[Principal, requires(Permission.BATCHES_READ)]
Writer = Annotated[Principal, requires(Permission.BATCHES_WRITE)]
ResultReader = Annotated[Principal, requires(Permission.FILES_READ)]


@router.post("", summary="Create a message batch", openapi_extra=_BODY)
async def create_message_batch(request: Request, writer: Writer) -> Json:
    """Up to 100,000 requests in up to 256 MB, run in the background within 24 hours, behind interactive ones.

    `requests` is the only field of the body, which is read as it comes.
    """
    project_id = writer.require_project()
    version, beta = anthropic_headers(MESSAGES, dict(request.scope["headers"]))
    store: FileStore = request.app.state.files
    intake = MessageIntake(most_bytes=request.app.state.gateway.max_body_bytes)
    draft = await store.begin(organization_id=writer.organization_id, project_id=project_id, purpose=MESSAGE_INPUT)
    try:
        written = await store.write(draft, intake.lines(body_of(request)))
        wanted = MessagesIn(
            input_file=draft.id,
            input_object=draft.object_name,
            written=written,
            total=intake.total,
            version=version,
            beta=beta,
        )
        async with request.app.state.sessions() as session, session.begin():
            await enter_tenant(session, organization_id=writer.organization_id, project_id=project_id)
            batch = await lifecycle.hand_in_messages(session, writer, wanted)
    except BaseException:
        await asyncio.shield(store.abandon(draft))
        raise
    return shown(batch, address=_address(request))


@router.get("", summary="List message batches")
async def list_message_batches(
    *,
    request: Request,
    reader: Reader,
    transaction: Transaction,
    after_id: Annotated[str | None, Query(max_length=100)] = None,
    before_id: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> Json:
    """The message batches of the caller's project, newest first."""
    place = Place(
        limit=limit,
        after=cursor(after_id, _read, param="after_id"),
        before=cursor(before_id, _read, param="before_id"),
        descending=True,
    )
    page = await lifecycle.listed(transaction, reader.require_project(), dialect=_DIALECT, place=place)
    data = [shown(row, address=_address(request)) for row in page.rows]
    return {
        "data": data,
        "has_more": page.has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


@router.get("/{message_batch_id}", summary="Retrieve a message batch")
async def retrieve_message_batch(
    message_batch_id: Id, request: Request, reader: Reader, transaction: Transaction
) -> Json:
    """How far a message batch is."""
    project_id = reader.require_project()
    batch = await lifecycle.found(transaction, project_id, _read(message_batch_id), dialect=_DIALECT)
    return shown(batch, address=_address(request))


@router.post("/{message_batch_id}/cancel", summary="Cancel a message batch")
async def cancel_message_batch(
    message_batch_id: Id, request: Request, writer: Writer, transaction: Transaction
) -> Json:
    """No more of it is run. What was done until then is in its results once it has `ended`."""
    project_id = writer.require_project()
    batch = await lifecycle.cancel(transaction, project_id, _read(message_batch_id), dialect=_DIALECT)
    return shown(batch, address=_address(request))


@router.delete("/{message_batch_id}", summary="Delete a message batch")
async def delete_message_batch(message_batch_id: Id, writer: Writer, acting: Acting, transaction: Transaction) -> Json:
    """A message batch that has ended, and its results, are gone."""
    tenant = {"organization_id": writer.organization_id, "project_id": writer.require_project()}
    await lifecycle.remove(transaction, tenant["project_id"], _read(message_batch_id), dialect=_DIALECT)
    await record_deletion(transaction, "message_batch", message_batch_id, **tenant, actor=acting)
    return {"id": message_batch_id, "type": "message_batch_deleted"}


@router.get(
    "/{message_batch_id}/results",
    summary="Retrieve a message batch's results",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-jsonl": {"schema": {"type": "string"}}}}},
)
async def retrieve_message_batch_results(
    message_batch_id: Id, request: Request, reader: ResultReader, transaction: Transaction
) -> StreamingResponse:
    """One result a line, in the order of the requests."""
    project_id = reader.require_project()
    batch = await lifecycle.found(transaction, project_id, _read(message_batch_id), dialect=_DIALECT)
    results = await lifecycle.results_of(transaction, batch)
    await transaction.commit()  # nothing is held while the object store is asked
    store: FileStore = request.app.state.files
    return StreamingResponse(
        await store.objects.open(results.object_name),
        media_type="application/x-jsonl",
        headers={"content-length": str(results.size_bytes)},
    )


def _read(text: str) -> UUID | None:
    return read_batch(text, dialect=_DIALECT)


def _address(request: Request) -> str:
    """What goes before the path of results: nothing, unless the operator has said how people reach this service.

    The SDKs take a path, as they do an address; and what a `Host` header says is not to be sent on.
    """
    return str(request.app.state.public_url or "")


def shown(batch: Batch, *, address: str) -> Json:
    """`message_batch`. Counts are told at the end, as Anthropic tells them."""
    name = batch_name(batch.id, dialect=_DIALECT)
    ended = batch.ended_at is not None
    kept = ended and batch.output_file_id is not None and not _archived(batch)
    rest = batch.total - batch.completed - batch.failed
    counts = {"processing": batch.total, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    if ended:
        counts |= {"processing": 0, "succeeded": batch.completed, "errored": batch.failed}
        counts[{"cancelled": "canceled", "expired": "expired"}.get(batch.status, "errored")] += rest
    return {
        "id": name,
        "type": "message_batch",
        "processing_status": "ended" if ended else "canceling" if batch.status == "cancelling" else "in_progress",
        "request_counts": counts,
        "created_at": _time(batch.created_at),
        "expires_at": _time(batch.expires_at),
        "ended_at": _time(batch.ended_at),
        "cancel_initiated_at": _time(batch.cancelling_at),
        "archived_at": _time(_archive_time(batch)) if _archived(batch) else None,
        "results_url": f"{address}{PATH}/{name}/results" if kept else None,
    }


def _archive_time(batch: Batch) -> datetime | None:
    return None if batch.ended_at is None else batch.ended_at + timedelta(seconds=RESULTS_TTL_S)


def _archived(batch: Batch) -> bool:
    """Whether the results have expired."""
    moment = _archive_time(batch)
    return moment is not None and moment <= datetime.now(UTC)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
