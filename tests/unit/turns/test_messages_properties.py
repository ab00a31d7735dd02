"""What holds for a Messages stream's turn, and for a history, however they are mixed, cut or broken."""

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ali.kernel.errors import AliError
from ali.providers.sse import EventSplitter
from ali.providers.turns.messages_request import turn_to_messages
from tests.unit.translate.reading import named
from tests.unit.translate.test_chat_stream import START, end, tool
from tests.unit.translate.test_properties import BOUNDED, FUZZ, FUZZED, JSON, message_streams, pieces
from tests.unit.turns.messages_sealing import turn, unseal
from tests.unit.turns.output_reading import output_events, output_of, turned
from tests.unit.turns.test_chat_turn_properties import KINDS, histories, without_ids

THINKING = ("thinking", "redacted_thinking")


def said(items: list[Any], **parameters: object) -> dict[str, Any]:
    return turn_to_messages(
        {"input": items, **parameters},
        model="m",
        default_max_tokens=9,
        anthropic_version="2023-06-01",
        unseal=unseal,
    ).body


@BOUNDED
@given(message_streams())
def test_the_output_says_what_the_message_says(stream: tuple[dict[str, Any], list[bytes]]) -> None:
    message, events = stream
    relay = turn()
    items = output_of(output_events(turned(relay, events)))  # which checks the events
    content = message["content"]
    texts = [part["text"] for item in items if item["type"] == "message" for part in item["content"]]
    assert texts == [block["text"] for block in content if block["type"] == "text"]
    calls = [item for item in items if item["type"] == "function_call"]
    uses = [block for block in content if block["type"] == "tool_use"]
    assert [(item["call_id"], orjson.loads(item["arguments"] or "{}")) for item in calls] == [
        (block["id"], block["input"]) for block in uses
    ]
    assert items == relay._writer.output
    assert relay.usage.output_tokens == message["usage"]["output_tokens"]
    assert (items == [] or items[-1]["status"] == "completed") or relay.incomplete_reason is not None


@BOUNDED
@given(message_streams())
def test_thinking_comes_back_unchanged_and_in_its_place(stream: tuple[dict[str, Any], list[bytes]]) -> None:
    message, events = stream
    items = output_of(output_events(turned(turn(), events)))
    outputs = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "x"}
        for item in items
        if item["type"] == "function_call"
    ]
    user = {"role": "user", "content": "x"}
    replayed = said([user, *items, *outputs, user])["messages"]
    expected = [block for block in message["content"] if block["type"] != "text" or block["text"].strip()]
    while expected and expected[-1]["type"] in THINKING:
        expected.pop()  # Anthropic takes none at the end
    blocks = replayed[1]["content"] if expected else []
    if isinstance(blocks, str):
        blocks = [{"type": "text", "text": blocks}]
    assert orjson.dumps(blocks) == orjson.dumps(expected)


@BOUNDED
@given(message_streams(), st.data())
def test_where_the_bytes_are_cut_makes_no_difference(
    stream: tuple[dict[str, Any], list[bytes]], data: st.DataObject
) -> None:
    wire = b"".join(stream[1])
    if data.draw(st.booleans()):
        wire = wire.replace(b"\n", b"\r\n")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
    splitter = EventSplitter(limit_bytes=1 << 20)
    split: list[bytes] = []
    for start, stop in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        split += splitter.feed(wire[start:stop])
    assert without_ids(turned(turn(), split)) == without_ids(turned(turn(), stream[1]))


@BOUNDED
@given(message_streams(), st.integers(0, 30))
def test_a_stream_that_breaks_off_leaves_no_gap_and_is_not_finished(
    stream: tuple[dict[str, Any], list[bytes]], after: int
) -> None:
    relay = turn()
    written = output_events(b"".join(relay.feed(event) for event in stream[1][:-1][:after]))
    assert not relay.finished
    assert relay._writer.next_number == len(written)


