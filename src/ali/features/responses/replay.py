"""The output of a response as its events tell it: for one whose process died in the middle."""

from typing import Any, Final

import msgspec
import orjson

from ali.providers.sse import EventSplitter, event_data
from ali.providers.turns.forwarded import DELTAS, PARTS, ForwardedItem

Json = dict[str, Any]

_EVENT_BYTES: Final = 1 << 30
"""Our own events: none is refused."""


class _Numbered(msgspec.Struct):
    sequence_number: int


_numbered = msgspec.json.Decoder(_Numbered)


def events_of(body: bytes) -> list[bytes]:
    """Whole server-sent events, one by one."""
    return EventSplitter(limit_bytes=_EVENT_BYTES).feed(body)


def number_of(event: bytes) -> int:
    """An event's `sequence_number`, wherever it stands in it: those of a provider are passed on as they came."""
    return _numbered.decode(event_data(event) or b"{}").sequence_number


def output_of(body: bytes) -> list[Json]:
    """The items that a log of events leaves, those that were not done marked `incomplete`."""
    done: dict[int, Json] = {}
    begun: dict[int, ForwardedItem] = {}
    for event in events_of(body):
        data: Json = orjson.loads(event_data(event) or b"{}")
        kind: str = data["type"]
        index: int = data.get("output_index", -1)  # a lifecycle event has none
        if kind == "response.output_item.added":
            begun[index] = ForwardedItem(data["item"], index=index)
        elif kind == "response.output_item.done":
            done[index] = data["item"]
        elif kind in DELTAS:
            delta = DELTAS[kind]
            begun[index].grow(delta, 0 if delta.holder is None else data[delta.index], data["delta"])
        elif kind in PARTS:
            holder, place = PARTS[kind]
            tell = begun[index].begin_part if kind.endswith(".added") else begun[index].end_part
            tell(holder, data[place], data["part"])
        elif kind == "response.output_text.annotation.added":
            begun[index].annotate(data["content_index"], data["annotation"])
    return [
        done[index] if index in done else begun[index].item("incomplete")
        for index in sorted(done.keys() | begun.keys())
    ]
