"""Pages of lists by identifier: UUIDv7 sorts by time, so a cursor is a place and need not be there any more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, TypeVarTuple
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

Row = TypeVar("Row")
Columns = TypeVarTuple("Columns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which page: at most `limit` rows after the identifier `after`, or the last ones before `before`."""

    limit: int = 20
    after: UUID | None = None
    before: UUID | None = None
    descending: bool = False

    @property
    def backwards(self) -> bool:
        """Whether the page is read from its end."""
        return self.before is not None and self.after is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """The rows of a page in the list's order; `has_more`: further ones lie in the direction of reading."""

    rows: Sequence[Row]
    has_more: bool


async def page_of(
    session: AsyncSession, statement: Select[Row], *, key: InstrumentedAttribute[UUID], place: Place
) -> Page[Row]:
    """The page of `statement`, which selects one entity, at `place`, in the order of `key`. One statement.

    `key` is unique within what is selected.
    """
    return _cut((await session.scalars(_at(statement, key=key, place=place))).all(), place=place)


async def page_of_rows(
    session: AsyncSession, statement: Select[*Columns], *, key: InstrumentedAttribute[UUID], place: Place
) -> Page[tuple[*Columns]]:
    """As `page_of`, for a statement that selects several entities."""
    return _cut((await session.execute(_at(statement, key=key, place=place))).all(), place=place)


def _at(statement: Select[*Columns], *, key: InstrumentedAttribute[UUID], place: Place) -> Select[*Columns]:
    """`statement` narrowed to the page's rows and one more, nearest to the cursor first."""
    if place.after is not None:
        statement = statement.where(key < place.after if place.descending else key > place.after)
    if place.before is not None:
        statement = statement.where(key > place.before if place.descending else key < place.before)
    falling = place.descending != place.backwards
    return statement.order_by(key.desc() if falling else key.asc()).limit(place.limit + 1)


def _cut(rows: Sequence[Row], *, place: Place) -> Page[Row]:
    page = rows[: place.limit]
    return Page(rows=page[::-1] if place.backwards else page, has_more=len(rows) > place.limit)
