"""The parameters and tools of a Responses request as those of a chat request."""

from pathlib import Path
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import TypeAdapter

from ali.kernel.errors import InvalidRequest
from ali.providers.turns import chat_items, chat_request, chat_tools
from ali.providers.turns.chat_request import turn_to_chat

PARAMS: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsStreaming)
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "responses-upstreams.md"
USER = {"type": "message", "role": "user", "content": "x"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True, "description": "does"}
CUSTOM = {"type": "custom", "name": "g"}


def said(**parameters: Any) -> dict[str, Any]:  # noqa: ANN401 - any parameter
    """The chat request, valid for the SDK, without what each has."""
    translated = turn_to_chat({"input": [USER], **parameters}, model="m")
    assert translated.dropped == ()
    PARAMS.validate_python(translated.body)
    base = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    assert {name: translated.body[name] for name in base} == base
    return {name: value for name, value in translated.body.items() if name not in {*base, "messages"}}


def refused(**parameters: Any) -> str:  # noqa: ANN401 - any parameter
    with pytest.raises(InvalidRequest) as caught:
        turn_to_chat({"input": [USER], **parameters}, model="m")
    assert caught.value.param is not None
    return caught.value.param


def test_a_bare_request_asks_for_a_stream_with_its_usage() -> None:
    assert said() == {}


def test_null_counts_as_absent() -> None:
    names = (*chat_request._CARRIED, *chat_request._AS_THEY_ARE, "something_new")
    assert said(**{name: None for name in names if name != "input"}) == {}


def test_what_this_service_does_itself_is_neither_sent_nor_named() -> None:
    assert said(store=True, background=False, metadata={"a": "b"}, stream=True, max_tool_calls=3) == {}


@pytest.mark.parametrize(
    ("parameters", "chat"),
    [
        ({"temperature": 1.5, "top_p": 0.5}, {"temperature": 1.5, "top_p": 0.5}),
        ({"max_output_tokens": 16}, {"max_completion_tokens": 16}),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"top_logprobs": 0}, {}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"reasoning": {"effort": "minimal"}}, {"reasoning_effort": "minimal"}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True},
                }
            },
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "description": "d"}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {}, "description": "d"},
                }
            },
        ),
        *[({name: "24h"}, {name: "24h"}) for name in ("prompt_cache_key", "prompt_cache_retention", "user")],
        ({"safety_identifier": "s", "service_tier": "flex"}, {"safety_identifier": "s", "service_tier": "flex"}),
    ],
)
def test_parameters_are_carried(parameters: dict[str, Any], chat: dict[str, Any]) -> None:
    assert said(**parameters) == chat


def test_what_has_no_counterpart_is_named() -> None:
    translated = turn_to_chat(
        {
            "input": [USER],
            "moderation": {"model": "x"},
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {"new": 1},
            "with\r\nbreak": 1,
            "tools": [{**FUNCTION, "defer_loading": True, "allowed_callers": ["direct"]}],
        },
        model="m",
    )
    assert translated.dropped == ("moderation", "other", "reasoning.summary", "text.new", "tools.defer_loading")


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"top_p": "1"}, "top_p"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": True}, "top_logprobs"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning": 1}, "reasoning"),
        ({"text": []}, None),
        ({"text": "x"}, "text"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"text": {"verbosity": 1}}, "text.verbosity"),
        ({"user": 1}, "user"),
        ({"instructions": 1}, "instructions"),
        ({"input": "x"}, "input"),
        ({"input": []}, "input"),
        ({"tools": [FUNCTION, {"type": "web_search"}]}, "tools[1].type"),
        ({"tools": [{"type": "namespace", "tools": []}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{**CUSTOM, "format": {"type": "x"}}]}, "tools[0].format.type"),
        ({"tools": [{**CUSTOM, "format": {"type": "grammar", "syntax": "lark"}}]}, "tools[0].format.definition"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "mode": "x"}}, "tool_choice.mode"),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}},
            "tool_choice.tools[0].type",
        ),
        ({"tools": [FUNCTION], "parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_name(parameters: dict[str, Any], param: str | None) -> None:
    if param is None:
        assert said(**parameters) == {}
    else:
        assert refused(**parameters) == param


def test_tools_are_carried() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: A"}
    chat = said(
        tools=[
            FUNCTION,
            {"type": "function", "name": "h", "parameters": None, "strict": None},
            {**CUSTOM, "format": grammar, "description": "d"},
            {**CUSTOM, "format": {"type": "text"}},
        ],
        parallel_tool_calls=False,
    )
    assert chat == {
        "tools": [
            {"type": "function", "function": {name: FUNCTION[name] for name in FUNCTION if name != "type"}},
            {"type": "function", "function": {"name": "h"}},
            {
                "type": "custom",
                "custom": {
                    "name": "g",
                    "description": "d",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: A"}},
                },
            },
            {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
        ],
        "parallel_tool_calls": False,
    }


@pytest.mark.parametrize(
    ("choice", "chat"),
    [
        *[(word, word) for word in ("auto", "none", "required")],
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "custom", "name": "g"}, {"type": "custom", "custom": {"name": "g"}}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}, CUSTOM]},
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "custom", "custom": {"name": "g"}},
                    ],
                },
            },
        ),
    ],
)
def test_each_choice_among_tools_is_carried(choice: object, chat: object) -> None:
    assert said(tools=[FUNCTION, CUSTOM], tool_choice=choice)["tool_choice"] == chat


def test_without_tools_a_choice_that_needs_none_is_left_out() -> None:
    assert said(tools=[], tool_choice="auto", parallel_tool_calls=True) == {}


def test_the_page_names_every_parameter_and_every_item_that_is_left_out() -> None:
    text = PAGE.read_text("utf-8").split("## Chat Completions")[1].split("\n## ")[0]
    names = {
        *chat_request._CARRIED,
        *chat_request._AS_THEY_ARE,
        *chat_tools.WITHOUT_COUNTERPART,
        *chat_items._LEFT_OUT,
    }
    assert [name for name in sorted(names) if f"`{name}`" not in text and f"`{name}." not in text] == []
