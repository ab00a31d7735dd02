"""A request for a response, admitted: who asks, within which limits, going on from what, at what cost at most.

In this order: what costs nothing first, the limits before the database, the database before money is held.
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from ali.features.chat.admission import Claimed, hold_and_open, read_body, recognised, routed, within_limits
from ali.features.chat.envelope import RequestEnvelope
from ali.features.chat.gateway import Arrival, Receive
from ali.features.chat.operations import RESPONSES
from ali.features.chat.routing import Route
from ali.features.conversations import check_outputs
from ali.features.identity import Principal
from ali.features.identity.naming import Kind, named
from ali.features.metering import OpenRecord
from ali.features.responses.head import head_of, queued_events
from ali.features.responses.history import referenced, resolved
from ali.features.responses.mcp import McpServer, parse_mcp_tool, refuse_repeated_labels
from ali.features.responses.money import most_of_turn
from ali.features.responses.order import Engine, Order
from ali.features.responses.request import ResponseRequest, read_request
from ali.features.responses.state import Context, Place, too_long
from ali.features.responses.tools import refuse_reserved_names
from ali.features.responses.turn import Question
from ali.kernel.errors import InvalidRequest

Json = dict[str, Any]

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


async def order_of(
    engine: Engine, arrival: Arrival, principal: Principal, body: bytes, *, starts_now: bool = False
) -> Order:
    """As `admit_response`, once it is known who asks for what."""
    project_id = principal.require_project()
    request = read_request(body)
    principal.require_model(request.model)
    servers = servers_of(engine, request)
    record = OpenRecord(
        record_id=arrival.request_id,
        organization_id=principal.organization_id,
        project_id=project_id,
        api_key_id=principal.key_id,
        user_id=principal.user_id,
        operation=RESPONSES.name,
        model=request.model,
        streamed=request.stream,
        started_s=arrival.started_s,
    )
    route, claimed = await _within_limits(engine, request, record, body)
    place = Place(
        organization_id=principal.organization_id,
        project_id=project_id,
        response_id=arrival.request_id,
        conversation_id=request.conversation_id,
        previous_id=request.previous_id,
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
        references = await _references(engine, place, request)
        if request.background and not starts_now:
            head["status"] = "queued"
        context = await _begun(engine, place, request, record=record, route=route, head=head, references=references)
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
        _check_context(order, context)
        if not request.background:  # else it is paid for when it runs
            await hold_for(engine, order)
    except BaseException:
        claimed.settle(engine.gateway.limiter, used_tokens=0)
        if begun:
            await engine.state.discard(place)
        raise
    return order


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
    question = Question(
        parameters=request.for_model(),
        items=[*order.history, *request.items],
        functions=[*request.tools.own, *(tool for _, tool in request.tools.remote)],
        hosted=request.tools.hosted,
    )

    def most() -> int:
        order.turn_bound_microusd = most_of_turn(
            order.route,
            question,
            model=request.model,
            most_tokens=request.document.get("max_output_tokens") or 0,
        )
        return order.turn_bound_microusd * (min(TURNS_HELD, engine.max_turns) if order.servers else 1)

    await hold_and_open(engine.gateway, order.record, most)


async def _within_limits(
    engine: Engine, request: ResponseRequest, record: OpenRecord, body: bytes
) -> tuple[Route, Claimed]:
    envelope = RequestEnvelope(
        operation=RESPONSES,
        body=body,
        model=request.model,
        stream=request.stream,
        most_tokens=request.document.get("max_output_tokens") or 0,
    )
    route = routed(engine.gateway, RESPONSES, envelope)
    claimed = await within_limits(engine.gateway, RESPONSES, envelope, record, route)
    if isinstance(route, InvalidRequest):
        claimed.settle(engine.gateway.limiter, used_tokens=0)
        raise route
    return route, claimed


async def _references(engine: Engine, place: Place, request: ResponseRequest) -> dict[str, Json]:
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
) -> Context:
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
    return await engine.state.begin(
        place,
        head=head,
        items=request.items,
        status=head["status"],
        background=request.background,
        request=sealed,
        events=events,
        most_bytes=engine.most_history(route),
    )


def _check_context(order: Order, context: Context) -> None:
    """Raises `InvalidRequest` for a context that no model takes: too long, something twice, calls and outputs that do
    not match, approvals of what nobody here can call.
    """
    if context.cut and not order.request.truncates:
        raise too_long(order.route.window_tokens)
    _refuse_what_is_there(order)
    order.references = {**{item["id"]: item for item in order.history}, **order.references}
    said = resolved([*order.history, *order.request.items], order.references)
    _check_approvals(order, said)
    if not context.cut and not any(item.get("type") == "compaction" for item in said):
        check_outputs(said)


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
