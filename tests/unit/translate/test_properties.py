"""What holds for any stream, any cutting of its bytes, any order of deltas, any JSON."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ali.kernel.errors import AliError
from ali.providers.contract import StreamRelay
from ali.providers.sse import EventSplitter
from ali.providers.translate import (
    ChatFromMessages,
    MessagesFromChat,
    chat_to_messages,
    completion_from_message,
    message_from_completion,
    messages_to_chat,
)
from tests.unit.translate.reading import chunks_of, completion_of, events_of, message_of, named, relayed, sent

# No deadline an example: the machine is shared, and time is the benchmark's matter.
BOUNDED = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
FUZZ = settings(BOUNDED, max_examples=150)

WORDS = st.text(min_size=1, max_size=8).filter(lambda text: bool(text.strip()))
NAMES = st.sampled_from(["f", "g", "h"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)
OBJECTS = st.dictionaries(st.text(max_size=4), SCALARS | st.lists(SCALARS, max_size=2), max_size=3)
# Field names of both dialects, so that fuzzed JSON gets past the first look.
FIELDS = st.sampled_from(
    """messages role content type text name tool_calls id function arguments tool_choice tools input_schema system
    choices delta message index usage prompt_tokens completion_tokens_details input_tokens output_tokens max_tokens stop
    source stop_reason stop_details content_block thinking signature partial_json citation citations error url
    thinking_blocks response_format json_schema schema output_config format effort reasoning_effort temperature
    image_url file file_data tool_use_id tool_call_id annotations url_citation finish_reason refusal reasoning_content
    metadata user_id""".split()  # noqa: SIM905 - a list of words reads better so
)
WORDS_OF_WIRE = st.sampled_from(
    """user assistant system tool text image image_url file document tool_use tool_result thinking redacted_thinking
    message_start content_block_start content_block_delta content_block_stop message_delta message_stop text_delta
    input_json_delta thinking_delta signature_delta citations_delta function auto any required json_schema base64 url
    data:image/png;base64,AAAA data:application/pdf;base64,AAAA {} {""".split()  # noqa: SIM905 - as above
)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS | WORDS_OF_WIRE | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=25,
)
FUZZED = st.dictionaries(FIELDS, JSON, max_size=6)


def from_messages(*, include_usage: bool = True) -> ChatFromMessages:
    return ChatFromMessages(completion_id="chatcmpl-1", created=1, model="m", include_usage=include_usage)


def from_chat() -> MessagesFromChat:
    return MessagesFromChat(message_id="msg_1", model="m")


@st.composite
def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """`text` cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """A message as Anthropic answers."""
    content: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 5))):
        match draw(st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use"])):
            case "text":
                content.append({"type": "text", "text": draw(WORDS)})
            case "thinking":
                content.append({"type": "thinking", "thinking": draw(st.text(max_size=9)), "signature": draw(WORDS)})
            case "redacted_thinking":
                content.append({"type": "redacted_thinking", "data": draw(WORDS)})
            case _:
                content.append({"type": "tool_use", "id": f"t{number}", "name": draw(NAMES), "input": draw(OBJECTS)})
    return {
        "content": content,
        "stop_reason": draw(st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal"])),
        "usage": {"input_tokens": draw(st.integers(0, 9)), "output_tokens": draw(st.integers(0, 9))},
    }


@st.composite
def message_streams(draw: st.DrawFn) -> tuple[dict[str, Any], list[bytes]]:
    """A message, and a stream of it with its texts cut anywhere and pings between."""
    message = draw(messages())
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"usage": {"input_tokens": 1}}}]
    for index, block in enumerate(message["content"]):
        start, deltas = dict(block), []
        match block["type"]:
            case "text":
                start["text"] = ""
                deltas = [{"type": "text_delta", "text": piece} for piece in draw(pieces(block["text"]))]
            case "thinking":
                start |= {"thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": piece} for piece in draw(pieces(block["thinking"]))]
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            case "tool_use":
                start["input"] = {}
                written = orjson.dumps(block["input"]).decode()
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in draw(pieces(written))]
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events += [{"type": "ping"}] * draw(st.integers(0, 1))
        events.append({"type": "content_block_stop", "index": index})
    ended = {"type": "message_delta", "delta": {"stop_reason": message["stop_reason"]}, "usage": message["usage"]}
    return message, named(*events, ended, {"type": "message_stop"})


