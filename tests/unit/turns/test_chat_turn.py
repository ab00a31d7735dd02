"""Chat chunks as a response's output."""

from typing import Any

import orjson
import pytest

from ali.providers.contract import UpstreamMalformed, UpstreamRefused
from ali.providers.turns import OutputWriter
from ali.providers.turns.chat_turn import ChatTurn
from tests.unit.translate.reading import sent
from tests.unit.translate.test_messages_stream import call, chunk, usage
from tests.unit.turns.output_reading import output_events, output_of, told, turned

DONE = "[DONE]"


def turn() -> ChatTurn:
    return ChatTurn(OutputWriter(), provider="local")


def output(*bodies: dict[str, Any] | str) -> list[dict[str, Any]]:
    return output_of(output_events(turned(turn(), sent(*bodies, DONE))))


def test_a_plain_stream_is_one_message() -> None:
    relay = turn()
    events = output_events(
        turned(
            relay,
            sent(
                chunk(role="assistant", content="", refusal=None),
                chunk(content="Olá "),
                chunk(content="mundo"),
                chunk("stop"),
                usage(prompt_tokens_details={"cached_tokens": 3}),
                DONE,
            ),
        )
    )
    assert [event["type"] for event in events] == [
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    [message] = output_of(events)
    assert message["status"] == "completed"
    assert message["content"] == [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Olá mundo"}]
    assert (relay.usage.input_tokens, relay.usage.cached_input_tokens, relay.usage.output_tokens) == (15, 3, 5)
    assert (relay.stop_reason, relay.incomplete_reason) == ("stop", None)
    assert (relay.progress, relay.output_chars) == (5, 9)


def test_each_text_reaches_the_caller_with_its_own_chunk() -> None:
    relay = turn()
    [first, second] = sent(chunk(content="a"), chunk(content="b"))
    assert b'"delta":"a"' in relay.feed(first)
    assert relay.feed(second).count(b"event: ") == 1


def test_without_its_done_a_stream_is_not_finished() -> None:
    relay = turn()
    for event in sent(chunk(content="a"), chunk("stop"), usage()):
        relay.feed(event)
    assert not relay.finished


def test_nothing_is_read_after_the_end() -> None:
    relay = turn()
    turned(relay, sent(chunk(content="a"), DONE))
    assert relay.feed(sent(chunk(content="b"))[0]) == b""


def test_reasoning_is_an_item_before_the_message_whatever_its_name() -> None:
    for name in ("reasoning_content", "reasoning"):
        items = output(chunk(**{name: "hm"}), chunk(**{name: "m"}), chunk(content="yes"), chunk("stop"))
        assert told(items) == [("reasoning", "hmm"), ("message", "yes")]
        assert items[0]["content"] == [{"type": "reasoning_text", "text": "hmm"}]
        assert items[0]["summary"] == []


def test_a_refusal_is_a_part_of_its_own() -> None:
    relay = turn()
    [message] = output_of(
        output_events(turned(relay, sent(chunk(refusal="I can"), chunk(refusal="not."), chunk("stop"), DONE)))
    )
    assert message["content"] == [{"type": "refusal", "refusal": "I cannot."}]
    assert (relay.incomplete_reason, relay.output_chars) == (None, 9)


def test_log_probabilities_have_lists_where_chat_has_null() -> None:
    given = {
        "content": [
            {
                "token": "a",
                "logprob": -0.5,
                "bytes": None,
                "top_logprobs": [{"token": "b", "logprob": -1, "bytes": None}],
            },
            {"token": "c", "logprob": -0.25, "bytes": [99], "top_logprobs": None},
        ],
        "refusal": None,
    }
    body = chunk(content="ac")
    body["choices"][0]["logprobs"] = given
    [message] = output(body, chunk("stop"))
    assert message["content"][0]["logprobs"] == [
        {"token": "a", "bytes": [], "logprob": -0.5, "top_logprobs": [{"token": "b", "bytes": [], "logprob": -1}]},
        {"token": "c", "bytes": [99], "logprob": -0.25, "top_logprobs": []},
    ]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "max_output_tokens"), ("model_length", "max_output_tokens"), ("content_filter", "content_filter")],
)
def test_an_answer_that_was_cut_off_is_incomplete(finish: str, reason: str) -> None:
    relay = turn()
    [message] = output_of(output_events(turned(relay, sent(chunk(content="a"), chunk(finish), DONE))))
    assert (message["status"], relay.incomplete_reason, relay.stop_reason) == ("incomplete", reason, finish)


