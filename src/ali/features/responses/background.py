"""Responses in the background: accepted, run here or by a worker, taken over when a process dies.

A row is the queue: `queued` waits, `in_progress` belongs to a process whose heartbeat shows that it lives (ADR 15).
"""

import asyncio
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from uuid import UUID

import orjson

from ali.features.chat.admission import NOTHING_CLAIMED
from ali.features.chat.exchange import JSON, InternalError, Stopping
from ali.features.chat.gateway import Arrival, Receive, Scope, Send
from ali.features.chat.operations import RESPONSES
from ali.features.chat.settlement import tell
from ali.features.metering import OpenRecord
from ali.features.responses.admission import hold_for, servers_of
from ali.features.responses.attachments import fetched
from ali.features.responses.errors import StateUnavailable, TakenOver
from ali.features.responses.event_log import WrittenEvents
from ali.features.responses.followers import Followers
from ali.features.responses.head import lifecycle_event, with_output
from ali.features.responses.history import resolved
from ali.features.responses.order import Engine, Order
from ali.features.responses.replay import output_of
from ali.features.responses.request import read_request
from ali.features.responses.run import ResponseRun
from ali.features.responses.state import Ending, Place, Taken
from ali.kernel import log
from ali.kernel.cleanup import to_its_end
from ali.kernel.errors import AliError
from ali.kernel.ids import uuid7

Json = dict[str, Any]

_POLL_S: Final = 0.5
_AT_ONCE: Final = 20
_MOST_ATTEMPTS: Final = 3
_LIFECYCLE: Final = 3
"""Events before any output: created, queued, in_progress."""
_DIED: Final = "The process that ran this response died. What it had written is kept; send it again."


@dataclass(slots=True)
class _Running:
    """A response that runs in this process."""

    task: asyncio.Task[None]
    run: ResponseRun | None = None
    cancelled: bool = False
    lost: bool = False
    stopped: bool = False

    def stop(self, *, cancelled: bool = False, lost: bool = False) -> None:
        """Cut it off, once, unless its end is being written already."""
        if self.stopped or (self.run is not None and self.run.ending):
            return
        self.stopped, self.cancelled, self.lost = True, cancelled, lost
        self.task.cancel()


