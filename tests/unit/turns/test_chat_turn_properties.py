"""What holds for a chat stream's turn however the stream is mixed, cut or broken."""

import re
from contextlib import suppress
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ali.kernel.errors import AliError
from ali.providers.sse import EventSplitter
from ali.providers.turns import OutputWriter
from ali.providers.turns.chat_request import turn_to_chat
from ali.providers.turns.chat_turn import ChatTurn
from tests.unit.translate.test_properties import BOUNDED, FUZZ, FUZZED, JSON, chat_streams
from tests.unit.turns.output_reading import output_events, output_of, told, turned

ITEM_ID = re.compile(rb'"(?:msg|rs|fc|ctc|call)_[0-9a-f]{32}"')
KINDS = ("message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "mcp_call", "compaction")


def turn() -> ChatTurn:
    return ChatTurn(OutputWriter(), provider="local")


def without_ids(stream: bytes) -> bytes:
    """`stream` with its random identifiers replaced by their order of appearance."""
    seen: dict[bytes, bytes] = {}
    return ITEM_ID.sub(lambda found: seen.setdefault(found.group(), b'"id_%d"' % len(seen)), stream)


@BOUNDED
@given(chat_streams())
def test_the_output_says_what_the_completion_says_whatever_the_order_of_deltas(
    stream: tuple[dict[str, Any], list[bytes]],
) -> None:
    completion, events = stream
    relay = turn()
    items = output_of(output_events(turned(relay, events)))  # which checks the events
    said, items_said = completion["choices"][0]["message"], told(items)
    for kind, field in (("message", "content"), ("reasoning", "reasoning_content")):
        assert "".join(text for one, text in items_said if one == kind) == said[field]
    calls = [(item["call_id"], item["name"], item["arguments"]) for item in items if item["type"] == "function_call"]
    assert sorted(calls) == [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in said["tool_calls"]
    ]
    assert items == relay._writer.output
    assert relay.usage.input_tokens == completion["usage"]["prompt_tokens"]


@BOUNDED
@given(chat_streams(), st.data())
def test_where_the_bytes_are_cut_makes_no_difference(
    stream: tuple[dict[str, Any], list[bytes]], data: st.DataObject
) -> None:
    wire = b"".join(stream[1])
    if data.draw(st.booleans()):
        wire = wire.replace(b"\n", b"\r\n")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
    splitter = EventSplitter(limit_bytes=1 << 20)
    split: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        split += splitter.feed(wire[start:end])
    assert without_ids(turned(turn(), split)) == without_ids(turned(turn(), stream[1]))


@BOUNDED
@given(chat_streams(), st.integers(0, 30))
def test_a_stream_that_breaks_off_leaves_no_gap_and_is_not_finished(
    stream: tuple[dict[str, Any], list[bytes]], after: int
) -> None:
    relay = turn()
    events = stream[1][:-1][:after]
    written = output_events(b"".join(relay.feed(event) for event in events))
    assert not relay.finished
    assert relay._writer.next_number == len(written)


@FUZZ
@given(st.lists(st.binary(max_size=20) | JSON.map(orjson.dumps) | FUZZED.map(orjson.dumps), max_size=5))
def test_no_stream_crashes_the_turn(datas: list[bytes]) -> None:
    relay = turn()
    with suppress(AliError):
        for data in [b'{"choices":[{"delta":{"role":"assistant"}}]}', *datas, b"[DONE]"]:
            relay.feed(b"data: " + data.replace(b"\n", b" ") + b"\n\n")


@FUZZ
@given(st.lists(FUZZED, max_size=4), st.sampled_from(["delta", "tool_calls", "annotations", "citations", "logprobs"]))
def test_no_delta_crashes_the_turn(bodies: list[dict[str, Any]], place: str) -> None:
    relay = turn()
    written = b""
    with suppress(AliError):
        for body in bodies:
            choice: dict[str, Any] = {"delta": body if place == "delta" else {"content": "a", place: [body]}}
            if place == "logprobs":
                choice = {"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": 1, **body}]}}
            written += relay.feed(b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n")
        written += relay.feed(b"data: [DONE]\n\n")
    events = output_events(written)
    if relay.finished:
        output_of(events)


@FUZZ
@given(FUZZED, st.lists(FUZZED | JSON, max_size=4), st.sampled_from(["input", "content", "tools", "output"]))
def test_no_request_crashes_the_translation(body: dict[str, Any], inner: list[Any], place: str) -> None:
    request: dict[str, Any] = {**body, "input": [{"type": "message", "role": "user", "content": "x"}]}
    match place:
        case "input":
            request["input"] = [{"type": KINDS[at % len(KINDS)], **one} if isinstance(one, dict) else one
                                for at, one in enumerate(inner)]  # fmt: skip
        case "content":
            request["input"] = [{"role": role, "content": inner} for role in ("user", "assistant", "system")]
        case "tools":
            request["tools"] = [
                {"type": "function", "name": "f", **one} if isinstance(one, dict) else one for one in inner
            ]
        case _:
            call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
            request["input"] = [call, {"type": "function_call_output", "call_id": "c", "output": inner}]
    with suppress(AliError):
        turn_to_chat(request, model="m")


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Items of a conversation, each call answered, some outputs only after other items."""
    items: list[dict[str, Any]] = []
    waiting: list[str] = []
    for number in range(draw(st.integers(0, 10))):
        match draw(st.sampled_from(["user", "assistant", "system", "call", "custom", "mcp", "output", "reasoning"])):
            case ("user" | "assistant" | "system") as role:
                items.append({"type": "message", "role": role, "content": f"text {number}"})
            case "call":
                waiting.append(f"c{number}")
                items.append({"type": "function_call", "call_id": waiting[-1], "name": "f", "arguments": "{}"})
            case "custom":
                waiting.append(f"c{number}")
                items.append({"type": "custom_tool_call", "call_id": waiting[-1], "name": "g", "input": "x"})
            case "mcp":
                mcp = {"id": f"mcp_{number}", "server_label": "s", "name": "t", "arguments": "{}", "output": "o"}
                items.append({"type": "mcp_call", **mcp})
            case "reasoning":
                items.append({"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]})
            case "output" if waiting:
                called = waiting.pop(draw(st.integers(0, len(waiting) - 1)))
                items.append({"type": "function_call_output", "call_id": called, "output": f"out {called}"})
    items += [{"type": "function_call_output", "call_id": called, "output": f"out {called}"} for called in waiting]
    return [*items, {"type": "message", "role": "user", "content": "last"}]


@BOUNDED
@given(histories())
def test_each_call_is_followed_by_its_results_and_nothing_is_lost(items: list[dict[str, Any]]) -> None:
    messages = turn_to_chat({"input": items}, model="m").body["messages"]
    due: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            due.remove(message["tool_call_id"])
            continue
        assert not due, "only results stand between a call and its results"
        due = {call["id"] for call in message.get("tool_calls", [])}
    said = orjson.dumps(messages).decode()
    for item in items:
        for value in (item.get("content"), item.get("call_id"), item.get("id"), item.get("output")):
            assert not isinstance(value, str) or f'{value}"' in said or f"{value}\\n\\n" in said
