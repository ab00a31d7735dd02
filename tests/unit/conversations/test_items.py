"""Items as callers send them: one form for what is right, and for what is wrong the path, the code and what to do."""

import json
from copy import deepcopy
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.features.conversations.items import MOST_DEPTH, MOST_ITEM_BYTES, MOST_ITEMS, read_items
from ali.features.conversations.kinds import KINDS
from ali.features.conversations.tags import read_metadata
from ali.kernel.errors import InvalidRequest

SAID = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "seen"}

HOSTED: list[dict[str, Any]] = [
    {"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "t", "input_schema": {}}]},
    {"type": "mcp_approval_request", "server_label": "s", "name": "t", "arguments": "{}"},
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    {"type": "mcp_call", "server_label": "s", "name": "t", "arguments": "{}", "output": None, "error": None},
    {"type": "file_search_call", "queries": ["a"], "results": None},
    {"type": "web_search_call", "action": {"type": "search", "query": "a"}},
    {"type": "code_interpreter_call", "container_id": "c", "code": "1", "outputs": None},
    {"type": "image_generation_call", "result": "aGk="},
    {"type": "computer_call", "call_id": "c", "action": {"type": "wait"}},
    {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "file_id": "f"}},
    {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"], "env": {}}},
    {"type": "local_shell_call_output", "id": "c", "output": "{}"},
    {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
    {"type": "shell_call_output", "call_id": "c", "output": []},
    {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
    {"type": "apply_patch_call_output", "call_id": "c", "status": "failed"},
    {"type": "tool_search_call", "arguments": {"q": 1}},
    {"type": "tool_search_output", "tools": []},
    {"type": "additional_tools", "role": "developer", "tools": []},
    {"type": "configuration_update"},
    {"type": "program", "call_id": "c", "code": "1", "fingerprint": "f"},
    {"type": "program_output", "call_id": "c", "result": "1"},
    {"type": "compaction", "encrypted_content": "x"},
    {"type": "compaction_trigger"},
    {"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "i"},
    {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "t"}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": None},
    {"type": "item_reference", "id": "msg_1"},
    CALL,
    OUTPUT,
    {"type": "message", **SAID},
]


def refusal_of(raw: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read_items(raw)
    return caught.value


def test_a_string_is_one_message_of_the_user() -> None:
    (item,) = read_items("Hi")

    assert item.pop("id").startswith("msg_")
    assert item == {
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": "Hi"}],
    }


def test_what_the_assistant_said_becomes_text_that_came_out() -> None:
    (item,) = read_items([{"role": "assistant", "content": "Yes", "phase": "final_answer"}])

    assert item["content"] == [{"type": "output_text", "text": "Yes", "annotations": [], "logprobs": []}]
    assert item["phase"] == "final_answer"


def test_every_kind_of_item_is_taken() -> None:
    assert {item["type"] for item in HOSTED} == set(KINDS)

    for raw in HOSTED:
        (item,) = read_items([raw])
        assert item["id"]
        given = {name: value for name, value in raw.items() if name not in ("content", "output")}
        assert item.items() >= given.items() or item["type"] == "message"
        assert ("status" in item) == bool(KINDS[item["type"]].statuses)


@pytest.mark.parametrize("raw", HOSTED, ids=lambda raw: raw["type"])
def test_what_was_read_once_reads_the_same_again(raw: dict[str, Any]) -> None:
    before = deepcopy(raw)
    once = read_items([raw])

    assert raw == before
    assert read_items(once) == once


def test_an_item_with_nothing_but_an_id_is_a_reference() -> None:
    assert read_items([{"id": "msg_1"}, {"id": "rs_1", "type": None}]) == [
        {"id": "msg_1", "type": "item_reference"},
        {"id": "rs_1", "type": "item_reference"},
    ]


def test_defaults_are_each_items_own() -> None:
    first, second = read_items([{"type": "reasoning"}, {"type": "reasoning", "summary": None}])
    first["summary"].append({"type": "summary_text", "text": "t"})

    assert second["summary"] == []


def test_parts_of_a_message_are_taken_in_all_their_forms() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "input_text", "text": "t"},
        {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
        {"type": "input_image", "file_id": "file-1", "image_url": None, "detail": None},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://example.org/a.pdf"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    ]
    (item,) = read_items([{"role": "user", "content": parts}])

    assert [part["type"] for part in item["content"]] == [part["type"] for part in parts]
    assert [part["detail"] for part in item["content"][1:4]] == ["low", "auto", "auto"]


def user(*parts: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": list(parts)}]


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


PART = "input[0].content[0]"
WRONG: list[tuple[Any, str, str]] = [
    (None, "input", "missing_required_parameter"),
    (7, "input", "invalid_type"),
    ({}, "input", "invalid_type"),
    ([None], "input[0]", "invalid_type"),
    ([SAID, "Hi"], "input[1]", "invalid_type"),
    ([{}], "input[0].type", "missing_required_parameter"),
    ([{"type": 7}], "input[0].type", "invalid_type"),
    ([{"type": "poem"}], "input[0].type", "invalid_value"),
    ([{"content": "Hi"}], "input[0].role", "missing_required_parameter"),
    ([{"role": "user"}], "input[0].content", "missing_required_parameter"),
    ([{"role": "tool", "content": "Hi"}], "input[0].role", "invalid_value"),
    ([{"role": ["user"], "content": "Hi"}], "input[0].role", "invalid_type"),
    ([{"role": "user", "content": 7}], "input[0].content", "invalid_type"),
    ([{"role": "user", "content": {"type": "input_text"}}], "input[0].content", "invalid_type"),
    ([SAID | {"status": "late"}], "input[0].status", "invalid_value"),
    ([SAID | {"phase": {}}], "input[0].phase", "invalid_value"),
    ([SAID | {"id": 7}], "input[0].id", "invalid_type"),
    ([SAID | {"id": ""}], "input[0].id", "invalid_value"),
    ([SAID | {"id": "a b"}], "input[0].id", "invalid_value"),
    ([SAID | {"id": "a" * 129}], "input[0].id", "invalid_value"),
    ([SAID | {"id": "a\n"}], "input[0].id", "invalid_value"),
    ([SAID | {"id": "a"}, CALL, SAID | {"id": "a"}], "input[2].id", "duplicate_item"),
    ([SAID | {"id": "a"}, {"id": "a"}], "input[1].id", "duplicate_item"),
    ([SAID | {"extra": "\ud800"}], "input[0]", "invalid_value"),
    ([SAID | {"extra": 2**70}], "input[0]", "invalid_value"),
    ([SAID | {"extra": nested(MOST_DEPTH)}], "input[0]", "invalid_value"),
    ([SAID | {"extra": nested(300)}], "input[0]", "invalid_value"),
    ([SAID | {"extra": "a" * MOST_ITEM_BYTES}], "input[0]", "item_too_large"),
    ([SAID] * (MOST_ITEMS + 1), "input", "array_above_max_length"),
    (user("Hi"), PART, "invalid_type"),
    (user({"text": "Hi"}), f"{PART}.type", "missing_required_parameter"),
    (user({"type": {}, "text": "Hi"}), f"{PART}.type", "invalid_type"),
    (user({"type": "text", "text": "Hi"}), f"{PART}.type", "invalid_value"),
    (user({"type": "output_text", "text": "Hi"}), f"{PART}.type", "invalid_value"),
    (user({"type": "input_text"}), f"{PART}.text", "missing_required_parameter"),
    (user({"type": "input_text", "text": 7}), f"{PART}.text", "invalid_type"),
    (user({"type": "input_image"}), f"{PART}.image_url", "missing_required_parameter"),
    (user({"type": "input_image", "image_url": {"url": "u"}}), f"{PART}.image_url", "invalid_type"),
    (user({"type": "input_image", "image_url": "file:///etc"}), f"{PART}.image_url", "invalid_value"),
    (user({"type": "input_image", "image_url": "data:a", "file_id": "f"}), PART, "mutually_exclusive_parameters"),
    (user({"type": "input_image", "file_id": "f", "detail": "sharp"}), f"{PART}.detail", "invalid_value"),
    (user({"type": "input_file"}), f"{PART}.file_id", "missing_required_parameter"),
    (user({"type": "input_file", "file_id": ""}), f"{PART}.file_id", "invalid_value"),
    (user({"type": "input_file", "file_url": "ftp://a"}), f"{PART}.file_url", "invalid_value"),
    (user({"type": "input_file", "file_data": "a", "filename": 7}), f"{PART}.filename", "invalid_type"),
    (user({"type": "input_audio"}), f"{PART}.input_audio", "invalid_type"),
    (
        user({"type": "input_audio", "input_audio": {"data": "a", "format": "ogg"}}),
        f"{PART}.input_audio.format",
        "invalid_value",
    ),
    ([{"role": "assistant", "content": [{"type": "input_text", "text": "a"}]}], f"{PART}.type", "invalid_value"),
    (
        [{"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": [1]}]}],
        f"{PART}.annotations",
        "invalid_type",
    ),
    ([{"role": "assistant", "content": [{"type": "refusal"}]}], f"{PART}.refusal", "missing_required_parameter"),
    ([CALL | {"call_id": None}], "input[0].call_id", "missing_required_parameter"),
    ([CALL | {"call_id": ""}], "input[0].call_id", "invalid_value"),
    ([CALL | {"call_id": "a" * 513}], "input[0].call_id", "string_above_max_length"),
    ([CALL | {"arguments": {}}], "input[0].arguments", "invalid_type"),
    ([CALL | {"namespace": 7}], "input[0].namespace", "invalid_type"),
    ([OUTPUT | {"output": None}], "input[0].output", "missing_required_parameter"),
    ([OUTPUT | {"output": {}}], "input[0].output", "invalid_type"),
    ([OUTPUT | {"output": [{"type": "output_text", "text": "a"}]}], "input[0].output[0].type", "invalid_value"),
    ([{"type": "reasoning", "summary": "s"}], "input[0].summary", "invalid_type"),
    ([{"type": "reasoning", "summary": [{"type": "input_text"}]}], "input[0].summary[0].type", "invalid_value"),
    ([{"type": "reasoning", "content": [{"type": "reasoning_text"}]}], f"{PART}.text", "missing_required_parameter"),
    ([{"type": "reasoning", "encrypted_content": 7}], "input[0].encrypted_content", "invalid_type"),
    ([{"type": "item_reference"}], "input[0].id", "missing_required_parameter"),
    ([{"type": "mcp_approval_response", "approval_request_id": "a", "approve": 1}], "input[0].approve", "invalid_type"),
    ([{"type": "file_search_call", "queries": [1]}], "input[0].queries", "invalid_type"),
    ([{"type": "mcp_list_tools", "server_label": "s", "tools": [1]}], "input[0].tools", "invalid_type"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "param", "code"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_named_by_its_path(raw: object, param: str, code: str) -> None:
    refusal = refusal_of(raw)

    assert (refusal.http_status, refusal.param, refusal.error_code) == (400, param, code)
    assert len(refusal.message) < 1_500
    json.dumps(refusal.message).encode()


def test_an_item_may_be_as_deep_as_the_bound() -> None:
    read_items([SAID | {"extra": nested(MOST_DEPTH - 1), "text": "[{" * 500}])


FIELDS = st.sampled_from(
    ["type", "role", "content", "id", "status", "text", "call_id", "output", "summary", "name", "image_url", "tools"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=20,
)
LIKELY = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(KINDS)) | JSON},
    optional={"role": st.sampled_from(["user", "assistant"]) | JSON, "content": JSON, "output": JSON, "summary": JSON}
    | {"id": JSON, "status": JSON, "call_id": JSON, "name": JSON, "arguments": JSON},
)


@given(JSON | st.lists(LIKELY | JSON, max_size=4))
def test_any_json_is_either_read_or_refused(raw: object) -> None:
    try:
        items = read_items(raw)
    except InvalidRequest as refusal:
        assert refusal.param is not None  # noqa: PT017 - either way is right
        assert refusal.param.startswith("input")  # noqa: PT017 - as above
    else:
        assert read_items(items) == items


def test_a_hundred_plain_messages_take_a_millisecond() -> None:
    raw = [{"role": "user", "content": f"Message {place}"} for place in range(100)]
    times = []
    for _ in range(30):
        began = perf_counter()
        read_items(raw)
        times.append(perf_counter() - began)

    assert min(times) < 0.001


# Metadata


def test_metadata_is_text_by_text() -> None:
    assert read_metadata(None) == {}
    assert read_metadata({"a" * 64: "b" * 512, "": ""}) == {"a" * 64: "b" * 512, "": ""}


@pytest.mark.parametrize(
    ("raw", "param", "code"),
    [
        ([], "metadata", "invalid_type"),
        ("a", "metadata", "invalid_type"),
        ({"a": 1}, "metadata.a", "invalid_type"),
        ({"a": None}, "metadata.a", "invalid_type"),
        ({"a" * 65: "b"}, "metadata", "property_name_above_max_length"),
        ({"a": "b" * 513}, "metadata.a", "string_above_max_length"),
        ({str(place): "b" for place in range(17)}, "metadata", "object_above_max_properties"),
        ({"a": "\x00"}, "metadata.a", "invalid_value"),
        ({"a": "\udfff"}, "metadata.a", "invalid_value"),
        ({"\ud800": "a"}, "metadata", "invalid_value"),
        ({"\x00": "a"}, "metadata", "invalid_value"),
    ],
)
def test_metadata_beyond_its_bounds_is_refused(raw: object, param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_metadata(raw)

    assert (caught.value.param, caught.value.error_code) == (param, code)
