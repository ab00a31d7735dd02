"""A request goes to a provider of the Responses API as it came, but for what refers to stored things."""

from typing import Any

import pytest

from ali.kernel.errors import InvalidRequest
from ali.providers.turns.native_request import turn_to_responses
from ali.providers.turns.tool_names import mcp_function_name

QUESTION = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}


def unseal(sealed: str) -> dict[str, Any] | None:
    if sealed == "another's":
        return {"blocks": []}
    return {"encrypted_content": sealed.removeprefix("sealed:")} if sealed.startswith("sealed:") else None


def said(*items: dict[str, Any], **fields: object) -> dict[str, Any]:
    return turn_to_responses({"input": list(items), **fields}, model="gpt-6-sol", unseal=unseal).body


def test_parameters_survive_and_nothing_is_to_be_stored() -> None:
    fields = {
        "instructions": "Be kind.",
        "tools": [{"type": "web_search"}, {"type": "function", "name": "f", "parameters": {}, "strict": True}],
        "a_parameter_of_tomorrow": {"x": 1},
        "stream_options": {"include_obfuscation": False},
    }
    request = {"input": [QUESTION], "model": "ali-default", "store": True, **fields}
    translated = turn_to_responses(request, model="gpt-6-sol", unseal=unseal)
    assert translated.dropped == ()
    assert translated.body == {
        **fields,
        "model": "gpt-6-sol",
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "input": [QUESTION],
    }
    assert request["store"] is True


def test_reasoning_is_asked_for_beside_what_the_caller_wants_included() -> None:
    asked = {"message.output_text.logprobs", "reasoning.encrypted_content"}
    assert said(QUESTION, include=asked)["include"] == ["message.output_text.logprobs", "reasoning.encrypted_content"]


@pytest.mark.parametrize(
    ("model", "reasons", "included"),
    [
        ("gpt-4o", None, False),
        ("ft:gpt-4.1-mini:acme", None, False),
        ("gpt-5-chat-latest", None, False),
        ("o4-mini", None, True),
        ("gpt-5.4", None, True),
        ("gpt-5.4", False, False),
        ("gpt-4-of-tomorrow", True, True),
    ],
)
def test_a_model_that_does_not_reason_is_not_asked_for_its_reasoning(
    model: str, *, reasons: bool | None, included: bool
) -> None:
    asked = {"input": [], "include": {"message.output_text.logprobs", "reasoning.encrypted_content"}}
    body = turn_to_responses(asked, model=model, unseal=unseal, reasons=reasons).body
    assert body["include"] == ["message.output_text.logprobs", *["reasoning.encrypted_content"][:included]]
    bare = turn_to_responses({"input": []}, model=model, unseal=unseal, reasons=reasons).body
    assert ("include" in bare) is included


def test_reasoning_goes_back_unsealed_and_nameless_or_not_at_all() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "status": "completed", "summary": []}
    body = said(
        thought | {"encrypted_content": "sealed:gAAA"},
        thought | {"encrypted_content": "another's"},
        thought | {"encrypted_content": "forged"},
        thought | {"encrypted_content": None},
        thought,
    )
    assert body["input"] == [{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}]


def test_items_lose_our_names_and_keep_what_the_model_needs() -> None:
    answer = {"type": "message", "role": "assistant", "phase": "commentary", "content": []}
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    easy = {"role": "user", "content": "hi"}
    named = [item | {"id": "x_1", "status": "completed"} for item in (answer, call, output)]
    assert said(*named, search, easy)["input"] == [answer, call, output, search, easy]


@pytest.mark.parametrize(
    ("outcome", "output"),
    [
        ({"output": "42", "error": None}, "42"),
        ({"output": None, "error": "No such city."}, "The tool call failed: No such city."),
        ({"error": {"type": "http_error", "code": 503}}, 'The tool call failed: {"type":"http_error","code":503}'),
        ({}, None),
    ],
)
def test_a_call_of_a_remote_tool_is_a_function_s(outcome: dict[str, Any], output: str | None) -> None:
    call = {"type": "mcp_call", "id": "mcp_1", "server_label": "weather", "name": "now", "arguments": '{"a":1}'}
    listed = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "weather", "tools": []}
    asked = {
        "type": "mcp_approval_request",
        "id": "mcpr_1",
        "server_label": "weather",
        "name": "now",
        "arguments": "{}",
    }
    granted = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    expected = [
        {
            "type": "function_call",
            "call_id": "mcp_1",
            "name": mcp_function_name("weather", "now"),
            "arguments": '{"a":1}',
        },
        {"type": "function_call_output", "call_id": "mcp_1", "output": output},
    ]
    assert said(listed, asked, granted, call | outcome)["input"] == (expected if output is not None else [])


def test_a_compaction_of_another_model_is_refused_for_it_holds_the_context() -> None:
    item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "sealed:gAAA"}
    assert said(item)["input"] == [{"type": "compaction", "encrypted_content": "gAAA"}]
    with pytest.raises(InvalidRequest, match="compacted by another model") as refused:
        said(QUESTION, item | {"encrypted_content": "forged"})
    assert refused.value.param == "input[1].encrypted_content"


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ("hi", "input"),
        ([1], "input[0]"),
        ([{"type": "mcp_call", "id": "m", "name": "n", "output": ""}], "input[0].server_label"),
    ],
)
def test_what_has_the_wrong_shape_is_refused_by_its_name(items: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        turn_to_responses({"input": items}, model="gpt-6-sol", unseal=unseal)
    assert refused.value.param == param
