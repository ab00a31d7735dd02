"""The items of a response's input as chat messages."""

from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from ali.kernel.errors import InvalidRequest
from ali.providers.turns.chat_request import turn_to_chat

MESSAGE: TypeAdapter[Any] = TypeAdapter(ChatCompletionMessageParam)
PNG = "data:image/png;base64,AAAA"
PDF = "data:application/pdf;base64,JVBERi0="


def message(role: str, content: Any, **rest: Any) -> dict[str, Any]:  # noqa: ANN401 - content of any kind
    return {"type": "message", "role": role, "content": content, **rest}


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def output(call_id: str, said: Any = "out") -> dict[str, Any]:  # noqa: ANN401 - output of any kind
    return {"type": "function_call_output", "call_id": call_id, "output": said}


def mcp(number: int, **rest: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of an item
    return {
        "type": "mcp_call",
        "id": f"mcp_{number}",
        "server_label": "docs",
        "name": "find",
        "arguments": "{}",
        **rest,
    }


def reasoning(text: str, **rest: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of an item
    return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}], **rest}


def calls(*called: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"id": at, "type": "function", "function": {"name": name, "arguments": "{}"}} for at, name in called]


def messages(*items: dict[str, Any], dropped: tuple[str, ...] = (), **rest: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - parameters
    translated = turn_to_chat({"input": list(items), **rest}, model="m")
    assert translated.dropped == dropped
    said: list[dict[str, Any]] = translated.body["messages"]
    for one in said:
        MESSAGE.validate_python({name: one[name] for name in one if name != "reasoning_content"})
    return said


def tool(call_id: str, content: str = "out") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def test_instructions_come_first_and_every_instructing_role_is_system() -> None:
    assert messages(
        message("developer", [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]),
        {"role": "system", "content": "c"},
        message("user", "d"),
        instructions="first",
    ) == [
        {"role": "system", "content": "first"},
        {"role": "system", "content": "ab"},
        {"role": "system", "content": "c"},
        {"role": "user", "content": "d"},
    ]


def test_a_users_parts_are_carried() -> None:
    mark = {"mode": "explicit"}
    [said] = messages(
        message(
            "user",
            [
                {"type": "input_text", "text": "look", "prompt_cache_breakpoint": mark},
                {"type": "input_image", "image_url": PNG, "detail": "low"},
                {"type": "input_image", "image_url": "https://a.example/b.png"},
                {"type": "input_file", "file_data": PDF, "filename": "a.pdf", "detail": "high"},
                {"type": "input_file", "file_data": "JVBERi0="},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            ],
        ),
        dropped=("input_file.detail",),
    )
    assert said["content"] == [
        {"type": "text", "text": "look", "prompt_cache_breakpoint": mark},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": PDF}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]


def test_a_lone_text_part_is_a_string() -> None:
    assert messages(message("user", [{"type": "input_text", "text": "x"}])) == [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "input_image", "file_id": "file-1"}, "file_id"),
        ({"type": "input_image"}, "image_url"),
        ({"type": "input_file", "file_id": "file-1"}, "file_id"),
        ({"type": "input_file", "file_url": "https://a.example"}, "file_url"),
        ({"type": "input_file"}, "file_data"),
        ({"type": "input_file", "file_data": "AAAA"}, "file_data"),
        ({"type": "input_audio", "input_audio": {"data": "A", "format": "ogg"}}, "input_audio.format"),
        ({"type": "input_text"}, "text"),
        ({"type": "refusal", "refusal": "no"}, "type"),
        ({"type": []}, "type"),
    ],
)
def test_a_part_that_cannot_be_said_is_refused_by_its_place(part: dict[str, Any], field: str) -> None:
    for items, place in (
        ([message("user", "a"), message("user", [{"type": "input_text", "text": "b"}, part])], "input[1].content[1]"),
        ([call("c"), output("c", [part])], "input[1].output[0]"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            messages(*items)
        assert caught.value.param == f"{place}.{field}"


@pytest.mark.parametrize("role", ["assistant", "system", "developer"])
def test_only_a_user_shows_images(role: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages(message(role, [{"type": "input_image", "image_url": PNG}]))
    assert caught.value.param == "input[0].content[0].type"


def test_an_answer_and_its_calls_are_one_message_with_the_results_behind_it() -> None:
    assert messages(
        message("user", "q"),
        message("assistant", [{"type": "output_text", "text": "Let me look.", "annotations": []}]),
        call("c1"),
        call("c2", "g", arguments=""),
        output("c1"),
        output("c2", [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]),
        message("assistant", [{"type": "refusal", "refusal": "I cannot."}]),
    ) == [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": calls(("c1", "f"), ("c2", "g"))},
        tool("c1"),
        tool("c2", "a\nb"),
        {"role": "assistant", "content": "I cannot."},
    ]


def test_calls_one_after_the_other_are_messages_of_their_own() -> None:
    assert messages(call("c1"), output("c1"), call("c2"), output("c2")) == [
        {"role": "assistant", "content": None, "tool_calls": calls(("c1", "f"))},
        tool("c1"),
        {"role": "assistant", "content": None, "tool_calls": calls(("c2", "f"))},
        tool("c2"),
    ]


def test_a_result_goes_behind_its_call_whatever_stands_between() -> None:
    assert messages(call("c1"), message("assistant", "while"), message("user", "hurry"), output("c1")) == [
        {"role": "assistant", "content": "while", "tool_calls": calls(("c1", "f"))},
        tool("c1"),
        {"role": "user", "content": "hurry"},
    ]


def test_an_id_that_a_server_uses_again_and_again_means_the_call_before_it() -> None:
    said = messages(call("c"), output("c", "1"), message("user", "more"), call("c"), output("c", "2"))
    assert [one["role"] for one in said] == ["assistant", "tool", "user", "assistant", "tool"]
    assert [one["content"] for one in said if one["role"] == "tool"] == ["1", "2"]


def test_a_long_id_is_shortened_in_call_and_result_alike() -> None:
    [called, result] = messages(call("c" * 60), output("c" * 60))
    assert called["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) <= 40


def test_images_of_a_result_go_to_a_user_message_behind_the_results() -> None:
    said = messages(
        call("c1"),
        call("c2"),
        output("c1", [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PNG}]),
        output("c2"),
    )
    assert [one["role"] for one in said] == ["assistant", "tool", "tool", "user"]
    assert said[1]["content"] == "see\nThe result is attached to the next user message."
    assert said[3]["content"] == [
        {"type": "text", "text": "Attached result of the tool call c1:"},
        {"type": "image_url", "image_url": {"url": PNG}},
    ]


def test_custom_calls_are_carried() -> None:
    items = [
        {"type": "custom_tool_call", "call_id": "c", "name": "run", "input": "ls"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "a.txt"},
    ]
    assert messages(*items) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "run", "input": "ls"}}],
        },
        tool("c", "a.txt"),
    ]


