"""The messages of a chat request as Anthropic's turns: what is carried, dropped and refused."""

import base64
from typing import Any

import pytest

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Translated
from ali.providers.translate import chat_to_messages

PDF = "data:application/pdf;base64,JVBERi0xLjQ="
PNG = "data:image/png;base64,iVBORw0KGgo="
USER = {"role": "user", "content": "Hello"}


def translated(*messages: dict[str, Any]) -> Translated[dict[str, Any]]:
    return chat_to_messages(
        {"model": "asked", "messages": list(messages)},
        model="claude-x",
        default_max_tokens=4096,
        anthropic_version="2026-10-21",
    )


def call(arguments: object, call_id: str = "call_1", name: str = "f") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("messages", "system", "said"),
    [
        (  # system and developer, anywhere, in order
            [
                {"role": "system", "content": "A"},
                USER,
                {"role": "assistant", "content": "Hi"},
                {"role": "developer", "content": [{"type": "text", "text": "B"}]},
                {"role": "user", "content": "Bye"},
            ],
            [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}],
            [USER, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Bye"}],
        ),
        ([{"role": "system", "content": " "}, USER], None, [USER]),
        (  # neighbours of one role become one; blank text is left out
            [
                USER,
                {"role": "user", "content": " \n"},
                {"role": "user", "content": [{"type": "text", "text": "there"}]},
            ],
            None,
            [{"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]}],
        ),
        (  # a prefill does not end in whitespace
            [USER, {"role": "assistant", "content": "The answer is \n"}],
            None,
            [USER, {"role": "assistant", "content": "The answer is"}],
        ),
        (  # results of parallel calls, in order, in one message, before the user's words
            [
                USER,
                {"role": "assistant", "content": None, "tool_calls": [call('{"a":1}'), call("", "call.2")]},
                {"role": "tool", "tool_call_id": "call_1", "content": "one"},
                {"role": "tool", "tool_call_id": "call.2", "content": [{"type": "text", "text": "two"}]},
                {"role": "user", "content": "go on"},
            ],
            None,
            [
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}},
                        {"type": "tool_use", "id": "call_2", "name": "f", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
                        {"type": "tool_result", "tool_use_id": "call_2", "content": "two"},
                        {"type": "text", "text": "go on"},
                    ],
                },
            ],
        ),
        (  # words that came before the results go behind them; an empty and a failed result
            [
                {"role": "user", "content": "wait"},
                {"role": "tool", "tool_call_id": "c", "content": ""},
                {"role": "tool", "tool_call_id": "d", "content": "no", "is_error": True},
            ],
            None,
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c"},
                        {"type": "tool_result", "tool_use_id": "d", "content": "no", "is_error": True},
                        {"type": "text", "text": "wait"},
                    ],
                }
            ],
        ),
        (  # an image inside a tool's result
            [{"role": "tool", "tool_call_id": "c", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}],
            None,
            [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "c",
                            "content": [
                                {
                                    "type": "image",
                                    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
                                }
                            ],
                        }
                    ],
                }
            ],
        ),
        (  # images and documents
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": "https://e.org/a.png"},
                        {"type": "file", "file": {"file_data": PDF, "filename": "lei.pdf"}},
                        {"type": "file", "file": {"file_data": "JVBERi0xLjQ="}},
                        {
                            "type": "file",
                            "file": {
                                "file_data": "data:text/plain;base64," + base64.b64encode("ação".encode()).decode(),
                                "filename": "a.txt",
                            },
                        },
                        {"type": "text", "text": "Read.", "cache_control": {"type": "ephemeral"}},
                    ],
                }
            ],
            None,
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}},
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="},
                            "title": "lei.pdf",
                        },
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="},
                        },
                        {
                            "type": "document",
                            "source": {"type": "text", "media_type": "text/plain", "data": "ação"},
                            "title": "a.txt",
                        },
                        {"type": "text", "text": "Read.", "cache_control": {"type": "ephemeral"}},
                    ],
                }
            ],
        ),
        (  # thinking comes back first and as it was, empty and redacted too; the stream's index is taken off
            [
                USER,
                {
                    "role": "assistant",
                    "content": "Hi",
                    "reasoning_content": "hm",
                    "thinking_blocks": [
                        {"index": 0, "type": "thinking", "thinking": "", "signature": "s1"},
                        {"type": "redacted_thinking", "data": "xyz"},
                        {"type": "thinking", "thinking": "hm", "signature": "s2"},
                    ],
                    "tool_calls": [call("{}")],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "r"},
            ],
            None,
            [
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "", "signature": "s1"},
                        {"type": "redacted_thinking", "data": "xyz"},
                        {"type": "thinking", "thinking": "hm", "signature": "s2"},
                        {"type": "text", "text": "Hi"},
                        {"type": "tool_use", "id": "call_1", "name": "f", "input": {}},
                    ],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "r"}]},
            ],
        ),
        (  # a refusal of an earlier turn
            [USER, {"role": "assistant", "content": None, "refusal": "No."}, USER],
            None,
            [USER, {"role": "assistant", "content": "No."}, USER],
        ),
    ],
)
def test_messages_become_turns(messages: list[dict[str, Any]], system: object, said: list[dict[str, Any]]) -> None:
    answer = translated(*messages)
    assert answer.body.get("system") == system
    assert answer.body["messages"] == said
    assert answer.dropped == ()


