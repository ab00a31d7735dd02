"""Reading a turn's events in tests: each valid for the official SDK, and the output that they add up to."""

from collections import defaultdict
from typing import Any

import orjson
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from ali.providers.contract import StreamRelay
from ali.providers.sse import EventSplitter, event_data

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def turned(relay: StreamRelay, events: list[bytes]) -> bytes:
    """All that the writer gives of a stream that came to its end."""
    out = b"".join(relay.feed(event) for event in events)
    assert relay.finished
    assert relay.finish() == b""
    return out


def output_events(stream: bytes) -> list[dict[str, Any]]:
    """The events, each strictly valid for the SDK, named by its type, numbered without a gap."""
    events: list[dict[str, Any]] = []
    for event in EventSplitter(limit_bytes=1 << 24).feed(stream):
        body = orjson.loads(event_data(event) or b"")
        assert event.startswith(b"event: " + body["type"].encode() + b"\n")
        EVENT.validate_json(orjson.dumps(body), strict=True)
        assert body["sequence_number"] == len(events)
        events.append(body)
    return events


TEXTS = {
    "response.output_text": "text",
    "response.refusal": "refusal",
    "response.reasoning_text": "text",
    "response.reasoning_summary_text": "text",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
}


def output_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output items. Checks that each began once, in order, and ended once, and that its deltas add up to it."""
    items: dict[int, dict[str, Any]] = {}
    began: list[str] = []
    joined: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for event in events:
        kind, _, step = event["type"].rpartition(".")
        place = (event.get("item_id"), event.get("output_index"), event.get("content_index"), kind)
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(began)
            began.append(event["item"]["id"])
            assert event["item"]["status"] == "in_progress"
        elif event["type"] == "response.output_item.done":
            assert event["output_index"] not in items
            assert event["item"]["id"] == began[event["output_index"]]
            items[event["output_index"]] = event["item"]
        elif kind in TEXTS:
            assert began[event["output_index"]] == event["item_id"]
            assert event["output_index"] not in items, "nothing follows the end of an item"
            if step == "delta":
                joined[place].append(event["delta"])
            else:
                assert "".join(joined.pop(place, [])) == event[TEXTS[kind]]
    assert not joined, "each text that began was ended"
    assert sorted(items) == list(range(len(began)))
    return [items[at] for at in sorted(items)]


def told(items: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Each item as its type and what it says."""
    return [(item["type"], _said(item)) for item in items]


def _said(item: dict[str, Any]) -> str:
    for name in ("arguments", "input"):
        if name in item:
            return str(item[name])
    return "".join(str(part.get("text", part.get("refusal"))) for part in item["content"])
