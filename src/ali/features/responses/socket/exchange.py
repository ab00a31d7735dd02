"""One response over a socket: its events as messages, its end settled, and what may be said to it meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from ali.features.chat.exchange import InternalError, Stopping
from ali.features.chat.gateway import Arrival, ClientGone
from ali.features.chat.settlement import tell
from ali.features.responses.order import Engine, Order
from ali.features.responses.run import ResponseRun
from ali.features.responses.socket.memory import ConnectionMemory
from ali.features.responses.socket.messages import Create, Steer, error_text, texts_of
from ali.features.responses.socket.steering import (
    MOST_STEERS,
    Steering,
    SteerRefused,
    can_be_steered,
    failure,
    steering_items,
)
from ali.features.responses.state import without_cut_calls
from ali.kernel import log
from ali.kernel.errors import AliError
from ali.kernel.ids import new_id

SendText = Callable[[str], Awaitable[None]]
"""Sends one message. Raises `ClientGone`."""


class SocketExchange:
    """Carries one response. `steers` is what was accepted for it and waits for what comes after it."""

    def __init__(
        self,
        engine: Engine,
        arrival: Arrival,
        order: Order,
        asked: Create,
        *,
        memory: ConnectionMemory,
        send: SendText,
    ) -> None:
        self._engine = engine
        self._arrival = arrival
        self.order = order
        self.asked = asked
        self._memory = memory
        self._send = send
        self.run = ResponseRun(engine, order)
        self.steers: list[Steering] = []
        self._ended = False
        self._writing = asyncio.Lock()
        """Whoever holds it has taken events from the writer, and sends them: so they leave in the order of numbers."""

    @property
    def status(self) -> str:
        """How it ended, or `in_progress`."""
        status: str = self.order.head["status"]
        return status

    async def carry(self, *, stopping: Callable[[], bool]) -> None:
        """Serve the request to its end and leave response and usage record behind, whatever happens.

        `stopping`: whether a cancellation means that the service stops, and not that the caller left. Raises
        `AliError` where nothing was sent, `ClientGone`, `asyncio.CancelledError`.
        """
        try:
            await self._stream()
        except ClientGone:
            await self._cut_off(None)
            raise
        except asyncio.CancelledError:
            why = Stopping("The service is being stopped and could not finish this answer. Send the request again.")
            await self._cut_off(why if stopping() else None)
            raise
        except AliError:
            raise
        except Exception:
            log.exception("request.crashed", request_id=self._arrival.name, operation=self.order.record.operation)
            await self._cut_off(InternalError(self._arrival.name))
        finally:
            usage = self.order.record.usage
            used = usage.input_tokens + usage.output_tokens
            self.order.claimed.settle(self._engine.gateway.limiter, used_tokens=used)
            tell(self._engine.gateway, self.order.record, self._arrival.name)

    async def _stream(self) -> None:
        run = self.run
        async with aclosing(run.events() if self.asked.generate else run.prepared()) as events:
            async for due in events:
                if run.final is not None:
                    self._ended = True
                    self._remember()
                async with self._writing:
                    await self._send_events(due)

    async def _send_events(self, due: bytes) -> None:
        for text in texts_of(due, stream_id=self.asked.stream_id):
            await self._send(text)

    def _remember(self) -> None:
        """A response that is not stored is kept by the connection, before the caller learns that it has ended."""
        order = self.order
        if not order.request.store and self.status in ("completed", "incomplete"):
            said = without_cut_calls([*order.history, *order.request.items, *self.run.writer.output])
            self._memory.keep(order.place.response_id, said)

    async def _cut_off(self, error: AliError | None) -> None:
        """End what was broken off: the caller has left, or (`error`) is there and told."""
        if self._ended:
            return
        run = self.run
        try:
            if error is None:
                await run.cut_off("cancelled", code="client_disconnected", http_status=499)
                return
            status = error.http_status
            event = await run.cut_off("failed", code=error.error_code, http_status=status, error=error)
        except AliError as unavailable:  # the response is found and ended as an orphan
            log.warning("response.not_settled", response=self.order.name, error=unavailable.error_code)
            return
        try:
            if run.begun:
                await self._send_events(event)
            else:
                name = self._arrival.name
                await self._send(error_text(error, request_name=name, stream_id=self.asked.stream_id))
        except ClientGone:
            pass

    # Steering

    async def steer(self, asked: Steer) -> None:
        """Take the user's words for what comes after this response, or refuse them; the caller is told. Raises
        `ClientGone`.
        """
        async with self._writing:
            if self.run.final is not None:
                raise SteerRefused(
                    "response_already_completed", "The response has ended. Send the input with response.create."
                )
            writer = self.run.writer
            try:
                steering = self._accepted(asked)
            except SteerRefused as refused:
                steer = {"previous_response_id": asked.response, "input": asked.input}
                error = failure(refused.code, refused.message)
                writer.event("response.steer.failed", steer=steer, error=error)
            else:
                self.steers.append(steering)
                self.run.stops_between_turns = True
                writer.event("response.steer.accepted", steer=steering.named())
            await self._send_events(writer.take())

    def _accepted(self, asked: Steer) -> Steering:
        if not asked.only_known_members:
            raise SteerRefused("invalid_input", "Send type, previous_response_id and input alone.")
        items = steering_items(asked.input)
        if not can_be_steered(self.order.request):
            raise SteerRefused(
                "steering_not_supported", "A response in a conversation, or with context_management, is not steered."
            )
        size_bytes = asked.size_bytes + sum(steer.size_bytes for steer in self.steers)
        if len(self.steers) >= MOST_STEERS or size_bytes > self._engine.gateway.max_body_bytes:
            raise SteerRefused("too_many_pending_steers", "Too much input waits for this response to end.")
        return Steering(
            steer_id=new_id("steer"),
            response=asked.response,
            given=asked.input,
            items=items,
            size_bytes=asked.size_bytes,
        )


def final_number(exchange: SocketExchange) -> int:
    """The number that an event after the response's last one has."""
    return exchange.run.writer.next_number + 1