@st.composite
def chat_streams(draw: st.DrawFn) -> tuple[dict[str, Any], list[bytes]]:
    """A completion, and a stream of it in which the deltas of text, reasoning and each call are shuffled together."""
    said: dict[str, Any] = {
        "content": draw(st.text(max_size=9)),
        "reasoning_content": draw(st.text(max_size=5)),
        "tool_calls": [
            {"id": f"c{at}", "type": "function", "function": {"name": draw(NAMES), "arguments": draw(OBJECTS)}}
            for at in range(draw(st.integers(0, 3)))
        ],
    }
    lanes: list[deque[dict[str, Any]]] = [
        deque({"content": piece} for piece in draw(pieces(said["content"]))),
        deque({"reasoning_content": piece} for piece in draw(pieces(said["reasoning_content"]))),
    ]
    for at, call in enumerate(said["tool_calls"]):
        written = orjson.dumps(call["function"]["arguments"]).decode()
        call["function"]["arguments"] = written
        first = {**call, "index": at, "function": {"name": call["function"]["name"], "arguments": ""}}
        rest = [{"index": at, "function": {"arguments": piece}} for piece in draw(pieces(written))]
        lanes.append(deque({"tool_calls": [delta]} for delta in [first, *rest]))
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    while open_lanes := [lane for lane in lanes if lane]:
        deltas.append(draw(st.sampled_from(open_lanes)).popleft())
    finish = "tool_calls" if said["tool_calls"] else "stop"
    chunks: list[dict[str, Any] | str] = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    usage = {"prompt_tokens": draw(st.integers(0, 9)), "completion_tokens": 3, "total_tokens": 3}
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}, {"choices": [], "usage": usage}]
    completion = {"choices": [{"message": said, "finish_reason": finish}], "usage": usage}
    return completion, sent(*chunks, "[DONE]")


