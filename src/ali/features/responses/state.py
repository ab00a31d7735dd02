"""The state of responses in PostgreSQL: begun with what was said before, settled with what came out.

A response that neither goes on from something nor is kept needs no database. Any other takes one round trip to begin
and one to settle; long ones also leave a checkpoint now and then.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
import psycopg_pool
from psycopg.rows import TupleRow

from ali.features.conversations.errors import conversation_locked, conversation_not_found
from ali.features.identity.naming import Kind, named
from ali.features.metering.ledger import DEAD_AFTER_S
from ali.features.responses import queries
from ali.features.responses.errors import (
    ContextTooLong,
    PreviousResponseNotFound,
    PreviousResponseUnusable,
    StateUnavailable,
    TakenOver,
)
from ali.features.responses.late_writes import LateWrites
from ali.features.responses.request import previous_not_found
from ali.kernel.db import Pool
from ali.kernel.errors import InvalidRequest, NotFound

Json = dict[str, Any]

_DEADLINE_S: Final = 5.0
_MOST_FOUND: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose response it is, which one, and what it goes on from."""

    organization_id: UUID
    project_id: UUID
    response_id: UUID
    conversation_id: UUID | None = None
    previous_id: UUID | None = None
    kept: bool = True

    @property
    def needs_state(self) -> bool:
        """Whether the database is asked at all."""
        return self.kept or self.conversation_id is not None or self.previous_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What was said before, oldest first. `cut`: there is more, which was not read."""

    items: list[Json]
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a response ended: its status and object, its output, what its conversation gets, its last events."""

    status: str
    head: Json
    output: list[Json]
    added: Sequence[Json] = ()
    first_number: int | None = None
    last_number: int | None = None
    events: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A response that is this process's to run or to end. `was`: its status until now."""

    place: Place
    background: bool
    cancelling: bool
    was: str
    attempts: int
    head: Json
    output: list[Json]
    request: bytes | None
    next_number: int


