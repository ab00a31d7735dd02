"""A Messages event stream written as a response's events: one turn of an Anthropic model.

Source: Anthropic API reference, "Streaming messages": one `message_start`, blocks one after the other, `message_delta`,
`message_stop`; events and blocks that are not known are passed over.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ali.providers.anthropic.usage import usage_from_message
from ali.providers.anthropic.wire import STATUS_OF_KIND
from ali.providers.contract import UpstreamMalformed, Usage
from ali.providers.openai.wire import error_for
from ali.providers.openai.wire import malformed as malformed_of
from ali.providers.sse import event_data
from ali.providers.translate.shapes import malformed, provider_json, provider_object, provider_text
from ali.providers.turns.messages_blocks import (
    KNOWN_DELTAS,
    BlockDelta,
    CallBlock,
    CustomCallBlock,
    OpenBlock,
    Seal,
    TextBlock,
    ThinkingBlock,
    UnknownBlock,
)
from ali.providers.turns.writer import ItemStatus, OutputWriter

_CUT_OFF: Final = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}
"""Why a response is incomplete, by Anthropic's stop reason."""


class _Event(msgspec.Struct, gc=False):
    type: str
    index: int | None = None
    delta: BlockDelta | None = None


_event = msgspec.json.Decoder(_Event)