@BOUNDED
@given(message_streams())
def test_chunks_add_up_to_the_completion_that_was_not_streamed(stream: tuple[dict[str, Any], list[bytes]]) -> None:
    message, events = stream
    built = completion_of(chunks_of(relayed(from_messages(), events)))
    whole = completion_from_message(message, completion_id="chatcmpl-1", created=1, model="m")
    said = whole["choices"][0]["message"]
    assert built["content"] == (said["content"] or "")
    assert built["reasoning_content"] == said.get("reasoning_content", "")
    assert built["thinking_blocks"] == said.get("thinking_blocks", [])
    assert [(call["id"], call["name"], orjson.loads(call["arguments"])) for call in built["tool_calls"]] == [
        (call["id"], call["function"]["name"], orjson.loads(call["function"]["arguments"]))
        for call in said.get("tool_calls", [])
    ]
    assert built["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert built["usage"] == whole["usage"]


@BOUNDED
@given(chat_streams())
def test_events_add_up_to_the_message_whatever_the_order_of_deltas(stream: tuple[dict[str, Any], list[bytes]]) -> None:
    completion, events = stream
    built = message_of(events_of(relayed(from_chat(), events)))  # which checks the order of events
    whole = message_from_completion(completion, message_id="msg_1", model="m")
    for kind, field in (("text", "text"), ("thinking", "thinking")):
        assert "".join(block[field] for block in built["content"] if block["type"] == kind) == "".join(
            block[field] for block in whole["content"] if block["type"] == kind
        )
    calls = [
        (block["id"], block["name"], orjson.loads(block["json"]))
        for block in built["content"]
        if block["type"] == "tool_use"
    ]
    # Blocks stand in the order in which the calls began.
    assert sorted(calls, key=lambda call: str(call[0])) == [
        (use["id"], use["name"], use["input"]) for use in whole["content"] if use["type"] == "tool_use"
    ]
    assert built["stop_reason"] == whole["stop_reason"]
    assert built["usage"] == whole["usage"]


@BOUNDED
@given(st.one_of(message_streams(), chat_streams()), st.data())
def test_where_the_bytes_are_cut_makes_no_difference(
    stream: tuple[dict[str, Any], list[bytes]], data: st.DataObject
) -> None:
    events = stream[1]
    relay: Callable[[], StreamRelay] = from_messages if events[0].startswith(b"event:") else from_chat
    wire = b"".join(events)
    if data.draw(st.booleans()):
        wire = wire.replace(b"\n", b"\r\n")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
    splitter = EventSplitter(limit_bytes=1 << 20)
    split: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        split += splitter.feed(wire[start:end])
    assert relayed(relay(), split) == relayed(relay(), events)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A chat history in which the roles alternate, as one that a client keeps."""
    said: list[dict[str, Any]] = []
    if draw(st.booleans()):
        said.append({"role": "system", "content": draw(WORDS)})
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    pdf = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}
    for turn in range(draw(st.integers(0, 3))):
        said.append({"role": "user", "content": draw(WORDS)})
        if draw(st.booleans()):
            said[-1]["content"] = [{"type": "text", "text": draw(WORDS)}, draw(st.sampled_from([image, pdf]))]
        names = draw(st.lists(NAMES, max_size=3))
        answer: dict[str, Any] = {"role": "assistant", "content": draw(WORDS if not names else st.none() | WORDS)}
        said.append(answer)
        if names:
            answer["tool_calls"] = [
                {
                    "id": f"call_{turn}_{at}",
                    "type": "function",
                    "function": {"name": name, "arguments": orjson.dumps(draw(OBJECTS)).decode()},
                }
                for at, name in enumerate(names)
            ]
            said += [
                {"role": "tool", "tool_call_id": call["id"], "content": draw(st.just("") | WORDS)}
                for call in answer["tool_calls"]
            ]
    tail: dict[str, Any] = {"role": "user", "content": draw(WORDS)}
    return [*said, tail]


@BOUNDED
@given(conversations())
def test_a_history_survives_the_way_there_and_back(conversation: list[dict[str, Any]]) -> None:
    there = chat_to_messages(
        {"messages": conversation, "max_tokens": 5},
        model="claude-x",
        default_max_tokens=1,
        anthropic_version="2026-10-21",
    )
    back = messages_to_chat(there.body, model="gpt-x")
    assert there.dropped == back.dropped == ()
    assert back.body["max_completion_tokens"] == 5
    assert back.body["messages"] == conversation


@BOUNDED
@given(messages())
def test_what_anthropic_answered_goes_back_to_it_unchanged_through_a_chat_client(message: dict[str, Any]) -> None:
    said = completion_from_message(message, completion_id="c", created=1, model="m")["choices"][0]["message"]
    history = [{"role": "user", "content": "x"}, said, {"role": "user", "content": "y"}]
    sent_back = chat_to_messages(
        {"messages": history}, model="claude-x", default_max_tokens=1, anthropic_version="2026-10-21"
    ).body["messages"]
    if not message["content"]:
        assert len(sent_back) == 1
        return
    content = sent_back[1]["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    thinking = [b for b in message["content"] if b["type"] in ("thinking", "redacted_thinking")]
    assert blocks[: len(thinking)] == thinking
    assert "".join(b["text"] for b in blocks if b["type"] == "text") == "".join(
        b["text"] for b in message["content"] if b["type"] == "text"
    )
    assert [b for b in blocks if b["type"] == "tool_use"] == [b for b in message["content"] if b["type"] == "tool_use"]


def no_crash_but_ours(translate: Any, *args: Any, **rest: Any) -> None:  # noqa: ANN401 - any of the functions
    with suppress(AliError):
        translate(*args, **rest)


@FUZZ
@given(FUZZED)
def test_no_request_crashes_the_translation(body: dict[str, Any]) -> None:
    for version in ("2023-06-01", "2026-10-21"):
        no_crash_but_ours(chat_to_messages, body, model="m", default_max_tokens=1, anthropic_version=version)
    no_crash_but_ours(messages_to_chat, {"max_tokens": 5, **body}, model="m")


@FUZZ
@given(st.lists(JSON, max_size=4), st.sampled_from(["user", "assistant", "tool", "system"]), FUZZED)
def test_no_message_crashes_the_translation(content: list[Any], role: str, more: dict[str, Any]) -> None:
    body = {"max_tokens": 5, "messages": [{**more, "role": role, "content": content}, {"role": "user", "content": "x"}]}
    no_crash_but_ours(chat_to_messages, body, model="m", default_max_tokens=1, anthropic_version="2026-10-21")
    no_crash_but_ours(messages_to_chat, body, model="m")


@FUZZ
@given(FUZZED, FUZZED)
def test_no_answer_crashes_the_translation(body: dict[str, Any], inner: dict[str, Any]) -> None:
    for message in (body, {"content": [inner], **body}):
        no_crash_but_ours(completion_from_message, message, completion_id="c", created=1, model="m")
    for completion in (body, {"choices": [{"message": inner}]}):
        no_crash_but_ours(message_from_completion, completion, message_id="m", model="m")


@FUZZ
@given(st.lists(st.binary(max_size=20) | JSON.map(orjson.dumps) | FUZZED.map(orjson.dumps), max_size=5))
def test_no_stream_crashes_the_translation(datas: list[bytes]) -> None:
    no_crash_but_ours(relayed_leniently, from_messages(), [b'{"type":"message_start","message":{}}', *datas])
    no_crash_but_ours(relayed_leniently, from_chat(), [b'{"choices":[{"delta":{"role":"assistant"}}]}', *datas])


def relayed_leniently(relay: ChatFromMessages | MessagesFromChat, datas: list[bytes]) -> None:
    for data in datas:
        relay.feed(b"data: " + data.replace(b"\n", b" ") + b"\n\n")
    relay.finish()


@FUZZ
@given(st.lists(FUZZED, max_size=4), st.sampled_from(["delta", "tool_calls", "content_block", "event"]))
def test_no_delta_crashes_the_translation(bodies: list[dict[str, Any]], place: str) -> None:
    if place in ("delta", "tool_calls"):
        deltas = bodies if place == "delta" else [{"tool_calls": [{"index": 0, **body}]} for body in bodies]
        datas = [orjson.dumps({"choices": [{"delta": delta}]}) for delta in deltas]
        no_crash_but_ours(relayed_leniently, from_chat(), [*datas, b"[DONE]"])
        return
    types = ("content_block_start", "content_block_delta", "content_block_stop", "message_delta")
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {}}]
    for at, body in enumerate(bodies):
        if place == "content_block":
            events.append({"type": "content_block_start", "index": at, "content_block": body})
            events.append({"type": "content_block_stop", "index": at})
        else:
            events.append({**body, "type": types[at % 4], "index": 0})
    no_crash_but_ours(relayed_leniently, from_messages(), [orjson.dumps(event) for event in events])


@pytest.mark.parametrize("depth", [300, 1000])
def test_deep_nesting_is_refused_not_a_crash(depth: int) -> None:
    deep = orjson.loads(b'{"a":' * depth + b"1" + b"}" * depth)
    history = [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": deep}]}]
    user = {"role": "user", "content": "x"}
    no_crash_but_ours(messages_to_chat, {"max_tokens": 1, "messages": [*history, user]}, model="m")
    schema = {"format": {"type": "json_schema", "schema": deep}}
    no_crash_but_ours(messages_to_chat, {"max_tokens": 1, "messages": [user], "output_config": schema}, model="m")
