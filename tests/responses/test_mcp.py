"""Remote MCP servers in a response: listed, called between turns, approved by people; a real server of the SDK."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from mcp.server.mcpserver import MCPServer
from openai.types.responses import ResponseCompletedEvent
from openai.types.responses.response_output_item import McpCall

from ali.ops.simulator import Answer, Simulator, ToolCall
from ali.providers.turns.tool_names import mcp_function_name
from tests.contract.judges import CLAUDE, openai_client
from tests.fixtures.service import Serve, Service
from tests.responses.conftest import behind
from tests.unit.mcp.servers import Address, served

NATIVE = "gpt-4.1"
LOCAL = "local/gpt-4.1"
EVERY_UPSTREAM = pytest.mark.parametrize("model", [NATIVE, LOCAL, CLAUDE])
ADD = mcp_function_name("dice", "add")
SUM = ToolCall(name=ADD, id="call_sum", arguments={"a": 20, "b": 22})


@pytest.fixture
async def dice() -> AsyncIterator[Address]:
    server: MCPServer[Any] = MCPServer("dice")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async with served(server) as (address, _):
        yield address


@pytest.fixture
async def service(serve: Serve, simulator: Simulator, dice: Address) -> AsyncIterator[Service]:
    allowed = {"mcp_servers": [{"url": dice.url}], "outbound_allowed_hosts": [dice.host]}
    async with serve(**behind(simulator), **allowed) as running:
        yield running


def tool(dice: Address, **members: Any) -> Any:  # noqa: ANN401 - a request's members
    return {"type": "mcp", "server_label": "dice", "server_url": dice.url, **members}


@EVERY_UPSTREAM
async def test_the_model_calls_a_tool_and_goes_on(
    service: Service, simulator: Simulator, dice: Address, model: str
) -> None:
    simulator.script(Answer(tool_calls=(SUM,)), Answer(text="It is 42."))
    async with openai_client(service) as client:
        events = [
            event
            async for event in await client.responses.create(
                model=model,
                input="What is 20 + 22?",
                tools=[tool(dice, require_approval="never")],
                stream=True,
            )
        ]
    kinds = [event.type for event in events]
    assert kinds[-1] == "response.completed"
    last = events[-1]
    assert isinstance(last, ResponseCompletedEvent)
    final = last.response
    assert [item.type for item in final.output] == ["mcp_list_tools", "mcp_call", "message"]
    assert [item.output for item in final.output if isinstance(item, McpCall)] == ["42"]
    assert final.output_text == "It is 42."
    for kind in ("mcp_list_tools.completed", "mcp_call.in_progress", "mcp_call_arguments.done", "mcp_call.completed"):
        assert f"response.{kind}" in kinds
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert len(simulator.requests) == 2
    assert b"42" in simulator.requests[-1].body, "the model is told what came out"


@EVERY_UPSTREAM
async def test_a_call_waits_for_an_approval_and_is_made_once_it_is_there(
    service: Service, simulator: Simulator, dice: Address, model: str
) -> None:
    async with openai_client(service) as client:
        simulator.script(Answer(tool_calls=(SUM,)))
        asked = await client.responses.create(model=model, input="What is 20 + 22?", tools=[tool(dice)])
        assert [item.type for item in asked.output] == ["mcp_list_tools", "mcp_approval_request"]
        request = asked.output[-1]
        simulator.script(Answer(text="It is 42."))
        answered = await client.responses.create(
            model=model,
            previous_response_id=asked.id,
            input=[{"type": "mcp_approval_response", "approval_request_id": str(request.id), "approve": True}],
            tools=[tool(dice)],
        )
        assert [item.type for item in answered.output] == ["mcp_call", "message"]
        assert answered.output_text == "It is 42."
        simulator.script(Answer(text="As you wish."))
        refused = await client.responses.create(
            model=model,
            previous_response_id=asked.id,
            input=[{"type": "mcp_approval_response", "approval_request_id": str(request.id), "approve": False}],
            tools=[tool(dice)],
        )
        assert [item.type for item in refused.output] == ["message"]
        assert b"did not approve" in simulator.requests[-1].body


async def test_a_server_that_is_not_allowed_is_refused_before_anything_is_done(
    service: Service, simulator: Simulator
) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(
                model=CLAUDE,
                input="Hello",
                tools=[{"type": "mcp", "server_label": "other", "server_url": "https://elsewhere.example/mcp"}],
            )
    assert refused.value.param == "tools[0].server_url"
    assert not simulator.requests


async def test_calls_are_bounded_by_max_tool_calls(service: Service, simulator: Simulator, dice: Address) -> None:
    simulator.script(Answer(tool_calls=(SUM,)), Answer(text="Enough."))
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=LOCAL, input="Sum!", max_tool_calls=1, tools=[tool(dice, require_approval="never")]
        )
    assert made.output_text == "Enough."
    assert b'"tools"' not in simulator.requests[-1].body, "the last turn is offered none"


@pytest.mark.parametrize("background", [True, False])
async def test_a_tool_whose_connection_breaks_is_told_to_the_model(
    serve: Serve, simulator: Simulator, *, background: bool
) -> None:
    server: MCPServer[Any] = MCPServer("dice")

    @server.tool()
    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        raise ConnectionResetError(a, b)

    simulator.script(Answer(tool_calls=(SUM,)), Answer(text="I cannot."))
    async with served(server) as (dice, _):
        allowed = {"mcp_servers": [{"url": dice.url}], "outbound_allowed_hosts": [dice.host]}
        async with serve(**behind(simulator), **allowed) as service, openai_client(service) as client:
            made = await client.responses.create(
                model=LOCAL, input="Sum!", tools=[tool(dice, require_approval="never")], background=background
            )
            while made.status in ("queued", "in_progress"):
                await asyncio.sleep(0.05)
                made = await client.responses.retrieve(made.id)
            assert made.status == "completed"
            assert made.output_text == "I cannot."
            [call] = [item for item in made.output if isinstance(item, McpCall)]
            assert call.error
            [record] = await service.records()
            assert record["outcome"] == "ok"


@EVERY_UPSTREAM
async def test_what_was_said_before_is_compacted_and_an_approval_still_holds(
    service: Service, simulator: Simulator, dice: Address, model: str
) -> None:
    managed: Any = [{"type": "compaction", "compact_threshold": 1000}]
    async with openai_client(service) as client:
        simulator.answer(Answer(tool_calls=(SUM,)))
        asked = await client.responses.create(
            model=model, input="What is 20 + 22? " + "Think of it well. " * 300, tools=[tool(dice)]
        )
        request = asked.output[-1]
        for approve, kinds in (
            (True, ["compaction", "mcp_call", "message"]),
            (False, ["compaction", "message"]),
        ):
            simulator.script(Answer(text="They want a sum."), Answer(text="So be it."))
            events = [
                event
                async for event in await client.responses.create(
                    model=model,
                    previous_response_id=asked.id,
                    input=[
                        {"type": "mcp_approval_response", "approval_request_id": str(request.id), "approve": approve}
                    ],
                    tools=[tool(dice)],
                    context_management=managed,
                    stream=True,
                )
            ]
            assert [event.sequence_number for event in events] == list(range(len(events)))
            last = events[-1]
            assert isinstance(last, ResponseCompletedEvent)
            assert [item.type for item in last.response.output] == kinds
            sent = simulator.requests[-1].body
            assert b"They want a sum." in sent
            assert b"Think of it well" not in sent
            assert (b"42" if approve else b"did not approve") in sent
