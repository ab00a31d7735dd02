"""OpenAI's Agents SDK names a remote MCP server; this service calls its tools, and asks first where it is to."""

from typing import Any

import pytest
from agents import HostedMCPTool, Runner
from mcp.server.mcpserver import MCPServer

from ali.ops.simulator import Simulator
from tests.contract.agents_at_work import EVERY_MODEL, UNTRACED, agent
from tests.contract.judges import openai_client
from tests.contract.obliging_model import oblige
from tests.fixtures.service import Serve, providers
from tests.unit.mcp.servers import served


@pytest.fixture
def forecasts() -> list[str]:
    """The cities that the remote server was asked for."""
    return []


@pytest.fixture
def forecaster(forecasts: list[str]) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("weather")

    @server.tool()
    def forecast(city: str) -> str:
        """The weather of tomorrow."""
        forecasts.append(city)
        return f"Rain in {city}"

    return server


@EVERY_MODEL
@pytest.mark.parametrize("streamed", [False, True])
async def test_the_service_calls_the_tools_of_a_remote_server(
    serve: Serve, simulator: Simulator, model: str, forecaster: MCPServer[Any], forecasts: list[str], *, streamed: bool
) -> None:
    simulator.default = oblige
    async with (
        served(forecaster) as (address, _),
        serve(**providers(simulator), mcp_servers=(address.url,), outbound_allowed_hosts=(address.host,)) as service,
        openai_client(service) as client,
    ):
        tool = HostedMCPTool(
            tool_config={
                "type": "mcp",
                "server_label": "weather",
                "server_url": address.url,
                "require_approval": "never",
            }
        )
        helper = agent(client, model, tools=[tool])
        if streamed:
            run = Runner.run_streamed(helper, "Tomorrow in 'Olinda'?", run_config=UNTRACED)
            kinds = [event.data.type async for event in run.stream_events() if event.type == "raw_response_event"]
            assert {"response.mcp_list_tools.completed", "response.mcp_call.completed"} <= set(kinds)
            result: Any = run
        else:
            result = await Runner.run(helper, "Tomorrow in 'Olinda'?", run_config=UNTRACED)
    assert forecasts == ["Olinda"]
    assert result.final_output
    assert b"Rain in Olinda" in simulator.last.body
    items = [item for response in result.raw_responses for item in response.output]
    assert [item.type for item in items] == ["mcp_list_tools", "mcp_call", "message"]


@EVERY_MODEL
@pytest.mark.parametrize("approves", [True, False])
async def test_a_remote_call_waits_for_the_callers_approval(
    serve: Serve, simulator: Simulator, model: str, forecaster: MCPServer[Any], forecasts: list[str], *, approves: bool
) -> None:
    simulator.default = oblige
    wanted: list[str] = []

    def decide(request: Any) -> Any:  # noqa: ANN401 - the SDK's request and answer
        wanted.append(request.data.name)
        return {"approve": approves, "reason": "as you like"}

    async with (
        served(forecaster) as (address, _),
        serve(**providers(simulator), mcp_servers=(address.url,), outbound_allowed_hosts=(address.host,)) as service,
        openai_client(service) as client,
    ):
        tool = HostedMCPTool(
            tool_config={
                "type": "mcp",
                "server_label": "weather",
                "server_url": address.url,
                "require_approval": "always",
            },
            on_approval_request=decide,
        )
        result = await Runner.run(
            agent(client, model, tools=[tool]), "Tomorrow in 'Olinda'?", run_config=UNTRACED, max_turns=3
        )
    assert wanted == ["forecast"]
    assert forecasts == (["Olinda"] if approves else [])
    assert result.final_output
