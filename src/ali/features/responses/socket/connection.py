"""One open socket: its messages read, its lanes at work, its end."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ali.features.chat.admission import recognised
from ali.features.chat.exchange import InternalError, Stopping
from ali.features.chat.gateway import Arrival, ClientGone, Receive, Send
from ali.features.chat.operations import RESPONSES
from ali.features.chat.settlement import tell_refused
from ali.features.responses.admission import order_of
from ali.features.responses.order import Engine, Order
from ali.features.responses.socket.exchange import SocketExchange, final_number
from ali.features.responses.socket.lanes import Lanes
from ali.features.responses.socket.memory import ConnectionMemory
from ali.features.responses.socket.messages import (
    Create,
    Steer,
    body_of,
    error_text,
    event_text,
    read_document,
    read_event,
    stream_id_of,
)
from ali.features.responses.socket.steering import (
    Steering,
    SteerRefused,
    continued,
    failure,
    owed,
    successor,
)
from ali.kernel import log
from ali.kernel.errors import AliError, AuthenticationFailed
from ali.kernel.ids import new_id, uuid7

RESTARTING: Final = 1012
"""The service is being restarted (RFC 6455's registry of close codes)."""
POLICY: Final = 1008
_MOST_ENDED: Final = 256
_MOST_WAITED_FOR: Final = 16


@dataclass(frozen=True, slots=True)
class _Ended:
    """What is still known of a response of this connection once it is over."""

    status: str
    stream_id: str | None
    number: int


@dataclass(frozen=True, slots=True)
class _WaitedFor:
    """Input that was accepted for a response whose caller owes answers, and the lane that these must come on."""

    steers: Sequence[Steering]
    stream_id: str | None


class Connection:
    """Serves one accepted socket until it is closed. `arrival` is its handshake, whose credential every request is
    checked with anew.
    """

    def __init__(self, engine: Engine, arrival: Arrival, *, receive: Receive, send: Send, memory_bytes: int) -> None:
        self._engine = engine
        self._arrival = arrival
        self._receive = receive
        self._asgi_send = send
        self._memory = ConnectionMemory(most_bytes=memory_bytes)
        self._lanes = Lanes(self._carry, self._close_if_leaving, most_bytes=engine.gateway.max_body_bytes)
        self._running: dict[str, SocketExchange] = {}
        self._over: OrderedDict[str, _Ended] = OrderedDict()
        self._waited_for: OrderedDict[str, _WaitedFor] = OrderedDict()
        self._leaving: int | None = None
        self._stopped = False
        self._closed = False

    async def run(self) -> None:
        """Serve it to its end. Swallows a cancellation, which is the service's end: those who are there are told."""
        try:
            await self._listen()
        except asyncio.CancelledError:
            self._stopped = True
            self._leaving = RESTARTING
        except ClientGone:
            pass
        await self._lanes.cancel()
        if self._stopped:
            await self._close(RESTARTING)

    async def _listen(self) -> None:
        while True:
            message = await self._receive()
            match message["type"]:
                case "websocket.receive":
                    text = message.get("text")
                    await self._take(text if text is not None else message.get("bytes") or b"")
                case "ali.stopping":  # the server's own word: what runs may end, within its time
                    self._leaving = RESTARTING
                    await self._close_if_leaving()
                case _:
                    return

    async def _take(self, data: str | bytes) -> None:
        """One message of the client: begun, or refused. Raises `ClientGone`."""
        stream_id: str | None = None
        try:
            document = read_document(data)
            stream_id = stream_id_of(document)
            event = read_event(document, size_bytes=len(data))
            if isinstance(event, Create):
                self._lanes.add(event)
            else:
                await self._steer(event)
        except AliError as error:
            await self._refuse(error, name=new_id("req"), stream_id=stream_id)

    async def _refuse(self, error: AliError, *, name: str, stream_id: str | None) -> None:
        tell_refused(self._engine.gateway, RESPONSES, name, error)
        await self._send(error_text(error, request_name=name, stream_id=stream_id))

    # Sending

    async def _send(self, text: str) -> None:
        if self._closed:
            raise ClientGone
        try:
            await self._asgi_send({"type": "websocket.send", "text": text})
        except OSError as error:  # how ASGI says that nobody is there
            raise ClientGone from error

    async def _close(self, code: int) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._asgi_send({"type": "websocket.close", "code": code})
        except OSError:
            return

    async def _close_if_leaving(self) -> None:
        if self._leaving is not None and self._lanes.idle:
            await self._close(self._leaving)

    # Responses

    async def _carry(self, asked: Create) -> None:
        """A request, and the successors that it gets by being steered."""
        try:
            steers: Sequence[Steering] = ()
            following: Create | None = asked
            while following is not None:
                exchange = await self._respond(following, steers)
                following, steers = (None, ()) if exchange is None else await self._after(exchange)
        except ClientGone:
            return

    async def _respond(self, asked: Create, steers: Sequence[Steering]) -> SocketExchange | None:
        """One response. None where it was refused. `steers`: what it takes up, where it is a successor."""
        origin, engine = self._arrival, self._engine
        metrics = engine.gateway.metrics
        arrival = Arrival(uuid7(), time.monotonic(), origin.headers, origin.address, origin.principal)
        metrics.in_flight += 1
        exchange: SocketExchange | None = None
        try:
            order = await self._order(arrival, asked)
            exchange = SocketExchange(engine, arrival, order, asked, memory=self._memory, send=self._send)
            self._running[order.name] = exchange
            await exchange.carry(stopping=lambda: self._stopped)
        except AliError as error:
            if exchange is None:
                await self._refuse(error, name=arrival.name, stream_id=asked.stream_id)
            else:
                await self._send(error_text(error, request_name=arrival.name, stream_id=asked.stream_id))
            await self._give_back(steers, asked.stream_id, message=error.message)
            return None
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("request.crashed", request_id=arrival.name, operation=RESPONSES.name)
            await self._refuse(InternalError(arrival.name), name=arrival.name, stream_id=asked.stream_id)
            return None
        finally:
            metrics.in_flight -= 1
            if exchange is not None:
                self._running.pop(exchange.order.name, None)
                self._bury(exchange)
        return exchange

    async def _order(self, arrival: Arrival, asked: Create) -> Order:
        """The request, admitted. Raises `AliError`."""
        if self._leaving is not None:
            raise Stopping("This connection is being closed. Open another, and send the request there.")
        try:
            principal = await recognised(self._engine.gateway, RESPONSES, arrival)
        except AuthenticationFailed:
            self._leaving = POLICY  # once what runs has ended: nothing more can be asked for with this credential
            raise
        waits = self._waiting_for(asked)
        document = asked.document if waits is None else continued(asked.document, waits.steers)
        order = await order_of(self._engine, arrival, principal, body_of(document), recall=self._memory.recall)
        if waits is not None:
            self._waited_for.pop(document["previous_response_id"], None)
        return order

    def _bury(self, exchange: SocketExchange) -> None:
        self._over[exchange.order.name] = _Ended(exchange.status, exchange.asked.stream_id, final_number(exchange))
        if len(self._over) > _MOST_ENDED:
            self._over.popitem(last=False)

    # Steering

    async def _steer(self, asked: Steer) -> None:
        exchange = self._running.get(asked.response)
        if exchange is not None and exchange.run.begun:
            try:
                await exchange.steer(asked)
            except SteerRefused as refused:
                number = final_number(exchange)
                await self._tell_failed(asked, refused, stream_id=exchange.asked.stream_id, number=number)
            return
        ended = self._over.get(asked.response)
        if ended is None:
            why = SteerRefused("response_not_found", "No such response runs, or ran, on this connection.")
            await self._tell_failed(asked, why, stream_id=None, number=0)
            return
        code = "response_already_completed" if ended.status == "completed" else "response_not_active"
        why = SteerRefused(code, "The response has ended. Send the input with response.create.")
        await self._tell_failed(asked, why, stream_id=ended.stream_id, number=ended.number)

    async def _tell_failed(self, asked: Steer, refused: SteerRefused, *, stream_id: str | None, number: int) -> None:
        await self._send(
            event_text(
                "response.steer.failed",
                stream_id=stream_id,
                number=number,
                error=failure(refused.code, refused.message),
                steer={"previous_response_id": asked.response, "input": asked.input},
            )
        )

    async def _after(self, exchange: SocketExchange) -> tuple[Create | None, Sequence[Steering]]:
        """What becomes of the input that was accepted while the response ran."""
        steers, name, asked = exchange.steers, exchange.order.name, exchange.asked
        if not steers:
            return None, ()
        if exchange.status not in ("completed", "incomplete"):
            await self._give_back(
                steers,
                asked.stream_id,
                code="response_not_active",
                message="The response failed. Send the input with response.create.",
                number=final_number(exchange),
            )
            return None, ()
        stubs = owed(exchange.run.writer.output)
        if not stubs:
            document = successor(exchange.order.request.document, name=name, steers=steers)
            return Create(document=document, stream_id=asked.stream_id), steers
        self._waited_for[name] = _WaitedFor(steers, asked.stream_id)
        for at, steer in enumerate(steers):
            await self._send(
                event_text(
                    "response.steer.pending",
                    stream_id=asked.stream_id,
                    number=final_number(exchange) + at,
                    reason="waiting_for_required_input",
                    required_input=stubs,
                    steer=steer.named(),
                )
            )
        if len(self._waited_for) > _MOST_WAITED_FOR:
            _, forgotten = self._waited_for.popitem(last=False)
            await self._give_back(
                forgotten.steers, forgotten.stream_id, message="Too many responses wait for their required input."
            )
        return None, ()

    def _waiting_for(self, asked: Create) -> _WaitedFor | None:
        """The input that waits for this request, which goes on from the response that it was accepted for."""
        name = asked.document.get("previous_response_id")
        waits = self._waited_for.get(name) if isinstance(name, str) else None
        return waits if waits is not None and waits.stream_id == asked.stream_id else None

    async def _give_back(
        self,
        steers: Sequence[Steering],
        stream_id: str | None,
        *,
        code: str = "successor_creation_failed",
        message: str,
        number: int = 0,
    ) -> None:
        """Input that cannot be taken up goes back to the caller."""
        for at, steer in enumerate(steers):
            await self._send(
                event_text(
                    "response.steer.failed",
                    stream_id=stream_id,
                    number=number + at,
                    error=failure(code, message),
                    steer={**steer.named(), "input": steer.given},
                )
            )