@pytest.mark.parametrize(
    ("message", "dropped"),
    [
        ({"role": "user", "content": "x", "name": "ana"}, "messages.name"),
        ({"role": "assistant", "content": "x", "reasoning_content": "hm"}, "messages.reasoning_content"),
        (
            {"role": "assistant", "content": "x", "thinking_blocks": [{"type": "thinking", "thinking": "hm"}]},
            "messages.thinking_blocks",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}]},
            "image_url.detail",
        ),
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}],
            },
            "prompt_cache_breakpoint",
        ),
    ],
)
def test_what_a_message_loses_is_named(message: dict[str, Any], dropped: str) -> None:
    assert translated(message, USER).dropped == (dropped,)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "assistant", "tool_calls": [call("{oops")]}, "messages[0].tool_calls[0].function.arguments"),
        ({"role": "assistant", "tool_calls": [call("[1]")]}, "messages[0].tool_calls[0].function.arguments"),
        ({"role": "assistant", "tool_calls": [call({"a": 1})]}, "messages[0].tool_calls[0].function.arguments"),
        ({"role": "assistant", "tool_calls": [call("{}", call_id="")]}, "messages[0].tool_calls[0].id"),
        ({"role": "assistant", "tool_calls": [{"type": "custom"}]}, "messages[0].tool_calls[0].type"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "messages[0].function_call"),
        ({"role": "assistant", "content": [{"type": "image_url"}]}, "messages[0].content[0].type"),
        ({"role": "assistant", "thinking_blocks": [{"type": "text"}]}, "messages[0].thinking_blocks[0].type"),
        ({"role": "function", "content": "x"}, "messages[0].role"),
        ({"role": "critic", "content": "x"}, "messages[0].role"),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
        ({"role": "user", "content": None}, "messages[0].content"),
        ({"role": "user", "content": " "}, "messages"),
        ({"role": "system", "content": "only"}, "messages"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "video"}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": ["text"]}, "messages[0].content[0]"),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]},
            "messages[0].content[0].file.file_id",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:image/tiff;base64,AAAA"}}]},
            "messages[0].content[0].file.file_data",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}]},
            "messages[0].content[0].file.file_data",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://e.org/a.png"}}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AAAA"}}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png,AAAA"}}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"role": "system", "content": [{"type": "image_url"}]}, "messages[0].content[0].type"),
    ],
)
def test_a_message_that_cannot_be_said_is_a_400_that_names_the_field(message: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        translated(message)
    assert refusal.value.param == param
