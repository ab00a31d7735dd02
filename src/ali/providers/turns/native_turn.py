"""A turn of a model whose provider speaks the Responses API: its events become ours, renumbered.

Source: OpenAI API reference, "Responses", "Streaming events"; checked against recorded streams.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
import orjson

from ali.providers.contract import UpstreamError, Usage
from ali.providers.openai.usage import usage_from_response
from ali.providers.openai.wire import error_for, malformed
from ali.providers.sse import event_data
from ali.providers.turns.forwarded import DELTAS, DONES, PARTS, DeltaKind, ForwardedItem
from ali.providers.turns.item_ids import new_item_id
from ali.providers.turns.native_cited import CitedMessages
from ali.providers.turns.writer import OutputWriter


class _Seen(msgspec.Struct):
    type: str
    sequence_number: int | None = None
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: Any = None  # a string in every kind that is known


_seen = msgspec.json.Decoder(_Seen)
_PLAIN_KIND: Final = re.compile(r"[A-Za-z0-9_.]{1,100}")
_SILENT: Final = frozenset({"keepalive", "ping"})
_BEGINNINGS: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_NUMBER: Final = b'"sequence_number"'
_INDEX: Final = b'"output_index"'
_AFTER_A_NUMBER: Final = (b",", b"}")
_OVERLOADED: Final = frozenset({"server_is_overloaded", "engine_overloaded", "slow_down"})
_LIMITED: Final = frozenset({"rate_limit_exceeded", "insufficient_quota", "requests", "tokens", "rate_limit_error"})
_PROVIDERS_OWN: Final = frozenset({"server_error", "internal_error", "vector_store_timeout", "timeout", "api_error"})


class NativeTurn:
    """`contract.StreamRelay` whose caller reads our stream: it writes to `writer` and returns what that has.

    Lifecycle events (`response.created` …) are not forwarded, they are the engine's to write; of the terminal one
    usage, `incomplete_reason` and `service_tier` are kept. Everything else goes on with our `sequence_number` and with
    an `output_index` that counts on from what `writer` had. Identifiers of items stay OpenAI's. Calls of the
    functions in `writer.served` are written as what they stand for, and marks of `writer.citations` as annotations.
    Whatever only OpenAI may read (`encrypted_content`) is given to `seal` as `{"encrypted_content": …}` once its item
    is whole.

    Cost: a delta of text about 3 µs (measured); it is checked as JSON, and its bytes are spliced, not written anew.
    """

    __slots__ = (
        "_cited",
        "_indexes",
        "_open",
        "_provider",
        "_seal",
        "_served",
        "_writer",
        "finished",
        "incomplete_reason",
        "output_chars",
        "progress",
        "service_tier",
        "stop_reason",
        "usage",
    )

    def __init__(self, writer: OutputWriter, *, provider: str, seal: Callable[[dict[str, Any]], str]) -> None:
        self._writer = writer
        self._provider = provider
        self._seal = seal
        self._cited = None if writer.citations is None else CitedMessages(writer.citations, writer)
        self._indexes: dict[int, int] = {}
        self._open: dict[int, ForwardedItem] = {}
        self._served: dict[int | None, bool | None] = {}  # whether arguments came; None once the call is whole
        self.usage = Usage()
        self.finished = False
        self.stop_reason: str | None = None
        """The reason why the response is incomplete, else its status."""
        self.incomplete_reason: str | None = None
        self.service_tier: str | None = None
        self.progress = 0
        self.output_chars = 0

    def feed(self, event: bytes) -> bytes:
        """One whole event to the bytes due now. Raises `UpstreamMalformed` and `UpstreamRefused`."""
        data = event_data(event)
        if data is None or self.finished or data == b"[DONE]":
            return self._writer.take()
        try:
            data.decode()  # msgspec does not look inside what it skips
            seen = _seen.decode(data)
            kind = DELTAS.get(seen.type)
            if kind is None:
                self._feed_rare(seen, data)
            elif type(seen.delta) is str:
                self._feed_delta(seen, kind, data)
            else:
                raise malformed(self._provider)
        except (
            msgspec.DecodeError,
            UnicodeDecodeError,
            RecursionError,
            orjson.JSONDecodeError,
            orjson.JSONEncodeError,
        ) as error:
            raise malformed(self._provider) from error
        return self._writer.take()

    def finish(self) -> bytes:
        """Nothing: the terminal event is the engine's."""
        return b""

    def _feed_delta(self, seen: _Seen, kind: DeltaKind, data: bytes) -> None:
        theirs, number = seen.output_index, seen.sequence_number
        item = None if theirs is None else self._open.get(theirs)
        if theirs is None or item is None:
            if theirs is not None and self._served.get(theirs) is not None and kind.grows == "arguments":
                self._hear_arguments(theirs, seen.delta)
                return
            raise malformed(self._provider)
        place = 0 if kind.holder is None else _place(seen, kind.index)
        self.progress += 1
        self.output_chars += len(seen.delta)
        if self._cited is not None and kind.part == "output_text":
            due = self._cited.feed(item, place, seen.delta)
            if due != [seen.delta]:
                self._cited.show(item, place, due, orjson.loads(data))
                return
        item.grow(kind, place, seen.delta)
        # Quotes inside a JSON string are escaped, so a key that is found once is the event's own.
        if number is not None and data.count(_NUMBER) == 1 and b"\n" not in data and b"\r" not in data:
            placed = data if item.index == theirs else _placed(data, theirs=theirs, ours=item.index)
            head, found, tail = placed.partition(b'"sequence_number":%d' % number)
            if found and tail[:1] in _AFTER_A_NUMBER:
                self._writer.splice(b'%b%b"sequence_number":' % (kind.line, head), tail + b"\n\n")
                return
        self._forward(seen, orjson.loads(data))

    def _feed_rare(self, seen: _Seen, data: bytes) -> None:
        """Everything but deltas."""
        kind = seen.type
        if kind in _SILENT:
            return
        self.progress += 1
        if kind in _BEGINNINGS:
            return
        fields = orjson.loads(data)
        if kind == "error":
            raise self._refusal(fields.get("error") or fields)
        if kind in _ENDS:
            self._end(kind, _object(fields.get("response")))
        elif kind == "response.output_item.added":
            self._begin_item(seen, self._item(fields))
        elif kind == "response.output_item.done":
            self._end_item(seen, self._item(fields))
        elif seen.output_index not in self._served:
            item = None if seen.output_index is None else self._open.get(seen.output_index)
            if self._cited is not None and item is not None:
                self._cited.end_as_shown(item, seen.content_index or 0, seen.type, fields)
            self._follow(seen, fields)
            self._forward(seen, fields)

    # Items

    def _item(self, fields: dict[str, Any]) -> dict[str, Any]:
        item = fields.get("item")
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            raise malformed(self._provider)
        return item

    def _begin_item(self, seen: _Seen, item: dict[str, Any]) -> None:
        theirs = seen.output_index
        if theirs is None or theirs in self._indexes or theirs in self._served:
            raise malformed(self._provider)
        if self._is_served(item):
            self._served[theirs] = False
            self._writer.begin_call(theirs, kind="function_call", call_id=item["call_id"], name=item["name"])
            return
        item.pop("encrypted_content", None)  # perhaps not whole yet, and not sealed
        if not isinstance(item.get("id"), str):
            item["id"] = new_item_id(item["type"])
        piece = self._writer.begin_forwarded(item)
        self._indexes[theirs] = piece.index
        self._open[theirs] = piece

    def _end_item(self, seen: _Seen, item: dict[str, Any]) -> None:
        theirs = seen.output_index
        if theirs is not None and theirs not in self._indexes and theirs not in self._served:  # whole at once
            self._begin_item(seen, dict(item))
        if theirs is not None and theirs in self._served:
            self._end_served(theirs, item)
            return
        piece = None if theirs is None else self._open.pop(theirs, None)
        if piece is None:
            raise malformed(self._provider)
        if not isinstance(item.get("id"), str):
            item["id"] = piece.item_id
        hidden = item.get("encrypted_content")
        if isinstance(hidden, str):
            item["encrypted_content"] = self._seal({"encrypted_content": hidden})
        if self._cited is not None:
            item = self._cited.whole_item(piece.index, item)
        self._writer.end_forwarded(piece, item)

    # Calls of functions that this service runs: the caller sees an item of another kind

    def _is_served(self, item: dict[str, Any]) -> bool:
        if item["type"] != "function_call" or not isinstance(item.get("call_id"), str):
            return False
        name = item.get("name")
        return isinstance(name, str) and name in self._writer.served

    def _hear_arguments(self, theirs: int, delta: str) -> None:
        self.progress += 1
        self.output_chars += len(delta)
        self._served[theirs] = True
        self._writer.arguments(theirs, delta)

    def _end_served(self, theirs: int, item: dict[str, Any]) -> None:
        """The call is whole. Arguments that came with the end alone are taken from there; none are an empty object."""
        if self._served[theirs] is None:
            raise malformed(self._provider)
        if not self._served[theirs]:
            written = item.get("arguments")
            self._hear_arguments(theirs, written if isinstance(written, str) and written.strip() else "{}")
        self._served[theirs] = None
        self._writer.end_call(theirs, status="incomplete" if item.get("status") == "incomplete" else "completed")

    # What items are made of

    def _follow(self, seen: _Seen, fields: dict[str, Any]) -> None:
        """What an event within an open item says of it."""
        item = None if seen.output_index is None else self._open.get(seen.output_index)
        if item is None:
            return
        kind = seen.type
        if kind in PARTS:
            holder, index = PARTS[kind]
            place = _place(seen, index)
            part = fields.get("part")
            if not isinstance(part, dict):
                raise malformed(self._provider)
            if kind.endswith("added"):
                item.begin_part(holder, place, part)
            else:
                item.end_part(holder, place, part)
        elif kind in DONES:
            done = DONES[kind]
            text = fields.get(done.grows)
            if isinstance(text, str):
                item.end_text(done, 0 if done.holder is None else _place(seen, done.index), text)
        elif kind == "response.output_text.annotation.added":
            item.annotate(seen.content_index or 0, fields.get("annotation"))

    def _forward(self, seen: _Seen, fields: dict[str, Any]) -> None:
        """The event under our number and index, its fields written anew."""
        if not _PLAIN_KIND.fullmatch(seen.type):
            raise malformed(self._provider)
        del fields["type"]
        fields.pop("sequence_number", None)
        if seen.output_index is not None:
            if seen.output_index not in self._indexes:
                raise malformed(self._provider)
            fields["output_index"] = self._indexes[seen.output_index]
        if fields:
            self._writer.forward(seen.type, fields)

    # The end

    def _end(self, kind: str, response: dict[str, Any]) -> None:
        """The terminal event: what it says of the turn as a whole."""
        usage, tier = response.get("usage"), response.get("service_tier")
        if isinstance(usage, dict):
            self.usage = usage_from_response(usage)
        self.service_tier = tier if isinstance(tier, str) else None
        if kind in ("response.failed", "response.cancelled"):
            raise self._refusal(response.get("error"))
        if kind == "response.incomplete":
            reason = _object(response.get("incomplete_details")).get("reason")
            self.incomplete_reason = reason if isinstance(reason, str) else "max_output_tokens"
        self._writer.end_all(status="incomplete" if self.incomplete_reason else "completed")
        self._open.clear()
        self.stop_reason = self.incomplete_reason or "completed"
        self.finished = True

    def _refusal(self, error: object) -> UpstreamError:
        """An in-band error: `response.failed`, or an `error` event in either of its shapes."""
        detail = error if isinstance(error, dict) else {"message": error}
        code, kind, message, param = (detail.get(name) for name in ("code", "type", "message", "param"))
        words = {word for word in (code, kind) if isinstance(word, str)}
        if words & _LIMITED:
            status, named = 429, "rate_limit_error"
        elif words & _OVERLOADED:
            status, named = 503, "overloaded_error"
        elif words & _PROVIDERS_OWN or not words - {"error"}:
            status, named = 500, "api_error"
        else:
            status, named = 400, "invalid_request_error"
        return error_for(
            status,
            provider=self._provider,
            said=message if isinstance(message, str) else None,
            kind=named,
            code=code if isinstance(code, str) else None,
            param=param if isinstance(param, str) else None,
        )


def _place(seen: _Seen, index: str) -> int:
    return (seen.content_index if index == "content_index" else seen.summary_index) or 0


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _placed(data: bytes, *, theirs: int, ours: int) -> bytes:
    """`data` with our index in the place of theirs; nothing where that cannot be seen without reading all of it."""
    head, found, tail = data.partition(b'"output_index":%d' % theirs)
    if not found or tail[:1] not in _AFTER_A_NUMBER or data.count(_INDEX) != 1:
        return b""
    return b'%b"output_index":%d%b' % (head, ours, tail)
