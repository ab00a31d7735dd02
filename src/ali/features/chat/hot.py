"""The hot path's ASGI entry: a plain callable for each operation, before any framework."""

import time

from ali.features.chat.admission import Admission, admit
from ali.features.chat.exchange import Exchange, InternalError
from ali.features.chat.gateway import Arrival, ClientGone, Gateway, Receive, Scope, Send, arrive
from ali.features.chat.limit_headers import RawHeaders
from ali.features.chat.operations import Operation
from ali.features.chat.settlement import tell_refused
from ali.kernel import log
from ali.kernel.envelopes import error_body, error_headers
from ali.kernel.errors import AliError


async def serve(gateway: Gateway, operation: Operation, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request of `operation`. Raises only for bugs, once they are logged and answered with a 500."""
    arrival = arrive(scope)
    metrics = gateway.metrics
    metrics.in_flight += 1
    try:
        admission = await _admitted(gateway, operation, arrival, receive, send)
        if admission is not None:
            await Exchange(gateway, operation, arrival, admission, scope=scope, receive=receive, send=send).run()
    except ClientGone:
        metrics.requests.labels(operation.name, "cancelled").inc()
    except Exception:
        log.exception("request.crashed", request_id=arrival.name, operation=operation.name)
        await refuse(InternalError(arrival.name), operation=operation, arrival=arrival, send=send)
    finally:
        metrics.in_flight -= 1


async def _admitted(
    gateway: Gateway, operation: Operation, arrival: Arrival, receive: Receive, send: Send
) -> Admission | None:
    """The admission, or None once its refusal was answered."""
    try:
        return await admit(gateway, operation, arrival, receive)
    except AliError as error:
        tell_refused(gateway, operation, arrival.name, error)
        await refuse(error, operation=operation, arrival=arrival, send=send)
        return None


async def refuse(error: AliError, *, operation: Operation, arrival: Arrival, send: Send) -> None:
    """Answer an error in the operation's dialect."""
    envelope = operation.envelope
    name = arrival.name.encode()
    body = error_body(error, envelope=envelope, request_id=arrival.name)
    headers: RawHeaders = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", name),
        *error_headers(error),
    ]
    if envelope == "anthropic":
        headers.append((b"request-id", name))
    else:
        headers.append((b"openai-processing-ms", b"%d" % ((time.monotonic() - arrival.started_s) * 1000)))
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
