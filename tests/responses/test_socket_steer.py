"""Steering over a socket: taken while a response runs, taken up by the next one, or given back."""

import json
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from ali.ops.simulator import Answer, Simulator, ToolCall
from ali.providers.turns.tool_names import mcp_function_name
from tests.fixtures.service import Serve, Service
from tests.responses.conftest import behind
from tests.responses.sockets import socket
from tests.unit.mcp.servers import served

MODEL = "gpt-4.1"
LINGERING = Answer(text="one two three four five six seven eight", tokens_per_second=20)
WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


def steer(response: str, given: Any = "In French, please") -> str:  # noqa: ANN401 - whatever is sent
    return json.dumps({"type": "response.steer", "previous_response_id": response, "input": given})


@pytest.mark.parametrize("store", [True, False])
async def test_a_response_that_ends_is_followed_by_one_that_heeds_what_was_said(
    service: Service, simulator: Simulator, *, store: bool
) -> None:
    simulator.script(LINGERING, Answer(text="Bonjour"))
    async with socket(service) as heard:
        await heard.ask(model=MODEL, input="Greet me", instructions="Be kind", store=store, stream_id="a")
        begun = await heard.until("response.created")
        await heard.connection.send_raw(steer(begun.response.id))
        accepted = await heard.until("response.steer.accepted")
        assert (accepted.steer.previous_response_id, accepted.stream_id) == (begun.response.id, "a")
        first = await heard.until()
        assert (first.type, first.response.id) == ("response.completed", begun.response.id)
        assert [event.sequence_number for event in heard.events] == list(range(len(heard.events)))
        second = await heard.until()
        assert (second.type, second.stream_id) == ("response.completed", "a")
        assert second.response.previous_response_id == begun.response.id
        assert second.response.instructions == "Be kind"
        late = await heard.said(steer(begun.response.id))
        assert (late.type, late.error.code) == ("response.steer.failed", "response_already_completed")
    assert b"In French, please" in simulator.requests[-1].body
    assert [record["outcome"] for record in await service.records()] == ["ok", "ok"]


async def test_input_waits_for_what_the_caller_owes(service: Service, simulator: Simulator) -> None:
    call = ToolCall(name="weather", id="call_1")
    simulator.script(
        Answer(tool_calls=(call,), latency_s=0.1, text="Let me look at it", tokens_per_second=20), Answer(text="Sunny")
    )
    async with socket(service) as heard:
        await heard.ask(model=MODEL, input="Weather?", tools=[WEATHER])
        begun = await heard.until("response.created")
        await heard.connection.send_raw(steer(begun.response.id))
        await heard.until("response.completed")
        pending = await heard.until("response.steer.pending")
        assert pending.reason == "waiting_for_required_input"
        assert [(each.type, each.call_id, each.name) for each in pending.required_input] == [
            ("function_call_output", "call_1", "weather")
        ]
        output = {"type": "function_call_output", "call_id": "call_1", "output": "sun"}
        done = await heard.answer(model=MODEL, input=[output], tools=[WEATHER], previous_response_id=begun.response.id)
        assert done.type == "response.completed"
    assert b"In French, please" in simulator.requests[-1].body


async def test_a_response_that_runs_tools_here_ends_before_its_next_turn(serve: Serve, simulator: Simulator) -> None:
    server: MCPServer[Any] = MCPServer("dice")

    @server.tool()
    def roll() -> int:
        """Roll a die."""
        return 4

    async with served(server) as (address, _):
        allowed = {"mcp_servers": [{"url": address.url}], "outbound_allowed_hosts": [address.host]}
        async with serve(**behind(simulator), **allowed) as service, socket(service) as heard:
            simulator.script(
                Answer(tool_calls=(ToolCall(name=mcp_function_name("dice", "roll"), id="call_1"),), latency_s=0.3),
                Answer(text="Quatre"),
            )
            tool: Any = {
                "type": "mcp", "server_label": "dice", "server_url": address.url, "require_approval": "never",
            }  # fmt: skip
            await heard.ask(model=MODEL, input="Roll", tools=[tool])
            begun = await heard.until("response.created")
            await heard.connection.send_raw(steer(begun.response.id))
            ended = await heard.until()
            assert (ended.type, ended.response.incomplete_details.reason) == ("response.incomplete", "steered")
            assert (await heard.until()).response.output_text == "Quatre"


@pytest.mark.parametrize(
    "given", ["", [], [7], [{"role": "system", "content": "a"}], [{"role": "user", "content": "a", "id": "b"}]]
)
async def test_what_may_not_be_said_is_given_back(service: Service, simulator: Simulator, given: Any) -> None:  # noqa: ANN401 - anything
    simulator.script(LINGERING)
    async with socket(service) as heard:
        await heard.ask(model=MODEL, input="Greet me")
        begun = await heard.until("response.created")
        await heard.connection.send_raw(steer(begun.response.id, given))
        while True:
            event = json.loads(await heard.connection.recv_bytes())
            if event["type"] == "response.steer.failed":
                break
        assert event["error"]["code"] == "invalid_input"
        assert event["steer"] == {"previous_response_id": begun.response.id, "input": given}
