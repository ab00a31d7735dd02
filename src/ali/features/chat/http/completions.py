"""`/v1/chat/completions`, as far as it is about what is kept; creating one is the hot path's.

Source: OpenAI API reference, "List chat completions" and its neighbours.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request, Response

from ali.features.chat.stored import library
from ali.features.chat.stored.library import Shelf, Wanted
from ali.features.conversations.tags import read_metadata
from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import Acting, Transaction, requires
from ali.features.identity.http.inputs import Body, Word
from ali.kernel.errors import InvalidRequest

router = APIRouter(prefix="/v1/chat/completions", tags=["inference"])

Caller = Annotated[Principal, requires(Permission.INFERENCE)]
CompletionId = Annotated[str, Path(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=100)]
Order = Annotated[Literal["asc", "desc"], Query(description="By time.")]
After = Annotated[str | None, Query(max_length=250, description="The id after which the page begins.")]

_FILTER: Final = re.compile(r"metadata\[(.*)\]", re.DOTALL)


class Described(Body):
    """What of a completion can be changed. `metadata` takes the place of what was there; null leaves none."""

    metadata: dict[str, str] | None


@router.get("", summary="List the chat completions kept")
async def list_chat_completions(
    *,
    request: Request,
    caller: Caller,
    transaction: Transaction,
    model: Annotated[Word | None, Query()] = None,
    after: After = None,
    limit: Limit = 20,
    order: Order = "asc",
) -> Response:
    """Those of the caller's project that were created with `store: true`, by time. `metadata[name]=text`, also several
    times, narrows the list to those with all of these.
    """
    page = await library.listed(
        transaction,
        _shelf(caller),
        wanted=Wanted(model=model, metadata=_metadata_wanted(request)),
        after=after,
        limit=limit,
        descending=order == "desc",
    )
    return _listing([shown.answer for shown in page.rows], [s.public_id for s in page.rows], has_more=page.has_more)


@router.get("/{completion_id}", summary="Retrieve a chat completion")
async def retrieve_chat_completion(completion_id: CompletionId, caller: Caller, transaction: Transaction) -> Response:
    """One completion that was kept, with its metadata."""
    return _json((await library.find(transaction, _shelf(caller), completion_id)).answer)


@router.post("/{completion_id}", summary="Change a chat completion's metadata")
async def update_chat_completion(
    completion_id: CompletionId, caller: Caller, transaction: Transaction, body: Described
) -> Response:
    """The completion with this metadata in place of what it had."""
    metadata = read_metadata(body.metadata)
    return _json((await library.describe(transaction, _shelf(caller), completion_id, metadata=metadata)).answer)


@router.delete("/{completion_id}", summary="Delete a chat completion")
async def delete_chat_completion(
    completion_id: CompletionId, caller: Caller, transaction: Transaction, acting: Acting
) -> dict[str, Any]:
    """The completion and its messages are gone for good; its usage stays."""
    await library.remove(transaction, _shelf(caller), completion_id, actor=acting)
    return {"object": "chat.completion.deleted", "id": completion_id, "deleted": True}


@router.get("/{completion_id}/messages", summary="List the messages of a chat completion")
async def list_chat_completion_messages(
    *,
    completion_id: CompletionId,
    caller: Caller,
    transaction: Transaction,
    after: After = None,
    limit: Limit = 20,
    order: Order = "asc",
) -> Response:
    """The messages that the completion answers, as they were sent."""
    messages = list(enumerate(await library.messages_of(transaction, _shelf(caller), completion_id)))
    if after is not None:
        last = _message_number(after, completion_id, count=len(messages))
        messages = messages[last + 1 :] if order == "asc" else messages[:last]
    if order == "desc":
        messages.reverse()
    page = [_message(message, named=f"{completion_id}-{number}") for number, message in messages[:limit]]
    return _listing(map(orjson.dumps, page), [each["id"] for each in page], has_more=len(messages) > limit)


def _shelf(caller: Principal) -> Shelf:
    return Shelf(organization_id=caller.organization_id, project_id=caller.require_project())


def _metadata_wanted(request: Request) -> dict[str, str]:
    """The filters `metadata[name]=text` of a query."""
    filters = [
        (found[1], text) for name, text in request.query_params.multi_items() if (found := _FILTER.fullmatch(name))
    ]
    if len(filters) != len(dict(filters)):
        raise InvalidRequest("Each name in `metadata` can be asked for once.", param="metadata")
    return read_metadata(dict(filters))


def _message_number(text: str, completion_id: str, *, count: int) -> int:
    digits = text.removeprefix(f"{completion_id}-")
    if digits == text or not re.fullmatch(r"[0-9]{1,9}", digits) or int(digits) >= count:
        raise InvalidRequest("after is an id from this list, such as its last_id.", param="after")
    return int(digits)


def _message(message: object, *, named: str) -> dict[str, Any]:
    """A message as it was sent, with its identifier. Where it came in parts, these are `content_parts`."""
    said = message if isinstance(message, dict) else {}
    content = said.get("content")
    parts = content if isinstance(content, list) else None
    return {**said, "id": named, "content": None if parts is not None else content, "content_parts": parts}


def _listing(items: Iterable[bytes], ids: list[str], *, has_more: bool) -> Response:
    """A page of a list, of items that are JSON already."""
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None, "has_more": has_more}
    return _json(b'{"object":"list","data":[' + b",".join(items) + b"]," + orjson.dumps(ends)[1:])


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
