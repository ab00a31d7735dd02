"""One response from its first turn to its end: asked, written, its tools called, settled, and only then ended.

The same for callers who wait, who stream, who come back later, and who speak over a socket: what they are sent is what
`ResponseRun.events` yields.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

import structlog

from ali.features.chat.settlement import close_record, prices_tried
from ali.features.metering import LedgerUnavailable
from ali.features.responses.choice import choice_for_turn
from ali.features.responses.errors import StateUnavailable
from ali.features.responses.head import lifecycle_event, usage_object, with_output
from ali.features.responses.history import ANY_MODEL, fitted, resolved, shown
from ali.features.responses.money import Spending
from ali.features.responses.order import Engine, Order
from ali.features.responses.remote import RemoteTools
from ali.features.responses.state import Ending
from ali.features.responses.turn import Question, StreamedTurn, TurnContext, attempt_turn
from ali.kernel.errors import AliError
from ali.providers.turns import OutputWriter

log = structlog.get_logger("ali.responses")

Json = dict[str, Any]

CHECKPOINT_S: Final = 1.0
"""How often a response that is kept leaves what it has so far."""
_ERROR_CODES: Final = {429: "rate_limit_exceeded", 400: "invalid_prompt", 404: "invalid_prompt", 413: "invalid_prompt"}


class EventLog(Protocol):
    """Where the events of a background response are written before anybody sees them."""

    async def rest(self) -> tuple[int, bytes]:
        """What is not written yet, with the number of its first event: it is written with the response's end."""
        ...


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
        self.final: Json | None = None
        self.failure: AliError | None = None
        """Why it failed, where it did after it had begun."""
        self.headers: list[tuple[bytes, bytes]] = []
        """Of the provider's first answer, for the caller."""
        self.dropped: tuple[str, ...] = ()
        self._spending = Spending(order)
        self._unsent = b""
        self._checkpoint_at_s = time.monotonic() + CHECKPOINT_S
        self._checkpoint: asyncio.Task[str] | None = None

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events, the terminal one last, once everything is settled.

        Raises `AliError` before the first event alone, and only in the foreground; the order is then undone, but for
        its usage record, which is settled.
        """
        try:
            async for due in self._turns():
                yield due
        except AliError as error:
            if not self.begun and self._log is None:
                await self._undo(error)
                raise
            self.failure = error
            if not self.begun:
                yield self._open()
            yield await self._failed(error)

    async def _turns(self) -> AsyncGenerator[bytes, None]:
        order, engine, writer = self._order, self._engine, self.writer
        async with engine.mcp_sessions() if order.servers else _no_sessions() as sessions:
            items = self._items()
            remote = RemoteTools(order.servers, sessions) if sessions is not None else None
            if remote is not None:
                remote.recall([*order.history, *order.request.items])
                yield self._open()
                while await remote.list_next(writer):
                    yield writer.take()
                writer.served = remote.served
                await remote.run_approved([*order.history, *order.request.items], writer)
                yield writer.take()
            turns = 0
            while True:
                turn = await self._ask(self._question(items, remote, turns=turns))
                turns += 1
                try:
                    if not self.begun:
                        yield self._open(turn)
                    async for due in turn.stream.chunks():
                        yield due
                        if time.monotonic() > self._checkpoint_at_s:
                            self._leave_checkpoint()
                finally:
                    await asyncio.shield(turn.stream.close())
                self._spending.end_turn()
                calls = writer.take_calls()
                if remote is None or not calls or turn.relay.incomplete_reason is not None:
                    break
                goes_on = await remote.run(calls, writer, allowed=self._calls_left(remote))
                yield writer.take()
                if not goes_on or self._waits_for_caller():
                    break
                self._spending.admit_turn()
            yield await self._ended(turn)

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

    def _items(self) -> list[Json]:
        """What the model is shown, from the whole of what was said."""
        order, seals = self._order, self._engine.seals
        said = resolved([*order.history, *order.request.items], order.references)
        items = shown(said, unseal=seals.unsealing(project_id=order.project_id, model=ANY_MODEL))
        if order.request.truncates:
            stated = order.request.document.get("max_output_tokens") or 0
            items = fitted(items, window_tokens=order.route.window_tokens, output_tokens=stated)
        return items

    def _question(self, items: Sequence[Json], remote: RemoteTools | None, *, turns: int) -> Question:
        """What the model is asked now, after so many `turns`."""
        request = self._order.request
        parameters, functions = request.for_model(), list(request.tools.own)
        if remote is not None:
            last = self._is_last(turns, remote)
            functions += () if last else remote.functions
            offered = {} if last else remote.names
            choice = choice_for_turn(parameters.pop("tool_choice", None), offered, first=turns == 0 and not last)
            if choice is not None:
                parameters["tool_choice"] = choice
        return Question(
            parameters=parameters,
            items=[*items, *shown(self.writer.output, unseal=_opens_nothing)],
            functions=functions,
            hosted=request.tools.hosted,
        )

    def _is_last(self, turns: int, remote: RemoteTools | None) -> bool:
        """Whether the model must now answer without calling anything that this service runs."""
        if remote is None:
            return False
        late = self._order.record.elapsed_ms() > self._engine.max_run_s * 1000
        return late or turns + 1 >= self._engine.max_turns or self._calls_left(remote) == 0

    def _calls_left(self, remote: RemoteTools) -> int | None:
        most = self._order.request.max_tool_calls
        return None if most is None else max(most - remote.calls_made, 0)

    def _waits_for_caller(self) -> bool:
        """Whether the turn also called tools that the caller runs."""
        answered = {item.get("call_id") for item in self.writer.output if item["type"].endswith("_output")}
        return any(
            item["type"] in ("function_call", "custom_tool_call") and item["call_id"] not in answered
            for item in self.writer.output
        )

    async def _ask(self, question: Question) -> StreamedTurn:
        gateway, order = self._engine.gateway, self._order
        context = TurnContext(
            project_id=order.project_id,
            writer=self.writer,
            seals=self._engine.seals,
            deadlines=gateway.deadlines,
            max_body_bytes=gateway.max_upstream_body_bytes,
            max_event_bytes=gateway.max_event_bytes,
        )
        attempting = partial(attempt_turn, question=question, context=context)
        self._spending.begin_turn(question)
        target, turn = await gateway.failover.answer(order.route, attempting, order.record)
        self._spending.answered(target, turn.relay)
        return turn

    def _leave_checkpoint(self) -> None:
        """Write what there is, beside the stream; a response that ends soon never gets here."""
        self._checkpoint_at_s = time.monotonic() + CHECKPOINT_S
        if self._log is not None or not self._order.place.kept:
            return
        if self._checkpoint is None or self._checkpoint.done():
            state = self._engine.state
            self._checkpoint = asyncio.create_task(state.checkpoint(self._order.place, output=self.writer.snapshot()))
            self._checkpoint.add_done_callback(_heed)

    # Endings

    async def _ended(self, turn: StreamedTurn) -> bytes:
        reason = turn.relay.incomplete_reason
        if reason is not None:
            return await self._settled("incomplete", incomplete={"reason": reason}, tier=turn)
        return await self._settled("completed", tier=turn)

    async def _failed(self, error: AliError) -> bytes:
        self.writer.end_all(status="incomplete")
        self.writer.take_calls()
        try:
            return await self._settled("failed", error=error)
        except (StateUnavailable, LedgerUnavailable) as unavailable:
            log.warning("response.not_settled", response=self._order.name, error=unavailable.error_code)
            return self._terminal("failed", error=error)

    async def fail_unbegun(self, error: AliError) -> None:
        """End as failed what broke outside of `events`: a background response whose caller was told of it already."""
        self.failure = error
        if not self.begun:
            self._unsent = self._open()
        await self._failed(error)

    async def cut_off(
        self, status: str, *, code: str, http_status: int, error: AliError | None = None, keeps: bool = True
    ) -> bytes:
        """End a run that was cancelled: what there is stays (unless not `keeps`), what was used is settled.

        The terminal event. Raises `StateUnavailable`; then the response is found and ended as an orphan.
        """
        self.writer.end_all(status="incomplete")
        self.writer.take_calls()
        order = self._order
        order.record.usage = self._spending.so_far(cut=True)
        close_record(
            order.record,
            "cancelled",
            status=http_status,
            error_code=code,
            prices=prices_tried(order.route, order.record),
        )
        self._engine.gateway.ledger.settle_soon(order.record)
        event = self._terminal(status, error=error)
        if keeps:
            await self._write_ending(status, event)
        return event

    async def _settled(
        self,
        status: str,
        *,
        error: AliError | None = None,
        incomplete: Json | None = None,
        tier: StreamedTurn | None = None,
    ) -> bytes:
        """Write the response's end and its usage; the terminal event, which may leave now."""
        order = self._order
        record = order.record
        record.usage = self._spending.so_far(cut=False)
        if tier is not None and (served := getattr(tier.relay, "service_tier", None)):
            order.head["service_tier"] = served
        event = self._terminal(status, error=error, incomplete=incomplete)
        prices = self._spending.prices or prices_tried(order.route, record)
        if error is None:
            close_record(record, "ok", status=200, prices=prices)
        else:
            close_record(record, "error", status=error.http_status, error_code=error.error_code, prices=prices)
        await self._write_ending(status, event)
        await self._engine.gateway.ledger.settle(record)
        return event

    def _terminal(self, status: str, *, error: AliError | None = None, incomplete: Json | None = None) -> bytes:
        head = self._order.head
        head["status"] = status
        head["usage"] = usage_object(self._spending.so_far(cut=status == "cancelled"))
        head["incomplete_details"] = incomplete
        if error is not None:
            code = _ERROR_CODES.get(error.http_status, "server_error")
            head["error"] = {"code": code, "message": error.message}
        if status == "completed":
            head["completed_at"] = int(time.time())
        self.final = with_output(head, self.writer.output)
        kind = "incomplete" if status == "cancelled" else status
        closing = self._unsent + self.writer.take()
        self._unsent = b""
        return closing + lifecycle_event(kind, self.final, number=self.writer.next_number)

    async def _write_ending(self, status: str, event: bytes) -> None:
        order = self._order
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        first, last, events = None, None, None
        if self._log is not None:
            first, rest = await self._log.rest()
            last, events = self.writer.next_number, rest + event
        added = [*order.request.items, *self.writer.output] if status in ("completed", "incomplete") else []
        await self._engine.state.settle(
            order.place,
            Ending(
                status=status,
                head=order.head,
                output=self.writer.output,
                added=added if order.place.conversation_id is not None else (),
                first_number=first,
                last_number=last,
                events=events,
            ),
        )

    async def _undo(self, error: AliError) -> None:
        """Nobody was told of the response: it leaves its usage record alone."""
        order = self._order
        order.record.usage = self._spending.so_far(cut=False)
        close_record(
            order.record,
            "error",
            status=error.http_status,
            error_code=error.error_code,
            prices=prices_tried(order.route, order.record),
        )
        self._engine.gateway.ledger.settle_soon(order.record)
        with suppress(StateUnavailable):  # what stays is found and ended as an orphan
            await self._engine.state.discard(order.place)


class _NoSessions:
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


def _no_sessions() -> _NoSessions:
    return _NoSessions()


def _opens_nothing(_text: str) -> None:
    """The output of the turn so far holds no compaction."""


def _heed(checkpoint: "asyncio.Task[str]") -> None:
    """A checkpoint that could not be written is not missed: the end is written all the same."""
    if not checkpoint.cancelled() and (error := checkpoint.exception()) is not None:
        log.warning("response.checkpoint_failed", error_type=type(error).__name__)
