"""Chat completion chunks said as a Messages event stream, chunk by chunk.

Anthropic's blocks are strictly sequential, while chunks may mix text, reasoning and the deltas of several tool calls.
So what arrives is sorted into segments, each one block to be: the first is written as it comes, later ones wait until
it is done. Text and reasoning are done when something else follows; a tool call when its arguments are a whole JSON
object, or at the end of the stream.
Sources: as for `chat_stream`.
"""

from collections import deque
from typing import Any

import orjson

from ali.kernel.ids import new_id
from ali.providers.contract import Usage
from ali.providers.openai.usage import usage_from_completion
from ali.providers.sse import anthropic_event, event_data
from ali.providers.translate.answers import reasoning_text
from ali.providers.translate.calls_of_chat import CallsOfChat, is_json_object
from ali.providers.translate.citations import web_citations
from ali.providers.translate.endings import message_usage, refusal_details, refused_by_openai, stop_reason
from ali.providers.translate.shapes import (
    malformed,
    provider_dump,
    provider_json,
    provider_object,
    provider_objects,
    provider_text,
)

_STARTS = {"text": {"type": "text", "text": ""}, "thinking": {"type": "thinking", "thinking": "", "signature": ""}}
_STOP = anthropic_event(b"message_stop", b'{"type":"message_stop"}')


class _Segment:
    """One content block to be. `waiting` holds its deltas, as JSON, until they may be written."""

    __slots__ = ("arguments", "call_id", "closed", "judged", "kind", "name", "opened", "waiting", "whole")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.call_id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.waiting: list[bytes] = []
        self.opened = False
        self.closed = False
        self.judged = 0  # how many pieces of the arguments `whole` speaks of
        self.whole = False

    @property
    def done(self) -> bool:
        """Whether nothing can follow, once another segment has begun."""
        if self.kind != "tool_use":
            return True
        if self.judged != len(self.arguments) and self.arguments[-1].rstrip().endswith("}"):
            self.judged = len(self.arguments)
            self.whole = is_json_object("".join(self.arguments))
        return self.whole

    def start(self) -> dict[str, Any]:
        """The block as `content_block_start` has it."""
        if self.kind != "tool_use":
            return _STARTS[self.kind]
        return {"type": "tool_use", "id": self.call_id, "name": self.name, "input": {}}


