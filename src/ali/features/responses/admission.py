"""A request for a response, admitted: who asks, within which limits, going on from what, at what cost at most.

In this order: what costs nothing first, the limits before the database, the database before money is held.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from ali.features.chat.admission import Claimed, hold_and_open, read_body, recognised, record_of, routed, within_limits
from ali.features.chat.envelope import RequestEnvelope
from ali.features.chat.gateway import Arrival, Receive
from ali.features.chat.operations import RESPONSES, Operation
from ali.features.chat.routing import Route
from ali.features.conversations import check_outputs
from ali.features.identity import Principal
from ali.features.identity.naming import Kind, named
from ali.features.metering import OpenRecord
from ali.features.responses.attachments import fetched
from ali.features.responses.errors import StateUnavailable, nothing_to_compact
from ali.features.responses.head import head_of, queued_events
from ali.features.responses.history import last_compaction, referenced, resolved
from ali.features.responses.mcp import McpServer, parse_mcp_tool, refuse_repeated_labels
from ali.features.responses.money import most_of_turn
from ali.features.responses.order import Engine, Order
from ali.features.responses.request import ResponseRequest, read_request
from ali.features.responses.state import Context, Place, too_long
from ali.features.responses.tools import refuse_reserved_names
from ali.features.responses.turn import Question
from ali.features.responses.weighing import MOST_BYTES_A_TOKEN, weight_bytes
from ali.kernel.errors import AliError, InvalidRequest

Json = dict[str, Any]
Recall = Callable[[UUID], Sequence[Json] | None]
"""What was said up to and including a response that is not stored; None where it is not remembered."""

TURNS_HELD: Final = 4
"""For how many turns a budget holds money where this service runs tools; further ones begin while it lasts."""


async def admit_response(engine: Engine, arrival: Arrival, receive: Receive, *, starts_now: bool) -> Order:
    """Read, check and admit a request. Raises `AliError` for whatever is refused; then nothing is left behind.

    `starts_now`: a response in the background is this process's to run, and does not wait for another.

    One database round trip where it goes on from something or is kept; others as the hot path's `admit`.
    """
    principal = await recognised(engine.gateway, RESPONSES, arrival)
    body = await read_body(receive, arrival.headers, limit_bytes=engine.gateway.max_body_bytes)
    return await order_of(engine, arrival, principal, body, starts_now=starts_now)


def nothing_recalled(_response_id: UUID) -> None:
    """Over HTTP nothing is remembered that is not stored."""


async def order_of(
    engine: Engine,
    arrival: Arrival,
    principal: Principal,
    body: bytes,
    *,
    starts_now: bool = False,
    recall: Recall = nothing_recalled,
) -> Order:
    """As `admit_response`, once it is known who asks for what. `recall` is asked before the database."""
    project_id = principal.require_project()
    request = read_request(body)
    principal.require_model(request.model)
    servers = servers_of(engine, request)
    record = record_of(RESPONSES, arrival, principal, model=request.model, streamed=request.stream)
    recalled = recall(request.previous_id) if request.previous_id is not None else None
    route, claimed = await counted_against_limits(engine, RESPONSES, request, record, body)
    place = Place(
        organization_id=principal.organization_id,
        project_id=project_id,
        response_id=arrival.request_id,
        conversation_id=request.conversation_id,
        previous_id=request.previous_id if recalled is None else None,
        kept=request.keeps,
    )
    head = head_of(
        request,
        name=named(Kind.RESPONSE, place.response_id),
        created_at=int(record.started_at.timestamp()),
        tools=_echoed_tools(request, servers),
    )
    begun = False
    try:
        await _require_stores(engine, place, request)
        references = await references_of(engine, place, request)
        if request.background and not starts_now:
            head["status"] = "queued"
        context = await _begun(
            engine, place, request, record=record, route=route, head=head, references=references, recalled=recalled
        )
        begun = True
        order = Order(
            request=request,
            place=place,
            route=route,
            record=record,
            claimed=claimed,
            head=head,
            history=context.items,
            servers=servers,
            references=references,
        )
        said = _check_context(order, context)
        order.attachments = await fetched(said, engine.files, place, most_bytes=engine.max_history_bytes)
        if not request.background:  # else it is paid for when it runs
            await hold_for(engine, order)
    except BaseException as error:
        claimed.settle(engine.gateway.limiter, used_tokens=0)
        if place.needs_state and (begun or not isinstance(error, AliError) or isinstance(error, StateUnavailable)):
            await _leave_nothing(engine, place, error)  # it may be written without our having heard of it
        raise
    return order


async def _require_stores(engine: Engine, place: Place, request: ResponseRequest) -> None:
    """Raises `NotFound` for a vector store that is not there to be searched."""
    search = request.tools.search
    if search is not None:
        await engine.vector_stores.require(search, place)


async def _leave_nothing(engine: Engine, place: Place, error: BaseException) -> None:
    if isinstance(error, StateUnavailable):  # it did not answer a moment ago
        engine.state.discard_late(place)
        return
    try:
        await asyncio.shield(engine.state.discard(place))
    except StateUnavailable:
        engine.state.discard_late(place)


def servers_of(engine: Engine, request: ResponseRequest) -> tuple[McpServer, ...]:
    """The MCP servers that the request names. Raises `InvalidRequest`."""
    servers = tuple(
        parse_mcp_tool(tool, param=f"tools[{at}]", allow_list=engine.allow_list) for at, tool in request.tools.remote
    )
    refuse_repeated_labels(servers)
    if servers:
        refuse_reserved_names(request.document["tools"], labels=(server.label for server in servers))
    return servers


async def hold_for(engine: Engine, order: Order) -> None:
    """Hold what the order costs at most, and open its usage record."""
    request = order.request
    search = request.tools.search
    question = Question(
        parameters=request.for_model(),
        items=[*order.history, *request.items],
        functions=[
            *request.tools.own,
            *(tool for _, tool in request.tools.remote),
            *([request.document["tools"][search.at]] if search is not None else ()),
        ],
        hosted=request.tools.hosted,
    )

    def most() -> int:
        order.turn_bound_microusd = most_of_turn(
            order.route,
            question,
            model=request.model,
            most_tokens=request.document.get("max_output_tokens") or 0,
        )
        turns = min(TURNS_HELD, engine.max_turns) if order.servers or search is not None else 1
        return order.turn_bound_microusd * (turns + (1 if request.compacts else 0))

    await hold_and_open(engine.gateway, order.record, most)


async def counted_against_limits(
    engine: Engine, operation: Operation, request: ResponseRequest, record: OpenRecord, body: bytes
) -> tuple[Route, Claimed]:
    """The route, once the request is counted against the limits. Raises `RateLimited`, `ModelUnknown`."""
    envelope = RequestEnvelope(
        operation=operation,
        body=body,
        model=request.model,
        stream=request.stream,
        most_tokens=request.document.get("max_output_tokens") or 0,
    )
    route = routed(engine.gateway, operation, envelope)
    claimed = await within_limits(engine.gateway, operation, envelope, record, route)
    if isinstance(route, InvalidRequest):
        claimed.settle(engine.gateway.limiter, used_tokens=0)
        raise route
    return route, claimed


async def references_of(engine: Engine, place: Place, request: ResponseRequest) -> dict[str, Json]:
    """The items of stored responses that the request only names."""
    names = referenced(request.items)
    return await engine.state.find_items(place, names) if names else {}


async def _begun(
    engine: Engine,
    place: Place,
    request: ResponseRequest,
    *,
    record: OpenRecord,
    route: Route,
    head: Json,
    references: dict[str, Json],
    recalled: Sequence[Json] | None,
) -> Context:
    """The row is there, if the response is kept, and what was said before is read or `recalled`.

    A response that goes on from what is only remembered is stored with the whole of it: its chain begins there.
    """
    sealed, events = None, None
    if request.background:
        # Sealed: an MCP server's credentials are in it.
        kept = {
            "asked": request.document,
            "key_id": record.api_key_id,
            "user_id": record.user_id,
            "references": list(references.values()),
        }
        sealed, events = engine.seals.close(orjson.dumps(kept), of=place.response_id), queued_events(head)
    most_bytes = engine.most_history(route)
    context = await engine.state.begin(
        place,
        head=head,
        items=[*(recalled or ()), *request.items],
        status=head["status"],
        background=request.background,
        request=sealed,
        events=events,
        most_bytes=most_bytes,
    )
    if recalled is None:
        return context
    return Context(items=list(recalled), cut=len(orjson.dumps(recalled)) > most_bytes)


def _check_context(order: Order, context: Context) -> list[Json]:
    """All that was said, references resolved.

    Raises `InvalidRequest` for what no model takes: too long, something twice, calls and outputs that do not match,
    approvals of what nobody here can call.
    """
    _refuse_what_is_there(order)
    order.references = {**{item["id"]: item for item in order.history}, **order.references}
    said = resolved([*order.history, *order.request.items], order.references)
    _check_approvals(order, said)
    if order.request.only_compacts and len(said) == 1:
        raise nothing_to_compact()
    check_length(said, context=context, request=order.request, route=order.route)
    if not context.cut and not order.request.only_compacts and last_compaction(said) is None:
        check_outputs(said)
    return said


def check_length(said: Sequence[Json], *, context: Context, request: ResponseRequest, route: Route) -> None:
    """Raises `ContextTooLong` for what fits no model of the route, and may not be cut.

    What a compaction tells is not needed, so it does not matter that it was not read.
    """
    if request.truncates or last_compaction(said) is not None:
        return
    if context.cut or sum(map(weight_bytes, said)) > route.window_tokens * MOST_BYTES_A_TOKEN:
        raise too_long(route.window_tokens)


def _refuse_what_is_there(order: Order) -> None:
    known = {item["id"] for item in order.history if "id" in item}
    for at, item in enumerate(order.request.items):
        if item["id"] in known and item["type"] != "item_reference":
            raise InvalidRequest(
                f"The item {item['id']} was said before already. Send only what is new, or leave out its id.",
                param=f"input[{at}].id",
                code="duplicate_item",
            )


def _check_approvals(order: Order, said: Sequence[Json]) -> None:
    """What is approved now can be called: its server is among this request's tools."""
    labels = {server.label for server in order.servers}
    asked = {item["id"]: item.get("server_label") for item in said if item["type"] == "mcp_approval_request"}
    for at, item in enumerate(order.request.items):
        if item["type"] == "mcp_approval_response" and item["approve"]:
            label = asked.get(item["approval_request_id"])
            if label is not None and label not in labels:
                raise InvalidRequest(
                    f"A call of the MCP server {label} is approved, which is not among this request's tools. Send its "
                    "mcp tool again.",
                    param=f"input[{at}]",
                    code="mcp_server_missing",
                )


def _echoed_tools(request: ResponseRequest, servers: tuple[McpServer, ...]) -> list[Json] | None:
    """The tools as the response object says them: MCP servers without what is secret of them."""
    if not servers:
        return None
    tools: list[Json] = list(request.document["tools"])
    for (at, _), server in zip(request.tools.remote, servers, strict=True):
        tools[at] = server.as_echoed()
    return tools
