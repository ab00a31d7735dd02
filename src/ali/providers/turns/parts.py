"""What is open in a response's output while it is written: a message, a reasoning item, a call."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from ali.providers.turns.citing import CitedText


@dataclass(frozen=True, slots=True, kw_only=True)
class _ThoughtNames:
    """How the events of one kind of reasoning text are called."""

    added: str
    delta: bytes
    done: str
    part_done: str
    index: str


_THOUGHTS: Final = {
    "summary_text": _ThoughtNames(
        added="response.reasoning_summary_part.added",
        delta=b"response.reasoning_summary_text.delta",
        done="response.reasoning_summary_text.done",
        part_done="response.reasoning_summary_part.done",
        index="summary_index",
    ),
    "reasoning_text": _ThoughtNames(
        added="response.content_part.added",
        delta=b"response.reasoning_text.delta",
        done="response.reasoning_text.done",
        part_done="response.content_part.done",
        index="content_index",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNames:
    """How the events of one kind of call are called, and the field that holds what the model wrote."""

    delta: bytes
    done: str
    field: str


_CALLS: Final = {
    "function_call": CallNames(
        delta=b"response.function_call_arguments.delta",
        done="response.function_call_arguments.done",
        field="arguments",
    ),
    "custom_tool_call": CallNames(
        delta=b"response.custom_tool_call_input.delta", done="response.custom_tool_call_input.done", field="input"
    ),
}


class OpenMessage:
    """A message of the assistant, and the part of it that is being written."""

    __slots__ = (
        *("annotations", "cited", "content", "head", "index", "item_id", "kind", "logprobs", "phase", "pieces"),
        "waiting_logprobs",
    )

    def __init__(self, item_id: str, *, index: int, phase: str | None) -> None:
        self.item_id = item_id
        self.index = index
        self.phase = phase
        self.content: list[dict[str, Any]] = []
        self.kind: Literal["output_text", "refusal"] | None = None
        self.head = b""
        self.pieces: list[str] = []
        self.annotations: list[dict[str, Any]] = []
        self.logprobs: list[dict[str, Any]] = []
        self.cited: CitedText | None = None
        """What reads the open part's text for marks, if anything does."""
        self.waiting_logprobs: list[dict[str, Any]] = []

    @property
    def place(self) -> dict[str, Any]:
        """Where the open part stands."""
        return {"item_id": self.item_id, "output_index": self.index, "content_index": len(self.content)}

    def begin(self, kind: Literal["output_text", "refusal"]) -> None:
        """A part begins."""
        self.kind = kind
        self.pieces, self.annotations, self.logprobs = [], [], []
        self.cited, self.waiting_logprobs = None, []
        self.head = orjson.dumps(self.place)[1:-1] + b',"delta":'

    def part(self) -> dict[str, Any]:
        """The open part as it stands."""
        text = "".join(self.pieces)
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "annotations": self.annotations, "logprobs": self.logprobs, "text": text}

    def end(self, part: dict[str, Any]) -> None:
        """The part is whole."""
        self.content.append(part)
        self.kind = None

    def item(self, status: str) -> dict[str, Any]:
        """The message as it stands."""
        content = list(self.content) if self.kind is None else [*self.content, self.part()]
        item: dict[str, Any] = {
            "id": self.item_id,
            "type": "message",
            "status": status,
            "content": content,
            "role": "assistant",
        }
        if self.phase is not None:
            item["phase"] = self.phase
        return item


class OpenReasoning:
    """A reasoning item."""

    __slots__ = ("content", "encrypted_content", "head", "index", "item_id", "kind", "pieces", "summary")

    def __init__(self, item_id: str, *, index: int) -> None:
        self.item_id = item_id
        self.index = index
        self.summary: list[dict[str, Any]] = []
        self.content: list[dict[str, Any]] = []
        self.encrypted_content: str | None = None
        self.kind: Literal["summary_text", "reasoning_text"] | None = None
        self.head = b""
        self.pieces: list[str] = []

    @property
    def names(self) -> _ThoughtNames:
        """How the events of the open part are called."""
        return _THOUGHTS[self.kind or "summary_text"]

    @property
    def place(self) -> dict[str, Any]:
        """Where the open part stands."""
        parts = self.content if self.kind == "reasoning_text" else self.summary
        return {"item_id": self.item_id, "output_index": self.index, self.names.index: len(parts)}

    def begin(self, kind: Literal["summary_text", "reasoning_text"]) -> None:
        """A part begins."""
        self.kind = kind
        self.pieces = []
        self.head = orjson.dumps(self.place)[1:-1] + b',"delta":'

    def part(self) -> dict[str, Any]:
        """The open part as it stands."""
        return {"type": self.kind, "text": "".join(self.pieces)}

    def end(self, part: dict[str, Any]) -> None:
        """The part is whole."""
        (self.content if self.kind == "reasoning_text" else self.summary).append(part)
        self.kind = None

    def item(self, status: str) -> dict[str, Any]:
        """The item as it stands."""
        summary, content = list(self.summary), list(self.content)
        if self.kind is not None:
            (content if self.kind == "reasoning_text" else summary).append(self.part())
        item: dict[str, Any] = {"id": self.item_id, "type": "reasoning", "status": status, "summary": summary}
        if content:
            item["content"] = content
        if self.encrypted_content is not None:
            item["encrypted_content"] = self.encrypted_content
        return item


class OpenCall:
    """A call of one of the caller's tools."""

    __slots__ = ("call_id", "head", "index", "item_id", "kind", "name", "names", "namespace", "pieces")

    def __init__(
        self,
        item_id: str,
        *,
        index: int,
        kind: Literal["function_call", "custom_tool_call"],
        call_id: str,
        name: str,
        namespace: str | None,
    ) -> None:
        self.item_id = item_id
        self.index = index
        self.kind = kind
        self.call_id = call_id
        self.name = name
        self.namespace = namespace
        self.names = _CALLS[kind]
        self.pieces: list[str] = []
        self.head = orjson.dumps({"item_id": item_id, "output_index": index})[1:-1] + b',"delta":'

    def item(self, status: str) -> dict[str, Any]:
        """The call as it stands."""
        item: dict[str, Any] = {
            "id": self.item_id,
            "type": self.kind,
            "status": status,
            "call_id": self.call_id,
            "name": self.name,
            self.names.field: "".join(self.pieces),
        }
        if self.namespace is not None:
            item["namespace"] = self.namespace
        return item
