"""`/v1/batches`: create, list, retrieve, cancel. Source: OpenAI's API reference, "Batch"."""

from typing import Annotated, Final, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints

from ali.features.batches import lifecycle
from ali.features.batches.lifecycle import HandedIn
from ali.features.batches.models import Batch
from ali.features.batches.naming import batch_name, read_batch
from ali.features.files.naming import file_name, read_file
from ali.features.files.wishes import BATCH_TTL_S, LONGEST_TTL_S, SHORTEST_TTL_S
from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import Transaction, requires
from ali.features.identity.http.answers import Json, listing, maybe_unix, unix
from ali.features.identity.http.authority import Id
from ali.features.identity.http.inputs import Body, cursor
from ali.features.identity.paging import Place

router = APIRouter(prefix="/v1/batches", tags=["batches"])

_DIALECT: Final = "openai"
_NO_CONTROLS: Final = r"^[^\x00]*$"

Reader = Annotated[Principal, requires(Permission.BATCHES_READ)]
Writer = Annotated[Principal, requires(Permission.BATCHES_WRITE)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_NO_CONTROLS)]
Value = Annotated[str, StringConstraints(max_length=512, pattern=_NO_CONTROLS)]


class ExpiresAfter(Body):
    """How long after its creation the output is kept."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=SHORTEST_TTL_S, le=LONGEST_TTL_S, strict=True)]


class NewBatch(Body):
    """A batch to be run."""

    input_file_id: Annotated[str, StringConstraints(max_length=200)]
    endpoint: Literal["/v1/chat/completions", "/v1/embeddings", "/v1/moderations", "/v1/responses"]
    completion_window: Literal["24h"]
    metadata: Annotated[dict[Key, Value], Field(max_length=16)] | None = None
    output_expires_after: ExpiresAfter | None = None


@router.post("", summary="Create a batch")
async def create_batch(writer: Writer, transaction: Transaction, body: NewBatch) -> Json:
    """The requests in a file of purpose `batch`, run in the background within 24 hours, behind interactive ones."""
    wanted = HandedIn(
        input_file=read_file(body.input_file_id),
        endpoint=body.endpoint,
        metadata=body.metadata,
        output_ttl_s=body.output_expires_after.seconds if body.output_expires_after else BATCH_TTL_S,
    )
    return shown(await lifecycle.hand_in(transaction, writer, wanted))


@router.get("", summary="List batches")
async def list_batches(
    reader: Reader,
    transaction: Transaction,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> Json:
    """The batches of the caller's project, newest first."""
    place = Place(limit=limit, after=cursor(after, _read, param="after"), descending=True)
    page = await lifecycle.listed(transaction, reader.require_project(), dialect=_DIALECT, place=place)
    return listing(page, shown)


@router.get("/{batch_id}", summary="Retrieve a batch")
async def retrieve_batch(batch_id: Id, reader: Reader, transaction: Transaction) -> Json:
    """How far a batch is."""
    return shown(await lifecycle.found(transaction, reader.require_project(), _read(batch_id), dialect=_DIALECT))


@router.post("/{batch_id}/cancel", summary="Cancel a batch")
async def cancel_batch(batch_id: Id, writer: Writer, transaction: Transaction) -> Json:
    """No more of it is run. What was done until then is in its output once it is `cancelled`."""
    return shown(await lifecycle.cancel(transaction, writer.require_project(), _read(batch_id), dialect=_DIALECT))


def _read(text: str) -> UUID | None:
    return read_batch(text, dialect=_DIALECT)


def shown(batch: Batch) -> Json:
    """`batch`."""
    ended = maybe_unix(batch.ended_at)
    errors = None if batch.errors is None else {"object": "list", "data": orjson.loads(batch.errors)}
    return {
        "id": batch_name(batch.id, dialect=_DIALECT),
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": errors,
        "input_file_id": file_name(batch.input_file_id),
        "completion_window": "24h",
        "status": batch.status,
        "output_file_id": None if batch.output_file_id is None else file_name(batch.output_file_id),
        "error_file_id": None if batch.error_file_id is None else file_name(batch.error_file_id),
        "created_at": unix(batch.created_at),
        "in_progress_at": maybe_unix(batch.in_progress_at),
        "expires_at": unix(batch.expires_at),
        "finalizing_at": maybe_unix(batch.finalizing_at),
        "completed_at": ended if batch.status == "completed" else None,
        "failed_at": ended if batch.status == "failed" else None,
        "expired_at": ended if batch.status == "expired" else None,
        "cancelling_at": maybe_unix(batch.cancelling_at),
        "cancelled_at": ended if batch.status == "cancelled" else None,
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": batch.details,
    }
