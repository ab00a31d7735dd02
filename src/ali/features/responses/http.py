"""Responses that are kept, over HTTP: fetched, streamed again, cancelled, deleted, and what they were asked.

`POST /v1/responses` is the hot path's (`exchange`).
"""

import asyncio
import time
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.conversations.includes import read_include
from ali.features.conversations.lifecycle import Home
from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import Acting, Transaction, requires
from ali.features.identity.http.inputs import listed
from ali.features.identity.naming import Kind, read
from ali.features.responses import library
from ali.features.responses.background import Background
from ali.features.responses.errors import NotCancellable, NotStreamable
from ali.features.responses.file_search.shown import RESULTS, told
from ali.features.responses.head import with_output
from ali.features.responses.models import StoredResponse
from ali.features.responses.state import Place
from ali.kernel.errors import InvalidRequest

router = APIRouter(prefix="/v1/responses", tags=["responses"])

Caller = Annotated[Principal, requires(Permission.INFERENCE)]
Json = dict[str, Any]


async def _include(words: Annotated[list[str], listed("include")]) -> frozenset[str]:
    return read_include(words)


Include = Annotated[frozenset[str], Depends(_include)]

_HIGHEST_NUMBER: Final = 2**31 - 1
_CANCEL_WAIT_S: Final = 5.0
_CANCEL_POLL_S: Final = 0.05
_MOST_INPUT_BYTES: Final = 64 * 1024 * 1024
_RUNNING: Final = ("queued", "in_progress")
_HEADERS: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}


@router.get("/{response_id}", summary="Retrieve a response", response_model=None)
async def retrieve_response(
    *,
    request: Request,
    response_id: str,
    caller: Caller,
    transaction: Transaction,
    stream: Annotated[bool, Query(description="Its events, as they come.")] = False,
    starting_after: Annotated[
        int | None, Query(ge=-1, le=_HIGHEST_NUMBER, description="The number of the last event seen.")
    ] = None,
    include: Include,
) -> Response:
    """A response as it stands. `stream`: of one in the background, its events after `starting_after`, each once."""
    row = await _row(transaction, caller, response_id)
    if starting_after is not None and not stream:
        raise InvalidRequest("starting_after goes with stream=true.", param="starting_after")
    if not stream:
        return JSONResponse(_shown(row, include))
    if not row.background:
        raise NotStreamable(
            "This response was not made in the background, so its events were not kept. Retrieve it without stream.",
            param="stream",
        )
    background: Background = request.app.state.background
    after = -1 if starting_after is None else starting_after
    events = background.followers.follow(_place(row), after=after, scope=request.scope)
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)


@router.delete("/{response_id}", summary="Delete a response")
async def delete_response(response_id: str, caller: Caller, actor: Acting, transaction: Transaction) -> Json:
    """Delete it, with what it was asked and what came out. One that runs is stopped."""
    await library.remove(transaction, read(Kind.RESPONSE, response_id), home=_home(caller), actor=actor)
    return {"id": response_id, "object": "response.deleted", "deleted": True}


@router.post("/{response_id}/cancel", summary="Cancel a response")
async def cancel_response(request: Request, response_id: str, caller: Caller, transaction: Transaction) -> Json:
    """Stop a response in the background. Cancelling it again changes nothing."""
    background: Background = request.app.state.background
    row = await _row(transaction, caller, response_id)
    if not row.background:
        raise NotCancellable("Only responses that were made with background: true can be cancelled.")
    if row.status not in _RUNNING:
        if row.status == "cancelled":
            return _shown(row)
        raise NotCancellable(f"This response has ended already: it is {row.status}.")
    await background.cancel(_place(row))
    deadline_s = time.monotonic() + _CANCEL_WAIT_S
    while row.status in _RUNNING and time.monotonic() < deadline_s:
        await asyncio.sleep(_CANCEL_POLL_S)
        row = await _row(transaction, caller, response_id)
    return _shown(row)


@router.get("/{response_id}/input_items", summary="List what a response was asked")
async def list_input_items(
    *,
    request: Request,
    response_id: str,
    caller: Caller,
    transaction: Transaction,
    after: Annotated[str | None, Query(max_length=200)] = None,
    before: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    include: Include,
) -> Json:
    """The items that it was asked, those of the responses before it in its chain included; newest first by default."""
    row = await _row(transaction, caller, response_id)
    background: Background = request.app.state.background
    items = orjson.loads(row.input)
    if row.previous_id is not None:
        items = await background.engine.state.input_of(_place(row), most_bytes=_MOST_INPUT_BYTES)
    if order == "desc":
        items.reverse()
    names = [item["id"] for item in items]
    for name, param in ((after, "after"), (before, "before")):
        if name is not None and name not in names:
            raise InvalidRequest(f"{param} is the id of an item of this list.", param=param)
    if after is not None:
        items = items[names.index(after) + 1 :]
    if before is not None:
        items = items[: [item["id"] for item in items].index(before)] if before in {i["id"] for i in items} else []
    page = items[-limit:] if before is not None and after is None else items[:limit]
    return {
        "object": "list",
        "data": [told(item, shows_results=RESULTS in include) for item in page],
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > len(page),
    }


async def _row(session: AsyncSession, caller: Principal, name: str) -> StoredResponse:
    """The caller's response. Raises `ResponseNotFound` for any other."""
    return await library.found(session, read(Kind.RESPONSE, name), home=_home(caller))


def _home(caller: Principal) -> Home:
    return Home(organization_id=caller.organization_id, project_id=caller.require_project())


def _place(row: StoredResponse) -> Place:
    return Place(
        organization_id=row.organization_id,
        project_id=row.project_id,
        response_id=row.id,
        conversation_id=row.conversation_id,
        previous_id=row.previous_id,
    )


def _shown(row: StoredResponse, include: frozenset[str] = frozenset()) -> Json:
    """The response object as it stands. Of what has to be asked for, `file_search_call.results` alone is left out."""
    head: Json = {**orjson.loads(row.head), "status": row.status}
    shows_results = RESULTS in include
    return with_output(head, [told(item, shows_results=shows_results) for item in orjson.loads(row.output)])
