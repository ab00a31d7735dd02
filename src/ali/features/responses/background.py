"""Responses in the background: accepted, run here or by a worker, taken over when a process dies.

A row is the queue: `queued` waits, `in_progress` belongs to a process whose heartbeat shows that it lives (ADR 15).
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import orjson
import structlog

from ali.features.chat.admission import NOTHING_CLAIMED
from ali.features.chat.exchange import EVENT_STREAM, JSON, InternalError, Stopping
from ali.features.chat.gateway import Arrival, Receive, Send
from ali.features.chat.operations import RESPONSES
from ali.features.chat.settlement import tell
from ali.features.metering import OpenRecord
from ali.features.responses.admission import hold_for, servers_of
from ali.features.responses.errors import ResponseNotFound, StateUnavailable
from ali.features.responses.event_log import WrittenEvents
from ali.features.responses.head import lifecycle_event, with_output
from ali.features.responses.order import Engine, Order
from ali.features.responses.replay import TERMINAL, events_of, kind_of, number_of, output_of
from ali.features.responses.request import read_request
from ali.features.responses.run import ResponseRun
from ali.features.responses.state import Ending, Place, Taken
from ali.kernel.errors import AliError
from ali.kernel.ids import uuid7

log = structlog.get_logger("ali.responses")

Json = dict[str, Any]

_POLL_S: Final = 0.5
_FOLLOW_S: Final = 0.1
_MOST_ATTEMPTS: Final = 3
_LIFECYCLE: Final = 3
"""Events before any output: created, queued, in_progress."""


@dataclass(slots=True)
class _Running:
    """A response that runs in this process."""

    task: asyncio.Task[None]
    cancelled: bool = False
    lost: bool = False


@dataclass(slots=True)
class Background:
    """Runs background responses. `run` must be running where `runs_here`; `drain` at the end."""

    engine: Engine
    runs_here: bool
    most_at_once: int = 100
    _running: dict[UUID, _Running] = field(default_factory=dict)
    _written: asyncio.Condition = field(default_factory=asyncio.Condition)
    _stopping: bool = False

    @property
    def starts_now(self) -> bool:
        """Whether a response that is accepted now is begun by this process at once."""
        return self.runs_here and not self._stopping and len(self._running) < self.most_at_once

    def start(self, order: Order, *, request_name: str, first_number: int = 2) -> None:
        """Run `order`, whose row is this process's. `first_number`: of its next event."""
        task = asyncio.create_task(self._carry(order, request_name, first_number))
        self._running[order.place.response_id] = _Running(task)
        task.add_done_callback(lambda _: self._running.pop(order.place.response_id, None))

    async def _carry(self, order: Order, request_name: str, first_number: int) -> None:
        """One response to its end."""
        place, engine = order.place, self.engine
        opening = ("in_progress",) if first_number < _LIFECYCLE else ()
        this = asyncio.current_task()
        assert this is not None  # noqa: S101 - a coroutine of a task

        def stop(cancelled: bool) -> None:  # noqa: FBT001 - the log's own word
            running = self._running.get(place.response_id)
            if running is not None:
                running.cancelled, running.lost = cancelled, not cancelled
            this.cancel()

        events = WrittenEvents(
            engine.state, place, first_number=first_number, on_stop=stop, on_written=self._tell_followers
        )
        run = ResponseRun(engine, order, opening=opening, first_number=first_number, event_log=events)
        events.response = run
        writing = asyncio.create_task(events.run())
        try:
            await hold_for(engine, order)
            async for due in run.events():
                if run.final is None:
                    events.add(due, next_number=run.writer.next_number)
        except AliError as error:  # a budget, or a ledger that cannot write
            await run.fail_unbegun(error)
        except asyncio.CancelledError:
            await asyncio.shield(self._cut_off(run, order, stopped=this))
        except Exception:
            log.exception("response.crashed", response=order.name)
            await run.fail_unbegun(InternalError(request_name))
        finally:
            writing.cancel()
            usage = order.record.usage
            order.claimed.settle(engine.gateway.limiter, used_tokens=usage.input_tokens + usage.output_tokens)
            tell(engine.gateway, order.record, request_name)
            self._tell_followers()

    async def _cut_off(self, run: ResponseRun, order: Order, *, stopped: asyncio.Task[Any]) -> None:
        running = next((each for each in self._running.values() if each.task is stopped), None)
        if running is not None and running.lost:  # deleted, or another process's now: only the usage is ours to settle
            log.warning("response.lost", response=order.name)
            await run.cut_off("cancelled", code="response_lost", http_status=499, keeps=False)
        elif running is not None and running.cancelled:
            await run.cut_off("cancelled", code="cancelled", http_status=499)
        elif not run.writer.output:
            await self.engine.state.requeue(order.place)
        else:
            stopping = Stopping("The service was stopped while it answered. Send the request again.")
            await run.cut_off("failed", code=stopping.error_code, http_status=503, error=stopping)

    def _tell_followers(self) -> None:
        task = asyncio.ensure_future(self._notify())
        task.add_done_callback(lambda done: done.exception())

    async def _notify(self) -> None:
        async with self._written:
            self._written.notify_all()

    async def cancel(self, place: Place) -> None:
        """Ask that a response stop: at once where it runs here, within a moment where another process runs it."""
        await self.engine.state.cancel(place)
        running = self._running.get(place.response_id)
        if running is not None:
            running.cancelled = True
            running.task.cancel()

    # What others left

    async def run(self) -> None:
        """Take what waits, and what dead processes left, until cancelled."""
        while True:
            try:
                room = self.most_at_once - len(self._running)
                taken = await self.engine.state.take(only_queued=False, at_most=min(room, 20)) if room > 0 else []
                for each in taken:
                    await self._take_over(each)
            except StateUnavailable:
                log.warning("response.queue_unavailable")
            except Exception:
                log.exception("response.queue_crashed")
            await asyncio.sleep(_POLL_S)

    async def _take_over(self, taken: Taken) -> None:
        place, name = taken.place, taken.place.response_id.hex
        unbegun = taken.background and taken.next_number <= _LIFECYCLE
        if taken.request is not None and unbegun and not taken.cancelling and taken.attempts <= _MOST_ATTEMPTS:
            log.info("response.taken", response=name, was=taken.was, attempts=taken.attempts)
            order = await self._order_again(taken, taken.request)
            self.start(order, request_name=f"req_{order.record.id.hex}", first_number=taken.next_number)
            return
        log.warning("response.orphan_closed", response=name, background=taken.background)
        items = taken.output
        if taken.background:
            pieces = await self.engine.state.events(place, after=-1)
            items = output_of(b"".join(piece for _, _, piece in pieces))
        await self._end_orphan(taken, items)

    async def _end_orphan(self, taken: Taken, items: list[Json]) -> None:
        """What a dead process left ends as it stood."""
        head, number = taken.head, taken.next_number
        status = "cancelled" if taken.cancelling else "failed"
        for item in items:
            if item.get("status") == "in_progress":
                item["status"] = "incomplete"
        head["status"] = status
        if not taken.cancelling:
            head["error"] = {
                "code": "server_error",
                "message": "The process that ran this response died. What it had written is kept; send it again.",
            }
        kind = "incomplete" if taken.cancelling else "failed"
        event = lifecycle_event(kind, with_output(head, items), number=number) if taken.background else None
        logged = number if taken.background else None
        ending = Ending(status=status, head=head, output=items, first_number=logged, last_number=logged, events=event)
        await self.engine.state.settle(taken.place, ending)

    async def _order_again(self, taken: Taken, sealed: bytes) -> Order:
        """The order of a response that another process accepted."""
        engine, place = self.engine, taken.place
        kept = orjson.loads(engine.seals.open(sealed, of=place.response_id))
        request = read_request(orjson.dumps(kept["asked"]))
        route = engine.gateway.router.resolve(request.model, RESPONSES)
        record = OpenRecord(
            record_id=uuid7(),  # not the response's: that of a dead process may have been settled as lost
            organization_id=place.organization_id,
            project_id=place.project_id,
            api_key_id=UUID(kept["key_id"]) if kept["key_id"] else None,
            user_id=UUID(kept["user_id"]) if kept["user_id"] else None,
            operation=RESPONSES.name,
            model=request.model,
            streamed=request.stream,
            started_s=time.monotonic(),
        )
        context = await engine.state.history(place, most_bytes=engine.most_history(route))
        references = {item["id"]: item for item in [*context.items, *kept["references"]] if "id" in item}
        return Order(
            request=request,
            place=place,
            route=route,
            record=record,
            claimed=NOTHING_CLAIMED,
            head={**taken.head, "status": "in_progress"},
            history=context.items,
            servers=servers_of(engine, request),
            references=references,
        )

    async def drain(self) -> None:
        """Stop: what has not begun to answer is given back, the rest ends as it stands."""
        self._stopping = True
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Those who read

    async def follow(self, place: Place, *, after: int) -> AsyncGenerator[bytes, None]:
        """The events above number `after`, each once, as they come, up to the terminal one.

        Raises `ResponseNotFound` where the response is deleted meanwhile, `StateUnavailable`.
        """
        ended = False
        while True:
            pieces = await self.engine.state.events(place, after=after)
            for first, last, body in pieces:
                due = body if first > after else b"".join(e for e in events_of(body) if number_of(e) > after)
                after = last
                yield due
                if kind_of(events_of(body)[-1]) in TERMINAL:
                    return
            if not pieces:
                if ended:
                    return  # it has ended, and there is no more to read
                status = await self.engine.state.status(place)
                if status is None:
                    raise ResponseNotFound("This response was deleted while it was being read.")
                ended = status not in ("queued", "in_progress")
                if ended:
                    continue  # what was written between the two looks
            try:
                async with asyncio.timeout(_FOLLOW_S), self._written:
                    await self._written.wait()
            except TimeoutError:
                pass

    async def accept(self, order: Order, arrival: Arrival, *, receive: Receive, send: Send) -> None:
        """Answer the request for a response in the background, and start it where it runs here."""
        if order.head["status"] == "in_progress":
            self.start(order, request_name=arrival.name)
        name = arrival.name.encode()
        shown = {**order.head, "status": "queued"}
        if not order.request.stream:
            body = orjson.dumps(with_output(shown, []))
            headers = [JSON, (b"x-request-id", name), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})
            return
        await self.stream(order.place, after=-1, headers=[(b"x-request-id", name)], receive=receive, send=send)

    async def stream(
        self, place: Place, *, after: int, headers: list[tuple[bytes, bytes]], receive: Receive, send: Send
    ) -> None:
        """Send a response's events until its end, or until the caller leaves, which stops nothing."""
        watcher = asyncio.ensure_future(receive())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*EVENT_STREAM, *headers]})
            async for due in self.follow(place, after=after):
                if watcher.done():
                    return
                await send({"type": "http.response.body", "body": due, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watcher.cancel()
