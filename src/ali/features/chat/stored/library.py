"""The completions that a project keeps: found, listed, given other metadata, deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVarTuple
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Row, Select, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, record_deletion
from ali.features.chat.stored.completion import is_public_id
from ali.features.chat.stored.models import ChatCompletion
from ali.features.identity.paging import Page, Place, page_of_rows
from ali.kernel.db import time_limited
from ali.kernel.errors import InvalidRequest, NotFound

Columns = TypeVarTuple("Columns")

_MOST_PAGE_BYTES: Final = 16 * 1024 * 1024
_SHOWN: Final = (ChatCompletion.public_id, ChatCompletion.answer, ChatCompletion.tags)


class CompletionNotFound(NotFound):
    """404: no such completion is kept, or not in this project."""

    code = "completion_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The completions of one project."""

    organization_id: UUID
    project_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A completion as callers see it. `answer` is a JSON object, its metadata the last field."""

    public_id: str
    answer: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which completions: of a model, by the name asked for or the one that answered; with all of `metadata`."""

    model: str | None = None
    metadata: dict[str, str]


async def find(session: AsyncSession, shelf: Shelf, public_id: str) -> Shown:
    """One completion; one statement. Raises `CompletionNotFound`."""
    return _shown(*await _one(session, select(*_SHOWN), shelf, public_id))


async def messages_of(session: AsyncSession, shelf: Shelf, public_id: str) -> list[Any]:
    """The messages that a completion answers, as they were sent; one statement. Raises `CompletionNotFound`."""
    row = await _one(session, select(ChatCompletion.messages), shelf, public_id)
    messages: list[Any] = orjson.loads(row[0])
    return messages


async def listed(
    session: AsyncSession, shelf: Shelf, *, wanted: Wanted, after: str | None, limit: int, descending: bool
) -> Page[Shown]:
    """A page of those that are wanted, by time; at most five statements. It is shorter than `limit` where the next
    would make it too large. Raises `InvalidRequest` for an `after` that is none of the list, and `QueryTooBroad`.
    """
    place = Place(limit=limit, descending=descending)
    if after is not None:
        place = Place(limit=limit, after=await _place_of(session, shelf, after), descending=descending)
    sizes = select(ChatCompletion.id, func.octet_length(ChatCompletion.answer)).where(*_on(shelf))
    if wanted.model is not None:
        sizes = sizes.where(or_(ChatCompletion.model == wanted.model, ChatCompletion.answering_model == wanted.model))
    if wanted.metadata:
        sizes = sizes.where(ChatCompletion.tags.contains(wanted.metadata))
    async with time_limited(session):
        page = await page_of_rows(session, sizes, key=ChatCompletion.id, place=place)
        chosen = _within(page.rows)
        if not chosen:
            return Page(rows=[], has_more=False)
        rows = await session.execute(select(ChatCompletion.id, *_SHOWN).where(ChatCompletion.id.in_(chosen)))
        found = {completion_id: _shown(*shown) for completion_id, *shown in rows}
    return Page(
        rows=[found[each] for each in chosen if each in found],
        has_more=page.has_more or len(chosen) < len(page.rows),
    )


async def describe(session: AsyncSession, shelf: Shelf, public_id: str, *, metadata: dict[str, str]) -> Shown:
    """Give a completion this metadata in place of what it had; one statement. Raises `CompletionNotFound`."""
    ours = (*_on(shelf), *_named(public_id))
    changed = update(ChatCompletion).where(*ours).values(tags=metadata).returning(*_SHOWN)
    return _shown(*_required((await session.execute(changed)).one_or_none()))


async def remove(session: AsyncSession, shelf: Shelf, public_id: str, *, actor: Actor) -> None:
    """Delete a completion with its messages, on record; two statements. Raises `CompletionNotFound`."""
    gone = delete(ChatCompletion).where(*_on(shelf), *_named(public_id)).returning(ChatCompletion.id)
    _required((await session.execute(gone)).one_or_none())
    tenant = {"organization_id": shelf.organization_id, "project_id": shelf.project_id}
    await record_deletion(session, "chat_completion", public_id, **tenant, actor=actor)


def _within(rows: Sequence[tuple[UUID, int]]) -> list[UUID]:
    """The first of `rows` that make no page too large, and at least one."""
    chosen: list[UUID] = []
    size_bytes = 0
    for completion_id, length in rows:
        size_bytes += length
        if chosen and size_bytes > _MOST_PAGE_BYTES:
            break
        chosen.append(completion_id)
    return chosen


def _on(shelf: Shelf) -> tuple[ColumnElement[bool], ...]:
    """What narrows a statement to the project."""
    return (
        ChatCompletion.organization_id == shelf.organization_id,
        ChatCompletion.project_id == shelf.project_id,
    )


async def _one(session: AsyncSession, columns: Select[*Columns], shelf: Shelf, public_id: str) -> Row[*Columns]:
    found = await session.execute(columns.where(*_on(shelf), *_named(public_id)))
    return _required(found.one_or_none())


async def _place_of(session: AsyncSession, shelf: Shelf, after: str) -> UUID:
    """Where a completion stands in the order of time."""
    try:
        return (await _one(session, select(ChatCompletion.id), shelf, after))[0]
    except CompletionNotFound as error:
        raise InvalidRequest("after is an id from this list, such as its last_id.", param="after") from error


def _named(public_id: str) -> tuple[ColumnElement[bool], ...]:
    """What narrows a statement to one completion. Raises `CompletionNotFound` for what cannot be its identifier."""
    if not is_public_id(public_id):
        raise _unknown()
    return (ChatCompletion.public_id == public_id,)


def _required(row: Row[*Columns] | None) -> Row[*Columns]:
    if row is None:
        raise _unknown()
    return row


def _unknown() -> CompletionNotFound:
    return CompletionNotFound(
        "No chat completion with this id is stored here. Only those created with `store: true` are; "
        "GET /v1/chat/completions lists them."
    )


def _shown(public_id: str, answer: bytes, metadata: dict[str, Any]) -> Shown:
    return Shown(public_id=public_id, answer=answer[:-1] + b',"metadata":' + orjson.dumps(metadata) + b"}")
