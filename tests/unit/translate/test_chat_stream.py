"""Anthropic's events as chat chunks."""

from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from ali.providers.contract import UpstreamMalformed, UpstreamRefused
from ali.providers.translate import ChatFromMessages, completion_from_message
from tests.unit.translate.reading import chunks_of, completion_of, named, relayed

START: dict[str, Any] = {
    "type": "message_start",
    "message": {"usage": {"input_tokens": 10, "cache_read_input_tokens": 3}},
}
STOP = {"type": "message_stop"}
WEB = {
    "type": "web_search_result_location",
    "cited_text": "c",
    "encrypted_index": "e",
    "title": None,
    "url": "https://e.org",
}


def relay(*, include_usage: bool = False) -> ChatFromMessages:
    return ChatFromMessages(completion_id="chatcmpl-1", created=7, model="asked", include_usage=include_usage)


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(index: int, *pieces: str) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def tool(index: int, name: str, *pieces: str) -> list[dict[str, Any]]:
    deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
    return block(index, {"type": "tool_use", "id": f"t{index}", "name": name, "input": {}}, *deltas)


def end(stop: str = "end_turn", **delta: object) -> list[dict[str, Any]]:
    usage = {"output_tokens": 9, "input_tokens": None}
    return [{"type": "message_delta", "delta": {"stop_reason": stop, **delta}, "usage": usage}, STOP]


RICH: list[dict[str, Any]] = [
    START,
    {"type": "ping"},
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "h"},
        {"type": "thinking_delta", "thinking": "m"},
        {"type": "signature_delta", "signature": "s"},
    ),
    *block(1, {"type": "redacted_thinking", "data": "xyz"}),
    *block(2, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "signature_delta", "signature": "s2"}),
    *text(3, "Olá ", "mundo"),
    *block(
        4,
        {"type": "text", "text": "", "citations": []},
        {"type": "text_delta", "text": "!"},
        {"type": "citations_delta", "citation": WEB},
    ),
    *block(
        5,
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"q":1}'},
    ),
    {"type": "invented_tomorrow"},
    *tool(6, "f", "", '{"a":', "1}"),
    *tool(7, "g", ""),
    *end("tool_use"),
]


def test_a_stream_adds_up_to_the_answer_that_was_not_streamed() -> None:
    chunks = chunks_of(relayed(relay(include_usage=True), named(*RICH)))
    whole = completion_from_message(
        {
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "thinking", "thinking": "", "signature": "s2"},
                {"type": "text", "text": "Olá mundo"},
                {"type": "text", "text": "!", "citations": [WEB]},
                {"type": "tool_use", "id": "t6", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "t7", "name": "g", "input": {}},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 9},
        },
        completion_id="chatcmpl-1",
        created=7,
        model="asked",
    )
    said = whole["choices"][0]["message"]
    built = completion_of(chunks)
    for name in ("content", "reasoning_content", "thinking_blocks", "citations", "annotations"):
        assert built[name] == said[name], name
    assert built["tool_calls"] == [{"id": c["id"], **c["function"]} for c in said["tool_calls"]]
    assert built["finish_reason"] == "tool_calls"
    assert built["usage"] == whole["usage"]


def test_the_official_sdk_puts_the_stream_together() -> None:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks_of(relayed(relay(include_usage=True), named(*RICH))):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    answer = state.get_final_completion()
    said = answer.choices[0].message
    assert said.content == "Olá mundo!"
    assert [call.function.arguments for call in said.tool_calls or []] == ['{"a":1}', "{}"]
    assert said.model_extra is not None
    assert [entry["type"] for entry in said.model_extra["thinking_blocks"]] == [
        "thinking",
        "redacted_thinking",
        "thinking",
    ]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 13


@pytest.mark.parametrize("include_usage", [True, False])
def test_usage_is_there_where_it_was_asked_for_and_nowhere_else(*, include_usage: bool) -> None:
    chunks = chunks_of(relayed(relay(include_usage=include_usage), named(START, *text(0, "Hi"), *end())))
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        ("chatcmpl-1", 7, "asked", "chat.completion.chunk")
    }
    if not include_usage:
        assert not any("usage" in chunk for chunk in chunks)
        return
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 22


def test_usage_is_known_before_the_end() -> None:
    watched = relay()
    assert not watched.usage.reported
    watched.feed(named(START)[0])
    assert (watched.usage.input_tokens, watched.usage.cached_input_tokens) == (13, 3)
    relayed(watched, named(*text(0, "Hi"), *end()))
    assert (watched.usage.input_tokens, watched.usage.output_tokens) == (13, 9)
    assert watched.stop_reason == "end_turn"
    assert watched.output_chars == 2


def test_a_refusal_says_why_before_the_finish() -> None:
    details = {"type": "refusal", "category": None, "explanation": "No."}
    built = completion_of(chunks_of(relayed(relay(), named(START, *end("refusal", stop_details=details)))))
    assert (built["refusal"], built["finish_reason"]) == ("No.", "content_filter")


def test_text_and_input_that_stand_in_the_start_of_a_block_are_not_lost() -> None:
    whole_input = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    events = [START, *block(0, {"type": "text", "text": "Hi"}), *block(1, whole_input), *end("tool_use")]
    built = completion_of(chunks_of(relayed(relay(), named(*events))))
    assert built["content"] == "Hi"
    assert built["tool_calls"][0]["arguments"] == '{"a":1}'


@pytest.mark.parametrize(
    ("kind", "status"),
    [("overloaded_error", 503), ("rate_limit_error", 429), ("api_error", 502), ("invalid_request_error", 400)],
)
def test_an_error_in_the_stream_keeps_its_kind(kind: str, status: int) -> None:
    broken = relay()
    broken.feed(named(START)[0])
    with pytest.raises(UpstreamRefused) as refusal:
        broken.feed(named({"type": "error", "error": {"type": kind, "message": "Sorry"}})[0])
    assert refusal.value.kind == kind
    assert refusal.value.http_status == status
    assert "Sorry" in refusal.value.message


def test_what_follows_the_end_is_not_read() -> None:
    ended = relay()
    relayed(ended, named(START, *text(0, "Hi"), *end()))
    assert ended.feed(b"data: rubbish\n\n") == b""


@pytest.mark.parametrize(
    "events",
    [
        [*text(0, "x")],
        [START, START],
        [START, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}],
        [START, {"type": "content_block_delta", "index": [0], "delta": {}}],
        [START, *text(0, "x"), {"type": "content_block_stop", "index": 0}],
        [START, text(0)[0], text(0)[0]],
        [START, *block(0, {"type": "text", "text": ""}, {"type": "thinking_delta", "thinking": "x"})],
        [START, *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": 3})],
        [START, *text(0, "x"), STOP],
        [START, text(0)[0], *end()],
        [{"type": "message_start", "message": []}],
        [START, {"type": "message_delta", "delta": "x"}],
        [START, {"type": "message_delta", "delta": {}, "usage": {"output_tokens": "x"}}],
    ],
)
def test_events_out_of_order_or_shape_are_the_providers_fault(events: list[dict[str, Any]]) -> None:
    with pytest.raises(UpstreamMalformed):
        relayed(relay(), named(*events))


@pytest.mark.parametrize("data", [b"{", b"[1]", b"null", b'{"type":"\xff"}', b"[DONE]", b'{"type":"\\ud800"}'])
def test_what_is_no_json_object_is_the_providers_fault(data: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        relay().feed(b"data: " + data + b"\n\n")