def test_of_calls_that_were_cut_off_those_that_are_whole_are_complete() -> None:
    first, second = output(
        chunk(tool_calls=[call(0, '{"a":1}', id="c1", name="f")]),
        chunk(tool_calls=[call(1, '{"a"', id="c2", name="g")]),
        chunk("length"),
    )
    assert (first["status"], second["status"]) == ("completed", "incomplete")
    assert second["arguments"] == '{"a"'


def test_parallel_calls_are_told_apart_by_their_index() -> None:
    items = output(
        chunk(content="Let me look."),
        chunk(tool_calls=[call(0, "", id="c1", name="f"), call(1, "", id="c2", name="g")]),
        chunk(tool_calls=[call(1, '{"b"')]),
        chunk(tool_calls=[call(0, '{"a":1}')]),
        chunk(tool_calls=[call(1, ":2}")]),
        chunk("tool_calls"),
    )
    assert told(items) == [("message", "Let me look."), ("function_call", '{"a":1}'), ("function_call", '{"b":2}')]
    assert [(item["call_id"], item["name"]) for item in items[1:]] == [("c1", "f"), ("c2", "g")]


def test_a_custom_tools_input_goes_on_without_its_kind() -> None:
    custom = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "run", "input": "ls"}}
    [item] = output(
        chunk(tool_calls=[custom]), chunk(tool_calls=[{"index": 0, "custom": {"input": " -l"}}]), chunk("tool_calls")
    )
    assert (item["type"], item["call_id"], item["name"], item["input"]) == ("custom_tool_call", "c1", "run", "ls -l")


@pytest.mark.parametrize(
    "deltas",
    [
        [call(None, '{"a":', id="c1", name="f"), call(None, "1}"), call(None, "{}", id="c2", name="g")],
        [call(0, '{"a":1}', id="c1", name="f"), call(0, "{}", id="c2", name="g")],
        [call(0, '{"a"', id="c1", name="f"), call(0, ":1}", id="c1", name="f"), call(1, "{}", id="c2", name="g")],
        [call(0, '{"a"', id="c1"), call(0, ":1}", name="f"), call(1, "{}", id="c2", name="g")],
        [
            {"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}},
            {"id": "c2", "function": {"name": "g", "arguments": {}}},
        ],
    ],
    ids=["no index", "all numbered 0", "named again and again", "name after the id", "arguments as objects"],
)
def test_careless_servers_calls_are_read(deltas: list[dict[str, Any]]) -> None:
    items = output(*[chunk(tool_calls=[delta]) for delta in deltas], chunk("stop"))
    assert told(items) == [("function_call", '{"a":1}'), ("function_call", "{}")]
    assert [(item["call_id"], item["name"]) for item in items] == [("c1", "f"), ("c2", "g")]


def test_a_call_without_an_id_is_given_one() -> None:
    [item] = output(chunk(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{}"}}]), chunk("stop"))
    assert item["call_id"].startswith("call_")


def test_a_call_without_arguments_has_an_empty_object() -> None:
    nothing = chunk(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "f"}}])
    assert told(output(nothing, chunk("tool_calls"))) == [("function_call", "{}")]
    [item] = output(nothing, chunk("length"))
    assert (item["status"], item["arguments"]) == ("incomplete", "")


def test_a_whole_message_in_place_of_deltas_is_read() -> None:
    body = {"choices": [{"index": 0, "message": {"content": "hi", "tool_calls": [call(None, "{}", id="c", name="f")]}}]}
    assert told(output(body)) == [("message", "hi"), ("function_call", "{}")]


