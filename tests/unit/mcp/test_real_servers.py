"""The client before servers of the official SDK, in each of their modes: the SDK judges what we send."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage, ToolAnnotations

from ali.features.responses.mcp import McpOutcome
from tests.unit.mcp.servers import Address, Recorded, served

MODES: dict[str, dict[str, bool]] = {
    "stateful, events": {},
    "stateful, JSON": {"json_response": True},
    "stateless, events": {"stateless_http": True},
    "stateless, JSON": {"stateless_http": True, "json_response": True},
}


def dice() -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("dice", instructions="Roll.")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    async def report(ctx: Context[Any, Any], lines: int) -> str:
        """Say much before answering."""
        for number in range(lines):
            await ctx.report_progress(number, lines)
        return "reported"

    @server.tool()
    def fail() -> str:
        raise ToolError("the dice fell off the table")

    @server.tool(name="dot.ted")
    def dotted() -> str:
        return "dotted"

    return server


@pytest.fixture(params=list(MODES.values()), ids=list(MODES))
async def real(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Address, Recorded]]:
    async with served(dice(), **request.param) as found:
        yield found


async def test_tools_are_listed_with_their_schemas_and_annotations(real: tuple[Address, Recorded]) -> None:
    address, _ = real
    async with address.sessions() as sessions:
        listing = await sessions.tools(address.named())
    assert listing.error is None
    assert [tool.name for tool in listing.tools] == ["add", "report", "fail", "dot.ted"]
    add = listing.tools[0]
    assert add.description == "Add two numbers."
    assert set(add.input_schema["properties"]) == {"a", "b"}
    assert [tool.read_only for tool in listing.tools] == [True, False, False, False]


async def test_only_allowed_tools_are_listed_and_called(real: tuple[Address, Recorded]) -> None:
    address, _ = real
    by_name, by_hint = address.named(allowed_tools=["add"]), address.named(allowed_tools={"read_only": True})
    async with address.sessions() as sessions:
        assert [tool.name for tool in (await sessions.tools(by_name)).tools] == ["add"]
        refused = await sessions.call(by_name, "fail", "{}")
    assert refused.error is not None
    assert refused.error["code"] == -32602
    async with address.sessions() as sessions:
        assert [tool.name for tool in (await sessions.tools(by_hint)).tools] == ["add"]


async def test_calls_give_outputs_and_failures(real: tuple[Address, Recorded]) -> None:
    address, _ = real
    server = address.named()
    async with address.sessions() as sessions:
        assert await sessions.call(server, "add", '{"a": 2, "b": 3}') == McpOutcome(output="5")
        assert await sessions.call(server, "dot.ted", "") == McpOutcome(output="dotted")
        assert await sessions.call(server, "report", '{"lines": 20}') == McpOutcome(output="reported")
        failed = await sessions.call(server, "fail", "{}")
        unknown = await sessions.call(server, "missing", "{}")
        wrong = await sessions.call(server, "add", '{"a": "x"}')
    assert failed.error is not None
    assert failed.error["type"] == "mcp_tool_execution_error"
    assert "fell off the table" in failed.text
    for outcome in (unknown, wrong):
        assert outcome.output is None
        assert outcome.error is not None


async def test_one_session_serves_a_response_and_is_ended_with_it(real: tuple[Address, Recorded]) -> None:
    address, recorded = real
    server = address.named()
    async with address.sessions() as sessions:
        await sessions.tools(server)
        await sessions.call(server, "add", '{"a": 2, "b": 3}')
    ids = {headers.get("mcp-session-id") for _, headers in recorded.requests[1:]}
    assert len(ids) == 1
    assert [method for method, _ in recorded.requests] == ["POST"] * 4 + (["DELETE"] if ids != {None} else [])
    assert {headers["mcp-protocol-version"] for _, headers in recorded.requests[1:]} == {"2025-11-25"}


async def test_credentials_and_headers_of_the_request_go_with_every_call(real: tuple[Address, Recorded]) -> None:
    address, recorded = real
    server = address.named(authorization="token", headers={"X-Team": "red"}, operators="unused")
    async with address.sessions() as sessions:
        await sessions.tools(server)
    sent = {(headers["authorization"], headers["x-team"]) for _, headers in recorded.requests}
    assert sent == {("Bearer token", "red")}


async def test_a_server_that_forgot_the_session_is_greeted_again() -> None:
    server = dice()
    async with served(server) as (address, recorded), address.sessions() as sessions:
        named = address.named()
        await sessions.tools(named)
        server.session_manager._server_instances.clear()
        assert await sessions.call(named, "add", '{"a": 2, "b": 3}') == McpOutcome(output="5")
        assert len({headers.get("mcp-session-id") for _, headers in recorded.requests} - {None}) == 2


@pytest.mark.parametrize("json_response", [False, True])
async def test_a_server_without_a_handshake_is_spoken_to_without_one(json_response: bool) -> None:  # noqa: FBT001 - a mode
    async with served(dice(), refuse_handshake=True, json_response=json_response) as (address, recorded):
        server = address.named(headers={"X-Team": "red"})
        async with address.sessions() as sessions:
            assert [tool.name for tool in (await sessions.tools(server)).tools] == ["add", "report", "fail", "dot.ted"]
            assert await sessions.call(server, "add", '{"a": 2, "b": 3}') == McpOutcome(output="5")
            assert await sessions.call(server, "report", '{"lines": 20}') == McpOutcome(output="reported")
            failed = await sessions.call(server, "fail", "{}")
            unknown = await sessions.call(server, " m\u00fcssing", "{}")
    assert "fell off the table" in failed.text
    assert "m\u00fcssing" in unknown.text
    assert {method for method, _ in recorded.requests} == {"POST"}
    assert {headers.get("mcp-session-id") for _, headers in recorded.requests} == {None}
    assert recorded.requests[3][1]["mcp-name"] == "add"


class Kept(EventStore):
    """Events of all streams, in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        stream_id = self.events[int(last_event_id) - 1][0]
        for number, (stream, message) in enumerate(self.events[int(last_event_id) :], int(last_event_id) + 1):
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id


async def test_a_stream_that_the_server_closes_early_is_taken_up_where_it_ended() -> None:
    server: MCPServer[Any] = MCPServer("slow")

    @server.tool()
    async def slow(ctx: Context[Any, Any]) -> str:
        await ctx.close_sse_stream()
        await asyncio.sleep(0.1)
        return "at last"

    async with (
        served(server, event_store=Kept(), retry_interval=50) as (address, seen),
        address.sessions() as calls,
    ):
        assert await calls.call(address.named(), "slow", "{}") == McpOutcome(output="at last")
    resumed = [headers for method, headers in seen.requests if method == "GET"]
    assert [headers["last-event-id"] for headers in resumed] != []
