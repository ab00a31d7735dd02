"""A chat completion stream as a turn of a response: chunks in, the writer's events out.

Sources: OpenAI API reference, "The chat completion chunk object"; "Responses", "Streaming events".
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from ali.providers.contract import UpstreamError, Usage
from ali.providers.openai.usage import usage_from_completion
from ali.providers.openai.wire import malformed
from ali.providers.sse import event_data
from ali.providers.translate.endings import refused_by_openai
from ali.providers.translate.shapes import provider_objects
from ali.providers.turns.annotations import cited_annotation, url_annotation
from ali.providers.turns.chat_calls import ChatCalls
from ali.providers.turns.writer import OutputWriter

_Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]


class _TopLogprob(msgspec.Struct, gc=False):
    token: str
    logprob: float
    bytes: list[_Byte] | None = None


class _Logprob(msgspec.Struct, gc=False):
    token: str
    logprob: float
    bytes: list[_Byte] | None = None
    top_logprobs: list[_TopLogprob] | None = None


class _Logprobs(msgspec.Struct, gc=False):
    content: list[_Logprob] | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None  # some servers have an object here
    refusal: str | None = None
    tool_calls: Any = None  # this, and the next two, are judged where they are read
    annotations: Any = None
    citations: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | msgspec.UnsetType | None = msgspec.UNSET
    usage: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    error: Any = None


# Outside the collector's sight, as JSON knows no cycles: tracking these structs is half the cost of a delta (measured).
_decode: Final = msgspec.json.Decoder(_Chunk).decode
_CUT_OFF: Final = {
    "length": "max_output_tokens",
    "model_length": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "content_filter": "content_filter",
}
"""Why a response is incomplete, by the finish reason; the second and third are compatible servers' words."""


