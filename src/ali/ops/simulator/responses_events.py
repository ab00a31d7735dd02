"""A response of OpenAI's as a stream: named events, numbered from 0, with the terminal one last and no `[DONE]`.

Source: OpenAI API reference, "Responses", "Streaming events"; order and shapes checked against recorded streams.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ali.ops.simulator.answers import Completion
from ali.ops.simulator.openai_wire import pieces
from ali.ops.simulator.reply import Events
from ali.ops.simulator.responses_wire import ENCRYPTED, ending, output, response_object

_WORD = re.compile(r"\s*\S+|\s+\Z")
_MARK, _NUMBER_MARK = "\x00", -(2**40)  # where a value goes that differs from delta to delta
_MARKED, _NUMBER_MARKED = orjson.dumps(_MARK), orjson.dumps(_NUMBER_MARK)
_PADDED_TO = 16  # deltas are padded to such lengths, lest their sizes tell the words
_PADDING = [orjson.dumps("x" * (_PADDED_TO - length)) for length in range(_PADDED_TO)]


def response_events(said: Completion, body: Mapping[str, object], *, tier: str) -> Events:
    """The events of a streamed response."""
    options = body.get("stream_options")
    obfuscated = not (isinstance(options, dict) and options.get("include_obfuscation") is False)
    stream = _Stream(obfuscated=obfuscated)
    begun = response_object(said, body, tier=tier, end=None, items=[])
    stream.add("response.created", response=begun)
    stream.add("response.in_progress", response=begun)
    end = ending(said)
    items = output(said, body)
    for index, item in enumerate(items):
        # A response that fails leaves its last item open.
        stream.item(item, index=index, whole=end.error is None or index < len(items) - 1)
    over = response_object(said, body, tier=tier, end=end, items=[] if end.error else items)
    stream.add(f"response.{end.status}", response=over)
    return stream.events()


def error_event(number: int) -> bytes:
    """The event that ends a stream which broke on the provider's side."""
    message = "The server had an error while processing your request. Sorry about that!"
    return _named("error", {"code": "server_error", "message": message, "param": None, "sequence_number": number})


class _Stream:
    """Events as they are written: what comes before the first delta, each delta with what follows it, the rest."""

    def __init__(self, *, obfuscated: bool) -> None:
        self._obfuscated = obfuscated
        self._number = 0
        self._opening: list[bytes] = []
        self._deltas: list[bytes] = []
        self._since: list[bytes] = []

    def add(self, kind: str, **fields: object) -> None:
        """An event that is no delta."""
        self._since.append(_named(kind, fields | {"sequence_number": self._number}))
        self._number += 1

    def deltas(
        self, kind: str, texts: Sequence[str], place: dict[str, Any], *, logprobs: list[Any] | None = None
    ) -> None:
        """A step of the stream's pace for each text, with all that was added before it; of `logprobs` each has its own.

        Cost: about 1 µs a text. Under load the provider must not be what is slow.
        """
        fields = place | {"delta": _MARK, "sequence_number": _NUMBER_MARK}
        if logprobs is not None:
            fields["logprobs"] = [_MARK] if logprobs else []
        if self._obfuscated:
            fields["obfuscation"] = _MARK
        template = _named(kind, fields).replace(b"%", b"%%").replace(_MARKED, b"%b").replace(_NUMBER_MARKED, b"%d")
        for number, text in enumerate(texts):
            if self._since:
                self._flush()
            values: list[bytes | int] = [orjson.dumps(text)]  # in the order of the fields' names
            if logprobs:
                values.append(orjson.dumps(logprobs[number]))
            if self._obfuscated:
                values.append(_PADDING[len(text) % _PADDED_TO])
            values.append(self._number)
            self._deltas.append(template % tuple(values))
            self._number += 1

    def _flush(self) -> None:
        """What was added goes with the delta before it, or opens the stream."""
        if self._deltas:
            self._deltas[-1] += b"".join(self._since)
        else:
            self._opening = self._since
        self._since = []

    def events(self) -> Events:
        """The whole stream."""
        opening, closing = tuple(self._opening), tuple(self._since)
        if not self._deltas:
            opening, closing = closing[:-1], closing[-1:]
        return Events(opening=opening, deltas=tuple(self._deltas), closing=closing, numbered=True)

    def item(self, item: dict[str, Any], *, index: int, whole: bool) -> None:
        """An item from its beginning to its end, or left open."""
        place = {"item_id": item["id"], "output_index": index}
        self.add("response.output_item.added", output_index=index, item=_empty(item))
        match item["type"]:
            case "message":
                for position, part in enumerate(item["content"]):
                    self._part(part, place | {"content_index": position}, whole=whole)
            case "reasoning":
                for position, part in enumerate(item["summary"]):
                    self._summary(part, place | {"summary_index": position}, whole=whole)
            case "custom_tool_call":
                self._written("response.custom_tool_call_input", "input", item, place, whole=whole)
            case _:
                self._written("response.function_call_arguments", "arguments", item, place, whole=whole)
        if whole:
            self.add("response.output_item.done", output_index=index, item=item)

    def _part(self, part: dict[str, Any], place: dict[str, Any], *, whole: bool) -> None:
        if part["type"] == "refusal":
            self.add("response.content_part.added", **place, part=part | {"refusal": ""})
            self.deltas("response.refusal.delta", _words(part["refusal"]), place)
            if whole:
                self.add("response.refusal.done", **place, refusal=part["refusal"])
        else:
            self.add("response.content_part.added", **place, part=part | {"text": "", "logprobs": []})
            logprobs = part["logprobs"]
            self.deltas("response.output_text.delta", _words(part["text"]), place, logprobs=logprobs)
            if whole:
                self.add("response.output_text.done", **place, logprobs=logprobs, text=part["text"])
        if whole:
            self.add("response.content_part.done", **place, part=part)

    def _summary(self, part: dict[str, Any], place: dict[str, Any], *, whole: bool) -> None:
        self.add("response.reasoning_summary_part.added", **place, part=part | {"text": ""})
        self.deltas("response.reasoning_summary_text.delta", _words(part["text"]), place)
        if whole:
            self.add("response.reasoning_summary_text.done", **place, text=part["text"])
            self.add("response.reasoning_summary_part.done", **place, part=part)

    def _written(self, kind: str, field: str, item: dict[str, Any], place: dict[str, Any], *, whole: bool) -> None:
        self.deltas(f"{kind}.delta", pieces(item[field]), place)
        if whole:
            self.add(f"{kind}.done", **place, **{field: item[field]})


def _named(kind: str, fields: dict[str, object]) -> bytes:
    """An event, its type first and its other fields by name, as OpenAI has them."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind} | dict(sorted(fields.items()))))


def _words(text: str) -> Sequence[str]:
    return _WORD.findall(text)


def _empty(item: dict[str, Any]) -> dict[str, Any]:
    """The item as it begins; what is encrypted begins too, and is of no use before the end."""
    empty = dict(item)
    for name, begun in (("status", "in_progress"), ("content", []), ("summary", []), ("arguments", ""), ("input", "")):
        if name in empty:
            empty[name] = begun
    if "encrypted_content" in empty:
        empty["encrypted_content"] = ENCRYPTED
    return empty
