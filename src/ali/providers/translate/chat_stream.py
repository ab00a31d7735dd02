"""A Messages event stream said as chat completion chunks, event by event.

Sources: Anthropic API reference, "Streaming messages"; OpenAI API reference, "The chat completion chunk object".
"""

from collections.abc import Callable
from typing import Any

import orjson

from ali.providers.anthropic.usage import usage_from_message
from ali.providers.contract import Usage
from ali.providers.sse import event_data
from ali.providers.translate.citations import cited_span, url_annotations
from ali.providers.translate.endings import completion_usage, finish_reason, refused_by_anthropic
from ali.providers.translate.shapes import (
    malformed,
    provider_dump,
    provider_json,
    provider_object,
    provider_objects,
    provider_text,
)

_DONE = b"data: [DONE]\n\n"


class _Block:
    """A content block that has started: what must be known of it until it stops."""

    __slots__ = ("given", "kind", "number", "parts", "signature", "start")

    def __init__(self, kind: str, *, number: int = 0, start: int = 0, given: dict[str, Any] | None = None) -> None:
        self.kind = kind
        self.number = number  # of the tool call or thinking block among its kind
        self.start = start  # of a text block, in characters of the content
        self.given = given or {}
        self.parts: list[str] = []
        self.signature = ""


class ChatFromMessages:
    """`contract.StreamRelay`: Anthropic's events in, chat chunks out; pings and unknown events say nothing.

    Thinking streams as `delta.reasoning_content`; each block of it follows whole, signature included, as one entry of
    `delta.thinking_blocks` when it stops. Citations come together before the finish, in `delta.annotations` and
    `delta.citations`. With `include_usage` each chunk carries a null `usage` and `finish` begins with the usage chunk;
    without it no chunk has the field. `stop_reason` is Anthropic's word. Cost: a few microseconds an event.
    """

    __slots__ = (
        "_blocks",
        "_counts",
        "_head",
        "_include_usage",
        "_length",
        "_spans",
        "_started",
        "_tail",
        "_thoughts",
        "_tools",
        "finished",
        "output_chars",
        "progress",
        "stop_reason",
        "usage",
    )

    def __init__(self, *, completion_id: str, created: int, model: str, include_usage: bool) -> None:
        named = {"id": completion_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._head = b"data: " + orjson.dumps(named)[:-1] + b',"choices":['
        self._tail = (
            b',"logprobs":null,"finish_reason":null}]' + (b',"usage":null' if include_usage else b"") + b"}\n\n"
        )
        self._include_usage = include_usage
        self._started = False
        self._blocks: dict[int, _Block] = {}
        self._counts: dict[str, Any] = {}
        self._spans: list[dict[str, Any]] = []
        self._length = self._thoughts = self._tools = 0
        self.usage = Usage()
        self.finished = False
        self.stop_reason: str | None = None
        self.progress = 0
        self.output_chars = 0

    def feed(self, event: bytes) -> bytes:
        """One whole event to the chunks due now. Raises `UpstreamMalformed` and `UpstreamRefused`."""
        data = event_data(event)
        if data is None or self.finished:
            return b""
        body = provider_json(data)
        kind = body.get("type")
        if kind == "content_block_delta":
            self.progress += 1
            return self._on_delta(body)
        if kind == "error":
            raise refused_by_anthropic(body.get("error"))
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is None:
            return b""
        if self._started is (kind == "message_start"):
            raise malformed("exactly one message_start, first")
        self.progress += 1
        return read(self, body)

    def finish(self) -> bytes:
        """The usage chunk where it was asked for, and `[DONE]`."""
        if not self._include_usage:
            return _DONE
        counts = orjson.dumps(completion_usage(self.usage))
        return self._head + b'],"usage":' + counts + b"}\n\n" + _DONE

    def _chunk(self, delta: bytes) -> bytes:
        return self._head + b'{"index":0,"delta":' + delta + self._tail

    def _block(self, body: dict[str, Any]) -> _Block:
        index = body.get("index")
        block = self._blocks.get(index) if isinstance(index, int) else None
        if block is None:
            raise malformed("a content block that has started")
        return block

    def _on_delta(self, body: dict[str, Any]) -> bytes:
        block = self._block(body)
        delta = body.get("delta")
        if not isinstance(delta, dict):
            raise malformed("a delta")
        match delta.get("type"):
            case "text_delta" if block.kind == "text":
                return self._text(delta.get("text"))
            case "input_json_delta" if block.kind == "tool_use":
                return self._arguments(block, provider_text(delta.get("partial_json"), what="partial_json"))
            case "thinking_delta" if block.kind == "thinking":
                return self._thinking(block, delta.get("thinking"))
            case "signature_delta" if block.kind == "thinking":
                block.signature += provider_text(delta.get("signature"), what="a signature")
            case "citations_delta" if block.kind == "text":
                citation = provider_object(delta.get("citation"), what="a citation")
                block.given.setdefault("citations", []).append(citation)
            case "text_delta" | "thinking_delta" | "signature_delta" | "citations_delta":
                raise malformed("a delta of its block's kind")
        return b""  # input of a server tool, or a kind that is not known yet

    def _text(self, value: object) -> bytes:
        text = provider_text(value, what="text")
        if not text:
            return b""
        self._length += len(text)
        self.output_chars += len(text)
        return self._chunk(b'{"content":' + orjson.dumps(text) + b"}")

    def _thinking(self, block: _Block, value: object) -> bytes:
        text = provider_text(value, what="thinking")
        if not text:
            return b""
        block.parts.append(text)
        self.output_chars += len(text)
        return self._chunk(b'{"reasoning_content":' + orjson.dumps(text) + b"}")

    def _arguments(self, block: _Block, text: str) -> bytes:
        if not text:
            return b""
        block.parts.append(text)
        self.output_chars += len(text)
        call = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (block.number, orjson.dumps(text))
        return self._chunk(call)

    def _on_start(self, body: dict[str, Any]) -> bytes:
        message = provider_object(body.get("message"), what="a message")
        self._started = True
        self._count(message.get("usage"))
        return self._chunk(b'{"role":"assistant","content":"","refusal":null}')

    def _on_block_start(self, body: dict[str, Any]) -> bytes:
        index, given = body.get("index"), provider_object(body.get("content_block"), what="a content block")
        if not isinstance(index, int) or index in self._blocks:
            raise malformed("a new content block")
        match given.get("type"):
            case "text":
                self._blocks[index] = block = _Block("text", start=self._length)
                block.given["citations"] = provider_objects(given.get("citations"), what="citations")
                return self._text(given.get("text"))
            case "thinking":
                self._blocks[index] = block = _Block("thinking", number=self._thoughts, given=given)
                self._thoughts += 1
                block.signature = provider_text(given.get("signature"), what="a signature")
                return self._thinking(block, given.get("thinking"))
            case "redacted_thinking":
                self._blocks[index] = _Block("redacted_thinking", number=self._thoughts, given=given)
                self._thoughts += 1
            case "tool_use":
                self._blocks[index] = _Block("tool_use", number=self._tools, given=given)
                self._tools += 1
                call = {
                    "index": self._blocks[index].number,
                    "id": provider_text(given.get("id"), what="a tool call's id"),
                    "type": "function",
                    "function": {"name": provider_text(given.get("name"), what="a tool's name"), "arguments": ""},
                }
                return self._chunk(orjson.dumps({"tool_calls": [call]}))
            case _:
                self._blocks[index] = _Block("other")
        return b""

    def _on_block_stop(self, body: dict[str, Any]) -> bytes:
        block = self._block(body)
        del self._blocks[body["index"]]
        match block.kind:
            case "text":
                self._spans += [
                    cited_span(citation, start=block.start, end=self._length) for citation in block.given["citations"]
                ]
            case "tool_use" if not block.parts:  # no arguments at all: the clients want an object to parse
                given = provider_object(block.given.get("input"), what="a tool's input")
                return self._arguments(block, provider_dump(given, what="a tool's input"))
            case "thinking":
                whole = {**block.given, "thinking": "".join(block.parts), "signature": block.signature}
                return self._thought(block, whole)
            case "redacted_thinking":
                return self._thought(block, block.given)
        return b""

    def _thought(self, block: _Block, whole: dict[str, Any]) -> bytes:
        """`index` is what the OpenAI SDK wants of a list that it puts together from deltas."""
        entry = provider_dump({"thinking_blocks": [{"index": block.number, **whole}]}, what="thinking")
        return self._chunk(entry.encode())

    def _on_message_delta(self, body: dict[str, Any]) -> bytes:
        delta = provider_object(body.get("delta"), what="a delta")
        self._count(body.get("usage"))
        ended = provider_text(delta.get("stop_reason"), what="a stop reason")
        if not ended or self.stop_reason is not None:
            return b""
        self.stop_reason = ended
        out = b""
        if self._spans:
            cited = {"annotations": url_annotations(self._spans), "citations": self._spans}
            out += self._chunk(provider_dump(cited, what="citations").encode())
        details = provider_object(delta.get("stop_details"), what="stop details")
        if ended == "refusal" and (why := provider_text(details.get("explanation"), what="an explanation")):
            out += self._chunk(b'{"refusal":' + orjson.dumps(why) + b"}")
        finish = b'"finish_reason":"' + finish_reason(ended).encode()
        return out + self._chunk(b"{}").replace(b'"finish_reason":null', finish + b'"', 1)

    def _on_stop(self, _body: dict[str, Any]) -> bytes:
        if self.stop_reason is None or self._blocks:
            raise malformed("the end of each block and a stop reason, before the end")
        self.finished = True
        return b""

    def _count(self, usage: object) -> None:
        """Counts are cumulative: those of `message_delta` replace those of `message_start`, field by field."""
        counts = provider_object(usage, what="usage")
        self._counts.update({name: value for name, value in counts.items() if value is not None})
        self.usage = usage_from_message(self._counts)


_READERS: dict[str, Callable[[ChatFromMessages, dict[str, Any]], bytes]] = {
    "message_start": ChatFromMessages._on_start,  # noqa: SLF001 - the table belongs to the class
    "content_block_start": ChatFromMessages._on_block_start,  # noqa: SLF001 - as above
    "content_block_stop": ChatFromMessages._on_block_stop,  # noqa: SLF001 - as above
    "message_delta": ChatFromMessages._on_message_delta,  # noqa: SLF001 - as above
    "message_stop": ChatFromMessages._on_stop,  # noqa: SLF001 - as above
}
