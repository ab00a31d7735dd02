"""Requests that look at what was said without adding to it: read, counted against the limits, nothing claimed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ali.features.chat.admission import Claimed, hold_and_open, read_body, recognised, record_of
from ali.features.chat.exchange import JSON
from ali.features.chat.gateway import Arrival, Receive, Send
from ali.features.chat.limit_headers import RawHeaders, limit_headers
from ali.features.chat.operations import Operation
from ali.features.chat.routing import Route
from ali.features.chat.settlement import close_record, prices_tried, tell
from ali.features.metering import OpenRecord
from ali.features.responses.admission import check_length, counted_against_limits, references_of
from ali.features.responses.history import ANY_MODEL, resolved, shown
from ali.features.responses.order import Engine
from ali.features.responses.request import ResponseRequest, read_request
from ali.features.responses.state import Place
from ali.kernel.errors import AliError
from ali.providers.contract import Usage

Json = dict[str, Any]
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Consultation:
    """What is asked about: `items` are all that a model would be shown, those of this request included.

    `claimed` is the holder's to settle.
    """

    request: ResponseRequest
    place: Place
    route: Route
    record: OpenRecord
    claimed: Claimed
    items: list[Json]


async def consult(engine: Engine, operation: Operation, arrival: Arrival, receive: Receive) -> Consultation:
    """Who asks, what, within which limits, and what was said before. Raises `AliError`; then nothing is left behind."""
    principal = await recognised(engine.gateway, operation, arrival)
    body = await read_body(receive, arrival.headers, limit_bytes=engine.gateway.max_body_bytes)
    project_id = principal.require_project()
    request = read_request(body)
    principal.require_model(request.model)
    record = record_of(operation, arrival, principal, model=request.model, streamed=False)
    route, claimed = await counted_against_limits(engine, operation, request, record, body)
    place = Place(
        organization_id=principal.organization_id,
        project_id=project_id,
        response_id=arrival.request_id,
        conversation_id=request.conversation_id,
        previous_id=request.previous_id,
        kept=False,
    )
    try:
        references = await references_of(engine, place, request)
        context = await engine.state.read(place, most_bytes=engine.most_history(route))
        known = {**{item["id"]: item for item in context.items}, **references}
        said = resolved([*context.items, *request.items], known)
        check_length(said, context=context, request=request, route=route)
    except BaseException:
        claimed.settle(engine.gateway.limiter, used_tokens=0)
        raise
    items = shown(said, unseal=engine.seals.unsealing(project_id=project_id, model=ANY_MODEL))
    return Consultation(request=request, place=place, route=route, record=record, claimed=claimed, items=items)


async def settled(
    engine: Engine, asked: Consultation, arrival: Arrival, work: Callable[[], Awaitable[Answer]]
) -> Answer:
    """What comes of `work`, which costs nothing, its usage record settled either way."""
    gateway, record = engine.gateway, asked.record
    try:
        await hold_and_open(gateway, record, lambda: 0)
    except BaseException:
        asked.claimed.settle(gateway.limiter, used_tokens=0)
        raise
    record.usage = Usage(reported=True)
    try:
        answer = await work()
    except AliError as error:
        prices = prices_tried(asked.route, record)
        close_record(record, "error", status=error.http_status, error_code=error.error_code, prices=prices)
        gateway.ledger.settle_soon(record)
        raise
    except BaseException:
        close_record(record, "cancelled", status=499, error_code="cancelled", prices=None)
        gateway.ledger.settle_soon(record)
        raise
    else:
        close_record(record, "ok", status=200, prices=prices_tried(asked.route, record))
        await gateway.ledger.settle(record)
    finally:
        asked.claimed.settle(gateway.limiter, used_tokens=0)
        tell(gateway, record, arrival.name)
    return answer


async def respond(
    asked: Consultation, arrival: Arrival, operation: Operation, body: bytes, *, headers: RawHeaders, send: Send
) -> None:
    """Answer with `body`, under the usual headers and `headers`."""
    record, verdict = asked.record, asked.claimed.verdict
    usual: RawHeaders = [
        JSON,
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", arrival.name.encode()),
        (b"openai-processing-ms", b"%d" % record.elapsed_ms()),
        *(limit_headers(verdict, operation.dialect) if verdict is not None else ()),
    ]
    if record.provider is not None and record.upstream_model is not None:
        usual.append((b"x-ali-provider", record.provider.encode()))
        usual.append((b"x-ali-model", record.upstream_model.encode()))
    await send({"type": "http.response.start", "status": 200, "headers": [*usual, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": False})
