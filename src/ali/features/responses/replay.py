"""The output of a response as its events tell it: for one whose process died in the middle."""

from typing import Any, Final

import msgspec
import orjson

from ali.providers.sse import EventSplitter, event_data

Json = dict[str, Any]

_EVENT_BYTES: Final = 1 << 30
"""Our own events: none is refused."""


class _Numbered(msgspec.Struct):
    sequence_number: int


_numbered = msgspec.json.Decoder(_Numbered)


_TEXTS: Final = {"response.output_text.delta": "text", "response.reasoning_text.delta": "text"}
_ARGUMENTS: Final = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}


def events_of(body: bytes) -> list[bytes]:
    """Whole server-sent events, one by one."""
    return EventSplitter(limit_bytes=_EVENT_BYTES).feed(body)


def number_of(event: bytes) -> int:
    """An event's `sequence_number`, which our writer puts last."""
    return int(event[event.rindex(b":") + 1 : -3])


def kind_of(event: bytes) -> str:
    """An event's `type`, from its first line."""
    return event[len(b"event: ") : event.index(b"\n")].decode()


def output_of(body: bytes) -> list[Json]:
    """The items that a log of events leaves, those that were not done marked `incomplete`."""
    output: dict[int, Json] = {}
    for event in events_of(body):
        kind = kind_of(event)
        if kind in {"response.output_item.added", "response.output_item.done"} or ".delta" in kind:
            _apply(kind, orjson.loads(event_data(event) or b"{}"), output)
        elif kind in ("response.content_part.added", "response.reasoning_summary_part.added"):
            _add_part(orjson.loads(event_data(event) or b"{}"), output)
    for item in output.values():
        if item.get("status") == "in_progress":
            item["status"] = "incomplete"
    return [output[index] for index in sorted(output)]


def _apply(kind: str, data: Json, output: dict[int, Json]) -> None:
    index = data["output_index"]
    if "item" in data:
        output[index] = data["item"]
        return
    item = output[index]
    if kind in _ARGUMENTS:
        item[_ARGUMENTS[kind]] += data["delta"]
    elif kind == "response.refusal.delta":
        item["content"][data["content_index"]]["refusal"] += data["delta"]
    elif kind == "response.reasoning_summary_text.delta":
        item["summary"][data["summary_index"]]["text"] += data["delta"]
    elif kind in _TEXTS:
        item["content"][data["content_index"]]["text"] += data["delta"]


def _add_part(data: Json, output: dict[int, Json]) -> None:
    item = output[data["output_index"]]
    item.setdefault("summary" if "summary_index" in data else "content", []).append(data["part"])
