"""`/v1/conversations`, as OpenAI's API has it. Source: its API reference, "Conversations".

A conversation is its project's: whoever may call models there may read it and go on with it.
"""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field, WithJsonSchema
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import record_deletion
from ali.features.conversations import lifecycle, order
from ali.features.conversations.includes import read_include, shown
from ali.features.conversations.items import read_items
from ali.features.conversations.kinds import KINDS
from ali.features.conversations.lifecycle import Home
from ali.features.conversations.models import Conversation
from ali.features.conversations.order import Stretch
from ali.features.conversations.refusals import missing, wrong_type, wrong_value
from ali.features.conversations.tags import LONGEST_VALUE, MOST_PAIRS, read_metadata
from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import Acting, Transaction, requires
from ali.features.identity.http.answers import deleted, unix
from ali.features.identity.http.inputs import Body, listed
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.paging import Page

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])

Json = dict[str, Any]
MOST_AT_ONCE: Final = 20

Caller = Annotated[Principal, requires(Permission.INFERENCE)]
ConversationId = Annotated[str, Path(max_length=200)]
ItemId = Annotated[str, Path(max_length=200, pattern=r"^[^\x00]*$")]
ItemCursor = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]

# What they hold is checked by the slice itself, which names the field at fault as OpenAI's API does.
_Items = Annotated[
    Any, WithJsonSchema({"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MOST_AT_ONCE})
]
_Metadata = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": "string", "maxLength": LONGEST_VALUE},
            "maxProperties": MOST_PAIRS,
        }
    ),
]


class NewConversation(Body):
    """A conversation to be made, and the items that it begins with."""

    items: _Items = Field(default=None, description="At most 20, as `input` of a response takes them.")
    metadata: _Metadata = Field(default=None, description="At most 16 texts of up to 512 characters, by name.")


class ConversationChange(Body):
    """What a conversation is to be labelled with, in place of what it has."""

    metadata: _Metadata = Field(description="At most 16 texts of up to 512 characters, by name.")


class NewItems(Body):
    """Items to be added."""

    items: _Items = Field(default=None, description="At most 20, as `input` of a response takes them.")


async def _home(caller: Caller) -> Home:
    return Home(organization_id=caller.organization_id, project_id=caller.require_project())


Own = Annotated[Home, Depends(_home)]
"""The project that the caller acts in."""


async def _include(words: Annotated[list[str], listed("include")]) -> frozenset[str]:
    return read_include(words)


Include = Annotated[frozenset[str], Depends(_include)]


async def _place(
    *,
    after: ItemCursor = None,
    before: ItemCursor = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
) -> Stretch:
    return Stretch(limit=limit, after=after, before=before, descending=order == "desc")


Place = Annotated[Stretch, Depends(_place)]


@router.post("", summary="Create a conversation")
async def create_conversation(home: Own, transaction: Transaction, body: NewConversation) -> Json:
    """A conversation, to be named in `conversation` of responses, which go on from its items and add theirs."""
    items = [] if body.items in (None, []) else _read(body.items)  # the Agents SDK's session sends an empty list
    conversation = await lifecycle.create(transaction, home=home, metadata=read_metadata(body.metadata))
    if items:
        await order.append(transaction, conversation.id, home=home, items=items)
    return _conversation(conversation)


@router.get("/{conversation_id}", summary="Retrieve a conversation")
async def retrieve_conversation(home: Own, transaction: Transaction, conversation_id: ConversationId) -> Json:
    """Its metadata; the items are a list of their own."""
    return _conversation(await _found(transaction, conversation_id, home))


@router.post("/{conversation_id}", summary="Update a conversation")
async def update_conversation(
    home: Own, transaction: Transaction, conversation_id: ConversationId, body: ConversationChange
) -> Json:
    """The metadata that is sent takes the place of what there was; null removes it."""
    metadata = read_metadata(body.metadata)
    found = _uuid(conversation_id)
    return _conversation(await lifecycle.describe(transaction, found, home=home, metadata=metadata))


@router.delete("/{conversation_id}", summary="Delete a conversation")
async def delete_conversation(
    home: Own, transaction: Transaction, acting: Acting, conversation_id: ConversationId
) -> Json:
    """With all its items. Responses that were made in it stay."""
    await lifecycle.remove(transaction, _uuid(conversation_id), home=home, actor=acting)
    return deleted("conversation", conversation_id)


@router.post("/{conversation_id}/items", summary="Add items to a conversation")
async def create_conversation_items(
    home: Own, transaction: Transaction, include: Include, conversation_id: ConversationId, body: NewItems
) -> Json:
    """Behind those that are there, together and in their order; answered as they were kept.

    While a response runs in the conversation nothing is added: 409 `conversation_locked`.
    """
    if body.items is None:
        raise missing("items")
    items = _read(body.items)
    await order.append(transaction, _uuid(conversation_id), home=home, items=items)
    return _listing(Page(rows=items, has_more=False), include)


@router.get("/{conversation_id}/items", summary="List a conversation's items")
async def list_conversation_items(
    home: Own, transaction: Transaction, include: Include, conversation_id: ConversationId, stretch: Place
) -> Json:
    """In the order in which they were said, or (`desc`, the default) from the last one back.

    A page of very large items has fewer than `limit`; `has_more` says whether any are left.
    """
    page = await order.listed(transaction, _uuid(conversation_id), home=home, stretch=stretch)
    return _listing(page, include)


@router.get("/{conversation_id}/items/{item_id}", summary="Retrieve a conversation's item")
async def retrieve_conversation_item(
    home: Own, transaction: Transaction, include: Include, conversation_id: ConversationId, item_id: ItemId
) -> Json:
    """One item."""
    conversation = await _found(transaction, conversation_id, home)
    return shown(await order.found(transaction, conversation, item_id), include=include)


@router.delete("/{conversation_id}/items/{item_id}", summary="Delete a conversation's item")
async def delete_conversation_item(
    *, home: Own, transaction: Transaction, acting: Acting, conversation_id: ConversationId, item_id: ItemId
) -> Json:
    """The item is gone, and no response sees it from now on. Answers with the conversation."""
    conversation = await _found(transaction, conversation_id, home)
    await order.remove(transaction, conversation, item_id)
    # By its conversation: an item's own identifier may be a caller's text.
    tenant = {"organization_id": home.organization_id, "project_id": home.project_id}
    await record_deletion(transaction, "conversation_item", conversation_id, **tenant, actor=acting)
    return _conversation(conversation)


def _read(raw: object) -> list[Json]:
    """The items of a body's `items`. Raises `InvalidRequest`."""
    if not isinstance(raw, list):
        raise wrong_type("items", raw, expected="an array of objects")
    if not raw:
        raise wrong_value("items", expected="Send at least one item.")
    items = read_items(raw, param="items", most=MOST_AT_ONCE)
    for place, item in enumerate(items):
        if not KINDS[item["type"]].kept:
            raise wrong_value(
                f"items[{place}].type", expected=f"'{item['type']}' is for a response's input. Add the item itself."
            )
    return items


def _uuid(name: str) -> UUID | None:
    return read(Kind.CONVERSATION, name)


async def _found(transaction: AsyncSession, name: str, home: Home) -> Conversation:
    return await lifecycle.found(transaction, _uuid(name), home=home)


def _conversation(row: Conversation) -> Json:
    return {
        "id": named(Kind.CONVERSATION, row.id),
        "object": "conversation",
        "created_at": unix(row.created_at),
        "metadata": row.tags,
    }


def _listing(page: Page[Json], include: frozenset[str]) -> Json:
    data = [shown(item, include=include) for item in page.rows]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": page.has_more,
    }
