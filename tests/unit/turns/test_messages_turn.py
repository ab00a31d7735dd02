"""Anthropic's events as the output of a response."""

from typing import Any

import orjson
import pytest

from ali.providers.contract import UpstreamCredentialRefused, UpstreamError, UpstreamMalformed, UpstreamRefused
from tests.unit.translate.reading import named
from tests.unit.translate.test_chat_stream import RICH, START, STOP, WEB, block, end, text, tool
from tests.unit.turns.messages_sealing import turn, unseal
from tests.unit.turns.output_reading import output_events, output_of, turned

THOUGHT: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}


def test_a_rich_stream_is_written_item_by_item() -> None:
    relay = turn()
    thought, redacted, empty, message, first, second = output_of(output_events(turned(relay, named(*RICH))))
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert unseal(thought["encrypted_content"]) == {"blocks": [{**THOUGHT, "thinking": "hm", "signature": "s"}]}
    assert redacted["summary"] == []
    assert unseal(redacted["encrypted_content"]) == {"blocks": [{"type": "redacted_thinking", "data": "xyz"}]}
    assert unseal(empty["encrypted_content"]) == {"blocks": [{**THOUGHT, "signature": "s2"}]}
    assert [part["text"] for part in message["content"]] == ["Olá mundo", "!"]
    [cited] = message["content"][1]["annotations"]
    assert (cited["type"], cited["url"], cited["start_index"], cited["end_index"]) == (
        *("url_citation", "https://e.org"),
        *(0, 1),
    )
    assert (first["call_id"], first["name"], first["arguments"]) == ("t6", "f", '{"a":1}')
    assert (second["call_id"], second["name"], second["arguments"]) == ("t7", "g", "{}")
    assert (relay.usage.input_tokens, relay.usage.cached_input_tokens, relay.usage.output_tokens) == (13, 3, 9)
    assert (relay.stop_reason, relay.incomplete_reason) == ("tool_use", None)
    assert relay.output_chars == len("hm" + "Olá mundo" + "!" + '{"a":1}')


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("max_tokens", "max_output_tokens"),
        ("model_context_window_exceeded", "max_output_tokens"),
        ("refusal", "content_filter"),
        ("end_turn", None),
        ("pause_turn", None),
        ("invented_tomorrow", None),
    ],
)
@pytest.mark.parametrize(
    "last",
    [
        text(1, "Hi"),
        tool(1, "f", '{"a'),
        tool(1, "c", '{"input":"a'),
        block(1, THOUGHT, {"type": "thinking_delta", "thinking": "h"}),
    ],
    ids=["text", "call", "custom call", "thinking"],
)
def test_where_the_model_was_cut_off_the_last_item_is_incomplete(
    stop: str, reason: str | None, last: list[dict[str, Any]]
) -> None:
    relay = turn("c")
    first, cut = output_of(output_events(turned(relay, named(START, *tool(0, "f"), *last, *end(stop)))))
    assert first["status"] == "completed"
    assert cut["status"] == ("completed" if reason is None else "incomplete")
    assert relay.incomplete_reason == reason
    assert "encrypted_content" not in cut, "without a signature nothing is sealed"


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": None, "explanation": "No."}
    relay = turn()
    events = named(START, *text(0, "Well"), *end("refusal", stop_details=details))
    [message] = output_of(output_events(turned(relay, events)))
    assert message["status"] == "incomplete"
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal"]
    assert message["content"][1]["refusal"] == "No."
    assert relay.incomplete_reason == "content_filter"


@pytest.mark.parametrize(
    ("pieces", "deltas"),
    [
        (['{"input":', '"a\\', "n\\ud83d", '\\ude00"', "}"], ["a", "\n", "😀"]),
        ([' { "input" : "', "xxx", '"}'], ["xxx"]),
        (['{"other":1,', '"input":"late"}'], ["late"]),
        (['{"other":1}'], ['{"other":1}']),
        (['{"input":3}'], ['{"input":3}']),
        (["[" * 300, "]" * 300], ["[" * 300 + "]" * 300]),
        (["no JSON"], ["no JSON"]),
        (['{"input":"a\\ud83d!"}'], ["a", "\ufffd!"]),
        (['{"input":"line\nfeed"}'], ["line\nfeed"]),
        (['{"input":"one","input":"two"}'], ["one"]),
        (['{"input":""}'], []),
    ],
)
def test_the_input_of_a_custom_tool_is_decoded_as_it_comes(pieces: list[str], deltas: list[str]) -> None:
    events = output_events(turned(turn("c"), named(START, *tool(0, "c", *pieces), *end("tool_use"))))
    assert [event["delta"] for event in events if event["type"].endswith("input.delta")] == deltas
    [call] = output_of(events)
    assert (call["type"], call["input"]) == ("custom_tool_call", "".join(deltas))


def test_what_stands_in_the_start_of_a_block_is_not_lost() -> None:
    whole = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    custom = {"type": "tool_use", "id": "", "name": "c", "input": {"input": "x"}}
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s", "new": [1]}
    events = [START, *block(0, thinking), *block(1, {"type": "text", "text": "Hi", "citations": [WEB]})]
    events += [*block(2, whole), *block(3, custom), *end("tool_use")]
    written = output_events(turned(turn("c"), named(*events)))
    thought, message, call, custom_call = output_of(written)
    assert unseal(thought["encrypted_content"]) == {"blocks": [thinking]}
    assert message["content"][0]["text"] == "Hi"
    assert message["content"][0]["annotations"][0]["end_index"] == 2
    assert call["arguments"] == '{"a":1}'
    assert custom_call["input"] == "x"
    assert custom_call["call_id"].startswith("call")


