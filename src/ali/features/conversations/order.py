"""The items of a conversation in their order: adding, finding, listing and deleting. The caller's transaction."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Select, delete, func, select, text
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


async def listed(session: AsyncSession, conversation: Conversation, *, stretch: Stretch) -> Page[Json]:
    """A page of the items. At most three statements, whose cost is that of the page.

    Raises `InvalidRequest` where the item that `after` or `before` names is not in the conversation.
    """
    after = await _position(session, conversation, stretch.after, param="after")
    before = await _position(session, conversation, stretch.before, param="before")
    within = select(ConversationItem.position, func.octet_length(ConversationItem.body).label("size")).where(
        ConversationItem.conversation_id == conversation.id
    )
    key = ConversationItem.position
    if after is not None:
        within = within.where(key < after if stretch.descending else key > after)
    if before is not None:
        within = within.where(key > before if stretch.descending else key < before)
    rows = (await session.execute(_fitting(within, stretch))).all()
    page = [orjson.loads(row.body) for row in rows[: stretch.limit]]
    more = bool(rows) and rows[0].found > len(page)
    return Page(rows=page[::-1] if stretch.backwards else page, has_more=more)


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


def _fitting(within: Select[Any, Any], stretch: Stretch) -> Select[Any, Any]:
    """The bodies of the page's items, nearest to the cursor first, as many as fit a page; `found`: how many there were
    to choose from, which is one more than the page takes where there are more.
    """
    falling = stretch.descending != stretch.backwards
    column = ConversationItem.position
    near = within.order_by(column.desc() if falling else column.asc()).limit(stretch.limit + 1).subquery()
    nearest = near.c.position.desc() if falling else near.c.position.asc()
    sized = select(
        near.c.position,
        func.coalesce(func.sum(near.c.size).over(order_by=nearest, rows=(None, -1)), 0).label("ahead"),
        func.count().over().label("found"),
    ).subquery()
    return (
        select(ConversationItem.body, sized.c.found)
        .join(sized, sized.c.position == column)
        .where(sized.c.ahead < MOST_PAGE_BYTES)
        .order_by(column.desc() if falling else column.asc())
    )


async def _position(
    session: AsyncSession, conversation: Conversation, item_id: str | None, *, param: str
) -> int | None:
    if item_id is None:
        return None
    position = await session.scalar(
        select(ConversationItem.position).where(
            ConversationItem.conversation_id == conversation.id, ConversationItem.item_id == item_id
        )
    )
    if position is None:
        raise InvalidRequest(
            f"{param} names no item of this conversation. Send the id of one, such as the list's last_id.", param=param
        )
    return position


def _item_not_found() -> ItemNotFound:
    return ItemNotFound("Item not found in this conversation. GET …/items lists those that are in it.")