def test_text_behind_a_call_waits_until_the_call_is_whole() -> None:
    relay = turn()
    bodies = [
        chunk(tool_calls=[call(0, '{"a"', id="c1", name="f")]),
        chunk(content="mean"),
        chunk(reasoning_content="hm"),
        chunk(tool_calls=[call(0, ":1}")]),
        chunk(content="while"),
        chunk("tool_calls"),
    ]
    streamed = [relay.feed(event) for event in sent(*bodies, DONE)]
    assert streamed[1] == streamed[2] == b""
    assert b'"mean"' in streamed[3]
    assert b'"while"' in streamed[4]
    items = output_of(output_events(b"".join(streamed)))
    assert told(items) == [
        ("function_call", '{"a":1}'),
        ("message", "mean"),
        ("reasoning", "hm"),
        ("message", "while"),
    ]


def test_text_behind_a_call_that_never_is_whole_comes_at_the_end() -> None:
    items = output(
        chunk(tool_calls=[call(0, "{", id="c1", name="f")]),
        chunk(content="a"),
        chunk(tool_calls=[call(1, "{}", id="c2", name="g")]),
        chunk(content="b"),
        chunk("stop"),
    )
    assert told(items) == [("function_call", "{"), ("function_call", "{}"), ("message", "ab")]


def test_blank_arguments_after_a_whole_call_change_nothing_and_others_are_malformed() -> None:
    begun = [chunk(tool_calls=[call(0, "{}", id="c1", name="f")]), chunk(content="a")]
    assert told(output(*begun, chunk(tool_calls=[call(0, " ")]), chunk(content="b"))) == [
        ("function_call", "{}"),
        ("message", "ab"),
    ]
    with pytest.raises(UpstreamMalformed):
        output(*begun, chunk(tool_calls=[call(0, "x")]))


URL = {
    "type": "url_citation",
    "url_citation": {"url": "https://a.example", "title": "A", "start_index": 7, "end_index": 9},
}


def test_a_page_is_cited_within_its_own_part() -> None:
    message, _, second = output(
        chunk(content="first"),
        chunk(reasoning_content="hm"),
        chunk(content="a [1]"),
        chunk(content="", annotations=[URL]),
        chunk("stop"),
    )
    assert message["content"][0]["annotations"] == []
    assert second["content"][0]["annotations"] == [
        {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 2, "end_index": 4}
    ]


def test_an_annotation_without_open_text_is_passed_over() -> None:
    assert output(chunk(annotations=[URL]), chunk("stop")) == []
    items = output(
        chunk(content="a"),
        chunk(tool_calls=[call(0, "{}", id="c1", name="f")]),
        chunk(annotations=[URL]),
        chunk("stop"),
    )
    assert told(items) == [("message", "a"), ("function_call", "{}")]


def test_an_annotation_of_another_shape_is_passed_over() -> None:
    odd = [{"type": "url_citation"}, {"url_citation": {"url": 1}}, {"url_citation": []}]
    [message] = output(chunk(content="a"), chunk(annotations=odd), chunk("stop"))
    assert message["content"][0]["annotations"] == []


def test_citations_of_documents_are_carried_whole_as_citations_of_files() -> None:
    page = {"type": "page_location", "cited_text": "x", "document_title": "m.pdf", "file_id": None, "document_index": 0}
    found = {"type": "search_result_location", "cited_text": "y", "source": "https://b.example", "title": "B"}
    kept = {"type": "search_result_location", "cited_text": "z", "source": "doc-7", "title": "Handbook"}
    web = {"type": "web_search_result_location", "url": "https://a.example"}
    spans = [{"start_index": 0, "end_index": 4, "citation": one} for one in (page, found, kept, web, {"type": "new"})]
    [message] = output(chunk(content="said"), chunk(annotations=[], citations=[*spans, {"citation": 1}]), chunk("stop"))
    assert message["content"][0]["annotations"] == [
        {"type": "file_citation", "file_id": "", "filename": "m.pdf", "index": 4, "citation": page},
        {"type": "url_citation", "start_index": 0, "end_index": 4, "url": "https://b.example", "title": "B"}
        | {"citation": found},
        {"type": "file_citation", "file_id": "doc-7", "filename": "Handbook", "index": 4, "citation": kept},
    ]


