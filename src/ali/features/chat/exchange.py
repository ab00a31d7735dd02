"""One admitted request until its end: relay, settle, and only then the last byte. The ASGI side of the hot path."""

import asyncio
import time
from functools import partial
from typing import Any, Final

from ali.features.chat.admission import Admission
from ali.features.chat.attempt import (
    CallerContext,
    RelayedRefusal,
    StreamedAnswer,
    WholeAnswer,
    attempt,
    estimated_usage,
)
from ali.features.chat.gateway import Arrival, Gateway, Receive, Scope, Send
from ali.features.chat.limit_headers import RawHeaders, limit_headers
from ali.features.chat.operations import Operation
from ali.features.chat.repeats import repeat_key
from ali.features.chat.routing import Target
from ali.features.chat.settlement import close_record, prices_tried, tell
from ali.features.chat.stored.assembly import Assembly
from ali.features.chat.stored.completion import KeptCompletion, kept, kept_from_body
from ali.kernel import log
from ali.kernel.departure import watch
from ali.kernel.envelopes import error_body, error_event, error_headers
from ali.kernel.errors import AliError, Unavailable
from ali.providers.contract import Dialect, StreamRelay, Usage

JSON: Final = (b"content-type", b"application/json")
EVENT_STREAM: Final[RawHeaders] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Stopping(Unavailable):
    """503: the service is being stopped and this request did not end in time."""

    code = "service_stopping"


class InternalError(AliError):
    """500: a bug of this service."""

    def __init__(self, request_name: str) -> None:
        super().__init__(f"The service failed on this request. Report its id, {request_name}, to the operator.")


