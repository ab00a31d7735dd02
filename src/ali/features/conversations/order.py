"""The items of a conversation in their order: adding, finding, listing and deleting. The caller's transaction."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.conversations.errors import ItemNotFound, conversation_locked, conversation_not_found
from ali.features.conversations.lifecycle import Home
from ali.features.conversations.models import Conversation, ConversationItem
from ali.features.identity.paging import Page
from ali.features.metering.ledger import DEAD_AFTER_S
from ali.kernel.errors import InvalidRequest

Json = dict[str, Any]

MOST_PAGE_BYTES: Final = 32 * 1024 * 1024
"""How much of items one page has, its first one aside: the rest is on the next, however high the limit."""

_APPEND: Final = (
    "select ali.append_items(:organization, :project, :conversation, cast(:item_ids as text[]), cast(:kinds as text[]),"
    " cast(:bodies as bytea[]), make_interval(secs => :dead_after_s))"
)
_LIST: Final = (
    "select verdict, body from ali.list_items(:organization, :project, :conversation, cast(:after as text),"
    " cast(:before as text), :descending, :backwards, :most, :most_bytes)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Which page: at most `limit` items after the item `after`, or the last ones before `before`."""

    limit: int = 20
    after: str | None = None
    before: str | None = None
    descending: bool = True

    @property
    def backwards(self) -> bool:
        """Whether the page is read from its end."""
        return self.before is not None and self.after is None


async def append(session: AsyncSession, conversation_id: UUID | None, *, home: Home, items: list[Json]) -> None:
    """Add `items`, which `read_items` has read, behind the others and next to each other. One statement.

    Raises `ConversationNotFound`, `ConversationLocked` while a response runs in the conversation, and `InvalidRequest`
    where an item of that id is in it already. From here to the transaction's end others wait.
    """
    verdict = await session.scalar(
        text(_APPEND),
        {
            "organization": home.organization_id,
            "project": home.project_id,
            "conversation": conversation_id,
            "item_ids": [item["id"] for item in items],
            "kinds": [item["type"] for item in items],
            "bodies": [orjson.dumps(item) for item in items],
            "dead_after_s": DEAD_AFTER_S,
        },
    )
    match verdict:
        case "ok":
            return
        case "busy":
            raise conversation_locked()
        case "duplicate":
            raise InvalidRequest(
                "An item of that id is in the conversation already. Leave out what is there, or the items' ids.",
                param="items",
                code="duplicate_item",
            )
        case _:
            raise conversation_not_found()


async def listed(session: AsyncSession, conversation_id: UUID | None, *, home: Home, stretch: Stretch) -> Page[Json]:
    """A page of the items. One statement, whose cost is that of the page.

    Raises `ConversationNotFound`, and `InvalidRequest` where the item that `after` or `before` names is not in it.
    """
    rows = await session.execute(
        text(_LIST),
        {
            "organization": home.organization_id,
            "project": home.project_id,
            "conversation": conversation_id,
            "after": stretch.after,
            "before": stretch.before,
            "descending": stretch.descending,
            "backwards": stretch.backwards,
            "most": stretch.limit,
            "most_bytes": MOST_PAGE_BYTES,
        },
    )
    page: list[Json] = []
    for verdict, body in rows:
        match verdict:
            case "item":
                page.append(orjson.loads(body))
            case "more":
                return Page(rows=page[::-1] if stretch.backwards else page, has_more=True)
            case "after_unknown":
                raise _cursor_unknown("after")
            case "before_unknown":
                raise _cursor_unknown("before")
            case _:
                raise conversation_not_found()
    return Page(rows=page[::-1] if stretch.backwards else page, has_more=False)


async def found(session: AsyncSession, conversation: Conversation, item_id: str) -> Json:
    """One item. Raises `ItemNotFound`."""
    body = await session.scalar(
        select(ConversationItem.body).where(
            ConversationItem.conversation_id == conversation.id, ConversationItem.item_id == item_id
        )
    )
    if body is None:
        raise _item_not_found()
    item: Json = orjson.loads(body)
    return item


async def remove(session: AsyncSession, conversation: Conversation, item_id: str) -> None:
    """Delete one item; the others keep their order. Raises `ItemNotFound`."""
    gone = await session.scalar(
        delete(ConversationItem)
        .where(ConversationItem.conversation_id == conversation.id, ConversationItem.item_id == item_id)
        .returning(ConversationItem.position)
    )
    if gone is None:
        raise _item_not_found()


def _cursor_unknown(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param} names no item of this conversation. Send the id of one, such as the list's last_id.", param=param
    )


def _item_not_found() -> ItemNotFound:
    return ItemNotFound("Item not found in this conversation. GET …/items lists those that are in it.")