class ChatTurn:
    """`contract.StreamRelay`: chat chunks to a writer's verbs; only the choice of index 0 is read.

    `provider`: the upstream's name, for errors. `stop_reason` is OpenAI's word; `incomplete_reason`, known when
    finished, that of a response's `incomplete_details`. What must stand alone (text, reasoning) waits while calls are
    open, until each is a whole JSON object or the stream ends. Survives what compatible servers get wrong, as
    `translate.MessagesFromChat` does. Cost: 2 µs for a delta of text, 3 µs
    with log probabilities (measured; of it 0.3 µs is reading the JSON, for which dicts would need 0.6 µs).
    """

    __slots__ = (
        "_at",
        "_calls",
        "_chars",
        "_deferred",
        "_part_start",
        "_provider",
        "_started",
        "_writer",
        "finished",
        "incomplete_reason",
        "output_chars",
        "progress",
        "stop_reason",
        "usage",
    )

    def __init__(self, writer: OutputWriter, *, provider: str) -> None:
        self._writer = writer
        self._provider = provider
        self._calls = ChatCalls(writer)
        self._deferred: list[Callable[[], None]] = []
        self._at = ""  # what is being written: text, refusal, think, or nothing
        self._chars = 0  # of `content` so far, which the indexes of annotations count
        self._part_start = 0  # where in it the open part begins
        self._started = False
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
            if data[:1] != b"{" and data.strip() == b"[DONE]":
                self._on_done()
            else:
                self._on_chunk(_decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(self._provider) from error
        except UpstreamError as error:
            error.provider = error.provider or self._provider
            raise
        return self._writer.take()

    def finish(self) -> bytes:
        """Nothing: how the response ends is not the turn's to say."""
        return b""

    def _on_chunk(self, chunk: _Chunk) -> None:
        if chunk.error:
            raise refused_by_openai(chunk.error)
        if chunk.choices is msgspec.UNSET and chunk.usage is msgspec.UNSET:
            raise malformed(self._provider)
        self.progress += 1
        self._started = True
        if chunk.usage:
            self.usage = usage_from_completion(chunk.usage)
        if chunk.choices:
            for choice in chunk.choices:
                if not choice.index:
                    self._on_choice(choice)

    def _on_choice(self, choice: _Choice) -> None:
        delta = choice.delta or choice.message  # some servers send the whole message, not deltas
        if delta is not None:
            if delta.reasoning_content or delta.reasoning:
                self._on_reasoning(delta)
            logprobs = choice.logprobs
            if delta.content or (logprobs is not None and logprobs.content):
                self._on_text(delta.content or "", logprobs)
            if delta.refusal:
                self._on_refusal(delta.refusal)
            if delta.tool_calls:
                self._on_calls(delta.tool_calls)
            if delta.annotations or delta.citations:
                self._write_alone(lambda: self._annotate(delta))
        if choice.finish_reason and self.stop_reason is None:
            self.stop_reason = choice.finish_reason

    def _on_text(self, text: str, logprobs: _Logprobs | None) -> None:
        self.output_chars += len(text)
        known = _as_responses_have(logprobs.content) if logprobs is not None and logprobs.content else None
        if self._at == "text" and not self._deferred:
            self._chars += len(text)
            self._writer.text(text, logprobs=known)
        else:
            self._write_alone(lambda: self._text(text, known))

    def _text(self, text: str, logprobs: list[dict[str, Any]] | None) -> None:
        if self._at != "text":
            self._at = "text"
            self._part_start = self._chars
        self._chars += len(text)
        self._writer.text(text, logprobs=logprobs)

    def _on_reasoning(self, delta: _Delta) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if isinstance(thought, str):
            self.output_chars += len(thought)
            self._write_alone(lambda: self._think(thought))

    def _think(self, thought: str) -> None:
        self._at = "think"
        self._writer.think(thought)

    def _on_refusal(self, refusal: str) -> None:
        self.output_chars += len(refusal)
        self._write_alone(lambda: self._refuse(refusal))

    def _refuse(self, refusal: str) -> None:
        self._at = "refusal"
        self._writer.refuse(refusal)

    def _on_calls(self, deltas: object) -> None:
        for delta in provider_objects(deltas, what="tool calls"):
            self.output_chars += self._calls.feed(delta)
        if self._calls.are_open:
            self._at = ""
        if self._deferred and self._calls.end_if_done():
            self._write_deferred()

    def _annotate(self, delta: _Delta) -> None:
        """Citations of the text that is open; those of text that something else has closed are passed over."""
        if self._at != "text":
            return
        place = {"offset": self._part_start, "length": self._chars - self._part_start}
        found = [url_annotation(one, **place) for one in provider_objects(delta.annotations, what="annotations")]
        found += [cited_annotation(one, **place) for one in provider_objects(delta.citations, what="citations")]
        for annotation in found:
            if annotation is not None:
                self._writer.annotate(annotation)

    def _write_alone(self, write: Callable[[], None]) -> None:
        """Write what closes all calls: now if they are whole, else later."""
        if self._deferred or (self._calls.are_open and not self._calls.end_if_done()):
            self._deferred.append(write)
        else:
            write()

    def _write_deferred(self) -> None:
        for write in self._deferred:
            write()
        self._deferred.clear()

    def _on_done(self) -> None:
        if not self._started:
            raise malformed(self._provider)
        self.incomplete_reason = _CUT_OFF.get(self.stop_reason or "")
        cut = self.incomplete_reason is not None
        self._calls.end(cut=cut)
        self._write_deferred()
        self._writer.end_all(status="incomplete" if cut else "completed")
        self.finished = True


def _as_responses_have(logprobs: list[_Logprob]) -> list[dict[str, Any]]:
    """Each with its bytes and alternatives, for Responses wants lists where chat may have null."""
    return [
        {
            "token": one.token,
            "bytes": one.bytes or [],
            "logprob": one.logprob,
            "top_logprobs": [
                {"token": top.token, "bytes": top.bytes or [], "logprob": top.logprob} for top in one.top_logprobs or []
            ],
        }
        for one in logprobs
    ]
