"""What the process that runs a batch reads and writes in the database: one round trip each, by functions of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from ali.features.batches.inspection import Group
from ali.kernel.db import Pool

TAKEN_OVER: Final = "taken_over"
"""What a batch's status reads as for a process that holds it no more."""
_PAGE_LINES: Final = 100

_TAKE: Final = """
select id, organization_id, project_id, api_key_id, user_id, dialect, status, endpoint, anthropic_version,
    anthropic_beta, input_object, output_ttl_s, expires_at, in_progress_at
from ali.take_batches(%s, make_interval(secs => %s), %s)
"""


class Taken(NamedTuple):
    """A batch that this process holds."""

    id: UUID
    organization_id: UUID
    project_id: UUID
    api_key_id: UUID | None
    user_id: UUID | None
    dialect: str
    status: str
    endpoint: str
    anthropic_version: str | None
    anthropic_beta: str | None
    input_object: str
    output_ttl_s: int
    expires_at: datetime
    in_progress_at: datetime | None


class Spot(NamedTuple):
    """Where a line stands in the input."""

    position: int
    start: int
    size: int


class Settled(NamedTuple):
    """A line at the end. `outcome` None: it was not run."""

    spot: Spot
    outcome: str | None
    result: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a batch ends. `errors`: JSON, as OpenAI's `errors.data`."""

    status: str
    output: UUID | None = None
    refused: UUID | None = None
    errors: bytes | None = None


class Book:
    """The batches of all tenants, for the process `instance_id`. Methods raise `psycopg.Error` and `PoolTimeout`."""

    def __init__(self, pool: Pool, *, instance_id: UUID, dead_after_s: float) -> None:
        self._pool = pool
        self._instance_id = instance_id
        self._dead_after_s = dead_after_s

    async def take(self, at_most: int) -> list[Taken]:
        """Batches that wait, or whose process died, which are this process's from now on."""
        rows = await self._rows(_TAKE, self._instance_id, self._dead_after_s, at_most)
        return [Taken(*row) for row in rows]

    async def release(self, batch: UUID, *, pause_s: float) -> None:
        """Let another process, or this one, take it, after a pause."""
        await self._rows("select ali.release_batch(%s, %s, make_interval(secs => %s))", *self._held(batch), pause_s)

    async def standing(self, batch: UUID) -> str:
        """Its status, or `TAKEN_OVER`."""
        return await self._word("select ali.batch_standing(%s, %s)", *self._held(batch))

    async def add_lines(self, batch: UUID, group: Group) -> None:
        """Note where lines stand."""
        await self._rows(
            "select ali.add_batch_lines(%s, %s, %s, %s::bigint[], %s::integer[])",
            *(*self._held(batch), group.first, group.starts, group.sizes),
        )

    async def begin(self, batch: UUID, *, total: int, model: str | None) -> str:
        """Its input is in order: its status from now on, or `TAKEN_OVER`."""
        return await self._word("select ali.begin_batch(%s, %s, %s, %s)", *self._held(batch), total, model)

    async def next_lines(self, batch: UUID, *, after: int) -> list[Spot]:
        """The next lines that have not run."""
        rows = await self._rows("select * from ali.next_batch_lines(%s, %s, %s)", batch, after, _PAGE_LINES)
        return [Spot(*row) for row in rows]

    async def settle(self, batch: UUID, *, line: int, succeeded: bool, result: bytes) -> str:
        """A line has run, for good: the batch's status, or `TAKEN_OVER`, and then nothing was written."""
        return await self._word(
            "select ali.settle_batch_line(%s, %s, %s, %s, %s)", *self._held(batch), line, succeeded, result
        )

    async def begin_finalizing(self, batch: UUID) -> str:
        """Nothing runs any more: its status, or `TAKEN_OVER`."""
        return await self._word("select ali.begin_finalizing(%s, %s)", *self._held(batch))

    async def results(self, batch: UUID, *, after: int, at_most: int) -> list[Settled]:
        """Its next lines, run or not."""
        rows = await self._rows("select * from ali.batch_results(%s, %s, %s)", batch, after, at_most)
        return [Settled(Spot(*row[:3]), *row[3:]) for row in rows]

    async def end(self, batch: UUID, end: End) -> bool:
        """The end: its files are shown. False where another process holds it."""
        rows = await self._rows(
            "select ali.end_batch(%s, %s, %s, %s, %s, %s)",
            *(*self._held(batch), end.status, end.output, end.refused, end.errors),
        )
        return bool(rows[0][0])

    def _held(self, batch: UUID) -> tuple[UUID, UUID]:
        return batch, self._instance_id

    async def _word(self, statement: LiteralString, *values: object) -> str:
        return str((await self._rows(statement, *values))[0][0])

    async def _rows(self, statement: LiteralString, *values: object) -> Sequence[Sequence[Any]]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(statement, values)).fetchall()