class MessagesTurn:
    """`contract.StreamRelay`: Anthropic's events in, the events of a response's output out, through `writer`.

    `seal` makes the `encrypted_content` of a reasoning item out of `{"blocks": [<the block>]}`, for this model alone.
    Calls of `custom_tools` are calls of custom tools. `stop_reason` is Anthropic's word; `incomplete_reason`, known
    when `finished`, is `max_output_tokens` or `content_filter` where the model was cut off, and then the last item is
    `incomplete`. Lifecycle events are not written here. A delta of text costs about 5 µs (measured).
    """

    __slots__ = (
        "_block",
        "_counts",
        "_custom_tools",
        "_explanation",
        "_index",
        "_provider",
        "_seal",
        "_started",
        "_stopped",
        "_writer",
        "finished",
        "incomplete_reason",
        "output_chars",
        "progress",
        "stop_reason",
        "usage",
    )

    def __init__(self, writer: OutputWriter, *, provider: str, seal: Seal, custom_tools: frozenset[str]) -> None:
        self._writer = writer
        self._provider = provider
        self._seal = seal
        self._custom_tools = custom_tools
        self._started = False
        self._block: OpenBlock | None = None
        self._index = -1  # of the open block
        self._stopped: OpenBlock | None = None  # the last block, until it is known whether the model was cut off in it
        self._explanation = ""
        self._counts: dict[str, Any] = {}
        self.usage = Usage()
        self.finished = False
        self.stop_reason: str | None = None
        self.incomplete_reason: str | None = None
        self.progress = 0
        self.output_chars = 0

    def feed(self, event: bytes) -> bytes:
        """One whole event to the events due now. Raises `UpstreamMalformed` and `UpstreamRefused`."""
        data = event_data(event)
        if data is None or self.finished:
            return b""
        try:
            data.decode()  # msgspec does not look inside what it skips
            seen = _event.decode(data)
        except msgspec.ValidationError:
            seen = None  # JSON of another shape: an event that is not known may have it
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed_of(self._provider) from error
        try:
            if seen is not None and seen.type == "content_block_delta":
                self._on_delta(seen)
            else:
                self._on_rare(provider_json(data))
        except UpstreamMalformed as error:
            error.provider = self._provider
            raise
        return self._writer.take()

    def finish(self) -> bytes:
        """Nothing: the response's own end is not the relay's."""
        return b""

    def _on_delta(self, seen: _Event) -> None:
        block, delta = self._block, seen.delta
        if block is None or seen.index != self._index:
            raise malformed("a content block that has started")
        if delta is None:
            raise malformed("a delta")
        self.progress += 1
        self.output_chars += block.add(delta, self._writer)

    def _on_rare(self, body: dict[str, Any]) -> None:
        """Everything but deltas of a known shape."""
        kind = body.get("type")
        if kind == "error":
            raise self._refusal(body.get("error"))
        if kind == "content_block_delta":
            return self._on_unknown_delta(body)
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is None:
            return None
        if self._started is (kind == "message_start"):
            raise malformed("exactly one message_start, first")
        self.progress += 1
        return read(self, body)

    def _on_unknown_delta(self, body: dict[str, Any]) -> None:
        """A delta whose fields are not those of the kinds that are known: it may be of a kind that is not."""
        delta = body.get("delta")
        if self._block is None or body.get("index") != self._index or not isinstance(delta, dict):
            raise malformed("a delta of a content block that has started")
        if delta.get("type") in KNOWN_DELTAS and not isinstance(self._block, UnknownBlock):
            raise malformed("a delta")
        self.progress += 1

    def _refusal(self, error: object) -> Exception:
        detail = error if isinstance(error, dict) else {}
        kind, said = detail.get("type"), detail.get("message")
        kind = kind if isinstance(kind, str) else "api_error"
        return error_for(
            STATUS_OF_KIND.get(kind, 500),
            provider=self._provider,
            said=said if isinstance(said, str) else None,
            kind=kind,
        )

    def _on_start(self, body: dict[str, Any]) -> None:
        message = provider_object(body.get("message"), what="a message")
        self._started = True
        self._count(message.get("usage"))

    def _on_block_start(self, body: dict[str, Any]) -> None:
        index, given = body.get("index"), provider_object(body.get("content_block"), what="a content block")
        if not isinstance(index, int) or self._block is not None:
            raise malformed("a new content block, after the end of the one before it")
        self._close_stopped("completed")
        self._index = index
        writer = self._writer
        match given.get("type"):
            case "text":
                self._block = block = TextBlock(given, writer)
                self.output_chars += block.length
            case "thinking" | "redacted_thinking":
                self._block = ThinkingBlock(given, writer, seal=self._seal)
            case "tool_use":
                custom = provider_text(given.get("name"), what="a tool's name") in self._custom_tools
                self._block = (CustomCallBlock if custom else CallBlock)(given, writer, key=index)
            case _:
                self._block = UnknownBlock()

    def _on_block_stop(self, body: dict[str, Any]) -> None:
        if self._block is None or body.get("index") != self._index:
            raise malformed("a content block that has started")
        self._block, self._stopped = None, self._block

    def _close_stopped(self, status: ItemStatus) -> None:
        if self._stopped is not None:
            self._stopped.close(self._writer, status=status)
            self._stopped = None

    def _on_message_delta(self, body: dict[str, Any]) -> None:
        delta = provider_object(body.get("delta"), what="a delta")
        self._count(body.get("usage"))
        ended = provider_text(delta.get("stop_reason"), what="a stop reason")
        if not ended or self.stop_reason is not None:
            return
        self.stop_reason = ended
        if ended == "refusal":
            details = provider_object(delta.get("stop_details"), what="stop details")
            self._explanation = provider_text(details.get("explanation"), what="an explanation")

    def _on_stop(self, _body: dict[str, Any]) -> None:
        if self.stop_reason is None or self._block is not None:
            raise malformed("the end of each block and a stop reason, before the end")
        self.incomplete_reason = _CUT_OFF.get(self.stop_reason)
        status: ItemStatus = "completed" if self.incomplete_reason is None else "incomplete"
        self._close_stopped(status)
        if self._explanation:
            self._writer.refuse(self._explanation)
        self._writer.end_all(status=status)
        self.finished = True

    def _count(self, usage: object) -> None:
        """Counts are cumulative: those of `message_delta` replace those of `message_start`, field by field."""
        counts = provider_object(usage, what="usage")
        self._counts.update({name: value for name, value in counts.items() if value is not None})
        self.usage = usage_from_message(self._counts)


_READERS: dict[str, Callable[[MessagesTurn, dict[str, Any]], None]] = {
    "message_start": MessagesTurn._on_start,  # noqa: SLF001 - the table belongs to the class
    "content_block_start": MessagesTurn._on_block_start,  # noqa: SLF001 - as above
    "content_block_stop": MessagesTurn._on_block_stop,  # noqa: SLF001 - as above
    "message_delta": MessagesTurn._on_message_delta,  # noqa: SLF001 - as above
    "message_stop": MessagesTurn._on_stop,  # noqa: SLF001 - as above
}