@BOUNDED
@given(st.text(), st.data())
def test_a_custom_tools_input_is_what_the_model_wrote_wherever_it_is_cut(
    text: str,
    data: st.DataObject,
) -> None:
    written = json.dumps({"input": text}, ensure_ascii=data.draw(st.booleans()))
    cut = data.draw(pieces(written))
    [call] = output_of(output_events(turned(turn("c"), named(START, *tool(0, "c", *cut), *end("tool_use")))))
    assert call["input"] == text


@FUZZ
@given(st.lists(st.binary(max_size=20) | JSON.map(orjson.dumps) | FUZZED.map(orjson.dumps), max_size=5))
def test_no_stream_crashes_the_turn(datas: list[bytes]) -> None:
    relay = turn("f")
    with suppress(AliError):
        for data in [b'{"type":"message_start","message":{}}', *datas]:
            relay.feed(b"data: " + data.replace(b"\n", b" ") + b"\n\n")


@FUZZ
@given(
    st.lists(FUZZED, max_size=4),
    st.sampled_from(["content_block", "event", "delta"]),
    st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use"]),
)
def test_no_block_crashes_the_turn(bodies: list[dict[str, Any]], place: str, kind: str) -> None:
    relay = turn("f")
    types = ("content_block_start", "content_block_delta", "content_block_stop", "message_delta")
    events: list[dict[str, Any]] = [START]
    for at, body in enumerate(bodies):
        if place == "event":
            events.append({"index": 0, **body, "type": types[at % 4]})
            continue
        given = {**body, "type": kind} if place == "content_block" else {"type": kind, "name": "f"}
        events.append({"type": "content_block_start", "index": at, "content_block": given})
        if place == "delta":
            events.append({"type": "content_block_delta", "index": at, "delta": body})
        events.append({"type": "content_block_stop", "index": at})
    written = b""
    with suppress(AliError):
        for event in named(*events, *end()):
            written += relay.feed(event)
    output = output_events(written)
    if relay.finished:
        output_of(output)


@FUZZ
@given(FUZZED, st.lists(FUZZED | JSON, max_size=4), st.sampled_from(["input", "content", "tools", "output", "choice"]))
def test_no_request_crashes_the_translation(body: dict[str, Any], inner: list[Any], place: str) -> None:
    parameters: dict[str, Any] = {**body}
    items: list[Any] = [{"role": "user", "content": "x"}]
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    match place:
        case "input":
            items = [
                {"type": KINDS[at % len(KINDS)], **one} if isinstance(one, dict) else one
                for at, one in enumerate(inner)
            ]
        case "content":
            items = [{"role": role, "content": inner} for role in ("user", "assistant", "system")]
        case "tools":
            parameters["tools"] = [
                {"type": ("function", "custom")[at % 2], "name": "f", **one} if isinstance(one, dict) else one
                for at, one in enumerate(inner)
            ]
        case "choice":
            parameters["tool_choice"] = {"type": "allowed_tools", "tools": inner, **body}
        case _:
            items = [call, {"type": "function_call_output", "call_id": "c", "output": inner}]
    parameters.pop("input", None)
    with suppress(AliError):
        said(items, **parameters)


@BOUNDED
@given(histories())
def test_roles_alternate_and_each_call_has_its_result_right_after_it(items: list[dict[str, Any]]) -> None:
    body = said(items)
    due: list[str] = []
    seen: set[str] = set()
    roles = [message["role"] for message in body["messages"]]
    assert all(one != other for one, other in pairwise(roles))
    for message in body["messages"]:
        blocks = message["content"] if isinstance(message["content"], list) else []
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert results == due
        assert [block["type"] for block in blocks[: len(results)]] == ["tool_result"] * len(results)
        due = [block["id"] for block in blocks if block["type"] == "tool_use"]
        assert not seen & set(due)
        seen |= set(due)
    assert not due
    told = orjson.dumps(body).decode()
    for item in items:
        for value in (item.get("content"), item.get("call_id"), item.get("id"), item.get("output")):
            assert not isinstance(value, str) or f'"{value}"' in told
