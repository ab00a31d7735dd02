"""Anthropic's content blocks while they stream, each written as the item or part that it is in a response."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import msgspec

from ali.kernel.ids import new_id
from ali.providers.translate.shapes import (
    malformed,
    provider_dump,
    provider_object,
    provider_objects,
    provider_text,
)
from ali.providers.turns.annotations import citation_annotation
from ali.providers.turns.messages_tools import CUSTOM_INPUT
from ali.providers.turns.partial_string import PartialString
from ali.providers.turns.writer import CallKind, ItemStatus, OutputWriter

Seal = Callable[[dict[str, Any]], str]


class BlockDelta(msgspec.Struct, gc=False):
    """What is read of a `content_block_delta`, whatever its kind."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    citation: dict[str, Any] | None = None


class OpenBlock(Protocol):
    """A block that has started. Between its last delta and `close` it may wait, for only what follows tells whether
    the model was cut off in it.
    """

    def add(self, delta: BlockDelta, writer: OutputWriter) -> int:
        """Write `delta`; how many characters it had. Raises `UpstreamMalformed` for a delta of another kind."""
        ...

    def close(self, writer: OutputWriter, *, status: ItemStatus) -> None:
        """The block is whole, or was cut off."""
        ...


class TextBlock:
    """A block of text: one part of the message."""

    __slots__ = ("_citations", "_start", "length")

    def __init__(self, given: dict[str, Any], writer: OutputWriter) -> None:
        self._citations = list(provider_objects(given.get("citations"), what="citations"))
        text = provider_text(given.get("text"), what="text")
        self._start = writer.text_length
        self.length = len(text)
        if text:
            writer.text(text)

    def add(self, delta: BlockDelta, writer: OutputWriter) -> int:
        """Text, or a citation, which waits for the end of the text that it supports."""
        if delta.type == "text_delta":
            if not delta.text:
                return 0
            writer.text(delta.text)
            self.length += len(delta.text)
            return len(delta.text)
        if delta.type == "citations_delta":
            self._citations.append(delta.citation or {})
        elif delta.type in ("thinking_delta", "signature_delta"):
            raise malformed("a delta of its block's kind")
        return 0

    def close(self, writer: OutputWriter, *, status: ItemStatus) -> None:  # noqa: ARG002 - the message's, not the part's
        """The part ends; the message goes on with the next block of text."""
        start, end = self._start, self._start + self.length
        for citation in self._citations:
            annotation = citation_annotation(citation, start=start, end=end, given=writer.citations)
            if annotation is not None:
                writer.annotate(annotation)
        writer.end_part()


class ThinkingBlock:
    """A block of thinking, also an empty or a redacted one: a reasoning item, sealed whole for its model alone."""

    __slots__ = ("_given", "_pieces", "_seal", "_signature")

    def __init__(self, given: dict[str, Any], writer: OutputWriter, *, seal: Seal) -> None:
        provider_dump({"blocks": [given]}, what="thinking")  # else it could not be sealed
        self._given = given
        self._seal = seal
        self._pieces: list[str] = []
        self._signature = provider_text(given.get("signature"), what="a signature")
        writer.begin_reasoning()
        if text := provider_text(given.get("thinking"), what="thinking"):
            self._say(text, writer)

    def _say(self, text: str, writer: OutputWriter) -> None:
        self._pieces.append(text)
        writer.summarise(text)

    def add(self, delta: BlockDelta, writer: OutputWriter) -> int:
        """Thinking, or a piece of its signature."""
        if delta.type in ("text_delta", "citations_delta") or (self._redacted and delta.type in _OF_THINKING):
            raise malformed("a delta of its block's kind")
        if delta.type == "thinking_delta" and delta.thinking:
            self._say(delta.thinking, writer)
            return len(delta.thinking)
        if delta.type == "signature_delta":
            self._signature += delta.signature or ""
        return 0

    @property
    def _redacted(self) -> bool:
        return self._given.get("type") == "redacted_thinking"

    def close(self, writer: OutputWriter, *, status: ItemStatus) -> None:
        """Without a signature (cut off, or another provider's) Anthropic would refuse it: then nothing is sealed."""
        whole = self._given
        if not self._redacted:
            whole = {**whole, "thinking": "".join(self._pieces), "signature": self._signature}
        sealed = self._seal({"blocks": [whole]}) if self._redacted or self._signature else None
        writer.end_reasoning(encrypted_content=sealed, status=status)


class CallBlock:
    """A call of a function."""

    __slots__ = ("_given", "_key", "_wrote")
    kind: ClassVar[CallKind] = "function_call"

    def __init__(self, given: dict[str, Any], writer: OutputWriter, *, key: int) -> None:
        name = provider_text(given.get("name"), what="a tool's name")
        if not name:
            raise malformed("a tool's name")
        self._given = provider_object(given.get("input"), what="a tool's input")
        self._key = key
        self._wrote = False
        writer.begin_call(
            key,
            kind=self.kind,
            call_id=provider_text(given.get("id"), what="a tool call's id") or new_id("call"),
            name=name,
        )

    def add(self, delta: BlockDelta, writer: OutputWriter) -> int:
        """A piece of the arguments."""
        if delta.type in _OF_OTHERS:
            raise malformed("a delta of its block's kind")
        if delta.type != "input_json_delta" or not delta.partial_json:
            return 0
        self._wrote = True
        self._write(delta.partial_json, writer)
        return len(delta.partial_json)

    def _write(self, piece: str, writer: OutputWriter) -> None:
        writer.arguments(self._key, piece)

    def close(self, writer: OutputWriter, *, status: ItemStatus) -> None:
        """No arguments at all are those that the block began with: clients want an object to parse."""
        if not self._wrote and (self._given or status == "completed"):
            self._write(provider_dump(self._given, what="a tool's input"), writer)
        writer.end_call(self._key, status=status)


class CustomCallBlock(CallBlock):
    """A call of a custom tool: its input is the one string of the object that the model writes."""

    __slots__ = ("_input",)
    kind = "custom_tool_call"

    def __init__(self, given: dict[str, Any], writer: OutputWriter, *, key: int) -> None:
        self._input = PartialString(CUSTOM_INPUT)
        super().__init__(given, writer, key=key)

    def _write(self, piece: str, writer: OutputWriter) -> None:
        if text := self._input.feed(piece):
            writer.arguments(self._key, text)

    def close(self, writer: OutputWriter, *, status: ItemStatus) -> None:
        """What could not be told as it came is said now."""
        if not self._wrote and self._given:
            self._write(provider_dump(self._given, what="a tool's input"), writer)
        if rest := self._input.end(cut=status == "incomplete"):
            writer.arguments(self._key, rest)
        writer.end_call(self._key, status=status)


class UnknownBlock:
    """A block of Anthropic's own tools, or of a kind that is not known yet: it says nothing."""

    __slots__ = ()

    def add(self, delta: BlockDelta, writer: OutputWriter) -> int:  # noqa: ARG002 - nothing is said of it
        """Nothing."""
        return 0

    def close(self, writer: OutputWriter, *, status: ItemStatus) -> None:
        """Nothing."""


_OF_THINKING = ("thinking_delta", "signature_delta")
_OF_OTHERS = ("text_delta", "citations_delta", *_OF_THINKING)
KNOWN_DELTAS = ("input_json_delta", *_OF_OTHERS)
