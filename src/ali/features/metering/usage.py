"""What was used and what it cost, summed over time: buckets that tile the time asked for exactly.

A bucket begins at a whole minute, hour or day of UTC, the first at the beginning and the last at the end asked for; so
the sums over all buckets are the sums over the records of that time, neither more nor less. A page is some buckets; one
statement reads it, by the index on project and time.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import BigInteger

from ali.features.identity import Project
from ali.features.metering.models import UsageRecord
from ali.kernel.db import QueryTooBroad, time_limited

Width = Literal["1m", "1h", "1d"]
WIDTHS_S: Final[dict[Width, int]] = {"1m": 60, "1h": 3_600, "1d": 86_400}

MOST_ROWS: Final = 20_000
"""Of groups in all buckets of a page."""

COMPLETIONS: Final = ("chat.completions", "messages")
EMBEDDINGS: Final = ("embeddings",)

LINE_ITEM: Final = func.coalesce(UsageRecord.upstream_model, UsageRecord.model)
"""What a cost is for: the provider's model, or the name asked for where none was reached."""

GROUPS: Final[dict[str, ColumnElement[Any]]] = {
    "project_id": UsageRecord.project_id.expression,
    "user_id": UsageRecord.user_id.expression,
    "api_key_id": UsageRecord.api_key_id.expression,
    "model": UsageRecord.model.expression,
    "line_item": LINE_ITEM,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time asked for, in Unix seconds: from `start_s` to before `end_s`, a page of `limit` buckets from `from_s`."""

    start_s: int
    end_s: int
    width: Width
    limit: int
    from_s: int

    @property
    def buckets(self) -> list[tuple[int, int]]:
        """The page's buckets, each from its first second to before its last."""
        width_s = WIDTHS_S[self.width]
        first = self.from_s // width_s
        bounds = [max(self.from_s, index * width_s) for index in range(first, first + self.limit + 1)]
        cut = [min(bound, self.end_s) for bound in bounds]
        return [(one, other) for one, other in itertools.pairwise(cut) if one < other]

    @property
    def next_s(self) -> int | None:
        """Where the next page begins; None after the last."""
        end = self.buckets[-1][1]
        return end if end < self.end_s else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which records; None stands for any, an empty sequence for none."""

    operations: Sequence[str] | None = None
    project_ids: Sequence[UUID] | None = None
    user_ids: Sequence[UUID] | None = None
    api_key_ids: Sequence[UUID] | None = None
    models: Sequence[str] | None = None
    line_items: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """One group of a bucket. `group` has a value for each name that was grouped by."""

    group: dict[str, Any]
    requests: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_microusd: int


async def summed(
    session: AsyncSession, *, within: ColumnElement[bool], filters: Filters, span: Span, group_by: Sequence[str]
) -> list[tuple[tuple[int, int], list[Sums]]]:
    """Each bucket of the page with its groups; none where nothing was used. `within` narrows `Project`.

    Raises `QueryTooBroad` after `READ_LIMIT_S`, or for more than `MOST_ROWS` groups.
    """
    buckets = span.buckets
    columns = [GROUPS[name].label(f"group_{name}") for name in group_by]
    async with time_limited(session):
        rows = (await session.execute(_sums(within, filters, span, columns))).all()
    if len(rows) > MOST_ROWS:
        raise QueryTooBroad("This has too many groups. Ask for fewer buckets, or group by less.")
    found: dict[int, list[Sums]] = {}
    width_s = WIDTHS_S[span.width]
    for row in rows:
        named = row._mapping  # noqa: SLF001 - SQLAlchemy's documented mapping of a row
        sums = Sums(
            group={name: named[f"group_{name}"] for name in group_by},
            requests=int(named["requests"]),
            input_tokens=int(named["input_tokens"]),
            cached_input_tokens=int(named["cached_input_tokens"]),
            cache_write_tokens=int(named["cache_write_tokens"]),
            output_tokens=int(named["output_tokens"]),
            cost_microusd=int(named["cost_microusd"]),
        )
        found.setdefault(int(named["bucket"]), []).append(sums)
    return [(bucket, found.get(bucket[0] // width_s, [])) for bucket in buckets]


def _sums(
    within: ColumnElement[bool], filters: Filters, span: Span, columns: Sequence[ColumnElement[Any]]
) -> Select[*tuple[Any, ...]]:
    buckets = span.buckets
    bucket = cast(func.floor(func.extract("epoch", UsageRecord.started_at) / WIDTHS_S[span.width]), BigInteger).label(
        "bucket"
    )
    statement = select(
        bucket,
        *columns,
        func.count().label("requests"),
        *(
            func.coalesce(func.sum(column), 0).label(column.key)
            for column in (
                UsageRecord.input_tokens,
                UsageRecord.cached_input_tokens,
                UsageRecord.cache_write_tokens,
                UsageRecord.output_tokens,
                UsageRecord.cost_microusd,
            )
        ),
    ).where(
        UsageRecord.project_id.in_(select(Project.id).where(within)),
        UsageRecord.started_at >= func.to_timestamp(buckets[0][0]),
        UsageRecord.started_at < func.to_timestamp(buckets[-1][1]),
        UsageRecord.outcome != "open",
    )
    for column, values in (
        (UsageRecord.operation, filters.operations),
        (UsageRecord.project_id, filters.project_ids),
        (UsageRecord.user_id, filters.user_ids),
        (UsageRecord.api_key_id, filters.api_key_ids),
        (UsageRecord.model, filters.models),
        (LINE_ITEM, filters.line_items),
    ):
        if values is not None:
            statement = statement.where(column.in_(values))
    return statement.group_by(bucket, *columns).order_by(bucket, *columns).limit(MOST_ROWS + 1)


def usd(microusd: int) -> float:
    """Millionths of a dollar as the nearest float of dollars."""
    return microusd / 1_000_000


def aligned_start(now_s: float, *, width: Width, buckets: int) -> int:
    """Where `buckets` buckets begin of which the last holds `now_s`."""
    width_s = WIDTHS_S[width]
    return (math.floor(now_s / width_s) - buckets + 1) * width_s