@dataclass(slots=True)
class Background:
    """Runs background responses. `run` must be running where `runs_here`; `drain` at the end."""

    engine: Engine
    followers: Followers
    runs_here: bool
    most_at_once: int = 100
    _running: dict[UUID, _Running] = field(default_factory=dict)
    _taken: list[Taken] = field(default_factory=list)
    _stopping: bool = False

    @property
    def starts_now(self) -> bool:
        """Whether a response that is accepted now is begun by this process at once."""
        return self.runs_here and not self._stopping and len(self._running) < self.most_at_once

    @property
    def running(self) -> int:
        """How many run in this process."""
        return len(self._running)

    def start(self, order: Order, *, request_name: str, first_number: int = 2) -> None:
        """Run `order`, whose row is this process's. `first_number`: of its next event."""
        task = asyncio.create_task(self._carry(order, request_name, first_number))
        self._running[order.place.response_id] = _Running(task)
        task.add_done_callback(lambda _: self._running.pop(order.place.response_id, None))

    async def _carry(self, order: Order, request_name: str, first_number: int) -> None:
        """One response to its end."""
        place, engine = order.place, self.engine
        opening = ("in_progress",) if first_number < _LIFECYCLE else ()
        running = self._running[place.response_id]

        def stop(cancelled: bool) -> None:  # noqa: FBT001 - the log's own word
            running.stop(cancelled=cancelled, lost=not cancelled)

        events = WrittenEvents(
            *(engine.state, place),
            first_number=first_number,
            on_stop=stop,
            on_written=partial(self.followers.tell, place.response_id),
        )
        run = ResponseRun(engine, order, opening=opening, first_number=first_number, event_log=events)
        events.response = running.run = run
        writing = asyncio.create_task(events.run())
        try:
            await hold_for(engine, order)
            async with aclosing(run.events()) as due_events:
                async for due in due_events:
                    if run.final is None:
                        events.add(due, next_number=run.writer.next_number)
        except AliError as error:  # a budget, or a ledger that cannot write
            await run.fail_unbegun(error)
        except asyncio.CancelledError:
            await to_its_end(self._cut_off(run, order, running))
        except Exception:
            log.exception("response.crashed", response=order.name)
            await run.fail_unbegun(InternalError(request_name))
        finally:
            writing.cancel()
            await asyncio.wait([writing])
            usage = order.record.usage
            order.claimed.settle(engine.gateway.limiter, used_tokens=usage.input_tokens + usage.output_tokens)
            tell(engine.gateway, order.record, request_name)
            self.followers.tell(place.response_id)

    async def _cut_off(self, run: ResponseRun, order: Order, running: _Running) -> None:
        if running.lost:  # deleted (then its claim is all that is written), or another process's now (then nothing is)
            log.warning("response.lost", response=order.name)
            await run.cut_off("cancelled", code="response_lost", http_status=499)
        elif running.cancelled:
            await run.cut_off("cancelled", code="cancelled", http_status=499)
        elif not run.writer.output and not run.ending:
            await run.give_back()
        else:
            stopping = Stopping("The service was stopped while it answered. Send the request again.")
            await run.cut_off("failed", code=stopping.error_code, http_status=503, error=stopping)

    async def cancel(self, place: Place) -> None:
        """Ask that a response stop: at once where it runs here, within a moment where another process runs it."""
        await self.engine.state.cancel(place)
        running = self._running.get(place.response_id)
        if running is not None:
            running.stop(cancelled=True)

    # What others left

    async def run(self) -> None:
        """Take what waits, and what dead processes left, until cancelled."""
        while True:
            try:
                room = self.most_at_once - len(self._running)
                self._taken += await self.engine.state.take(
                    only_ends=room <= 0, at_most=min(room, _AT_ONCE) if room > 0 else _AT_ONCE
                )
                while self._taken:
                    await self._take_over(self._taken[0])
                    del self._taken[0]
            except StateUnavailable:  # what was taken waits for the next round
                log.warning("response.queue_unavailable")
            except Exception:
                log.exception("response.queue_crashed")
            await asyncio.sleep(_POLL_S)

    async def _take_over(self, taken: Taken) -> None:
        place, name = taken.place, taken.place.response_id.hex
        unbegun = taken.background and taken.next_number <= _LIFECYCLE
        if taken.request is not None and unbegun and not taken.cancelling and taken.attempts <= _MOST_ATTEMPTS:
            if len(self._running) >= self.most_at_once:  # it waits for its turn, as all do
                await self.engine.state.requeue(place)
                return
            log.info("response.taken", response=name, was=taken.was, attempts=taken.attempts)
            try:
                order = await self._order_again(taken, taken.request)
            except StateUnavailable:
                raise
            except AliError as error:  # a model or tool that is not offered any more
                await self._end_orphan(taken, [], because=error.message)
            except Exception:
                log.exception("response.unreadable", response=name)
                await self._end_orphan(taken, [], because="Its request could not be read again; send it again.")
            else:
                if taken.was != "queued":
                    self.engine.gateway.metrics.responses_orphaned.labels("run_again").inc()
                self.start(order, request_name=f"req_{order.record.id.hex}", first_number=taken.next_number)
            return
        log.warning("response.orphan_closed", response=name, background=taken.background)
        items = taken.output
        if taken.background:
            _, pieces = await self.engine.state.events(place, after=-1)
            items = output_of(b"".join(piece for _, _, piece in pieces))
        await self._end_orphan(taken, items)

    async def _end_orphan(self, taken: Taken, items: list[Json], *, because: str = _DIED) -> None:
        """What a dead process left ends as it stood."""
        self.engine.gateway.metrics.responses_orphaned.labels("closed").inc()
        head, number = taken.head, taken.next_number
        status = "cancelled" if taken.cancelling else "failed"
        for item in items:
            if item.get("status") == "in_progress":
                item["status"] = "incomplete"
        head["status"] = status
        if not taken.cancelling:
            head["error"] = {"code": "server_error", "message": because}
        kind = "incomplete" if taken.cancelling else "failed"
        event = lifecycle_event(kind, with_output(head, items), number=number) if taken.background else None
        logged = number if taken.background else None
        ending = Ending(status=status, head=head, output=items, first_number=logged, last_number=logged, events=event)
        with suppress(TakenOver):  # deleted, or ended, meanwhile
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
        said = resolved([*context.items, *request.items], references)
        return Order(
            request=request,
            place=place,
            route=route,
            record=record,
            claimed=NOTHING_CLAIMED,
            head={**taken.head, "status": "in_progress"},
            history=context.items,
            servers=servers_of(engine, request),
            attachments=await fetched(said, engine.files, place, most_bytes=engine.max_history_bytes),
            references=references,
        )

    async def drain(self) -> None:
        """Stop: what has not begun to answer is given back, the rest ends as it stands."""
        self._stopping = True
        tasks = [running.task for running in self._running.values()]
        for running in self._running.values():
            running.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def accept(self, order: Order, arrival: Arrival, *, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request for a response in the background, and start it where it runs here."""
        if order.head["status"] == "in_progress":
            self.start(order, request_name=arrival.name)
        else:  # counted now, so not again when it runs
            order.claimed.settle(self.engine.gateway.limiter, used_tokens=order.claimed.tokens)
        name = arrival.name.encode()
        shown = {**order.head, "status": "queued"}
        if not order.request.stream:
            body = orjson.dumps(with_output(shown, []))
            headers = [JSON, (b"x-request-id", name), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})
            return
        await self.followers.stream(
            order.place, after=-1, headers=[(b"x-request-id", name)], scope=scope, receive=receive, send=send
        )
