"""A chat request as a Messages request: what is carried, dropped and refused."""

from typing import Any

import pytest

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Translated
from ali.providers.translate import anthropic_version_for, chat_to_messages

USER = {"role": "user", "content": "Hello"}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}


def translated(*messages: dict[str, Any], version: str = "2023-06-01", **rest: Any) -> Translated[dict[str, Any]]:  # noqa: ANN401 - request fields
    return chat_to_messages(
        {"model": "asked", "messages": list(messages) or [USER], **rest},
        model="claude-x",
        default_max_tokens=4096,
        anthropic_version=version,
    )


def test_a_plain_request_asks_the_upstream_model_with_the_default_limit() -> None:
    assert translated().body == {"model": "claude-x", "max_tokens": 4096, "messages": [USER]}
    assert translated().dropped == ()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {"max_tokens": 6}),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"temperature": 1, "top_p": 1.0}, {}),
        ({"top_k": 3}, {"top_k": 3}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["A", "B"]}, {"stop_sequences": ["A", "B"]}),
        ({"stop": []}, {}),
        ({"user": "u1", "safety_identifier": "s1"}, {"metadata": {"user_id": "u1"}}),
        ({"safety_identifier": "s1"}, {"metadata": {"user_id": "s1"}}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        ({"stream": False}, {}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"reasoning_effort": "minimal"}, {"output_config": {"effort": "low"}}),
        ({"reasoning_effort": "max"}, {"output_config": {"effort": "max"}, "thinking": {"type": "adaptive"}}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}},
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        ),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"n": 1, "logprobs": False, "modalities": ["text"], "presence_penalty": 0, "logit_bias": {}, "seed": None},
            {},
        ),
        ({"tools": [FUNCTION]}, {"tools": [TOOL]}),
        ({"tools": []}, {}),
        ({"tools": [FUNCTION], "tool_choice": "auto"}, {"tools": [TOOL], "tool_choice": {"type": "auto"}}),
        ({"tools": [FUNCTION], "tool_choice": "none"}, {"tools": [TOOL], "tool_choice": {"type": "none"}}),
        ({"tools": [FUNCTION], "tool_choice": "required"}, {"tools": [TOOL], "tool_choice": {"type": "any"}}),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
        ),
        (
            {"tools": [FUNCTION], "parallel_tool_calls": False},
            {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        ({"tools": [FUNCTION], "parallel_tool_calls": True}, {"tools": [TOOL]}),
        (
            {
                "tools": [FUNCTION, {"type": "function", "function": {"name": "g"}}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
                },
            },
            {"tools": [TOOL], "tool_choice": {"type": "any"}},
        ),
        (
            {
                "tools": [{"type": "function", "function": {"name": "g", "description": "d", "strict": True}}],
                "tool_choice": "required",
                "reasoning_effort": "high",
            },
            {
                "tools": [
                    {
                        "name": "g",
                        "input_schema": {"type": "object", "properties": {}},
                        "description": "d",
                        "strict": True,
                    }
                ],
                "tool_choice": {"type": "any"},
                "output_config": {"effort": "high"},
            },
        ),
    ],
)
def test_a_parameter_is_said_in_messages(parameters: dict[str, Any], said: dict[str, Any]) -> None:
    answer = translated(**parameters)
    expected = {"model": "claude-x", "max_tokens": 4096, "messages": [USER], **said}
    assert answer.body == expected
    assert answer.dropped == ()


@pytest.mark.parametrize(
    ("parameters", "dropped"),
    [
        ({"seed": 7, "presence_penalty": 0.5, "logit_bias": {"1": 2}}, ("logit_bias", "presence_penalty", "seed")),
        ({"store": True, "metadata": {"a": "b"}, "verbosity": "low"}, ("metadata", "store", "verbosity")),
        ({"service_tier": "flex"}, ("service_tier",)),
        ({"invented_tomorrow": {"x": 1}}, ("invented_tomorrow",)),
        ({"stream_options": {"include_obfuscation": True}}, ("stream_options.include_obfuscation",)),
        ({"response_format": {"type": "json_object"}}, ("response_format",)),
    ],
)
def test_a_parameter_without_counterpart_is_dropped_and_named(
    parameters: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    answer = translated(**parameters)
    assert answer.dropped == dropped
    assert {"model", "max_tokens", "messages"} <= set(answer.body) <= {"model", "max_tokens", "messages", "system"}


def test_any_json_is_asked_for_in_words() -> None:
    answer = translated({"role": "system", "content": "Be kind."}, USER, response_format={"type": "json_object"})
    assert answer.body["system"][0] == {"type": "text", "text": "Be kind."}
    assert "JSON object" in answer.body["system"][1]["text"]


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x", "format": "wav"}}, "audio"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": " "}, "stop"),
        ({"stop": ["x", "\n"]}, "stop[1]"),
        ({"stop": [3]}, "stop[0]"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"reasoning_effort": []}, "reasoning_effort"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            "response_format.json_schema.schema",
        ),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": {}}, None),
        ({"tools": "f"}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "custom"}}, "tool_choice"),
        ({"user": 3}, "user"),
    ],
)
def test_what_messages_cannot_say_is_a_400_that_names_the_field(parameters: dict[str, Any], param: str | None) -> None:
    if param is None:  # an empty value of the wrong type asks for nothing
        assert "tools" not in translated(**parameters).body
        return
    with pytest.raises(InvalidRequest) as refusal:
        translated(**parameters)
    assert refusal.value.http_status == 400
    assert refusal.value.param == param


def test_sampling_is_kept_for_the_old_version_and_dropped_for_the_new() -> None:
    asked: dict[str, Any] = {"temperature": 0.2, "top_p": 0.5, "top_k": 4}
    old, new = translated(**asked), translated(version="2026-10-21", **asked)
    assert asked.items() <= old.body.items()
    assert old.dropped == ()
    assert not asked.keys() & new.body.keys()
    assert new.dropped == ("temperature", "top_k", "top_p")
    assert anthropic_version_for(old.body) == "2023-06-01"
    assert anthropic_version_for(new.body) == "2026-10-21"
    assert anthropic_version_for(translated(temperature=1).body) == "2026-10-21"


def test_the_request_is_left_as_it_was() -> None:
    thinking = [{"index": 0, "type": "thinking", "thinking": "hm", "signature": "s"}]
    messages: list[dict[str, Any]] = [USER, {"role": "assistant", "content": "x ", "thinking_blocks": thinking}]
    before = repr(messages)
    translated(*messages, tools=[FUNCTION], parallel_tool_calls=False)
    assert repr(messages) == before
