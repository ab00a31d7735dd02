"""A response over HTTP: the request admitted, the run's events sent, or its end as one object."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import orjson

from ali.features.chat.exchange import EVENT_STREAM, JSON, InternalError, Stopping
from ali.features.chat.gateway import Arrival, ClientGone, Receive, Scope, Send, arrive
from ali.features.chat.hot import refuse
from ali.features.chat.limit_headers import RawHeaders, limit_headers
from ali.features.chat.operations import RESPONSES, Operation
from ali.features.chat.settlement import tell, tell_refused
from ali.features.responses.admission import admit_response
from ali.features.responses.background import Background
from ali.features.responses.order import Engine, Order
from ali.features.responses.run import ResponseRun
from ali.kernel import log
from ali.kernel.cleanup import to_its_end
from ali.kernel.departure import watch
from ali.kernel.errors import AliError

Json = dict[str, Any]


async def create_response(engine: Engine, background: Background, scope: Scope, receive: Receive, send: Send) -> None:
    """`POST /v1/responses`. Raises nothing: a bug is logged and answered with a 500."""

    async def carry(arrival: Arrival) -> None:
        order = await admit_response(engine, arrival, receive, starts_now=background.starts_now)
        if order.request.background:
            await background.accept(order, arrival, scope=scope, receive=receive, send=send)
        else:
            await ResponseExchange(engine, arrival, order, scope=scope, receive=receive, send=send).run()

    await carried(engine, RESPONSES, scope, send, carry)


async def carried(
    engine: Engine, operation: Operation, scope: Scope, send: Send, carry: Callable[[Arrival], Awaitable[None]]
) -> None:
    """Have `carry` answer a request; what it raises is answered here. Raises nothing."""
    arrival = arrive(scope)
    metrics = engine.gateway.metrics
    metrics.in_flight += 1
    try:
        await carry(arrival)
    except ClientGone:
        metrics.requests.labels(operation.name, "cancelled").inc()
    except AliError as error:
        tell_refused(engine.gateway, operation, arrival.name, error)
        await refuse(error, operation=operation, arrival=arrival, send=send)
    except Exception:
        log.exception("request.crashed", request_id=arrival.name, operation=operation.name)
        await refuse(InternalError(arrival.name), operation=operation, arrival=arrival, send=send)
    finally:
        metrics.in_flight -= 1


class ResponseExchange:
    """Carries one response in the foreground. `run` never raises an `AliError`: it answers it.

    `told` makes of the response what a caller who does not stream is answered.
    """

    __slots__ = (
        "_arrival",
        "_cancellable",
        "_engine",
        "_gone",
        "_order",
        "_receive",
        "_run",
        "_scope",
        "_send",
        "_task",
        "_told",
    )

    def __init__(
        self,
        engine: Engine,
        arrival: Arrival,
        order: Order,
        *,
        scope: Scope,
        receive: Receive,
        send: Send,
        told: Callable[[Json], Json] | None = None,
    ) -> None:
        self._engine = engine
        self._arrival = arrival
        self._order = order
        self._scope = scope
        self._receive = receive
        self._send = send
        self._told = told
        self._gone = False
        self._cancellable = True
        self._task: asyncio.Task[Any] | None = None
        self._run = ResponseRun(engine, order)

    async def run(self) -> None:
        """Serve the request to its end and leave response and usage record behind, whatever happens."""
        self._task = asyncio.current_task()
        unwatch = watch(self._scope, self._receive, self._caller_left)
        order = self._order
        try:
            await (self._stream() if order.request.stream else self._answer_whole())
        except AliError as error:
            await refuse(error, operation=RESPONSES, arrival=self._arrival, send=self._send)
        except asyncio.CancelledError:
            await to_its_end(self._cut_off())
            if not self._gone:
                raise
        finally:
            unwatch()
            usage = order.record.usage
            order.claimed.settle(self._engine.gateway.limiter, used_tokens=usage.input_tokens + usage.output_tokens)
            tell(self._engine.gateway, order.record, self._arrival.name)

    def _caller_left(self) -> None:
        """Stop the provider's work at once: it costs money."""
        self._gone = True
        if self._cancellable and self._task is not None:
            self._cancellable = False
            self._task.cancel()

    async def _stream(self) -> None:
        send, run = self._send, self._run
        started = False
        async with aclosing(run.events()) as events:
            async for due in events:
                if not started:
                    started = True
                    await send({"type": "http.response.start", "status": 200, "headers": self._headers(EVENT_STREAM)})
                if run.final is not None:
                    self._cancellable = False
                    await send({"type": "http.response.body", "body": due, "more_body": False})
                else:
                    await send({"type": "http.response.body", "body": due, "more_body": True})

    async def _answer_whole(self) -> None:
        run = self._run
        async for _ in run.events():
            pass
        self._cancellable = False
        if run.failure is not None:
            raise run.failure
        final: Json = run.final or {}
        body = orjson.dumps(self._told(final) if self._told is not None else final)
        headers = [*self._headers([JSON]), (b"content-length", b"%d" % len(body))]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _cut_off(self) -> None:
        """The caller left, or the service stops. A caller who is there is told."""
        stopping = Stopping("The service is being stopped and could not finish this answer. Send the request again.")
        if self._gone:
            await self._run.cut_off("cancelled", code="client_disconnected", http_status=499)
            return
        event = await self._run.cut_off("failed", code="service_stopping", http_status=503, error=stopping)
        if self._order.request.stream and self._run.begun:
            await self._send({"type": "http.response.body", "body": event, "more_body": False})
        else:
            await refuse(stopping, operation=RESPONSES, arrival=self._arrival, send=self._send)

    def _headers(self, first: RawHeaders) -> RawHeaders:
        record, verdict, run = self._order.record, self._order.claimed.verdict, self._run
        headers: RawHeaders = [
            *first,
            (b"x-request-id", self._arrival.name.encode()),
            (b"openai-processing-ms", b"%d" % record.elapsed_ms()),
            *(limit_headers(verdict, RESPONSES.dialect) if verdict is not None else run.headers),
        ]
        if record.provider is not None and record.upstream_model is not None:
            headers.append((b"x-ali-provider", record.provider.encode()))
            headers.append((b"x-ali-model", record.upstream_model.encode()))
        if run.dropped:
            headers.append((b"x-ali-dropped-parameters", ", ".join(run.dropped).encode("latin-1", "replace")))
        return headers
