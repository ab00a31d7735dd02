"""A response's items as Anthropic's turns: what is carried, dropped and refused."""

from typing import Any

import pytest

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Translated
from ali.providers.turns.messages_request import turn_to_messages
from tests.unit.turns.messages_sealing import seal, unseal

USER = {"role": "user", "content": "Hello"}
PNG = "data:image/png;base64,iVBORw0KGgo="
IMAGE = {"type": "input_image", "image_url": "https://e.org/a.png"}
PDF = "data:application/pdf;base64,JVBERi0xLjQ="
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s", "new": {"a": [1.5]}}
REDACTED = {"type": "redacted_thinking", "data": "xyz"}


def said(*items: dict[str, Any]) -> Translated[dict[str, Any]]:
    return turn_to_messages(
        {"input": list(items)}, model="m", default_max_tokens=9, anthropic_version="2026-10-21", unseal=unseal
    )


def call(call_id: str = "c1", arguments: str = '{"a":1}') -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": arguments}


def output(call_id: str = "c1", output: object = "one") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def use(use_id: str = "c1", **given: object) -> dict[str, Any]:
    return {"type": "tool_use", "id": use_id, "name": "f", "input": given or {"a": 1}}


def result(use_id: str = "c1", content: object = "one") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": use_id, "content": content}


def reasoning(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [], "encrypted_content": seal({"blocks": list(blocks)})}


def assistant(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def asked(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def answer(value: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": value}]}


MCP = {"type": "mcp_call", "id": "mcp_1", "server_label": "docs", "name": "find", "arguments": "{}", "output": "found"}
MCP_USE = {"type": "tool_use", "id": "mcp_1", "name": "mcp__docs__find", "input": {}}


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        (  # neighbours of one role become one; blank text is left out
            [USER, asked({"type": "input_text", "text": "there"}, {"type": "input_text", "text": " "})],
            [user(text("Hello"), text("there"))],
        ),
        (  # images and documents
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_image", "image_url": PNG, "detail": "auto"},
                        {"type": "input_image", "image_url": "https://e.org/a.png"},
                        {"type": "input_file", "file_data": PDF, "filename": "lei.pdf"},
                        {"type": "input_file", "file_url": "https://e.org/a.pdf"},
                    ],
                }
            ],
            [
                user(
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                    {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}},
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="},
                        "title": "lei.pdf",
                    },
                    {"type": "document", "source": {"type": "url", "url": "https://e.org/a.pdf"}},
                )
            ],
        ),
        (  # parallel calls: all results in one message right after, before the user's words, wherever they stood
            [USER, call(), call("c.2", ""), output("c.2", "two"), {"role": "user", "content": "go on"}, output()],
            [
                USER,
                assistant(use(), {**use("c_2"), "input": {}}),
                user(result(), result("c_2", "two"), text("go on")),
            ],
        ),
        (  # one call after the other
            [USER, call(), output(), call("c2"), output("c2"), answer("Done")],
            [USER, assistant(use()), user(result()), assistant(use("c2")), user(result("c2")),
             {"role": "assistant", "content": "Done"}],
        ),
        (  # calls that are numbered anew each turn stay apart
            [USER, call(), output(), call(), output("c1", "two")],
            [USER, assistant(use()), user(result()), assistant(use("c1_2")), user(result("c1_2", "two"))],
        ),
        (  # an output in parts, an image among them; an empty one
            [call(), call("c2"), output("c1", [{"type": "input_text", "text": "see"}, IMAGE]), output("c2", "")],
            [
                assistant(use(), use("c2")),
                user(
                    result("c1", [text("see"), {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}}]),
                    {"type": "tool_result", "tool_use_id": "c2"},
                ),
            ],
        ),
        (  # a custom tool
            [
                {"type": "custom_tool_call", "call_id": "c1", "name": "f", "input": "go"},
                {"type": "custom_tool_call_output", "call_id": "c1", "output": "one"},
            ],
            [assistant(use(input="go")), user(result())],
        ),
        (  # thinking where it stood, byte for byte
            [USER, reasoning(REDACTED), reasoning(THOUGHT), answer("Let me"), call(), output(), reasoning(THOUGHT),
             answer("So")],
            [USER, assistant(REDACTED, THOUGHT, text("Let me"), use()), user(result()), assistant(THOUGHT, text("So"))],
        ),
        (  # what an MCP server answered, and the turn that knew it
            [USER, reasoning(THOUGHT), MCP, {**MCP, "id": "mcp_2", "output": None, "error": "broken"}, answer("So")],
            [
                USER,
                assistant(THOUGHT, MCP_USE, {**MCP_USE, "id": "mcp_2"}),
                user(result("mcp_1", "found"), {**result("mcp_2", "broken"), "is_error": True}),
                {"role": "assistant", "content": "So"},
            ],
        ),
        (  # a prefill does not end in whitespace; a refusal is text
            [USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No. "}]}],
            [USER, {"role": "assistant", "content": "No."}],
        ),
    ],
)  # fmt: skip
def test_items_are_turns(items: list[dict[str, Any]], messages: list[dict[str, Any]]) -> None:
    answered = said(*items)
    assert answered.body["messages"] == messages
    assert "system" not in answered.body
    assert answered.dropped == ()


