"""One response from its first turn to its end: asked, written, its tools called, settled, and only then ended.

The same for callers who wait, who stream, who come back later, and who speak over a socket: what they are sent is what
`ResponseRun.events` yields.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Final

from ali.features.chat.exchange import InternalError
from ali.features.knowledge.account import Account
from ali.features.responses.attachments import attached
from ali.features.responses.choice import choice_for_turn
from ali.features.responses.compacting import CompactingTurn, due_compaction
from ali.features.responses.ending import EventLog, RunEnding
from ali.features.responses.file_search.asking import queries_for
from ali.features.responses.file_search.searches import FileSearches
from ali.features.responses.file_search.shown import RESULTS, Handles
from ali.features.responses.head import lifecycle_event, with_output
from ali.features.responses.history import ANY_MODEL, fitted, resolved, shown
from ali.features.responses.mcp import McpSessions
from ali.features.responses.money import Spending
from ali.features.responses.order import Engine, Order
from ali.features.responses.own_tools import OwnTools
from ali.features.responses.remote import RemoteTools
from ali.features.responses.turn import Question, StreamedTurn, TurnContext, attempt_turn
from ali.features.responses.weighing import BYTES_A_TOKEN
from ali.kernel import log
from ali.kernel.errors import AliError
from ali.providers.turns import OutputWriter
from ali.providers.turns.citing import Citations
from ali.providers.turns.tool_names import FILE_SEARCH

Json = dict[str, Any]

CHECKPOINT_S: Final = 1.0
"""How often a response that is kept leaves what it has so far."""
_PASSAGES_SHARE: Final = 4
"""The passages of one search fill no more than a fourth of the model's window."""


