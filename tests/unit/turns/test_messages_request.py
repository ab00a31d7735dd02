"""A response's turn as a Messages request: its parameters and tools."""

from pathlib import Path
from typing import Any

import pytest

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Translated
from ali.providers.turns import messages_request
from ali.providers.turns.messages_request import turn_to_messages
from ali.providers.turns.tool_names import mcp_function_name
from tests.unit.turns.messages_sealing import unseal

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "responses-upstreams.md"
USER = {"role": "user", "content": "Hello"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
FIND = mcp_function_name("docs", "find")
MCP = {**FUNCTION, "name": FIND}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
CUSTOM_SCHEMA = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def said(version: str = "2023-06-01", **parameters: object) -> Translated[dict[str, Any]]:
    return turn_to_messages(
        {"model": "asked", "input": [USER], **parameters},
        model="claude-x",
        default_max_tokens=4096,
        anthropic_version=version,
        unseal=unseal,
    )


def named(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "name": name}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {}),
        ({"instructions": "Be kind."}, {"system": "Be kind."}),
        ({"instructions": " "}, {}),
        ({"max_output_tokens": 5}, {"max_tokens": 5}),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"temperature": 1, "top_p": 1.0}, {}),
        ({"user": "u1", "safety_identifier": "s1"}, {"metadata": {"user_id": "u1"}}),
        ({"safety_identifier": "s1"}, {"metadata": {"user_id": "s1"}}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"reasoning": {"effort": "none"}}, {"thinking": {"type": "disabled"}}),
        ({"reasoning": {"effort": "minimal"}}, {"output_config": {"effort": "low"}}),
        (
            {"reasoning": {"effort": "high", "summary": "auto"}},
            {"output_config": {"effort": "high"}, "thinking": {"type": "adaptive", "display": "summarized"}},
        ),
        ({"reasoning": {"summary": "auto"}}, {}),
        (
            {"reasoning": {"effort": "high"}},
            {"output_config": {"effort": "high"}, "thinking": {"type": "adaptive"}},
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}}},
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        ),
        ({"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {}),
        ({"top_logprobs": 0, "max_tool_calls": 3, "stream_options": {}}, {}),
        ({"tools": [FUNCTION]}, {"tools": [TOOL]}),
        ({"tools": [], "tool_choice": "auto"}, {}),
        ({"tools": [FUNCTION], "tool_choice": "auto"}, {"tools": [TOOL], "tool_choice": {"type": "auto"}}),
        ({"tools": [FUNCTION], "tool_choice": "none"}, {"tools": [TOOL], "tool_choice": {"type": "none"}}),
        ({"tools": [FUNCTION], "tool_choice": "required"}, {"tools": [TOOL], "tool_choice": {"type": "any"}}),
        (
            {"tools": [FUNCTION], "tool_choice": named("function", "f"), "reasoning": {"effort": "low"}},
            {"tools": [TOOL], "tool_choice": named("tool", "f"), "output_config": {"effort": "low"}},
        ),
        (
            {"tools": [FUNCTION], "parallel_tool_calls": False},
            {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        (
            {"tools": [named("custom", "c")], "tool_choice": named("custom", "c")},
            {"tools": [{"name": "c", "input_schema": CUSTOM_SCHEMA}], "tool_choice": named("tool", "c")},
        ),
    ],
)
def test_a_parameter_is_said_in_messages(parameters: dict[str, Any], expected: dict[str, Any]) -> None:
    answer = said(**parameters)
    whole = {"model": "claude-x", "max_tokens": 4096, "stream": True, "messages": [USER], **expected}
    assert answer.body == whole
    assert answer.dropped == ()


@pytest.mark.parametrize(
    ("choice", "tools", "expected"),
    [
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [named("function", "f")]},
            ["f"],
            {"type": "auto"},
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [named("function", FIND)]},
            ["mcp__docs__find"],
            {"type": "any"},
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": []}, [], None),
    ],
)
def test_of_a_choice_among_tools_only_those_are_sent(
    choice: dict[str, Any], tools: list[str], expected: dict[str, Any] | None
) -> None:
    body = said(tools=[FUNCTION, MCP], tool_choice=choice).body
    assert [tool["name"] for tool in body.get("tools", [])] == tools
    assert body.get("tool_choice") == expected


def test_a_grammar_is_told_in_words_and_named() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
    answer = said(tools=[{**named("custom", "c"), "description": "Does.", "format": form}])
    assert answer.dropped == ("tools.format",)
    description = answer.body["tools"][0]["description"]
    assert description.startswith("Does.\n\n")
    assert "lark" in description
    assert description.endswith("start: /x/")


def test_any_json_is_asked_for_in_words_after_the_instructions() -> None:
    answer = said(instructions="Be kind.", text={"format": {"type": "json_object"}})
    assert answer.body["system"][0]["text"] == "Be kind."
    assert "JSON object" in answer.body["system"][1]["text"]
    assert answer.dropped == ("text.format",)


@pytest.mark.parametrize(
    ("parameters", "dropped"),
    [
        ({"prompt_cache_key": "k", "presence_penalty": 0.5}, ("presence_penalty", "prompt_cache_key")),
        ({"service_tier": "flex", "invented_tomorrow": 1}, ("invented_tomorrow", "service_tier")),
        ({"text": {"verbosity": "low"}, "reasoning": {"context": "all"}}, ("reasoning.context", "text.verbosity")),
        (
            {"text": {"format": {"type": "json_schema", "description": "d", "schema": {}}}},
            ("text.format.description",),
        ),
        ({"tools": [{**FUNCTION, "defer_loading": True, "async": False}]}, ("tools.defer_loading",)),
        ({"stream_options": {"include_obfuscation": True}}, ("stream_options.include_obfuscation",)),
    ],
)
def test_a_parameter_without_counterpart_is_dropped_and_named(
    parameters: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    assert said(**parameters).dropped == dropped


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"instructions": ["x"]}, "instructions"),
        ({"temperature": 1.5}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning.effort"),
        ({"reasoning": "high"}, "reasoning"),
        ({"text": "x"}, "text"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "custom", "name": "c", "format": {"type": "x"}}]}, "tools[0].format.type"),
        ({"tools": [{"type": "custom", "name": "c", "format": {"type": "grammar"}}]}, "tools[0].format.definition"),
        ({"tools": "f"}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": ["auto"]}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": named("function", "g")}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "mcp", "server_label": "docs"}}, "tool_choice"),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "file_search"}]}},
            "tool_choice.tools[0].type",
        ),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}},
            "tool_choice.tools[0].type",
        ),
        ({"user": 3}, "user"),
        ({"input": "x"}, "input"),
        ({"input": []}, "input"),
    ],
)
def test_what_messages_cannot_say_is_a_400_that_names_the_field(parameters: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        said(**parameters)
    assert refusal.value.param == param


def test_sampling_is_kept_for_the_old_version_and_dropped_for_the_new() -> None:
    asked: dict[str, Any] = {"temperature": 0.2, "top_p": 0.5}
    assert asked.items() <= said(**asked).body.items()
    new = said("2026-10-21", **asked)
    assert not asked.keys() & new.body.keys()
    assert new.dropped == ("temperature", "top_p")


def test_the_page_names_every_parameter() -> None:
    text = PAGE.read_text().split("## Messages")[1].split("\n## ")[0]
    names = messages_request._CARRIED | set(messages_request._NOT_FOR_MESSAGES)
    assert [name for name in sorted(names) if f"`{name}" not in text] == []
