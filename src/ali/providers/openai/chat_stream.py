"""A chat completion stream passed through: the same bytes, watched for usage, errors and the end."""

from typing import Any

import msgspec
import orjson

from ali.providers.contract import Usage
from ali.providers.openai.usage import usage_from_completion
from ali.providers.openai.wire import error_for, malformed
from ali.providers.sse import event_data, openai_event

_NO_CALLS = msgspec.Raw()


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: msgspec.Raw = _NO_CALLS


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | str | None = None


_chunk = msgspec.json.Decoder(_Chunk)
_NULL_USAGE = b',"usage":null'
_DONE = b"data: [DONE]\n\n"


class ChatRelay:
    """`contract.StreamRelay` for a provider that speaks the caller's own Chat Completions.

    `usage_wanted`: the caller asked for usage. The provider is always asked for it, for the bill; where the caller
    did not, the usage chunk and the null usage of the other chunks are taken out. `progress` counts events that carried
    something, so that a stream of keep-alives can be told from a living one. `output_chars` is for an estimate where
    the provider reports no usage.
    """

    __slots__ = ("_provider", "_usage_wanted", "finished", "output_chars", "progress", "stop_reason", "usage")

    def __init__(self, *, provider: str, usage_wanted: bool) -> None:
        self._provider = provider
        self._usage_wanted = usage_wanted
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
        if data == b"[DONE]":
            self.finished = True
            return b""
        try:
            data.decode()  # msgspec does not look inside what it skips
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(self._provider) from error
        if chunk.error is not None:
            raise self._refusal(chunk.error)
        self.progress += 1
        for choice in chunk.choices:
            self._note(choice)
        if chunk.usage is not None:
            self.usage = usage_from_completion(chunk.usage)
            if not self._usage_wanted:
                return self._without_usage(data, empty=not chunk.choices)
        elif not self._usage_wanted and _NULL_USAGE in event:
            # Inside a JSON string the quotes would be escaped, so this is the field and nothing else.
            return event.replace(_NULL_USAGE, b"", 1)
        return event

    def _note(self, choice: _Choice) -> None:
        delta = choice.delta
        if delta is not None:
            if delta.content:
                self.output_chars += len(delta.content)
            if delta.reasoning_content:
                self.output_chars += len(delta.reasoning_content)
            if delta.tool_calls is not _NO_CALLS and (calls := bytes(delta.tool_calls)) != b"null":
                self.output_chars += len(calls)
        if choice.finish_reason is not None:
            self.stop_reason = choice.finish_reason

    def _without_usage(self, data: bytes, *, empty: bool) -> bytes:
        """The usage chunk dropped; usage beside choices, as some servers send it, taken out."""
        if empty:
            return b""
        chunk = orjson.loads(data)
        del chunk["usage"]
        return openai_event(orjson.dumps(chunk))

    def _refusal(self, error: dict[str, Any] | str) -> Exception:
        detail = error if isinstance(error, dict) else {"message": error}
        code, kind, message = detail.get("code"), detail.get("type"), detail.get("message")
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        if kind in ("rate_limit_error", "rate_limit_exceeded", "requests", "tokens") or code == "rate_limit_exceeded":
            status = 429
        return error_for(
            status,
            provider=self._provider,
            said=message if isinstance(message, str) else None,
            kind="rate_limit_error" if status == 429 else "api_error",
            code=code if isinstance(code, str) else None,
        )

    def finish(self) -> bytes:
        """The terminal event."""
        return _DONE