class MessagesFromChat:
    """`contract.StreamRelay`: chat chunks in, Anthropic's events out; only the choice of index 0 is read.

    `finish` gives `message_delta`, with the usage that comes last in a chat stream, and `message_stop`. Reasoning
    becomes thinking with an empty signature, a refusal a text and the stop reason `refusal`. `stop_reason` is OpenAI's
    word. Survives what compatible servers get wrong: see `docs/reference/dialects.md`.
    """

    __slots__ = (
        "_calls",
        "_content",
        "_index",
        "_message",
        "_refusal",
        "_segments",
        "_started",
        "finished",
        "output_chars",
        "progress",
        "stop_reason",
        "usage",
    )

    def __init__(self, *, message_id: str, model: str) -> None:
        self._message: dict[str, Any] = {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        self._started = False
        self._index = 0  # of the block that is open, or else of the next
        self._segments: deque[_Segment] = deque()
        self._calls = CallsOfChat(self._new_call)
        self._content: list[str] = []
        self._refusal = ""
        self.usage = Usage()
        self.finished = False
        self.stop_reason: str | None = None
        self.progress = 0
        self.output_chars = 0

    def feed(self, event: bytes) -> bytes:
        """One whole event to the events due now. Raises `UpstreamMalformed` and `UpstreamRefused`."""
        data = event_data(event)
        if data is None or self.finished:
            return b""
        if data.strip() == b"[DONE]":
            return self._on_done()
        chunk = provider_json(data)
        if chunk.get("error"):
            raise refused_by_openai(chunk["error"])
        if "choices" not in chunk and "usage" not in chunk:
            raise malformed("a chunk with choices")
        self.progress += 1
        if chunk.get("usage") is not None:
            self.usage = usage_from_completion(provider_object(chunk["usage"], what="usage"))
        out = b"" if self._started else self._start()
        for choice in provider_objects(chunk.get("choices"), what="choices"):
            if choice.get("index") in (None, 0):
                out += self._on_choice(choice)
        return out

    def finish(self) -> bytes:
        """`message_delta` with the stop reason and usage, and `message_stop`."""
        ended = stop_reason(self.stop_reason, called_tools=bool(self._calls), refused=bool(self._refusal))
        body = {
            "type": "message_delta",
            "delta": {"stop_reason": ended, "stop_sequence": None, "stop_details": refusal_details(self._refusal)},
            "usage": message_usage(self.usage),
        }
        return anthropic_event(b"message_delta", orjson.dumps(body)) + _STOP

    def _start(self) -> bytes:
        self._started = True
        usage = {**message_usage(self.usage), "output_tokens": 0}
        body = {"type": "message_start", "message": {**self._message, "usage": usage}}
        return anthropic_event(b"message_start", orjson.dumps(body))

    def _on_choice(self, choice: dict[str, Any]) -> bytes:
        said = choice.get("delta")
        if said is None:
            said = choice.get("message")  # some servers send the whole message, not deltas
        delta = provider_object(said, what="a delta")
        out = b""
        if reasoning := reasoning_text(delta):
            out += self._say("thinking", b'{"type":"thinking_delta","thinking":' + orjson.dumps(reasoning) + b"}")
            self.output_chars += len(reasoning)
        if text := provider_text(delta.get("content"), what="content"):
            self._content.append(text)
            out += self._say_text(text)
        if len(delta) > 1 or not text:  # a delta of text alone, the common one, has nothing else to look for
            out += self._on_rare(delta)
        if (finish := provider_text(choice.get("finish_reason"), what="a finish reason")) and self.stop_reason is None:
            self.stop_reason = finish
        return out

    def _on_rare(self, delta: dict[str, Any]) -> bytes:
        out = b""
        if refusal := provider_text(delta.get("refusal"), what="a refusal"):
            self._refusal += refusal
            out += self._say_text(refusal)
        for call in provider_objects(delta.get("tool_calls"), what="tool calls"):
            out += self._on_call(call)
        if annotations := provider_objects(delta.get("annotations"), what="annotations"):
            for citation in web_citations(annotations, content="".join(self._content)):
                out += self._say("text", orjson.dumps({"type": "citations_delta", "citation": citation}))
        return out

    def _say_text(self, text: str) -> bytes:
        self.output_chars += len(text)
        return self._say("text", b'{"type":"text_delta","text":' + orjson.dumps(text) + b"}")

    def _say(self, kind: str, delta: bytes) -> bytes:
        """Add `delta` to the last segment if it is of this kind, else to a new one."""
        segments = self._segments
        if not segments or segments[-1].kind != kind:
            segments.append(_Segment(kind))
        elif len(segments) == 1 and segments[0].opened:
            return self._delta(delta)
        segments[-1].waiting.append(delta)
        return self._advance()

    def _on_call(self, call: dict[str, Any]) -> bytes:
        function = provider_object(call.get("function"), what="a function")
        call_id = provider_text(call.get("id"), what="a tool call's id")
        name = provider_text(function.get("name"), what="a function's name")
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # some compatible servers send the object itself
            arguments = provider_dump(arguments, what="arguments")
        arguments = provider_text(arguments, what="arguments")
        segment = self._calls.find(call.get("index"), call_id=call_id, name=name)
        segment.name = segment.name or name
        if arguments:
            if segment.closed:
                if arguments.strip():
                    raise malformed("no arguments after a whole object")
                return b""
            self.output_chars += len(arguments)
            segment.arguments.append(arguments)
            segment.waiting.append(b'{"type":"input_json_delta","partial_json":' + orjson.dumps(arguments) + b"}")
        return self._advance()

    def _new_call(self) -> _Segment:
        segment = _Segment("tool_use")
        self._segments.append(segment)
        return segment

    def _advance(self, *, last: bool = False) -> bytes:
        """Write what may be written: the first segment's deltas, and the segments after it once it is done."""
        out = []
        while self._segments:
            head = self._segments[0]
            over = last or (len(self._segments) > 1 and head.done)
            if not head.opened:
                if head.kind == "tool_use" and not self._ready(head, over=over):
                    break
                head.opened = True
                body = {"type": "content_block_start", "index": self._index, "content_block": head.start()}
                out.append(anthropic_event(b"content_block_start", orjson.dumps(body)))
            out += [self._delta(delta) for delta in head.waiting]
            head.waiting.clear()
            if not over:
                break
            body = {"type": "content_block_stop", "index": self._index}
            out.append(anthropic_event(b"content_block_stop", orjson.dumps(body)))
            head.closed = True
            self._segments.popleft()
            self._index += 1
        return b"".join(out)

    def _ready(self, call: _Segment, *, over: bool) -> bool:
        """Whether a tool call has what its block starts with; one that is over without an id is given one."""
        if over and not call.call_id:
            call.call_id = new_id("toolu")
        if over and not call.name:
            raise malformed("a function's name")
        return bool(call.call_id and call.name)

    def _delta(self, delta: bytes) -> bytes:
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":'
        return head + str(self._index).encode() + b',"delta":' + delta + b"}\n\n"

    def _on_done(self) -> bytes:
        if not self._started:
            raise malformed("a chunk before the end")
        self.finished = True
        return self._advance(last=True)
