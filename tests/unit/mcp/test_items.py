"""The items that tell of MCP servers are the official SDK's, and nothing of a server's answer can break them."""

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import response_output_item as items

from ali.features.responses.mcp import (
    McpListing,
    McpOutcome,
    McpTool,
    approval_request_item,
    call_item,
    list_tools_item,
    tools_of_item,
)
from ali.features.responses.mcp.failures import McpFailed, McpHttpFailed
from ali.features.responses.mcp.messages import answer_to, is_reply_to, read_messages, result_of
from ali.features.responses.mcp.offered import read_tool
from ali.features.responses.mcp.outcomes import read_result

WORDS = st.sampled_from(
    ("id", "method", "result", "error", "code", "message", "content", "type", "text", "name", "inputSchema", "isError")
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=8), inner, max_size=6),
)
TOOL = {"name": "roll", "description": "Rolls.", "inputSchema": {"type": "object", "properties": {"sides": {}}}}


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"properties": value}
    return value


def test_a_list_of_tools_is_an_item_of_the_sdk_and_can_be_read_back() -> None:
    tools = (read_tool(TOOL), read_tool({"name": "now", "inputSchema": {"type": "object"}, "annotations": {"a": 1}}))
    item = list_tools_item("mcpl_1", server_label="dice", listing=McpListing(tools=tools))
    known = items.McpListTools.model_validate(item, strict=True)
    assert not known.model_extra
    assert [tool.name for tool in known.tools] == ["roll", "now"]
    assert tuple(tools_of_item(orjson.loads(orjson.dumps(item)))) == tools


def test_a_failed_list_is_an_item_with_an_error() -> None:
    item = list_tools_item("mcpl_1", server_label="dice", listing=McpListing(error="Down."))
    assert items.McpListTools.model_validate(item, strict=True).error == "Down."
    assert list(tools_of_item(item)) == []


@pytest.mark.parametrize("listed", [None, "a", [None], [{"name": "a"}], [{"name": 1, "input_schema": {}}], {}])
def test_an_item_that_somebody_made_up_holds_no_tools(listed: object) -> None:
    assert list(tools_of_item({"type": "mcp_list_tools", "tools": listed})) == []


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (None, "in_progress"),
        (McpOutcome(output="4"), "completed"),
        (McpOutcome(error=McpFailed("No.", code=-32602).error), "failed"),
        (McpOutcome(error=McpHttpFailed("Down.", status=503).error), "failed"),
        (McpOutcome(error={"type": "mcp_tool_execution_error", "content": []}), "failed"),
    ],
)
def test_a_call_is_an_item_of_the_sdk_in_each_of_its_states(outcome: McpOutcome | None, status: str) -> None:
    item = call_item("mcp_1", server_label="dice", name="roll", arguments="{}", outcome=outcome)
    known = items.McpCall.model_validate(item, strict=True)
    assert not known.model_extra
    assert known.status == status


def test_a_request_for_approval_is_an_item_of_the_sdk() -> None:
    item = approval_request_item("mcpr_1", server_label="dice", name="roll", arguments='{"sides":6}')
    assert not items.McpApprovalRequest.model_validate(item, strict=True).model_extra


def test_a_tool_is_shown_to_the_model_as_a_function() -> None:
    tool = read_tool({**TOOL, "name": "roll.dice"})
    function = tool.as_function("dice", server_description="Dice.")
    assert function["name"].startswith("mcp__dice__roll_dice_")
    assert function["description"] == "Dice.\n\nRolls."
    assert function["parameters"] == TOOL["inputSchema"]
    bare = McpTool(name="a", description=None, input_schema={"type": "object"}, annotations=None)
    assert bare.as_function("dice")["description"] is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"name": "", "inputSchema": {}},
        {"name": "a" * 129, "inputSchema": {}},
        {"name": "a"},
        {"name": "a", "inputSchema": []},
        {"name": "a", "inputSchema": {}, "description": 1},
        {"name": "a", "inputSchema": {}, "description": "a" * 16_385},
        {"name": "a", "inputSchema": {}, "annotations": []},
        {"name": "a", "inputSchema": {"x": "a" * 65_536}},
        {"name": "a", "inputSchema": nested(200)},
        {"name": "a", "inputSchema": {}, "annotations": nested(900)},
    ],
)
def test_what_is_no_tool_or_too_large_a_one_is_a_failure(value: object) -> None:
    with pytest.raises(McpFailed):
        read_tool(value)


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ({"content": []}, ""),
        ({}, ""),
        ({"content": "a"}, ""),
        ({"content": [], "structuredContent": {"a": 1}}, '{"a":1}'),
        ({"content": [{"type": "text", "text": "a"}], "structuredContent": {"a": 1}}, "a"),
        (
            {"content": [{"type": "image", "data": "aGk=", "mimeType": "image/png"}]},
            "[image of type image/png, left out]",
        ),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "c"}}]}, "c"),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": "c"}}]}, "[resource, left out]"),
        ({"content": [{"type": "resource_link", "uri": "a:b", "name": "c"}]}, "a:b"),
        ({"content": [None, {"type": 1}]}, "[content of an unknown kind, left out]\n" * 2),
    ],
)
def test_a_result_is_its_text(result: dict[str, Any], output: str) -> None:
    assert read_result(result) == McpOutcome(output=output.rstrip("\n"))


def test_a_tools_own_failure_is_an_error_with_its_content() -> None:
    outcome = read_result({"isError": True, "content": [{"type": "text", "text": "no dice", "_meta": nested(900)}]})
    assert outcome.output is None
    assert outcome.error == {
        "type": "mcp_tool_execution_error",
        "content": [{"type": "text", "text": "no dice"}],
    }
    assert outcome.text == "The tool failed: no dice"
    assert read_result({"isError": True}).error == {"type": "mcp_tool_execution_error", "content": []}


def test_a_result_that_cannot_be_written_is_a_failure() -> None:
    with pytest.raises(McpFailed):
        read_result({"content": [], "structuredContent": nested(900)})


@given(JSON)
def test_whatever_a_server_sends_is_read_or_is_a_failure(value: object) -> None:
    with contextlib.suppress(McpFailed):
        read_tool(value)
    try:
        messages = read_messages(orjson.dumps(value))
    except McpFailed:
        return
    for message in messages:
        answer_to(message)
        is_reply_to(message, 1)
        outcome = read_result(message)
        item = call_item("mcp_1", server_label="a", name="b", arguments="{}", outcome=outcome)
        items.McpCall.model_validate(item, strict=True)
        try:
            result_of(message)
        except McpFailed as failure:
            item = call_item("m", server_label="a", name="b", arguments="", outcome=McpOutcome(error=failure.error))
            items.McpCall.model_validate(item, strict=True)
