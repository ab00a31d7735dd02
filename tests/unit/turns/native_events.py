"""Responses streams in tests: written as OpenAI writes them, and read as its SDK reads them."""

from typing import Any, get_args

import orjson
from openai.types.responses import ResponseStreamEvent

from ali.providers.sse import EventSplitter, event_data

_EVENTS: dict[str, Any] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(ResponseStreamEvent)[0])
}
"""The SDK's model of each type of event."""


def theirs(*bodies: dict[str, Any]) -> list[bytes]:
    """Events as OpenAI sends them, numbered unless they are already; `type` is the name."""
    return [
        b"event: %b\ndata: %b\n\n" % (body["type"].encode(), orjson.dumps(body | {"sequence_number": number}))
        for number, body in enumerate(bodies)
    ]


def message(index: int, words: list[str], *, item_id: str = "msg_1", status: str = "completed") -> list[dict[str, Any]]:
    """The events of one message of one text."""
    place = {"item_id": item_id, "output_index": index}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    whole = part | {"text": "".join(words)}
    item = {"id": item_id, "type": "message", "status": "in_progress", "content": [], "role": "assistant"}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": item},
        {"type": "response.content_part.added", "content_index": 0, **place, "part": part},
        *[
            {
                "type": "response.output_text.delta",
                "content_index": 0,
                "delta": word,
                "item_id": item_id,
                "logprobs": [],
                "obfuscation": "a1",
                "output_index": index,
            }
            for word in words
        ],
        {
            "type": "response.output_text.done",
            "content_index": 0,
            **place,
            "logprobs": [],
            "text": "".join(words),
        },
        {"type": "response.content_part.done", "content_index": 0, **place, "part": whole},
        {
            "type": "response.output_item.done",
            "output_index": index,
            "item": item | {"status": status, "content": [whole]},
        },
    ]


def reasoning(index: int, text: str, *, hidden: str, item_id: str = "rs_1") -> list[dict[str, Any]]:
    """The events of a reasoning item with one summary."""
    place = {"item_id": item_id, "output_index": index, "summary_index": 0}
    item = {"id": item_id, "type": "reasoning", "summary": [], "encrypted_content": "begun"}
    part = {"type": "summary_text", "text": text}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": item},
        {"type": "response.reasoning_summary_part.added", **place, "part": part | {"text": ""}},
        {"type": "response.reasoning_summary_text.delta", **place, "delta": text},
        {"type": "response.reasoning_summary_text.done", **place, "text": text},
        {"type": "response.reasoning_summary_part.done", **place, "part": part},
        {
            "type": "response.output_item.done",
            "output_index": index,
            "item": item | {"summary": [part], "encrypted_content": hidden},
        },
    ]


def call(index: int, pieces: list[str], *, item_id: str = "fc_1", kind: str = "function_call") -> list[dict[str, Any]]:
    """The events of a call of one of the caller's tools."""
    place = {"item_id": item_id, "output_index": index}
    name, grows = (
        ("function_call_arguments", "arguments") if kind == "function_call" else ("custom_tool_call_input", "input")
    )
    item = {"id": item_id, "type": kind, "status": "in_progress", "call_id": f"call_{item_id}", "name": "f", grows: ""}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": item},
        *[{"type": f"response.{name}.delta", **place, "delta": piece} for piece in pieces],
        {"type": f"response.{name}.done", **place, grows: "".join(pieces)},
        {
            "type": "response.output_item.done",
            "output_index": index,
            "item": item | {"status": "completed", grows: "".join(pieces)},
        },
    ]


def lifecycle(*bodies: dict[str, Any], end: str = "response.completed", **response: object) -> list[bytes]:
    """A whole stream around `bodies`; `response` are fields of the last event's."""
    begun = {"id": "resp_theirs", "object": "response", "status": "in_progress", "output": []}
    return theirs(
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *bodies,
        {"type": end, "response": begun | {"status": end.removeprefix("response.")} | response},
    )


def ours(stream: bytes, *, first_number: int = 0) -> list[dict[str, Any]]:
    """Our events: each valid for the SDK, named by its type, numbered without a gap."""
    events: list[dict[str, Any]] = []
    for number, event in enumerate(EventSplitter(limit_bytes=1 << 24).feed(stream), start=first_number):
        body = orjson.loads(event_data(event) or b"")
        assert event.startswith(b"event: " + body["type"].encode() + b"\ndata: ")
        assert event.count(b"\n") == 3
        assert body["sequence_number"] == number
        _EVENTS[body["type"]].model_validate(body)
        events.append(body)
    return events