def test_calls_that_this_service_made_are_calls_of_the_function_the_model_saw() -> None:
    assert messages(
        mcp(1, output="found"),
        mcp(2, output=None, error="gone"),
        mcp(3, output=None, error={"code": 5}),
        message("assistant", "So."),
        mcp(4, output="more"),
    ) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": calls(*[(f"mcp_{number}", "mcp__docs__find") for number in (1, 2, 3)]),
        },
        tool("mcp_1", "found"),
        tool("mcp_2", "The tool call failed: gone"),
        tool("mcp_3", 'The tool call failed: {"code":5}'),
        {"role": "assistant", "content": "So.", "tool_calls": calls(("mcp_4", "mcp__docs__find"))},
        tool("mcp_4", "more"),
    ]


def test_a_servers_call_without_a_result_and_other_servers_tools_are_left_out_and_named() -> None:
    assert messages(
        message("user", "q"),
        mcp(1),
        {"type": "mcp_list_tools"},
        {"type": "file_search_call"},
        message("assistant", "a", phase="final_answer"),
        dropped=("input.file_search_call", "input.mcp_call", "input.mcp_list_tools", "input.phase"),
    ) == [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def test_shown_reasoning_goes_back_within_the_tool_loop_that_is_going_on() -> None:
    said = messages(message("user", "q"), reasoning("hm"), call("c"), output("c"))
    assert said[1] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "tool_calls": calls(("c", "f")),
    }


@pytest.mark.parametrize(
    "items",
    [
        [reasoning("hm"), call("c"), output("c"), message("user", "next")],
        [reasoning("hm"), message("assistant", "a")],
        [reasoning("hm", encrypted_content="sealed"), call("c"), output("c")],
        [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]}, call("c"), output("c")],
    ],
    ids=["an earlier loop", "no loop", "sealed", "a summary"],
)
def test_other_reasoning_is_left_out_and_named(items: list[dict[str, Any]]) -> None:
    said = messages(*items, dropped=("input.reasoning",))
    assert all("reasoning_content" not in one for one in said)


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([{"type": "item_reference", "id": "x"}], "input[0].type"),
        ([{"type": "invented"}], "input[0].type"),
        ([{"type": "compaction", "encrypted_content": "x"}], "input[0].encrypted_content"),
        ([{"type": 1}], "input[0].type"),
        ([1], "input[0]"),
        ([message("tool", "x")], "input[0].role"),
        ([message("user", 1)], "input[0].content"),
        ([call("")], "input[0].call_id"),
        ([call("c", "")], "input[0].name"),
        ([{**call("c"), "arguments": {}, "name": "f"} | {"arguments": 1}], "input[0].arguments"),
        ([{"type": "custom_tool_call", "call_id": "c", "name": "g"}], "input[0].input"),
        ([message("user", "x"), call("c")], "input[1]"),
        ([output("c")], "input[0].call_id"),
        ([call("c"), output("c"), output("c")], "input[2].call_id"),
        ([call("c"), output("c", None)], "input[1].output"),
        ([mcp(1, output=[])], "input[0].output"),
        ([message("user", [])], "input"),
    ],
)
def test_an_item_that_cannot_be_said_is_refused_by_its_place(items: list[Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages(*items)
    assert caught.value.param == param
