"""Whole answers in the other dialect, judged by the official SDKs' types."""

from typing import Any

import anthropic.types
import openai.types.chat
import orjson
import pytest

from ali.providers.contract import UpstreamMalformed
from ali.providers.translate import (
    completion_from_message,
    message_from_completion,
    usage_from_completion,
    usage_from_message,
)

WEB = {
    "type": "web_search_result_location",
    "cited_text": "c",
    "encrypted_index": "e",
    "title": "T",
    "url": "https://e.org",
}
PAGE = {
    "type": "page_location",
    "cited_text": "c",
    "document_index": 0,
    "document_title": "Lei",
    "start_page_number": 1,
    "end_page_number": 2,
}


def message(*content: dict[str, Any], **rest: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a message
    usage = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2}
    return {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "model": "claude-up",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
        **rest,
    }


def to_chat(said: dict[str, Any]) -> dict[str, Any]:
    answer = completion_from_message(said, completion_id="chatcmpl-1", created=7, model="asked")
    openai.types.chat.ChatCompletion.model_validate(answer, strict=True)
    return answer


def completion(finish: str | None = "stop", **said: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a message
    return {
        "id": "chatcmpl-up",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-up",
        "choices": [{"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": 15,
            "completion_tokens": 5,
            "total_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
    }


def to_message(said: dict[str, Any]) -> dict[str, Any]:
    answer = message_from_completion(said, message_id="msg_1", model="asked")
    anthropic.types.Message.model_validate(answer, strict=True)
    return answer


def call(arguments: object, **rest: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a call
    return {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}, **rest}


def test_text_is_the_content_and_cached_tokens_are_part_of_the_prompt() -> None:
    answer = to_chat(message({"type": "text", "text": "Olá "}, {"type": "text", "text": "mundo"}))
    assert (answer["id"], answer["created"], answer["model"]) == ("chatcmpl-1", 7, "asked")
    assert answer["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "Olá mundo", "refusal": None, "annotations": []},
        "logprobs": None,
        "finish_reason": "stop",
    }
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (15, 5, 20)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 3
    assert usage["prompt_tokens_details"]["cache_write_tokens"] == 2


def test_parallel_tool_calls_keep_their_order_and_leave_the_content_null() -> None:
    said = to_chat(
        message(
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
            stop_reason="tool_use",
        )
    )["choices"][0]
    assert said["finish_reason"] == "tool_calls"
    assert said["message"]["content"] is None
    assert said["message"]["tool_calls"] == [
        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_thinking_is_handed_out_as_it_came() -> None:
    thinking = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "thinking", "thinking": "", "signature": "s2"},
    ]
    said = to_chat(message(*thinking, {"type": "text", "text": "Hi"}))["choices"][0]["message"]
    assert said["reasoning_content"] == "hm"
    assert said["thinking_blocks"] == thinking


def test_citations_stand_with_the_span_that_they_support() -> None:
    said = to_chat(
        message(
            {"type": "text", "text": "Olá. "},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "text", "text": "Sim", "citations": [WEB, PAGE]},
            {"type": "text", "text": "."},
        )
    )["choices"][0]["message"]
    assert said["content"][5:8] == "Sim"
    span = {"start_index": 5, "end_index": 8}
    assert said["annotations"] == [
        {"type": "url_citation", "url_citation": {**span, "url": "https://e.org", "title": "T"}}
    ]
    assert said["citations"] == [{**span, "citation": WEB}, {**span, "citation": PAGE}]


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("invented_tomorrow", "stop"),
    ],
)
def test_stop_reasons_become_finish_reasons(stop: str, finish: str) -> None:
    assert to_chat(message({"type": "text", "text": "x"}, stop_reason=stop))["choices"][0]["finish_reason"] == finish


def test_a_refusal_says_why_where_anthropic_does() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "No."}
    said = to_chat(message(stop_reason="refusal", stop_details=details))["choices"][0]["message"]
    assert (said["content"], said["refusal"]) == (None, "No.")