class ResponseState:
    """Reads and writes responses. `instance_id`: this process's, whose heartbeat the ledger writes."""

    def __init__(self, pool: Pool, *, instance_id: UUID) -> None:
        self._pool = pool
        self.instance_id = instance_id
        self.late = LateWrites()

    async def begin(
        self,
        place: Place,
        *,
        head: Json,
        items: Sequence[Json],
        status: str = "in_progress",
        background: bool = False,
        request: bytes | None = None,
        events: bytes | None = None,
        most_bytes: int,
    ) -> Context:
        """Write the row of a response that is kept, claim its conversation, read at most `most_bytes` of what was said.

        One round trip, or none. Raises `InvalidRequest` for a previous response or conversation that is not there or
        cannot be used, `ConversationLocked`, `StateUnavailable`; then nothing was written.
        """
        if not place.needs_state:
            return Context(items=[])
        rows = await self._rows(
            queries.BEGIN,
            *(place.organization_id, place.project_id, place.response_id, self.instance_id),
            *(place.previous_id, place.conversation_id, status, background, place.kept),
            *(orjson.dumps(head), orjson.dumps(items), request, events, most_bytes, DEAD_AFTER_S),
        )
        read: list[list[Json]] = []
        cut = False
        for verdict, first, second in rows:
            if verdict == "link":
                read.append([*orjson.loads(first), *orjson.loads(second)])
            elif verdict == "item":
                read.append([orjson.loads(first)])
            elif verdict == "cut":
                cut = True
            elif verdict != "ok":
                raise _refusal(verdict, first)
        return _context(read, cut=cut)

    async def read(self, place: Place, *, most_bytes: int) -> Context:
        """What was said before, at most `most_bytes` of it, with nothing written and nothing claimed.

        One round trip for a chain, three for a conversation. Raises as `begin`.
        """
        tenant = (place.organization_id, place.project_id)
        if place.conversation_id is not None:
            if not await self._visible(place, *queries.HAS_CONVERSATION, (place.conversation_id,)):
                raise conversation_not_found("conversation")
        elif place.previous_id is not None:
            rows = await self._rows(queries.READ_CHAIN, *tenant, place.previous_id, most_bytes)
            for verdict, link, _, _ in rows:
                if verdict not in ("ok", "cut"):
                    raise _refusal(f"previous_{verdict}", str(link).encode())
            read = [[*orjson.loads(row[2]), *orjson.loads(row[3])] for row in rows if row[0] == "ok"]
            return _context(read, cut=any(row[0] == "cut" for row in rows))
        return await self.history(place, most_bytes=most_bytes)

    async def history(self, place: Place, *, most_bytes: int) -> Context:
        """What was said before a response that was begun earlier, as far as it is still there."""
        tenant = (place.organization_id, place.project_id)
        if place.conversation_id is not None:
            rows = await self._rows(queries.READ_CONVERSATION, *tenant, place.conversation_id, most_bytes)
            read = [[orjson.loads(body)] for verdict, body in rows if verdict == "ok"]
        elif place.previous_id is not None:
            rows = await self._rows(queries.READ_CHAIN, *tenant, place.previous_id, most_bytes)
            read = [[*orjson.loads(row[2]), *orjson.loads(row[3])] for row in rows if row[0] == "ok"]
        else:
            return Context(items=[])
        return _context(read, cut=any(row[0] == "cut" for row in rows))

    async def settle(self, place: Place, ending: Ending) -> None:
        """Write how the response ended, add to its conversation, end its claim: all in one transaction.

        Raises `StateUnavailable`: the database does not answer, or (`TakenOver`) the response is another process's now.
        """
        if not (place.kept or place.conversation_id is not None):
            return
        rows = await self._rows(
            queries.SETTLE,
            *(place.organization_id, place.project_id, place.response_id, self.instance_id, place.conversation_id),
            *(place.kept, ending.status, orjson.dumps(ending.head), orjson.dumps(ending.output)),
            [item["id"] for item in ending.output if "id" in item],
            *([item["id"] for item in ending.added], [item["type"] for item in ending.added]),
            [orjson.dumps(item) for item in ending.added],
            *(ending.first_number, ending.last_number, ending.events),
        )
        if rows[0][0] == "taken_over":
            raise TakenOver("Another process has ended this response, because this one seemed dead.")

    async def checkpoint(
        self,
        place: Place,
        *,
        output: list[Json] | None,
        numbers: tuple[int, int] | None = None,
        events: bytes | None = None,
    ) -> str:
        """Leave what there is so far. `ok`; `cancel`: it shall stop; `gone`: deleted, ended or taken over."""
        first, last = numbers or (None, None)
        rows = await self._rows(
            queries.CHECKPOINT,
            *(place.organization_id, place.project_id, place.response_id, self.instance_id),
            *(None if output is None else orjson.dumps(output), first, last, events),
        )
        verdict: str = rows[0][0]
        return verdict

    async def discard(self, place: Place) -> None:
        """A response that came to nothing before anybody was told of it leaves no row and no claim."""
        if place.kept or place.conversation_id is not None:
            await self._rows(
                queries.DISCARD, place.organization_id, place.project_id, place.response_id, place.conversation_id
            )

    def settle_late(self, place: Place, ending: Ending) -> None:
        """End a response as soon as the database answers."""
        self.late.add(place.response_id, partial(self.settle, place, ending))

    def discard_late(self, place: Place) -> None:
        """Remove a response that nobody was told of, as soon as the database answers."""
        self.late.add(place.response_id, partial(self.discard, place))

    async def requeue(self, place: Place) -> None:
        """Give a background response back that this process has not begun to answer."""
        await self._rows(queries.REQUEUE, place.organization_id, place.project_id, place.response_id, self.instance_id)

    async def find_items(self, place: Place, names: Sequence[str]) -> dict[str, Json]:
        """Items that came out of stored responses of the project, by their ids. One round trip."""
        rows = await self._rows(queries.FIND_ITEMS, place.organization_id, place.project_id, list(names), _MOST_FOUND)
        wanted = set(names)
        return {item["id"]: item for (output,) in rows for item in orjson.loads(output) if item.get("id") in wanted}

    async def input_of(self, place: Place, *, most_bytes: int) -> list[Json]:
        """What a stored response was asked, with what was said before it in its chain, oldest first."""
        rows = await self._rows(
            queries.READ_CHAIN, place.organization_id, place.project_id, place.response_id, most_bytes
        )
        links = [(first, second) for verdict, _, first, second in rows if verdict == "ok"]
        said: list[Json] = []
        for at, (first, second) in enumerate(reversed(links)):
            said += orjson.loads(first)
            if at < len(links) - 1:
                said += orjson.loads(second)
        return said

    async def cancel(self, place: Place) -> tuple[str, UUID | None]:
        """Ask a background response to stop. Its status so far (or why it cannot), and which process runs it."""
        rows = await self._rows(queries.CANCEL, place.organization_id, place.project_id, place.response_id)
        return rows[0][0], rows[0][1]

    async def take(self, *, only_ends: bool, at_most: int) -> list[Taken]:
        """Responses that wait to be run, and those whose process died: this process's now.

        `only_ends`: of those that wait, only what was cancelled.
        """
        rows = await self._rows(queries.TAKE, self.instance_id, only_ends, DEAD_AFTER_S, at_most)
        return [_taken(row) for row in rows]

    async def status(self, place: Place) -> str | None:
        """The response's status; None where it was deleted."""
        tenant, statement = queries.STATUS
        rows = await self._visible(place, tenant, statement, (place.response_id,))
        return rows[0][0] if rows else None

    async def events(self, place: Place, *, after: int) -> list[tuple[int, int, bytes]]:
        """Pieces of the event log that hold numbers above `after`, in order."""
        tenant, statement = queries.EVENTS
        rows = await self._visible(place, tenant, statement, (place.response_id, after + 1))
        return [(row[0], row[1], bytes(row[2])) for row in rows]

    async def _visible(
        self, place: Place, tenant: str, statement: str, parameters: tuple[object, ...]
    ) -> list[TupleRow]:
        """Rows that the tenant sees. Two round trips: row-level security wants to know whose they are."""
        try:
            async with asyncio.timeout(_DEADLINE_S), self._pool.connection() as connection, connection.transaction():
                await connection.execute(tenant, (str(place.organization_id), str(place.project_id)))
                cursor = await connection.execute(statement, parameters, binary=True)
                return await cursor.fetchall()
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout, TimeoutError) as error:
            raise _unavailable() from error

    async def _rows(self, statement: str, *parameters: object) -> list[TupleRow]:
        try:
            async with asyncio.timeout(_DEADLINE_S), self._pool.connection() as connection:
                cursor = await connection.execute(statement, parameters, binary=True)
                return await cursor.fetchall()
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout, TimeoutError) as error:
            raise _unavailable() from error