class ResponseRun:
    """Runs one order. Iterate `events` to their end; whoever stops early calls `cut_off`.

    `opening` are the lifecycle events that are still to be sent, `first_number` the number of the first. `final` is the
    response object once it has ended.
    """

    def __init__(
        self,
        engine: Engine,
        order: Order,
        *,
        opening: Sequence[str] = ("created", "in_progress"),
        first_number: int = 0,
        event_log: EventLog | None = None,
    ) -> None:
        self._engine = engine
        self._order = order
        self._opening = tuple(opening)
        self._first_number = first_number
        self._log = event_log
        self.writer = OutputWriter(first_number=first_number + len(self._opening))
        self.begun = False
        """Something was yielded: what fails from now on is told in-band."""
        self.stops_between_turns = False
        """Set: no further turn begins; the response ends as incomplete, `steered`."""
        self.failure: AliError | None = None
        """Why it failed, where it did after it had begun."""
        self.headers: list[tuple[bytes, bytes]] = []
        """Of the provider's first answer, for the caller."""
        self.dropped: tuple[str, ...] = ()
        self._handles: Handles | None = None
        if order.request.tools.search is not None:
            self.writer.citations = Citations()
            self._handles = Handles(self.writer.citations)
        self._spending = Spending(order)
        self._tools: OwnTools | None = None
        self._looked_up: Json | None = None
        """The search that was made for a model that cannot call for it."""
        self._compactions = 0
        """Output items that tell what came before: the next turns are shown that already."""
        self._checkpoint_at_s = time.monotonic() + CHECKPOINT_S
        self._end = RunEnding(engine, order, self.writer, self._spending, event_log)

    @property
    def final(self) -> Json | None:
        """The response object, once the response has ended."""
        return self._end.final

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events, the terminal one last, once everything is settled.

        Raises `AliError` before the first event alone, and only in the foreground; the order is then undone, but for
        its usage record, which is settled.
        """
        try:
            async with aclosing(self._turns()) as turns:
                async for due in turns:
                    yield due
        except AliError as error:
            if not self.begun and self._log is None:
                await self._end.undo(error)
                raise
            yield await self._told(error)
        except Exception:
            log.exception("response.crashed", response=self._order.name)
            bug = InternalError(f"req_{self._order.record.id.hex}")
            if not self.begun and self._log is None:
                await self._end.undo(bug)
                raise bug from None
            yield await self._told(bug)

    async def _told(self, error: AliError) -> bytes:
        """The end of a response that failed after its caller was told of it, with its beginning where that is due."""
        self.failure = error
        if not self.begun:
            self._end.unsent = self._open()
        return await self._failed(error)

    async def prepared(self) -> AsyncGenerator[bytes, None]:
        """As `events`, without asking a model: what was sent is there to be gone on from. Costs no tokens."""
        try:
            yield self._open() + await self._end.settled("completed")
        except AliError as error:
            await self._end.undo(error)
            raise

    async def _turns(self) -> AsyncGenerator[bytes, None]:
        order, engine, writer = self._order, self._engine, self.writer
        async with engine.mcp_sessions() if order.servers else nullcontext() as sessions:
            said = resolved([*order.history, *order.request.items], order.references)
            compacting = due_compaction(engine, order, said)
            if compacting is not None:
                async for due in self._compact(compacting):
                    yield due
                if order.request.only_compacts:
                    yield await self._end.settled("completed", tier=compacting.turn)
                    return
                self._spending.admit_turn()
            items = self._items(said, compacting)
            tools = self._tools = self._own_tools(sessions)
            if tools is not None:
                async for due in self._prepare(tools):
                    yield due
            turns = 0
            while True:
                turn = await self._ask(self._question(items, tools, turns=turns))
                turns += 1
                async with aclosing(self._relayed(turn, first=turns == 1)) as relayed:
                    async for due in relayed:
                        yield due
                self._spending.end_turn()
                calls = writer.take_calls()
                if tools is None or not calls or turn.relay.incomplete_reason is not None:
                    break
                async for due in tools.run(calls, writer, allowed=self._calls_left(tools)):
                    yield due
                if tools.wait_for_approval or self.waits_for_caller():
                    break
                if self.stops_between_turns:
                    yield await self._end.settled("incomplete", incomplete={"reason": "steered"}, tier=turn)
                    return
                self._spending.admit_turn()
            yield await self._ended(turn)

    async def _relayed(self, turn: StreamedTurn, *, first: bool) -> AsyncGenerator[bytes, None]:
        """A turn's events, to its end; its stream is closed then."""
        try:
            if not self.begun:
                yield self._open(turn)
            elif first:
                self.headers, self.dropped = turn.headers, turn.dropped
            async for due in turn.stream.chunks():
                yield due
                if time.monotonic() > self._checkpoint_at_s:
                    self._checkpoint_at_s = time.monotonic() + CHECKPOINT_S
                    self._end.leave_checkpoint()
        finally:
            await asyncio.shield(turn.stream.close())

    def _own_tools(self, sessions: McpSessions | None) -> OwnTools | None:
        """What this service runs for the model; None where that is nothing."""
        engine, order = self._engine, self._order
        remote = RemoteTools(order.servers, sessions) if sessions is not None else None
        search = order.request.tools.search
        searches = None
        if search is not None:
            searches = FileSearches(
                tool=search,
                stores=engine.vector_stores,
                account=Account(
                    organization_id=order.place.organization_id,
                    project_id=order.project_id,
                    api_key_id=order.record.api_key_id,
                    user_id=order.record.user_id,
                ),
                response=order.name,
                shows_results=RESULTS in order.request.include,
                most_bytes=order.route.window_tokens * BYTES_A_TOKEN // _PASSAGES_SHARE,
                most_calls=engine.max_searches,
            )
        return OwnTools(remote=remote, searches=searches) if remote is not None or searches is not None else None

    async def _prepare(self, tools: OwnTools) -> AsyncGenerator[bytes, None]:
        """List the tools of MCP servers, and make the calls that were approved."""
        order, writer = self._order, self.writer
        said = [*order.history, *order.request.items]
        if (remote := tools.remote) is not None:
            remote.recall(said)
            if not self.begun:
                yield self._open()
            while await remote.list_next(writer):
                yield writer.take()
        writer.served = tools.served
        if remote is not None:
            await remote.run_approved(said, writer)
            yield writer.take()

    def _open(self, turn: StreamedTurn | None = None) -> bytes:
        """The lifecycle events that come first."""
        self.begun = True
        head = self._order.head
        if turn is not None:
            head["model"] = turn.target.model
            self.headers, self.dropped = turn.headers, turn.dropped
            self._order.record.first_token_ms = self._order.record.elapsed_ms()
        return b"".join(
            lifecycle_event(kind, with_output(head, []), number=self._first_number + at)
            for at, kind in enumerate(self._opening)
        )

    async def _compact(self, compacting: CompactingTurn) -> AsyncGenerator[bytes, None]:
        """Write the compaction item; its summary is made between its first event and its last."""
        writer = self.writer
        if (question := compacting.question) is not None:
            compacting.turn = await self._ask(question, writer=compacting.writer)
        if not self.begun:
            yield self._open(compacting.turn)
        at = compacting.begin(writer)
        yield writer.take()
        if compacting.turn is not None:
            await compacting.read()
            self._spending.end_turn()
        compacting.end(writer, at)
        self._compactions = len(writer.output)
        yield writer.take()

    def _items(self, said: Sequence[Json], compacting: CompactingTurn | None) -> list[Json]:
        """What the model is shown, from the whole of what was said."""
        order, seals = self._order, self._engine.seals
        unseal = seals.unsealing(project_id=order.project_id, model=ANY_MODEL)
        items = shown(said, unseal=unseal) if compacting is None else compacting.shown
        items = attached(items, order.attachments)
        if order.request.truncates:
            stated = order.request.document.get("max_output_tokens") or 0
            items = fitted(items, window_tokens=order.route.window_tokens, output_tokens=stated)
        return items

    def _question(self, items: Sequence[Json], tools: OwnTools | None, *, turns: int) -> Question:
        """What the model is asked now, after so many `turns`."""
        request = self._order.request
        parameters, functions = request.for_model(), list(request.tools.own)
        if tools is not None:
            last = self._is_last(turns, tools)
            served = [] if last else tools.functions
            functions += served
            choice = choice_for_turn(
                parameters.pop("tool_choice", None),
                {} if last else tools.names,
                first=turns == 0 and not last,
                searches=any(function["name"] == FILE_SEARCH for function in served),
            )
            if choice is not None:
                parameters["tool_choice"] = choice
        return Question(
            parameters=parameters,
            items=[*items, *shown(self.writer.output[self._compactions :], unseal=_opens_nothing)],
            functions=functions,
            hosted=request.tools.hosted,
        )

    async def _look_up(self, question: Question) -> Question:
        """The question with what a search for it finds; as it is where the response has searched already."""
        searches = self._tools.searches if self._tools is not None else None
        if self._looked_up is None and searches is not None and not searches.calls_made:
            said = [*self._order.history, *self._order.request.items]
            self._looked_up = await searches.look_up(queries_for(said), self.writer)
        if self._looked_up is None or self._looked_up in question.items:
            return question
        return replace(question, items=[*question.items, self._looked_up])

    def _is_last(self, turns: int, tools: OwnTools) -> bool:
        """Whether the model must now answer without calling anything that this service runs."""
        late = self._order.record.elapsed_ms() > self._engine.max_run_s * 1000
        return late or turns + 1 >= self._engine.max_turns or self._calls_left(tools) == 0

    def _calls_left(self, tools: OwnTools) -> int | None:
        most = self._order.request.max_tool_calls
        return None if most is None else max(most - tools.calls_made, 0)

    def waits_for_caller(self) -> bool:
        """Whether the model also called tools that the caller runs."""
        answered = {item.get("call_id") for item in self.writer.output if item["type"].endswith("_output")}
        return any(
            item["type"] in ("function_call", "custom_tool_call") and item["call_id"] not in answered
            for item in self.writer.output
        )

    async def _ask(self, question: Question, *, writer: OutputWriter | None = None) -> StreamedTurn:
        gateway, order = self._engine.gateway, self._order
        context = TurnContext(
            project_id=order.project_id,
            writer=writer or self.writer,
            seals=self._engine.seals,
            handles=self._handles,
            look_up=self._look_up if self._handles is not None and writer is None else None,
            deadlines=gateway.deadlines,
            max_body_bytes=gateway.max_upstream_body_bytes,
            max_event_bytes=gateway.max_event_bytes,
        )
        attempting = partial(attempt_turn, question=question, context=context)
        self._spending.begin_turn(question)
        target, turn = await gateway.failover.answer(order.route, attempting, order.record)
        self._spending.answered(target, turn.relay)
        return turn

    # Endings

    async def _ended(self, turn: StreamedTurn) -> bytes:
        reason = turn.relay.incomplete_reason
        if reason is not None:
            return await self._end.settled("incomplete", incomplete={"reason": reason}, tier=turn)
        return await self._end.settled("completed", tier=turn)

    async def _failed(self, error: AliError) -> bytes:
        self.writer.end_all(status="incomplete")
        self.writer.take_calls()
        return await self._end.settled("failed", error=error)

    async def fail_unbegun(self, error: AliError) -> None:
        """End as failed what broke outside of `events`: a background response whose caller was told of it already."""
        await self._told(error)

    @property
    def ending(self) -> bool:
        """Its end is being written, or was: nothing stops it any more."""
        return self._end.settling is not None

    async def cut_off(self, status: str, *, code: str, http_status: int, error: AliError | None = None) -> bytes:
        """End a run that was cancelled; the terminal event. As `RunEnding.cut_off`."""
        return await self._end.cut_off(status, code=code, http_status=http_status, error=error)

    async def give_back(self) -> None:
        """Another process runs it from its beginning: nothing was answered."""
        await self._end.give_back()


def _opens_nothing(_text: str) -> None:
    """The output of the turn so far holds no compaction."""