def test_a_citation_that_comes_before_its_text_spans_all_of_it() -> None:
    deltas: list[dict[str, Any]] = [
        {"type": "citations_delta", "citation": WEB},
        {"type": "text_delta", "text": "Hi"},
    ]
    unknown = {"type": "citations_delta", "citation": {"type": "invented_tomorrow"}}
    events = [START, *block(0, {"type": "text", "text": ""}, *deltas, unknown), *end()]
    [message] = output_of(output_events(turned(turn(), named(*events))))
    [annotation] = message["content"][0]["annotations"]
    assert (annotation["start_index"], annotation["end_index"]) == (0, 2)
    assert annotation["citation"] == WEB


@pytest.mark.parametrize(
    "strange",
    [
        {"type": "invented_tomorrow", "delta": 3, "index": "x"},
        {"type": "ping"},
        {"type": 3},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta", "text": {"a": 1}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta"}},
    ],
)
def test_what_is_not_known_says_nothing(strange: dict[str, Any]) -> None:
    relay = turn()
    for event in named(START, text(0)[0]):
        relay.feed(event)
    assert relay.feed(b"data: " + orjson.dumps(strange) + b"\n\n") == b""
    assert relay.feed(b": comment\n\n") == b""
    [message] = output_of(output_events(turned(relay, named(*text(0, "Hi")[1:], *end()))))
    assert message["content"][0]["text"] == "Hi"


def test_pings_are_no_progress() -> None:
    relay = turn()
    relay.feed(named(START)[0])
    before = relay.progress
    relay.feed(named({"type": "ping"})[0])
    relay.feed(named({"type": "invented_tomorrow"})[0])
    assert relay.progress == before == 1


def test_blocks_of_anthropics_own_tools_say_nothing_and_do_not_break_the_message() -> None:
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [], "text": {"a": 1}}
    events = [START, *text(0, "a"), *block(1, result, {"type": "text_delta", "text": 3}), *text(2, "b"), *end()]
    [message] = output_of(output_events(turned(turn(), named(*events))))
    assert [part["text"] for part in message["content"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("overloaded_error", 503, UpstreamRefused),
        ("rate_limit_error", 429, UpstreamRefused),
        ("api_error", 502, UpstreamRefused),
        ("invalid_request_error", 400, UpstreamRefused),
        ("authentication_error", 502, UpstreamCredentialRefused),
    ],
)
def test_an_error_in_the_stream_keeps_its_kind(kind: str, status: int, error: type[UpstreamError]) -> None:
    relay = turn()
    relay.feed(named(START)[0])
    with pytest.raises(error) as refusal:
        relay.feed(named({"type": "error", "error": {"type": kind, "message": "Sorry"}})[0])
    assert refusal.value.http_status == status
    assert refusal.value.provider == "anthropic"


@pytest.mark.parametrize(
    "events",
    [
        [*text(0, "x")],
        [STOP],
        [START, START],
        [START, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}],
        [START, {"type": "content_block_delta", "index": [0], "delta": {}}],
        [START, text(0)[0], {"type": "content_block_delta", "index": 0}],
        [START, text(0)[0], {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "x"}}],
        [START, *text(0, "x"), {"type": "content_block_stop", "index": 0}],
        [START, text(0)[0], text(1)[0]],
        [START, *block(0, {"type": "text", "text": ""}, {"type": "thinking_delta", "thinking": "x"})],
        [START, *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": 3})],
        [START, *block(0, {"type": "redacted_thinking", "data": "x"}, {"type": "thinking_delta", "thinking": "x"})],
        [START, *block(0, THOUGHT, {"type": "text_delta", "text": "x"})],
        [START, *tool(0, ""), *end()],
        [START, *block(0, {"type": "tool_use", "name": ["f"]})],
        [START, *block(0, {"type": "tool_use", "name": "f", "input": "x"})],
        [START, *block(0, {"type": "tool_use", "name": "f"}, {"type": "text_delta", "text": "x"})],
        [START, *text(0, "x"), STOP],
        [START, text(0)[0], *end()],
        [{"type": "message_start", "message": []}],
        [START, {"type": "message_delta", "delta": "x"}],
        [START, {"type": "message_delta", "delta": {}, "usage": {"output_tokens": "x"}}],
    ],
)
def test_events_out_of_order_or_shape_are_the_providers_fault(events: list[dict[str, Any]]) -> None:
    with pytest.raises(UpstreamMalformed) as fault:
        turned(turn(), named(*events))
    assert fault.value.provider == "anthropic"


@pytest.mark.parametrize("data", [b"{", b"[1]", b"null", b'{"type":"\xff"}', b"[DONE]", b'{"type":"\\ud800"}'])
def test_what_is_no_json_object_is_the_providers_fault(data: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        turn().feed(b"data: " + data + b"\n\n")


def test_what_follows_the_end_is_not_read() -> None:
    relay = turn()
    turned(relay, named(START, *text(0, "Hi"), *end()))
    assert relay.feed(b"data: rubbish\n\n") == b""