def _taken(row: TupleRow) -> Taken:
    response, organization, project, conversation, previous = row[:5]
    background, cancelling, was, attempts, head, output, request, next_number = row[5:]
    return Taken(
        place=Place(
            organization_id=organization,
            project_id=project,
            response_id=response,
            conversation_id=conversation,
            previous_id=previous,
        ),
        background=background,
        cancelling=cancelling,
        was=was,
        attempts=attempts,
        head=orjson.loads(head),
        output=orjson.loads(output),
        request=None if request is None else bytes(request),
        next_number=next_number,
    )


def _context(read: list[list[Json]], *, cut: bool) -> Context:
    """What was read, newest first, in order."""
    return Context(items=without_cut_calls([item for group in reversed(read) for item in group]), cut=cut)


def without_cut_calls(items: Sequence[Json]) -> list[Json]:
    """What later responses go on from: a call that the model was cut off in asks for no answer."""
    return [
        item
        for item in items
        if not (item.get("status") == "incomplete" and item.get("type") in ("function_call", "custom_tool_call"))
    ]


def _unavailable() -> StateUnavailable:
    return StateUnavailable(
        "The service's database does not answer, so what was said before cannot be read, nor what comes out be kept. "
        "Try again shortly."
    )


def _refusal(verdict: str, link: bytes | None) -> InvalidRequest | NotFound:
    match verdict:
        case "previous_not_found":
            return previous_not_found()
        case "previous_broken":
            deleted = named(Kind.RESPONSE, UUID(link.decode())) if link else "one"
            return PreviousResponseNotFound(
                f"The chain of this previous response is broken: {deleted} was deleted. Send the whole input without "
                "previous_response_id.",
                param="previous_response_id",
            )
        case "previous_unfinished":
            return PreviousResponseUnusable(
                "The previous response has not ended yet. Wait until its status is completed.",
                param="previous_response_id",
            )
        case "previous_in_conversation":
            return PreviousResponseUnusable(
                "The previous response is part of a conversation. Go on with `conversation`.",
                param="previous_response_id",
            )
        case "conversation_busy":
            return conversation_locked("conversation")
        case _:
            return conversation_not_found("conversation")


def too_long(window_tokens: int) -> ContextTooLong:
    """What was said before is longer than any model of this route can read."""
    return ContextTooLong(
        f"Your input exceeds the context window of this model ({window_tokens} tokens). Send less, go on from a later "
        "response, or set truncation to auto.",
        param="input",
    )
