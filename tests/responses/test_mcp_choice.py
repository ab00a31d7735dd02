"""`tool_choice` over remote MCP servers: said to each upstream in functions, and met by the first turn."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from mcp.server.mcpserver import MCPServer

from ali.ops.simulator import Answer, Simulator, ToolCall
from ali.providers.turns.tool_names import mcp_function_name
from tests.contract.judges import CLAUDE, openai_client
from tests.fixtures.database import Tenant
from tests.fixtures.service import Service
from tests.fixtures.standing_service import Standing, standing_service
from tests.responses.conftest import behind
from tests.unit.mcp.servers import Address, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

NATIVE = "gpt-4.1"
LOCAL = "local/gpt-4.1"
EVERY_UPSTREAM = pytest.mark.parametrize("model", [NATIVE, LOCAL, CLAUDE])
ADD, ROLL = mcp_function_name("dice", "add"), mcp_function_name("dice", "roll")
SUM = ToolCall(name=ADD, id="call_sum", arguments={"a": 20, "b": 22})
ASK: Any = {"type": "function", "name": "ask", "parameters": {"type": "object", "properties": {}}, "strict": False}


def choice(**members: Any) -> Any:  # noqa: ANN401 - a request's members
    return {"type": "mcp", "server_label": "dice", **members}


def among(mode: str, *tools: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
    return {"type": "allowed_tools", "mode": mode, "tools": list(tools)}


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "name": name}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dice() -> AsyncIterator[Address]:
    server: MCPServer[Any] = MCPServer("dice")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def roll() -> int:
        """Roll a die."""
        return 4

    async with served(server) as (address, _):
        yield address


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory, dice: Address) -> AsyncIterator[Standing]:
    home = tmp_path_factory.mktemp("choice")
    allowed = {"mcp_servers": [{"url": dice.url}], "outbound_allowed_hosts": [dice.host]}
    async with (
        Simulator() as simulator,
        standing_service(worker_dsn, home, simulator, **behind(simulator), **allowed) as standing,
    ):
        yield standing


@pytest.fixture
def simulator(standing: Standing) -> Simulator:
    return standing.emptied()


@pytest.fixture
def service(standing: Standing, tenant: Tenant) -> Service:
    return standing.of(tenant)


def tool(dice: Address, **members: Any) -> Any:  # noqa: ANN401 - as above
    return {"type": "mcp", "server_label": "dice", "server_url": dice.url, "require_approval": "never", **members}


def chosen(simulator: Simulator, at: int) -> tuple[list[str], list[str] | str]:
    """What the upstream was told: the names of the tools, and its choice as names or a word."""
    body: Any = simulator.requests[at].json
    names = [(each.get("function") or each)["name"] for each in body.get("tools", [])]
    said = body.get("tool_choice", "auto")
    if isinstance(said, str):
        return names, said
    if said.get("type") in ("any", "auto", "none"):  # Anthropic's words; what is not allowed is not sent
        return names, names if said["type"] == "any" else said["type"]
    within = said.get("allowed_tools") or said
    tools = within.get("tools") or [said]
    return names, [(each.get("function") or each)["name"] for each in tools]


@EVERY_UPSTREAM
@pytest.mark.parametrize(
    "case",
    [
        (choice(), [ADD, ROLL]),
        (choice(name="add"), [ADD]),
        (among("required", choice(name="add"), function("ask")), ["ask", ADD]),
    ],
    ids=["a server", "a tool of a server", "allowed tools"],
)
async def test_the_upstream_must_call_a_function_that_stands_for_the_tool_and_then_may_answer(
    service: Service,
    simulator: Simulator,
    dice: Address,
    model: str,
    case: tuple[Any, list[str]],
) -> None:
    asked, expected = case
    simulator.script(Answer(tool_calls=(SUM,)), Answer(text="It is 42."))
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=model, input="What is 20 + 22?", tools=[ASK, tool(dice)], tool_choice=asked
        )
    assert made.output_text == "It is 42."
    assert made.to_dict()["tool_choice"] == asked, "the caller's own words come back"
    _, told = chosen(simulator, 0)
    assert sorted(told) == sorted(expected)
    names, told = chosen(simulator, 1)
    if asked["type"] == "allowed_tools":
        assert told == "auto" or sorted(told) == sorted(expected)
    else:
        assert (sorted(names), told) == (sorted(["ask", ADD, ROLL]), "auto")


@EVERY_UPSTREAM
async def test_required_is_met_by_the_call_of_a_servers_tool_though_no_other_may_follow(
    service: Service, simulator: Simulator, dice: Address, model: str
) -> None:
    simulator.script(Answer(tool_calls=(SUM,)), Answer(text="It is 42."))
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=model, input="Sum!", tools=[tool(dice)], tool_choice="required", max_tool_calls=1
        )
    assert made.output_text == "It is 42."
    assert chosen(simulator, 1) == ([], "auto")


@EVERY_UPSTREAM
async def test_a_tool_that_the_server_does_not_offer_fails_the_response_with_a_reason(
    service: Service, simulator: Simulator, dice: Address, model: str
) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(
                model=model, input="Juggle!", tools=[tool(dice)], tool_choice=choice(name="juggle")
            )
    assert (refused.value.param, refused.value.code) == ("tool_choice", "tool_not_supported")
    assert not simulator.requests


def named(name: str) -> Any:  # noqa: ANN401 - a request's member
    return {**ASK, "name": name}


@EVERY_UPSTREAM
@pytest.mark.parametrize("name", [ADD, "mcp__dice__anything", "mcp__dice__"])
async def test_a_function_that_could_be_a_servers_tool_is_refused_before_anything_runs(
    service: Service, simulator: Simulator, dice: Address, model: str, name: str
) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=model, input="Sum!", tools=[tool(dice), named(name)])
        assert (refused.value.param, refused.value.code) == ("tools[1].name", "duplicate_tool_name")
        simulator.script(Answer(text="Yes."))
        other = named(name.replace("dice", "cup"))
        made = await client.responses.create(model=model, input="Sum?", tools=[tool(dice), other])
    assert made.output_text == "Yes.", "the names of servers that are not there are free"
