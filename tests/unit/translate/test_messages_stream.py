"""Chat chunks as Anthropic's events."""

from typing import Any

import pytest

from ali.providers.contract import UpstreamMalformed, UpstreamRefused
from ali.providers.translate import MessagesFromChat
from tests.unit.translate.reading import events_of, message_of, relayed, sent

DONE = "[DONE]"


def relay() -> MessagesFromChat:
    return MessagesFromChat(message_id="msg_1", model="asked")


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a delta
    return {"id": "up", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(index: int | None, arguments: str | None = None, **rest: str) -> dict[str, Any]:
    """A tool call's delta; with `id` and `name` it is a first one."""
    function = {
        key: value for key, value in (("name", rest.get("name")), ("arguments", arguments)) if value is not None
    }
    said: dict[str, Any] = {"function": function}
    if index is not None:
        said["index"] = index
    if "id" in rest:
        said |= {"id": rest["id"], "type": "function"}
    return said


def usage(**rest: object) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": 15, "completion_tokens": 5, "total_tokens": 20, **rest}}


def answer(*bodies: dict[str, Any] | str) -> dict[str, Any]:
    return message_of(events_of(relayed(relay(), sent(*bodies, DONE))))


def content(*bodies: dict[str, Any] | str) -> list[tuple[str, str]]:
    said = {"text": "text", "thinking": "thinking", "tool_use": "json"}
    return [(block["type"], block[said[block["type"]]]) for block in answer(*bodies)["content"]]


def test_a_plain_stream_is_one_text_block_with_the_usage_at_its_end() -> None:
    built = answer(
        chunk(role="assistant", content="", refusal=None),
        chunk(content="Olá "),
        chunk(content="mundo"),
        chunk("stop"),
        usage(prompt_tokens_details={"cached_tokens": 3}),
    )
    assert (built["id"], built["model"], built["role"]) == ("msg_1", "asked", "assistant")
    assert [(block["type"], block["text"]) for block in built["content"]] == [("text", "Olá mundo")]
    assert built["stop_reason"] == "end_turn"
    assert built["usage"] == {
        "input_tokens": 12,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "output_tokens": 5,
    }


def test_text_and_arguments_are_due_at_once_not_at_the_end() -> None:
    live = relay()
    assert b"Hello" in live.feed(sent(chunk(content="Hello"))[0])
    assert b"name" in live.feed(sent(chunk(tool_calls=[call(0, "", id="c", name="f")]))[0])
    assert b'{\\"a' in live.feed(sent(chunk(tool_calls=[call(0, '{"a')]))[0])
    assert live.feed(sent(chunk(tool_calls=[call(1, "{}", id="d", name="g")]))[0]) == b""
    assert b'\\"g\\"' not in live.feed(sent(chunk(tool_calls=[call(0, '":1}')]))[0])[:60]


def test_interleaved_tool_calls_become_blocks_one_after_the_other() -> None:
    built = answer(
        chunk(content="Let me see."),
        chunk(tool_calls=[call(0, "", id="a", name="f"), call(1, "", id="b", name="g")]),
        chunk(tool_calls=[call(1, '{"y"')]),
        chunk(tool_calls=[call(0, '{"x":')]),
        chunk(tool_calls=[call(1, ":2}"), call(0, "1}")]),
        chunk("tool_calls"),
    )
    assert [(block["type"], block.get("id"), block["json"]) for block in built["content"]] == [
        ("text", None, ""),
        ("tool_use", "a", '{"x":1}'),
        ("tool_use", "b", '{"y":2}'),
    ]
    assert built["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("bodies", "blocks"),
    [
        ([chunk(content="Hi"), chunk("stop", content="!")], [("text", "Hi!")]),  # the finish brings content
        ([chunk(content="Hi"), chunk("stop", role="assistant")], [("text", "Hi")]),  # the role again
        ([chunk(content=None), chunk(content="Hi"), usage()], [("text", "Hi")]),
        ([{"choices": [], "prompt_filter_results": []}, chunk(content="Hi")], [("text", "Hi")]),
        ([{"choices": None, "usage": None}, chunk(content="Hi")], [("text", "Hi")]),
        ([{**chunk("stop", content="Hi"), "usage": usage()["usage"]}], [("text", "Hi")]),
        ([{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}], [("text", "Hi")]),  # a whole message
        ([{"choices": [{"index": 1, "delta": {"content": "other"}}]}, chunk(content="Hi")], [("text", "Hi")]),
        ([chunk(reasoning_content="hm"), chunk(content="Hi")], [("thinking", "hm"), ("text", "Hi")]),
        ([chunk(reasoning="hm"), chunk(content="Hi")], [("thinking", "hm"), ("text", "Hi")]),
        (
            [chunk(content="a"), chunk(reasoning_content="b"), chunk(content="c")],
            [("text", "a"), ("thinking", "b"), ("text", "c")],
        ),
        (  # text in the middle of a call waits for its end
            [chunk(tool_calls=[call(0, "{", id="a", name="f")]), chunk(content="t"), chunk(tool_calls=[call(0, "}")])],
            [("tool_use", "{}"), ("text", "t")],
        ),
        (  # no index: by id, or the latest
            [
                chunk(tool_calls=[call(None, "{", id="a", name="f")]),
                chunk(tool_calls=[call(None, "}")]),
                chunk(tool_calls=[call(None, "{}", id="b", name="g")]),
                chunk(tool_calls=[call(None, " ", id="a", name="f")]),
            ],
            [("tool_use", "{}"), ("tool_use", "{}")],
        ),
        (  # every call numbered 0
            [
                chunk(tool_calls=[call(0, '{"a":1}', id="a", name="f")]),
                chunk(tool_calls=[call(0, "{", id="b", name="g")]),
                chunk(tool_calls=[call(0, "}")]),
            ],
            [("tool_use", '{"a":1}'), ("tool_use", "{}")],
        ),
        (  # id and name again with each delta
            [
                chunk(tool_calls=[call(0, "{", id="a", name="f")]),
                chunk(tool_calls=[call(0, "}", id="a", name="f")]),
            ],
            [("tool_use", "{}")],
        ),
        ([chunk(tool_calls=[call(0, "{}", name="f")])], [("tool_use", "{}")]),  # no id at all
        ([chunk(tool_calls=[call(0, id="a", name="f")])], [("tool_use", "")]),  # no arguments at all
        (  # arguments that are never JSON are the model's; later calls wait for the end
            [
                chunk(tool_calls=[call(0, "oops", id="a", name="f")]),
                chunk(tool_calls=[call(1, "{}", id="b", name="g")]),
            ],
            [("tool_use", "oops"), ("tool_use", "{}")],
        ),
    ],
)
def test_what_servers_get_wrong_is_survived(bodies: list[dict[str, Any]], blocks: list[tuple[str, str]]) -> None:
    assert content(*bodies) == blocks


def test_comments_and_crlf_are_read() -> None:
    live = relay()
    assert live.feed(b": keep-alive\n\n") == b""
    assert b"Hi" in live.feed(b'data: {"choices":[{"delta":{"content":"Hi"}}]}\r\n\r\n')
    live.feed(b"data: [DONE] \r\n\r\n")
    assert live.finished


@pytest.mark.parametrize(
    ("finish", "delta", "stop"),
    [
        ("stop", {"content": "x"}, "end_turn"),
        ("length", {"content": "x"}, "max_tokens"),
        ("content_filter", {"content": "x"}, "refusal"),
        ("stop", {"tool_calls": [call(0, "{}", id="a", name="f")]}, "tool_use"),
        ("stop", {"refusal": "No."}, "refusal"),
        (None, {"content": "x"}, "end_turn"),
        ("invented", {"content": "x"}, "end_turn"),
    ],
)
def test_finish_reasons_become_stop_reasons(finish: str | None, delta: dict[str, Any], stop: str) -> None:
    assert answer(chunk(finish, **delta))["stop_reason"] == stop


def test_a_refusal_is_shown_and_explained() -> None:
    built = answer(chunk(refusal="I can"), chunk(refusal="not."), chunk("stop"))
    assert built["content"][0]["text"] == "I cannot."
    assert built["stop_details"] == {"type": "refusal", "category": None, "explanation": "I cannot."}


def test_a_web_citation_of_openai_is_one_of_anthropic() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "u", "title": "T", "start_index": 0, "end_index": 2}}
    citation = answer(chunk(content="Hi there"), chunk(annotations=[cited]))["content"][0]["citations"][0]
    assert (citation["url"], citation["cited_text"]) == ("u", "Hi")


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"message": "m", "type": "server_error"}, "api_error", 502),
        ({"message": "m", "code": "rate_limit_exceeded"}, "rate_limit_error", 429),
        ({"message": "m", "code": 529}, "overloaded_error", 503),
        ({"message": "m", "type": "invalid_request_error"}, "invalid_request_error", 400),
        ("m", "api_error", 502),
    ],
)
def test_an_error_in_the_stream_keeps_its_kind(error: object, kind: str, status: int) -> None:
    with pytest.raises(UpstreamRefused) as refusal:
        relay().feed(sent({"error": error})[0])
    assert (refusal.value.kind, refusal.value.http_status) == (kind, status)


@pytest.mark.parametrize(
    "bodies",
    [
        [DONE],
        [{}],
        ["[]"],
        ["{"],
        [{"choices": {}}],
        [{"choices": ["x"]}],
        [{"choices": [{"delta": "x"}]}],
        [chunk(content=["x"])],
        [chunk(tool_calls={})],
        [chunk(tool_calls=[{"index": "0", "function": {}}])],
        [chunk(tool_calls=[{"index": [], "function": {}}])],
        [chunk(tool_calls=[{"index": 0, "function": "f"}])],
        [chunk(tool_calls=[call(0, "{}", id="a")]), DONE],
        [
            chunk(tool_calls=[call(0, "{}", id="a", name="f"), call(1, "", id="b", name="g")]),
            chunk(tool_calls=[call(0, "x")]),
        ],
        [{"choices": [], "usage": {"prompt_tokens": -4}}],
        [{"choices": [], "usage": "x"}],
    ],
)
def test_what_is_no_chat_stream_is_the_providers_fault(bodies: list[dict[str, Any] | str]) -> None:
    with pytest.raises(UpstreamMalformed):
        relayed(relay(), sent(*bodies))
