"""Calls of tools and their outputs belong together."""

from typing import Any

import pytest

from ali.features.conversations.items import read_items
from ali.features.conversations.pairing import check_outputs
from ali.kernel.errors import InvalidRequest

SAID = {"role": "user", "content": "Hi"}
PAIRS = {
    "function call": (
        {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "o"},
    ),
    "custom tool call": (
        {"type": "custom_tool_call", "call_id": "c", "name": "n", "input": ""},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "o"},
    ),
    "computer call": (
        {"type": "computer_call", "call_id": "c", "action": {"type": "wait"}},
        {"type": "computer_call_output", "call_id": "c", "output": {}},
    ),
    "apply patch call": (
        {"type": "apply_patch_call", "call_id": "c", "operation": {}},
        {"type": "apply_patch_call_output", "call_id": "c"},
    ),
}


@pytest.mark.parametrize("words", PAIRS)
def test_an_output_follows_its_call(words: str) -> None:
    call, output = PAIRS[words]

    check_outputs(read_items([SAID, call, output, SAID]))
    with pytest.raises(InvalidRequest, match=f"No tool call found for {words} output with call_id c") as caught:
        check_outputs(read_items([output, SAID]))
    assert caught.value.param == "input"
    with pytest.raises(InvalidRequest, match="No tool call found"):
        check_outputs(read_items([output, call]))


@pytest.mark.parametrize("words", PAIRS)
def test_a_call_is_not_left_without_its_output(words: str) -> None:
    call, _ = PAIRS[words]

    with pytest.raises(InvalidRequest, match=f"No tool output found for {words} c"):
        check_outputs(read_items([SAID, call, SAID]))


def test_calls_from_before_may_be_answered() -> None:
    _, output = PAIRS["function call"]

    check_outputs(read_items([output]), known_calls={"c", "d"})


def test_an_approval_is_of_a_request() -> None:
    request: dict[str, Any] = {"type": "mcp_approval_request", "id": "r", "server_label": "s", "name": "n"}
    request["arguments"] = "{}"
    approval = {"type": "mcp_approval_response", "approval_request_id": "r", "approve": True}

    check_outputs(read_items([request, approval]))
    check_outputs(read_items([approval]), known_calls={"r"})
    check_outputs(read_items([request, SAID]))
    with pytest.raises(InvalidRequest, match="No approval request found with id r"):
        check_outputs(read_items([SAID, approval]))
