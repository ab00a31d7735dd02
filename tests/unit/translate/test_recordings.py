"""Recorded traffic of the real providers, where it lies beside the repository: translated, it says the same."""

import base64
import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Usage
from ali.providers.sse import EventSplitter, event_data
from ali.providers.translate import (
    ChatFromMessages,
    MessagesFromChat,
    anthropic_version_for,
    chat_to_messages,
    completion_from_message,
    message_from_completion,
    messages_to_chat,
)
from tests.unit.translate.reading import chunks_of, completion_of, events_of, message_of, relayed

RECORDINGS = Path(__file__).parents[4] / "shared" / "recordings" / "dev.jsonl.gz"
pytestmark = pytest.mark.skipif(
    not RECORDINGS.exists(), reason="the recorded provider traffic is not beside the repository"
)


def recorded(path: str, *, streamed: bool | None = None) -> Iterator[dict[str, Any]]:
    with gzip.open(RECORDINGS) as lines:
        for line in lines:
            interaction = orjson.loads(line)
            if not interaction["path"].endswith(path):
                continue
            if streamed is not None:
                body = body_of(interaction)
                if interaction["status"] != 200 or (not body.lstrip().startswith(b"{")) is not streamed:
                    continue
                interaction["body"] = body
            yield interaction


def body_of(interaction: dict[str, Any]) -> bytes:
    if "response_base64" in interaction:
        return base64.b64decode(interaction["response_base64"])
    return (interaction["response"] or "").encode()


def datas_of(body: bytes) -> tuple[list[bytes], list[bytes]]:
    """Whole events of a recorded stream, and their data; a recording may lack the last blank line."""
    events = EventSplitter(limit_bytes=1 << 24).feed(body.rstrip() + b"\n\n")
    return events, [data for event in events if (data := event_data(event)) is not None and data != b"[DONE]"]


def folded_message(datas: list[bytes]) -> dict[str, Any]:
    """An Anthropic stream put together without the code under test."""
    blocks: dict[int, dict[str, Any]] = {}
    message: dict[str, Any] = {}
    for data in datas:
        event = orjson.loads(data)
        match event["type"]:
            case "message_start":
                message = {**event["message"]}
            case "content_block_start":
                blocks[event["index"]] = {**event["content_block"], "json": ""}
            case "content_block_delta":
                block, delta = blocks[event["index"]], event["delta"]
                block["text"] = block.get("text", "") + delta.get("text", "")
                block["json"] += delta.get("partial_json", "")
                block["thinking"] = block.get("thinking", "") + delta.get("thinking", "")
                block["signature"] = delta.get("signature", block.get("signature"))
                if "citation" in delta:
                    block.setdefault("citations", []).append(delta["citation"])
            case "message_delta":
                message["stop_reason"] = event["delta"]["stop_reason"]
                message["usage"] |= {name: count for name, count in event["usage"].items() if count is not None}
    for block in blocks.values():
        if block["type"] == "tool_use":
            block["input"] = orjson.loads(block["json"] or "{}")
    return {**message, "content": list(blocks.values())}


FINISH = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def check_as_chat(message: dict[str, Any], said: dict[str, Any], finish: str, usage: dict[str, Any]) -> None:
    """`said`, a chat message, against the recorded Anthropic `message`."""
    content = message["content"]
    assert (said["content"] or "") == "".join(block["text"] for block in content if block["type"] == "text")
    assert [
        (call["id"], call["function"]["name"], orjson.loads(call["function"]["arguments"]))
        for call in said.get("tool_calls") or []
    ] == [(block["id"], block["name"], block["input"]) for block in content if block["type"] == "tool_use"]
    thinking = [block for block in content if block["type"] == "thinking"]
    assert [(block["thinking"], block["signature"]) for block in said.get("thinking_blocks") or []] == [
        (block["thinking"], block["signature"]) for block in thinking
    ]
    cited = [citation for block in content for citation in block.get("citations") or []]
    assert [span["citation"] for span in said.get("citations") or []] == cited
    assert finish == FINISH[message["stop_reason"]]
    counts = message["usage"]
    read, written = (counts.get(f"cache_{name}_input_tokens") or 0 for name in ("read", "creation"))
    assert usage["prompt_tokens"] == counts["input_tokens"] + read + written
    assert usage["prompt_tokens_details"]["cached_tokens"] == read
    assert usage["completion_tokens"] == counts["output_tokens"]


def test_every_recorded_message_says_the_same_as_a_completion() -> None:
    seen = 0
    for interaction in recorded("/v1/messages", streamed=False):
        message = orjson.loads(interaction["body"])
        answer = completion_from_message(message, completion_id="c", created=1, model="m")
        choice = answer["choices"][0]
        check_as_chat(message, choice["message"], choice["finish_reason"], answer["usage"])
        seen += 1
    print(f"messages: {seen}")  # noqa: T201 - the counts of the report
    assert seen


