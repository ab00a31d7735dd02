"""Reading event streams in tests: whole events, what they say, and the answer they add up to."""

from typing import Any

import orjson
from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from ali.providers.contract import StreamRelay
from ali.providers.sse import EventSplitter, event_data

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def sent(*bodies: dict[str, Any] | str) -> list[bytes]:
    """Chat events, each with its data; a string is sent as it is."""
    return [b"data: " + (body.encode() if isinstance(body, str) else orjson.dumps(body)) + b"\n\n" for body in bodies]


def named(*bodies: dict[str, Any]) -> list[bytes]:
    """Messages events, each with its name and data."""
    return [b"event: " + body["type"].encode() + b"\ndata: " + orjson.dumps(body) + b"\n\n" for body in bodies]


def relayed(relay: StreamRelay, events: list[bytes]) -> bytes:
    """All that the caller gets of a stream that came to its end."""
    out = b"".join(relay.feed(event) for event in events)
    assert relay.finished
    return out + relay.finish()


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """The chunks of a chat stream, each valid for the official SDK; the stream must end in one `[DONE]`."""
    datas = [event_data(event) or b"" for event in EventSplitter(limit_bytes=1 << 24).feed(stream)]
    assert datas.pop() == b"[DONE]"
    chunks: list[dict[str, Any]] = [orjson.loads(data) for data in datas]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    return chunks


def events_of(stream: bytes) -> list[dict[str, Any]]:
    """The events of a Messages stream, each valid for the official SDK, its name that of its type."""
    events: list[dict[str, Any]] = []
    for event in EventSplitter(limit_bytes=1 << 24).feed(stream):
        body = orjson.loads(event_data(event) or b"")
        assert event.startswith(b"event: " + body["type"].encode() + b"\n")
        EVENT.validate_python(body)
        events.append(body)
    return events


def completion_of(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """What a chat client has put together at the end of a stream."""
    said: dict[str, Any] = {"content": "", "refusal": "", "reasoning_content": "", "thinking_blocks": []}
    said |= {"tool_calls": [], "citations": [], "annotations": []}
    finishes: list[str] = []
    usage = None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            assert not finishes, "nothing follows the finish"
            delta = choice["delta"]
            for name in ("content", "refusal", "reasoning_content"):
                said[name] += delta.get(name) or ""
            said["citations"] += delta.get("citations", [])
            said["annotations"] += delta.get("annotations", [])
            for block in delta.get("thinking_blocks", []):
                assert block["index"] == len(said["thinking_blocks"])
                said["thinking_blocks"].append({name: block[name] for name in block if name != "index"})
            for call in delta.get("tool_calls", []):
                if "id" in call:
                    assert call["index"] == len(said["tool_calls"])
                    assert call["type"] == "function"
                    assert call["function"]["arguments"] == ""
                    said["tool_calls"].append({"id": call["id"], "name": call["function"]["name"], "arguments": ""})
                else:
                    assert set(call) == {"index", "function"}
                    said["tool_calls"][call["index"]]["arguments"] += call["function"]["arguments"]
            finishes += [choice["finish_reason"]] if choice["finish_reason"] else []
    return {**said, "finish_reason": finishes[0] if finishes else None, "usage": usage}


def message_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What an Anthropic client has put together at the end of a stream; the order of events is checked on the way."""
    assert [event["type"] for event in events].count("message_start") == 1
    assert events[0]["type"] == "message_start"
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    content: list[dict[str, Any]] = []
    opened: int | None = None
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert opened is None
                assert event["index"] == len(content)
                opened = event["index"]
                content.append({**event["content_block"], "json": ""})
            case "content_block_delta":
                assert event["index"] == opened
                block, delta = content[-1], event["delta"]
                match delta["type"]:
                    case "text_delta":
                        assert block["type"] == "text"
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        assert block["type"] == "thinking"
                        block["thinking"] += delta["thinking"]
                    case "input_json_delta":
                        assert block["type"] == "tool_use"
                        block["json"] += delta["partial_json"]
                    case "citations_delta":
                        block.setdefault("citations", []).append(delta["citation"])
            case "content_block_stop":
                assert event["index"] == opened
                opened = None
            case kind:
                raise AssertionError(kind)
    assert opened is None
    return {**events[0]["message"], "content": content, **events[-2]["delta"], "usage": events[-2]["usage"]}