@pytest.mark.parametrize(
    ("error", "status", "retryable"),
    [
        ({"message": "slow down", "type": "rate_limit_exceeded"}, 429, True),
        ({"message": "boom", "code": 400}, 400, False),
        ("boom", 502, True),
    ],
)
def test_an_error_in_the_stream_is_the_providers(error: object, status: int, retryable: bool) -> None:  # noqa: FBT001 - what is expected
    relay = turn()
    relay.feed(sent(chunk(content="a"))[0])
    with pytest.raises(UpstreamRefused) as caught:
        relay.feed(sent({"error": error})[0])
    assert (caught.value.http_status, caught.value.retryable, caught.value.provider) == (status, retryable, "local")


def test_only_the_first_choice_is_read() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": None, "delta": {"content": "yes"}}]}
    assert told(output(other, chunk("stop"))) == [("message", "yes")]


def test_comments_and_empty_choices_say_nothing() -> None:
    relay = turn()
    assert relay.feed(b": ping\n\n") == b""
    assert relay.feed(sent({"choices": [], "prompt_filter_results": []})[0]) == b""
    assert relay.progress == 1


DEEP = b'{"a":' * 300 + b"1" + b"}" * 300
HOSTILE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"<html>",
    b"{}",
    b'{"choices":1}',
    b'{"choices":[1]}',
    b'{"choices":[{"delta":1}]}',
    b'{"choices":[{"delta":{"content":1}}]}',
    b'{"choices":[{"delta":{"content":"\\ud800"}}]}',
    b'{"choices":[{"delta":{"content":"\xff"}}]}',
    b'{"choices":[{"delta":{"refusal":[]}}]}',
    b'{"choices":[{"delta":{"tool_calls":1}}]}',
    b'{"choices":[{"delta":{"tool_calls":[1]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":"0"}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":true}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"id":1}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"function":1}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":1}}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":' + DEEP + b"}}]}}]}",
    b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"a":' + b"9" * 400 + b"}}}]}}]}",
    b'{"choices":[{"delta":{"content":"a","annotations":1}}]}',
    b'{"choices":[{"delta":{"content":"a","citations":[{"citation":' + DEEP + b"}]}}]}",
    b'{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":0,"bytes":[256]}]}}]}',
    b'{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{}]}}]}',
    b'{"choices":[{"finish_reason":1}]}',
    b'{"choices":[],"usage":1}',
    b'{"choices":[],"usage":{"prompt_tokens":-1}}',
    b'{"choices":[],"usage":{"prompt_tokens":1e99}}',
    b'{"choices":' + b"[" * 100_000,
]


@pytest.mark.parametrize("data", HOSTILE, ids=[repr(data[:70]) for data in HOSTILE])
def test_what_is_not_the_protocol_is_malformed(data: bytes) -> None:
    with pytest.raises(UpstreamMalformed) as caught:
        turn().feed(b"data: " + data + b"\n\n")
    assert caught.value.provider == "local"


def test_an_end_without_a_beginning_is_malformed() -> None:
    with pytest.raises(UpstreamMalformed):
        turn().feed(b"data: [DONE]\n\n")


def test_a_call_that_never_gets_a_name_is_malformed_unless_it_was_cut_off() -> None:
    nameless = chunk(tool_calls=[{"index": 0, "id": "c1", "function": {"arguments": "{}"}}])
    with pytest.raises(UpstreamMalformed):
        output(nameless, chunk("stop"))
    assert output(nameless, chunk("length")) == []


def test_spans_that_cannot_be_are_the_whole_part() -> None:
    for start, end in ((-1, 2), (3, 2), (0, 10**30), (None, 1), (True, 2), ("0", 1)):
        cited = {"url_citation": {"url": "https://a.example", "start_index": start, "end_index": end}}
        body = orjson.dumps(chunk(content="text", annotations=[])).replace(
            b'"annotations":[]', f'"annotations":[{cited}]'.replace("'", '"').replace("None", "null").encode()
        )
        [message] = output(body.decode().replace("True", "true"), chunk("stop"))
        [annotation] = message["content"][0]["annotations"]
        assert (annotation["start_index"], annotation["end_index"], annotation["title"]) == (0, 4, "")