def test_every_recorded_message_stream_says_the_same_as_chunks() -> None:
    seen = 0
    for interaction in recorded("/v1/messages", streamed=True):
        events, datas = datas_of(interaction["body"])
        relay = ChatFromMessages(completion_id="c", created=1, model="m", include_usage=True)
        built = completion_of(chunks_of(relayed(relay, events)))
        calls = [{"id": call["id"], "function": call} for call in built["tool_calls"]]
        check_as_chat(folded_message(datas), {**built, "tool_calls": calls}, built["finish_reason"], built["usage"])
        seen += 1
    print(f"message streams: {seen}")  # noqa: T201 - as above
    assert seen


def folded_completion(datas: list[bytes]) -> dict[str, Any]:
    """A chat stream's first choice put together without the code under test."""
    text, refusal, finish, usage = "", "", None, None
    calls: dict[int, dict[str, str]] = {}
    for data in datas:
        chunk = orjson.loads(data)
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            if choice["index"] != 0:
                continue
            text += choice["delta"].get("content") or ""
            refusal += choice["delta"].get("refusal") or ""
            finish = choice.get("finish_reason") or finish
            for call in choice["delta"].get("tool_calls") or []:
                known = calls.setdefault(call["index"], {"id": "", "name": "", "arguments": ""})
                known["id"] = known["id"] or call.get("id") or ""
                known["name"] = known["name"] or call["function"].get("name") or ""
                known["arguments"] += call["function"].get("arguments") or ""
    return {"text": text + refusal, "calls": list(calls.values()), "finish": finish, "usage": usage}


def check_as_message(recording: dict[str, Any], message: dict[str, Any]) -> None:
    """`message`, Anthropic's, against what a recorded completion says."""
    content = message["content"]
    assert "".join(block["text"] for block in content if block["type"] == "text") == recording["text"]
    assert [(block["id"], block["name"], block["input"]) for block in content if block["type"] == "tool_use"] == [
        (call["id"], call["name"], orjson.loads(call["arguments"] or "{}")) for call in recording["calls"]
    ]
    expected = {"length": "max_tokens", "content_filter": "refusal"}.get(recording["finish"])
    assert message["stop_reason"] == (expected or ("tool_use" if recording["calls"] else "end_turn"))
    counts, usage = message["usage"], recording["usage"]
    if usage:
        read, written = counts["cache_read_input_tokens"], counts["cache_creation_input_tokens"]
        assert counts["input_tokens"] + read + written == usage["prompt_tokens"]
        assert read == ((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        assert counts["output_tokens"] == usage["completion_tokens"]


def test_every_recorded_completion_says_the_same_as_a_message() -> None:
    seen = 0
    for interaction in recorded("/v1/chat/completions", streamed=False):
        completion = orjson.loads(interaction["body"])
        said = completion["choices"][0]["message"]
        recording = {
            "text": (said.get("content") or "") + (said.get("refusal") or ""),
            "calls": [{"id": call["id"], **call["function"]} for call in said.get("tool_calls") or []],
            "finish": completion["choices"][0]["finish_reason"],
            "usage": completion.get("usage"),
        }
        check_as_message(recording, message_from_completion(completion, message_id="m", model="m"))
        seen += 1
    print(f"completions: {seen}")  # noqa: T201 - as above
    assert seen


def test_every_recorded_chat_stream_says_the_same_as_events() -> None:
    seen: Counter[str] = Counter()
    for interaction in recorded("/v1/chat/completions", streamed=True):
        events, datas = datas_of(interaction["body"])
        if not datas:
            seen["empty recording"] += 1
            continue
        relay = MessagesFromChat(message_id="m", model="m")
        if b"[DONE]" not in interaction["body"]:
            for event in events:
                relay.feed(event)
            assert not relay.finished
            seen["cut recording"] += 1
            continue
        built = message_of(events_of(relayed(relay, events)))
        for block in built["content"]:
            if block["type"] == "tool_use":
                block["input"] = orjson.loads(block["json"] or "{}")
        check_as_message(folded_completion(datas), built)
        assert relay.usage == Usage() or relay.usage.reported
        seen["translated"] += 1
    print(f"chat streams: {dict(seen)}")  # noqa: T201 - as above
    assert seen["translated"]


def test_every_recorded_request_can_be_said_in_the_other_dialect_or_is_refused_with_a_reason() -> None:
    seen: Counter[str] = Counter()
    for interaction in recorded("/v1/messages"):
        request = interaction["request"]
        try:
            chat = messages_to_chat(request, model="m")
        except InvalidRequest as refusal:
            seen[f"messages refused: {refusal.param}"] += 1
            continue
        seen["messages to chat"] += 1
        chat_to_messages(chat.body, model="m", default_max_tokens=1, anthropic_version="2023-06-01")
    for interaction in recorded("/v1/chat/completions"):
        request = interaction["request"]
        try:
            said = chat_to_messages(request, model="m", default_max_tokens=1, anthropic_version="2023-06-01")
        except InvalidRequest as refusal:
            seen[f"chat refused: {refusal.param}"] += 1
            continue
        seen[f"chat to messages {anthropic_version_for(said.body)}"] += 1
    print(dict(seen))  # noqa: T201 - as above
    assert seen["messages to chat"]
