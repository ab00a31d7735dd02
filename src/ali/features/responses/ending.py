"""How a response ends, whichever way it goes: what it used is settled, its row and conversation are written, and only
then is there a terminal event to send.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any, Final, Protocol

from ali.features.chat.settlement import close_record, prices_tried
from ali.features.metering import LedgerUnavailable
from ali.features.responses.errors import StateUnavailable, TakenOver
from ali.features.responses.file_search.shown import RESULTS, told
from ali.features.responses.head import lifecycle_event, usage_object, with_output
from ali.features.responses.money import Spending
from ali.features.responses.order import Engine, Order
from ali.features.responses.state import Ending
from ali.features.responses.turn import StreamedTurn
from ali.kernel import log
from ali.kernel.errors import AliError
from ali.providers.turns import OutputWriter

Json = dict[str, Any]

_ERROR_CODES: Final = {429: "rate_limit_exceeded", 400: "invalid_prompt", 404: "invalid_prompt", 413: "invalid_prompt"}


class EventLog(Protocol):
    """Where the events of a background response are written before anybody sees them."""

    async def rest(self) -> tuple[int, bytes]:
        """What is not written yet, with the number of its first event: it is written with the response's end."""
        ...


class RunEnding:
    """The end of one run. `final` is the response object once there is one; `settling` the end being written."""

    def __init__(
        self, engine: Engine, order: Order, writer: OutputWriter, spending: Spending, event_log: EventLog | None
    ) -> None:
        self._engine = engine
        self._order = order
        self._writer = writer
        self._spending = spending
        self._log = event_log
        self.final: Json | None = None
        self.unsent = b""
        """Events that come before the terminal one and were not sent."""
        self.settling: asyncio.Future[bytes] | None = None
        self._checkpoint: asyncio.Task[str] | None = None

    def leave_checkpoint(self) -> None:
        """Write what there is, beside the stream; a response that ends soon never gets here."""
        if self._log is not None or not self._order.place.kept:
            return
        if self._checkpoint is None or self._checkpoint.done():
            state = self._engine.state
            self._checkpoint = asyncio.create_task(state.checkpoint(self._order.place, output=self._writer.snapshot()))
            self._checkpoint.add_done_callback(_heed)

    async def cut_off(self, status: str, *, code: str, http_status: int, error: AliError | None = None) -> bytes:
        """End a run that was cancelled: what there is stays, what was used is settled. The terminal event.

        A run whose end was being written ends as it would have.
        """
        if self.settling is not None:
            try:
                return await self.settling
            except AliError as failed:
                status, error = "failed", failed
        self._writer.end_all(status="incomplete")
        self._writer.take_calls()
        self._charge("cancelled", status=http_status, code=code)
        event = self._terminal(status, error=error)
        await self._write_ending(status, event, error=error, surely=True)
        return event

    async def give_back(self) -> None:
        """Another process runs it from its beginning: nothing was answered. What was used all the same is settled."""
        order = self._order
        self._charge("cancelled", status=503, code="service_stopping")
        with suppress(StateUnavailable):  # then it is an orphan, and run again as well
            await self._engine.state.requeue(order.place)

    async def settled(
        self,
        status: str,
        *,
        error: AliError | None = None,
        incomplete: Json | None = None,
        tier: StreamedTurn | None = None,
    ) -> bytes:
        """As `_settle`, which no cancellation interrupts; `cut_off` waits for it."""
        self.settling = asyncio.ensure_future(self._settle(status, error=error, incomplete=incomplete, tier=tier))
        return await asyncio.shield(self.settling)

    async def _settle(
        self,
        status: str,
        *,
        error: AliError | None = None,
        incomplete: Json | None = None,
        tier: StreamedTurn | None = None,
    ) -> bytes:
        """Write the response's usage and its end; the terminal event, which may leave now.

        The usage first: nobody reads what is not accounted for. Raises `StateUnavailable` and `LedgerUnavailable`, but
        never for a failure, nor in the background, where nobody waits: then what cannot be written now is written late.
        """
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
        surely = error is not None or self._log is not None
        ledger = self._engine.gateway.ledger
        if isinstance(error, (StateUnavailable, LedgerUnavailable)):
            ledger.settle_soon(record)
        else:
            try:
                await ledger.settle(record)
            except LedgerUnavailable:  # the ledger keeps it all the same, and writes it once it can
                if not surely:
                    raise
        await self._write_ending(status, event, error=error, surely=surely)
        return event

    def _terminal(self, status: str, *, error: AliError | None = None, incomplete: Json | None = None) -> bytes:
        head = self._order.head
        head["status"] = status
        head["usage"] = usage_object(self._spending.so_far(cut=status == "cancelled"))
        head["incomplete_details"] = incomplete
        if error is not None:
            code = _ERROR_CODES.get(error.http_status, "server_error")
            head["error"] = {"code": code, "message": error.message}
        head["completed_at"] = int(time.time()) if status == "completed" else None
        if self.final is None:  # an ending that could not be written is followed by another
            self._tally(status)
        self.final = with_output(head, self._told())
        kind = "incomplete" if status == "cancelled" else status
        self.unsent += self._writer.take()  # stays: should this ending not be written, they come before another
        return self.unsent + lifecycle_event(kind, self.final, number=self._writer.next_number)

    def _told(self) -> list[Json]:
        """The output as the caller sees it."""
        shows_results = RESULTS in self._order.request.include
        return [told(item, shows_results=shows_results) for item in self._writer.output]

    def _tally(self, status: str) -> None:
        metrics = self._engine.gateway.metrics
        metrics.responses.labels("foreground" if self._log is None else "background", status).inc()
        for item in self._writer.output:
            if item["type"] == "mcp_call":
                metrics.mcp_calls.labels("error" if item.get("error") else "ok").inc()
            elif item["type"] == "file_search_call":
                metrics.file_searches.labels("ok" if item["status"] == "completed" else "failed").inc()
                metrics.file_search_passages.inc(len(item.get("results") or ()))
        if (citations := self._writer.citations) is not None:
            metrics.citations.labels("given").inc(citations.cited)
            metrics.citations.labels("dropped").inc(citations.dropped)

    async def _write_ending(self, status: str, event: bytes, *, surely: bool, error: AliError | None = None) -> None:
        """`surely`: what the database does not take now is left to be written late."""
        order = self._order
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        first, last, events = None, None, None
        if self._log is not None:
            first, rest = await self._log.rest()
            last, events = self._writer.next_number, rest + event
        asked = [item for item in order.request.items if item["type"] != "compaction_trigger"]
        added = [*asked, *self._writer.output] if status in ("completed", "incomplete") else []
        ending = Ending(
            status=status,
            head=order.head,
            output=self._writer.output,
            added=added if order.place.conversation_id is not None else (),
            first_number=first,
            last_number=last,
            events=events,
        )
        state = self._engine.state
        if isinstance(error, StateUnavailable):  # it did not answer a moment ago
            state.settle_late(order.place, ending)
            return
        try:
            await state.settle(order.place, ending)
        except StateUnavailable as unavailable:
            if not surely:
                raise
            log.warning("response.settled_late", response=order.name, error=type(unavailable).__name__)
            if not isinstance(unavailable, TakenOver):
                state.settle_late(order.place, ending)
        except Exception:  # a bug; its caller shall hear of the end all the same
            if error is None:
                raise
            log.exception("response.ending_refused", response=order.name)

    def _charge(self, outcome: str, *, status: int, code: str) -> None:
        """Settle what was used by a run that did not come to its end; nobody waits for it."""
        order = self._order
        order.record.usage = self._spending.so_far(cut=outcome == "cancelled")
        prices = prices_tried(order.route, order.record)
        close_record(order.record, outcome, status=status, error_code=code, prices=prices)
        self._engine.gateway.ledger.settle_soon(order.record)

    async def undo(self, error: AliError) -> None:
        """Nobody was told of the response: it leaves its usage record alone."""
        order = self._order
        self._charge("error", status=error.http_status, code=error.error_code)
        try:
            await self._engine.state.discard(order.place)
        except StateUnavailable:
            self._engine.state.discard_late(order.place)


def _heed(checkpoint: "asyncio.Task[str]") -> None:
    """A checkpoint that could not be written is not missed: the end is written all the same."""
    if not checkpoint.cancelled() and (error := checkpoint.exception()) is not None:
        log.warning("response.checkpoint_failed", error_type=type(error).__name__)
