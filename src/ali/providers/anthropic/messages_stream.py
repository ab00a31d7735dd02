"""A Messages stream passed through: the same bytes, watched for usage, errors and the end."""

from typing import Any

import msgspec

from ali.providers.anthropic.usage import usage_from_message
from ali.providers.anthropic.wire import STATUS_OF_KIND, ErrorDetail
from ali.providers.contract import Usage
from ali.providers.openai.wire import error_for, malformed
from ali.providers.sse import event_data


class _Delta(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Start(msgspec.Struct):
    usage: dict[str, Any] | None = None


class _Event(msgspec.Struct):
    type: str
    delta: _Delta | None = None
    message: _Start | None = None
    usage: dict[str, Any] | None = None
    error: ErrorDetail | None = None


_event = msgspec.json.Decoder(_Event)


class MessagesRelay:
    """`contract.StreamRelay` for a provider that speaks the caller's own Messages.

    `progress` and `output_chars` as in `ChatRelay`.
    """

    __slots__ = ("_last", "_provider", "_usage", "finished", "output_chars", "progress", "stop_reason", "usage")

    def __init__(self, *, provider: str) -> None:
        self._provider = provider
        self._usage: dict[str, Any] = {}
        self._last = b""
        self.usage = Usage()
        self.finished = False
        self.stop_reason: str | None = None
        self.progress = 0
        self.output_chars = 0

    def feed(self, event: bytes) -> bytes:
        """One whole event to the bytes due now. Raises `UpstreamMalformed` and `UpstreamRefused`."""
        data = event_data(event)
        if data is None or self.finished:
            return b"" if self.finished else event
        try:
            data.decode()  # msgspec does not look inside what it skips
            seen = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(self._provider) from error
        if seen.type == "content_block_delta":
            self.progress += 1
            if seen.delta is not None:
                delta = seen.delta
                self.output_chars += len(delta.text or delta.thinking or delta.partial_json or "")
            return event
        return self._feed_rare(seen, event)

    def _feed_rare(self, seen: _Event, event: bytes) -> bytes:
        """Everything but content deltas."""
        if seen.type == "ping":
            return event
        self.progress += 1
        if seen.type == "error":
            detail = seen.error or ErrorDetail()
            raise error_for(
                STATUS_OF_KIND.get(detail.type, 500), provider=self._provider, said=detail.message, kind=detail.type
            )
        if seen.type == "message_start" and seen.message is not None and seen.message.usage:
            self._take_usage(seen.message.usage)
        elif seen.type == "message_delta":
            if seen.usage:
                self._take_usage(seen.usage)
            if seen.delta is not None:
                self.stop_reason = seen.delta.stop_reason
        elif seen.type == "message_stop":
            self.finished = True
            self._last = event
            return b""
        return event

    def _take_usage(self, usage: dict[str, Any]) -> None:
        """Counts are cumulative; those of `message_delta` replace those of `message_start`, field by field."""
        self._usage.update({name: value for name, value in usage.items() if value is not None})
        self.usage = usage_from_message(self._usage)

    def finish(self) -> bytes:
        """The terminal event, as the provider sent it."""
        return self._last
