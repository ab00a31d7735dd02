"""A Messages request as a chat request: what is carried, dropped and refused."""

from typing import Any

import pytest

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Translated
from ali.providers.translate import messages_to_chat
from ali.providers.translate.tools import openai_id

USER = {"role": "user", "content": "Hello"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

SHORTENED = openai_id("t" * 50)


def translated(*messages: dict[str, Any], **rest: Any) -> Translated[dict[str, Any]]:  # noqa: ANN401 - request fields
    asked = {"model": "asked", "max_tokens": 9, "messages": list(messages) or [USER], **rest}
    return messages_to_chat(asked, model="gpt-x")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, {}),
        ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5, "top_p": 1}),
        ({"stop_sequences": ["A"]}, {"stop": ["A"]}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"speed": "standard", "container": None, "mcp_servers": []}, {}),
        ({"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 32000}}, {"reasoning_effort": "high"}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": CLOSED, "strict": True},
                }
            },
        ),
        (
            {"tools": [{**TOOL, "type": "custom", "description": "d", "strict": True}]},
            {"tools": [{"type": "function", "function": {**FUNCTION["function"], "description": "d", "strict": True}}]},  # type: ignore[dict-item] # a literal of the table
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, {"tools": [FUNCTION], "tool_choice": "required"}),
        ({"tools": [TOOL], "tool_choice": {"type": "none"}}, {"tools": [FUNCTION], "tool_choice": "none"}),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
            {
                "tools": [FUNCTION],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "parallel_tool_calls": False,
            },
        ),
    ],
)
def test_a_parameter_is_said_in_chat(parameters: dict[str, Any], said: dict[str, Any]) -> None:
    answer = translated(**parameters)
    assert answer.body == {"model": "gpt-x", "max_completion_tokens": 9, "messages": [USER], **said}
    assert answer.dropped == ()


@pytest.mark.parametrize(
    ("parameters", "dropped"),
    [
        ({"top_k": 5}, ("top_k",)),
        ({"speed": "fast", "context_management": {}, "invented": 1}, ("context_management", "invented", "speed")),
        ({"thinking": {"type": "disabled"}}, ("thinking",)),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            ("output_config.format.strict",),
        ),
        ({"tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}]}, ("tools.cache_control",)),
        ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}, ("cache_control",)),
    ],
)
def test_a_parameter_without_counterpart_is_dropped_and_named(
    parameters: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    assert translated(**parameters).dropped == dropped


def test_a_long_user_id_becomes_a_stable_short_one() -> None:
    users = [translated(metadata={"user_id": "u" * 150}).body["user"] for _ in range(2)]
    assert users[0] == users[1]
    assert len(users[0]) == 64


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 1.2}, "temperature"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "whim"}}, "tool_choice.type"),
        ({"output_config": {"effort": "extreme"}}, "output_config.effort"),
        ({"system": [IMAGE]}, "system[0].type"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [USER, {"role": "assistant", "content": "The"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}, USER]},
            "messages[0].content[0].type",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, "messages[0].content[0].type"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
                ]
            },
            "messages[0].content[0].source",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "u"}}]}]},
            "messages[0].content[0].source",
        ),
    ],
)
def test_what_chat_cannot_say_is_a_400_that_names_the_field(parameters: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        translated(**parameters)
    assert refusal.value.http_status == 400
    assert refusal.value.param == param


@pytest.mark.parametrize(
    ("asked", "said", "dropped"),
    [
        ({"system": "S"}, [{"role": "system", "content": "S"}, USER], ()),
        (
            {"system": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
            [{"role": "system", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}, USER],
            (),
        ),
        ({"system": ""}, [USER], ()),
        (
            {"messages": [USER, {"role": "system", "content": "now"}]},
            [USER, {"role": "system", "content": "now"}],
            (),
        ),
        (  # results before the words; a failed one says so; images of a result follow in the user's message
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "thinking", "thinking": "hm", "signature": "s"},
                            {"type": "text", "text": "Let me "},
                            {"type": "text", "text": "look."},
                            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                            {"type": "tool_use", "id": "t" * 50, "name": "f", "input": {}},
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "go on"},
                            {"type": "tool_result", "tool_use_id": "t1", "content": "boom", "is_error": True},
                            {
                                "type": "tool_result",
                                "tool_use_id": "t" * 50,
                                "content": [{"type": "text", "text": "seen"}, IMAGE],
                            },
                        ],
                    },
                ]
            },
            [
                {
                    "role": "assistant",
                    "content": "Let me look.",
                    "tool_calls": [
                        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                        {
                            "id": SHORTENED,
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        },
                    ],
                },
                {"role": "tool", "tool_call_id": "t1", "content": "The tool call failed: boom"},
                {
                    "role": "tool",
                    "tool_call_id": SHORTENED,
                    "content": "seen\nThe result is attached to the next user message.",
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "text",
                            "text": f"Attached result of the tool call {SHORTENED}:",
                        },
                        IMAGE_PART,
                        {"type": "text", "text": "go on"},
                    ],
                },
            ],
            ("messages.thinking",),
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            IMAGE,
                            {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}},
                            {
                                "type": "document",
                                "title": "lei.pdf",
                                "citations": {"enabled": True},
                                "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
                            },
                            {
                                "type": "document",
                                "title": "Lei",
                                "source": {"type": "text", "media_type": "text/plain", "data": "Art. 1"},
                            },
                            {
                                "type": "document",
                                "context": "c",
                                "source": {"type": "content", "content": [{"type": "text", "text": "x"}, IMAGE]},
                            },
                            {
                                "type": "search_result",
                                "title": "T",
                                "source": "https://e.org",
                                "content": [{"type": "text", "text": "found"}],
                            },
                        ],
                    }
                ]
            },
            [
                {
                    "role": "user",
                    "content": [
                        IMAGE_PART,
                        {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}},
                        {
                            "type": "file",
                            "file": {"filename": "lei.pdf", "file_data": "data:application/pdf;base64,AAAA"},
                        },
                        {"type": "text", "text": "Lei\nArt. 1"},
                        {"type": "text", "text": "c"},
                        {"type": "text", "text": "x"},
                        IMAGE_PART,
                        {"type": "text", "text": "T\nhttps://e.org\nfound"},
                    ],
                }
            ],
            ("citations",),
        ),
    ],
)
def test_turns_become_messages(asked: dict[str, Any], said: list[dict[str, Any]], dropped: tuple[str, ...]) -> None:
    answer = translated(**asked)
    assert answer.body["messages"] == said
    assert answer.dropped == dropped


def test_a_tool_call_id_that_openai_would_refuse_for_its_length_is_shortened() -> None:
    assert openai_id("t" * 40) == "t" * 40
    assert len(SHORTENED) <= 40
    assert openai_id("t" * 51) != SHORTENED