@pytest.mark.parametrize(
    ("finish", "said", "stop", "content"),
    [
        ("stop", {"content": "Hi"}, "end_turn", [{"type": "text", "text": "Hi"}]),
        ("length", {"content": "Hi"}, "max_tokens", [{"type": "text", "text": "Hi"}]),
        ("content_filter", {"content": ""}, "refusal", []),
        (None, {"content": None}, "end_turn", []),
        ("tool_calls", {"content": None}, "end_turn", []),
        (
            "tool_calls",
            {"content": "t", "tool_calls": [call('{"a":1}')]},
            "tool_use",
            [{"type": "text", "text": "t"}, {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}],
        ),
        (  # what OpenAI says after a forced call
            "stop",
            {"tool_calls": [call("")]},
            "tool_use",
            [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}],
        ),
        (  # some compatible servers send the object itself
            "tool_calls",
            {"tool_calls": [call({"a": 1})]},
            "tool_use",
            [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}],
        ),
        ("length", {"tool_calls": [call('{"a":')]}, "max_tokens", []),
        ("stop", {"content": None, "refusal": "No."}, "refusal", [{"type": "text", "text": "No."}]),
        (
            "stop",
            {"content": "Hi", "reasoning_content": "hm"},
            "end_turn",
            [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "Hi"}],
        ),
        (
            "stop",
            {"content": "See", "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "T"}}]},
            "end_turn",
            [
                {
                    "type": "text",
                    "text": "See",
                    "citations": [
                        {
                            "type": "web_search_result_location",
                            "cited_text": "",
                            "encrypted_index": "",
                            "title": "T",
                            "url": "u",
                        }
                    ],
                }
            ],
        ),
    ],
)
def test_a_completion_becomes_a_message(finish: str | None, said: dict[str, Any], stop: str, content: object) -> None:
    answer = to_message(completion(finish, **said))
    assert answer["stop_reason"] == stop
    assert answer["content"] == content
    assert answer["usage"] == {
        "input_tokens": 12,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 4},
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": []},
        {"choices": ["x"]},
        {"choices": [{"message": "x"}]},
        {"choices": [{"message": {"content": ["x"]}}]},
        {"choices": [{"message": {"tool_calls": [call("[1]")]}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"tool_calls": [call("{oops")]}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"tool_calls": [{"id": "c"}]}}]},
        {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": -1}},
        {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": "many"}},
        {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1e300}},
    ],
)
def test_what_is_no_completion_is_the_providers_fault(body: dict[str, Any]) -> None:
    with pytest.raises(UpstreamMalformed):
        message_from_completion(body, message_id="m", model="x")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": "x"},
        {"content": ["x"]},
        {"content": [{"type": "text", "text": 3}]},
        {"content": [{"type": "tool_use", "id": "t", "name": "f", "input": "x"}]},
        {"content": [], "stop_reason": 3},
        {"content": [], "usage": []},
    ],
)
def test_what_is_no_message_is_the_providers_fault(body: dict[str, Any]) -> None:
    with pytest.raises(UpstreamMalformed):
        completion_from_message(body, completion_id="c", created=1, model="x")


def test_nesting_too_deep_to_write_is_the_providers_fault() -> None:
    deep = orjson.loads(b'{"a":' * 400 + b"1" + b"}" * 400)
    with pytest.raises(UpstreamMalformed):
        to_chat(message({"type": "tool_use", "id": "t", "name": "f", "input": deep}))


def test_usage_tells_zero_from_unknown_and_reads_every_spelling() -> None:
    assert not usage_from_message({}).reported
    assert not usage_from_completion({}).reported
    assert usage_from_completion({"prompt_tokens": 0}).reported
    assert usage_from_completion({"prompt_tokens": 9.0, "prompt_cache_hit_tokens": 4}).cached_input_tokens == 4
    by_lifetime = {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}
    read = usage_from_message({"input_tokens": 1, "output_tokens": 1, "cache_creation": by_lifetime})
    assert (read.input_tokens, read.cache_write_tokens) == (6, 5)
    assert usage_from_message({"output_tokens_details": {"thinking_tokens": 8}}).reasoning_tokens == 8