def test_system_and_developer_anywhere_go_to_system_in_order() -> None:
    later = {"role": "developer", "content": [{"type": "input_text", "text": "B"}]}
    body = said({"role": "system", "content": "A"}, USER, later, answer("Hi"), USER).body
    assert body["system"] == [text("A"), text("B")]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ({"type": "reasoning", "summary": [], "encrypted_content": "another's"}, "input.reasoning"),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, "input.reasoning"),
        ({"type": "reasoning", "encrypted_content": seal({"blocks": [{"type": "text"}]})}, "input.reasoning"),
        ({"type": "reasoning", "encrypted_content": seal({"encrypted_content": "x"})}, "input.reasoning"),
        (reasoning(THOUGHT), "input.reasoning"),  # nothing of the assistant follows, and thinking may not stand last
        ({**MCP, "output": None}, "input.mcp_call"),
        ({"type": "web_search_call", "id": "ws_1"}, "input.web_search_call"),
    ],
)
def test_what_cannot_be_replayed_is_left_out_and_named(item: dict[str, Any], name: str) -> None:
    answered = said(USER, item, USER)
    assert answered.body["messages"] == [user(text("Hello"), text("Hello"))]
    assert answered.dropped == (name,)


def test_the_list_of_an_mcp_servers_tools_is_no_loss() -> None:
    assert said({"type": "mcp_list_tools", "server_label": "docs", "tools": []}, USER).dropped == ()


def test_arguments_that_the_model_wrote_badly_for_an_mcp_server_do_not_end_the_conversation() -> None:
    broken = {**MCP, "arguments": "{", "error": {"type": "x", "message": "bad"}, "output": None}
    messages = said(USER, broken).body["messages"]
    assert messages[1]["content"][0]["input"] == {"arguments": "{"}
    assert messages[2]["content"][0]["content"] == "bad"


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([call(arguments="{")], "input[0].arguments"),
        ([call(arguments="[1]"), output()], "input[0].arguments"),
        ([call()], "input[0].call_id"),
        ([USER, output()], "input[1].call_id"),
        ([call(), output(), output()], "input[2].call_id"),
        ([{**call(), "name": None}, output()], "input[0].name"),
        ([USER, asked({"type": "input_image", "file_id": "file_1"})], "input[1].content[0].file_id"),
        ([asked({"type": "input_image", "image_url": "http://e.org"})], "input[0].content[0].image_url"),
        ([asked({"type": "input_file", "file_id": "file_1"})], "input[0].content[0].file_id"),
        ([asked({"type": "input_file", "file_data": "x"})], "input[0].content[0].file_data"),
        ([asked({"type": "input_file", "file_url": "ftp://e"})], "input[0].content[0].file_url"),
        ([asked({"type": "input_audio"})], "input[0].content[0].type"),
        ([{"role": "assistant", "content": [{"type": "input_image"}]}], "input[0].content[0].type"),
        ([{"role": "user", "content": None}], "input[0].content"),
        ([{"role": "tool", "content": "x"}], "input[0].role"),
        ([{}], "input[0].type"),
        ([{"type": ["message"]}], "input[0].type"),
        ([{"type": "compaction", "encrypted_content": "x"}, USER], "input[0]"),
        ([{"role": "user", "content": " "}], "input"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_a_400_that_names_the_place(items: list[dict[str, Any]], param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        said(*items)
    assert refusal.value.param == param
    assert refusal.value.http_status == 400


def test_the_request_is_left_as_it_was() -> None:
    items = [USER, reasoning(THOUGHT), answer("x "), call(), output(), MCP, answer("y ")]
    before = repr(items)
    said(*items)
    assert repr(items) == before