class Exchange:
    """Carries one request. `run` never raises an `AliError`: it answers it."""

    __slots__ = (
        "_admission", "_arrival", "_began", "_cancellable", "_gateway", "_gone", "_operation", "_receive", "_record",
        "_relay", "_scope", "_send", "_task",
    )  # fmt: skip

    def __init__(
        self,
        gateway: Gateway,
        operation: Operation,
        arrival: Arrival,
        admission: Admission,
        *,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._gateway = gateway
        self._operation = operation
        self._arrival = arrival
        self._admission = admission
        self._record = admission.record
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = False
        self._gone = False
        self._cancellable = False
        self._relay: StreamRelay | None = None
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Serve the request to its end and leave its usage record behind, whatever happens."""
        self._task = asyncio.current_task()
        unwatch = watch(self._scope, self._receive, self._caller_left)
        try:
            await self._serve()
        except AliError as error:
            await self._fail(error)
        except asyncio.CancelledError:
            await self._cut_off()
            if not self._gone:
                raise
        except Exception:
            log.exception("request.crashed", request_id=self._arrival.name, operation=self._operation.name)
            await self._fail(InternalError(self._arrival.name))
        finally:
            unwatch()
            usage = self._record.usage
            self._admission.claimed.settle(self._gateway.limiter, used_tokens=usage.input_tokens + usage.output_tokens)
            tell(self._gateway, self._record, self._arrival.name)

    def _caller_left(self) -> None:
        """Stop the provider's work at once: it costs money."""
        self._gone = True
        if self._cancellable and self._task is not None:
            self._cancellable = False
            self._task.cancel()

    async def _serve(self) -> None:
        gateway, admission = self._gateway, self._admission
        key: bytes | None = None
        repeatable = admission.envelope.asked is None and not admission.envelope.cited_files
        if admission.cache_ttl_s and repeatable:  # what is kept is no repeat of another, nor what cites another file
            key = repeat_key(
                project_id=admission.record.project_id,
                operation=self._operation.name,
                version=f"{admission.anthropic_version} {admission.anthropic_beta}",
                body=admission.envelope.body,
            )
            if (kept := await gateway.repeats.get(key)) is not None:
                await self._repeat(kept)
                return
            gateway.metrics.cache.labels("miss").inc()
        context = CallerContext(
            answer_id=self._arrival.request_id.hex,
            created=int(time.time()),
            anthropic_version=admission.anthropic_version,
            anthropic_beta=admission.anthropic_beta,
            deadlines=gateway.deadlines,
            max_body_bytes=gateway.max_upstream_body_bytes,
            max_event_bytes=gateway.max_event_bytes,
        )
        self._cancellable = True
        if self._gone:
            raise asyncio.CancelledError
        target, answer = await gateway.failover.answer(
            admission.route, partial(attempt, envelope=admission.envelope, context=context), self._record
        )
        if isinstance(answer, WholeAnswer):
            self._cancellable = False
            await self._answer_whole(target, answer, key)
        else:
            try:
                await self._answer_stream(target, answer, key)
            finally:
                await asyncio.shield(answer.stream.close())

    async def _answer_whole(self, target: Target, answer: WholeAnswer, key: bytes | None) -> None:
        self._record.usage = answer.usage
        asked = self._admission.envelope.asked
        await self._settle(
            target, kept_from_body(answer.body, asked=asked, request_id=self._record.id) if asked else None
        )
        headers = self._headers(answer.headers, target=target, dropped=answer.dropped)
        if answer.estimated:
            headers.append((b"x-ali-estimated", b"true"))
        await self._respond(200, [JSON, *headers], answer.body)
        if key is not None and self._admission.cache_ttl_s:
            await self._gateway.repeats.put(key, answer.body, ttl_s=self._admission.cache_ttl_s)

    async def _answer_stream(self, target: Target, answer: StreamedAnswer, key: bytes | None) -> None:
        stream, send = answer.stream, self._send
        relay = self._relay = stream.relay
        self._record.first_token_ms = self._record.elapsed_ms()
        headers = self._headers(answer.headers, target=target, dropped=stream.dropped)
        await send({"type": "http.response.start", "status": 200, "headers": [*EVENT_STREAM, *headers]})
        self._began = True
        repeatable: list[bytes] | None = [] if key is not None else None
        asked = self._admission.envelope.asked
        assembly = Assembly(limit_bytes=self._gateway.max_upstream_body_bytes) if asked else None
        async for due in stream.chunks():
            await send({"type": "http.response.body", "body": due, "more_body": True})
            if repeatable is not None:
                repeatable.append(due)
            if assembly is not None:
                assembly.feed(due)
        self._cancellable = False
        last = relay.finish()
        usage = self._record.usage = self._usage_so_far()
        completion: KeptCompletion | None = None
        if assembly is not None and asked is not None:
            assembly.feed(last)
            completion = kept(assembly.completion(usage=usage), asked=asked, request_id=self._record.id)
        await self._settle(target, completion)
        await send({"type": "http.response.body", "body": last, "more_body": False})
        if key is not None and repeatable is not None and self._admission.cache_ttl_s:
            await self._gateway.repeats.put(key, b"".join([*repeatable, last]), ttl_s=self._admission.cache_ttl_s)

    async def _settle(self, target: Target, completion: KeptCompletion | None) -> None:
        """Commit the usage of an answer that is there, and with it the completion where it is to be kept."""
        self._close_record("ok", status=200, target=target)
        if completion is None:
            await self._gateway.ledger.settle(self._record)
        else:
            await self._gateway.completions.settle(self._record, completion)

    async def _repeat(self, kept: bytes) -> None:
        self._gateway.metrics.cache.labels("hit").inc()
        self._record.cached = True
        self._record.usage = Usage(reported=True)
        self._close_record("ok", status=200)
        await self._gateway.ledger.settle(self._record)
        head = EVENT_STREAM if self._admission.envelope.stream else [JSON]
        await self._respond(200, [*head, *self._headers([]), (b"x-ali-cache", b"hit")], kept)

    async def _fail(self, error: AliError) -> None:
        """Answer an error: as a response while nothing was sent, in-band afterwards. Its record is settled first."""
        settling = self._record.outcome != "open"
        self._record.usage = self._usage_so_far()
        self._close_record("error", status=error.http_status, error_code=error.error_code)
        if not settling:
            self._gateway.ledger.settle_soon(self._record)
        await self._tell_error(error)

    async def _tell_error(self, error: AliError) -> None:
        envelope = self._operation.envelope
        if self._began:
            event = error_event(error, envelope=envelope, request_id=self._arrival.name)
            await self._send({"type": "http.response.body", "body": event, "more_body": False})
            return
        if isinstance(error, RelayedRefusal):
            body = error.body
        else:
            body = error_body(error, envelope=envelope, request_id=self._arrival.name)
        await self._respond(error.http_status, [JSON, *self._headers([]), *error_headers(error)], body)

    async def _cut_off(self) -> None:
        """The caller left, or the service stops: what was used is settled, and a caller who is there is told."""
        self._record.usage = self._usage_so_far()
        code = "client_disconnected" if self._gone else "service_stopping"
        self._close_record("cancelled", status=499 if self._gone else 503, error_code=code)
        self._gateway.ledger.settle_soon(self._record)
        if not self._gone:
            await self._tell_error(
                Stopping("The service is being stopped and could not finish this answer. Send the request again.")
            )

    def _usage_so_far(self) -> Usage:
        """What the provider reported, or an estimate where it reported nothing, or not all before it was cut off."""
        relay = self._relay
        if relay is None:
            if self._record.attempts and self._gone:
                return estimated_usage(self._admission.envelope, output_chars=0)
            return self._record.usage
        if relay.usage.reported and relay.finished:
            return relay.usage
        estimate = estimated_usage(self._admission.envelope, output_chars=relay.output_chars)
        if relay.usage.reported:
            usage = relay.usage
            usage.output_tokens = max(usage.output_tokens, estimate.output_tokens)
            usage.reported = False
            return usage
        return estimate

    def _close_record(
        self, outcome: str, *, status: int, error_code: str | None = None, target: Target | None = None
    ) -> None:
        prices = target.prices if target else prices_tried(self._admission.route, self._record)
        close_record(self._record, outcome, status=status, error_code=error_code, prices=prices)

    def _headers(
        self, upstream: RawHeaders, *, target: Target | None = None, dropped: tuple[str, ...] = ()
    ) -> RawHeaders:
        arrival, verdict = self._arrival, self._admission.claimed.verdict
        name = arrival.name.encode()
        headers: RawHeaders = [(b"x-request-id", name)]
        if self._operation.dialect is Dialect.ANTHROPIC:
            headers.append((b"request-id", name))
        else:
            headers.append((b"openai-processing-ms", b"%d" % self._record.elapsed_ms()))
        headers += limit_headers(verdict, self._operation.dialect) if verdict is not None else upstream
        if target is not None:
            headers.append((b"x-ali-provider", target.upstream.name.encode()))
            headers.append((b"x-ali-model", target.model.encode()))
        if dropped:
            headers.append((b"x-ali-dropped-parameters", ", ".join(dropped).encode("latin-1", "replace")))
        return headers

    async def _respond(self, status: int, headers: RawHeaders, body: bytes) -> None:
        headers.append((b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
