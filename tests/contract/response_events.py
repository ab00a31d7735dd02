"""A strict judge of one response's event stream, and of the response itself.

Shapes are held to the SDK's types, in which no field may be missing, mistyped or unknown but for `EXTENSIONS`; order,
numbers and sums are held to what the Open Responses specification and OpenAI's reference say of them. A breach fails
with an AssertionError that names the rule.

Where the two differ, the SDK's word stands (reasoning text is `response.reasoning_text.…`); a closing `data: [DONE]`,
which the specification wants and OpenAI does not send, is taken and not asked for.
Source: `openai.types.responses`; the Open Responses specification, `events.tsp` and `responses.tsp`.
"""

import typing
from collections.abc import Mapping
from typing import Any, Final

import orjson
from openai.types.responses import Response, ResponseCustomToolCallItem, ResponseStreamEvent
from pydantic import BaseModel

from ali.providers.sse import EventSplitter, event_data
from tests.contract.judges import held_to
from tests.contract.response_items import PREFIX, Event, ItemJudge, item_judge, lawful

EXTENSIONS: Final = frozenset(
    {"store", "presence_penalty", "frequency_penalty", "obfuscation", "bytes", "citation", "passage"}
)
"""What responses have beyond the SDK's types: the first four by the Open Responses specification; `bytes` of a
logprob, which the SDK's type has in items and forgets in deltas; `citation` of an annotation, our own, which says what
was cited and where it stands (docs/reference/responses-upstreams.md); `passage` of a search result, which says as much
of what was found."""

NEVER_NULL: Final = frozenset(
    {
        "id",
        "object",
        "created_at",
        "status",
        "model",
        "output",
        "tools",
        "tool_choice",
        "truncation",
        "parallel_tool_calls",
        "text",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "temperature",
        "store",
        "background",
        "service_tier",
        "metadata",
    }
)
"""What every response says (Open Responses, `ResponseResource`); the SDK's type leaves much of it open."""

REQUIRED: Final = NEVER_NULL | {
    "completed_at",
    "incomplete_details",
    "previous_response_id",
    "instructions",
    "error",
    "reasoning",
    "usage",
    "max_output_tokens",
    "max_tool_calls",
    "safety_identifier",
    "prompt_cache_key",
}
"""What every response has, be it null."""

_KEPT: Final = (
    "id",
    "created_at",
    "background",
    "conversation",
    "instructions",
    "metadata",
    "model",
    "previous_response_id",
    "store",
    "text",
    "tool_choice",
    "tools",
    "truncation",
)
"""What a response keeps from its first event to its last."""
_ENDS: Final = frozenset({"completed", "incomplete", "failed"})
_STATUS_OF: Final = {"created": ("queued", "in_progress")}
_EVENTS: Final[Mapping[str, type[BaseModel]]] = {
    typing.get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in typing.get_args(typing.get_args(ResponseStreamEvent)[0])
}
_EVENT_BYTES: Final = 1 << 24


class EventJudge:
    """Sees the events of one response in their order, each as its parsed JSON, and then its end."""

    def __init__(self, *, first_number: int = 0) -> None:
        self._next = first_number
        self._items: list[ItemJudge] = []
        self._open: dict[int, ItemJudge] = {}
        self._output: list[dict[str, Any] | None] = []
        self._phase: str | None = None
        self._response: dict[str, Any] | None = None
        self._cut_off = False
        self._ended = False

    def see(self, event: Event) -> None:
        """The next event."""
        lawful(not self._ended, "nothing comes after the terminal event", event)
        kind = event.get("type")
        lawful(kind in _EVENTS, "an event is of a type that the SDK knows", event)
        assert isinstance(kind, str)
        _shaped(_EVENTS[kind], event)
        lawful(event["sequence_number"] == self._next, f"sequence_number has no gaps: {self._next} was due", event)
        self._next += 1
        if kind == "error":
            lawful(self._phase is not None, "response.created comes first", event)
            lawful(event.keys() >= {"code", "message", "param"}, "an error has code, message and param", event)
            self._ended = True
        elif "response" in event:
            self._lifecycle(event, kind.removeprefix(PREFIX))
        else:
            lawful(self._phase == "in_progress", "output comes while the response is in progress", event)
            self._of_an_item(event, kind)

    def end(self) -> None:
        """The stream is over."""
        lawful(self._ended, "a stream ends with a terminal event")

    def _lifecycle(self, event: Event, phase: str) -> None:
        response = event["response"]
        judge_response(response, event)
        match phase:
            case "created":
                lawful(self._phase is None, "response.created comes once", event)
            case "queued":
                lawful(self._phase == "created", "response.queued comes right after response.created", event)
                lawful(response["background"], "only a background response is queued", event)
            case "in_progress":
                lawful(self._phase in ("created", "queued"), "response.in_progress comes once, at the beginning", event)
                waited = self._response is not None and self._response["status"] == "queued"
                lawful(waited == (self._phase == "queued"), "a response that waits says so: response.queued", event)
            case "completed" | "incomplete":
                lawful(self._phase == "in_progress", f"a response is in progress before it is {phase}", event)
            case _:
                lawful(self._phase is not None, "response.created comes first", event)
        lawful(response["status"] in _STATUS_OF.get(phase, (phase,)), "a response's status is its event's", event)
        if self._response is not None:
            for name in _KEPT:
                kept = response.get(name) == self._response.get(name)
                lawful(kept, f"a response keeps its {name}", event)
        self._response, self._phase = response, phase
        if phase in _ENDS:
            self._terminal(event, response)
        else:
            lawful(response["output"] == [], "a response begins without output", event)
            lawful(response["usage"] is None, "usage is known at the end", event)

    def _terminal(self, event: Event, response: dict[str, Any]) -> None:
        lawful(not self._open, "every item is done before the response ends", event)
        lawful(response["output"] == self._output, "the output is the done items, in the order of their index", event)
        whole = not self._cut_off or response["status"] != "completed"
        lawful(whole, "a completed response has no incomplete item", event)
        self._ended = True

    def _of_an_item(self, event: Event, kind: str) -> None:
        index = event["output_index"]
        if kind == "response.output_item.added":
            self._added(event, index)
            return
        judge = self._open.get(index)
        lawful(judge is not None, "an item is added before anything of it, and done after everything", event)
        assert judge is not None
        if kind == "response.output_item.done":
            judge_item(event["item"], event)
            judge.done(event)
            self._output[index] = event["item"]
            self._cut_off = self._cut_off or event["item"].get("status") == "incomplete"
            del self._open[index]
            return
        lawful(event.get("item_id", judge.id) == judge.id, "item_id is the id of the item at output_index", event)
        judge.see(event)

    def _added(self, event: Event, index: int) -> None:
        lawful(index == len(self._items), f"output_index counts from 0: {len(self._items)} was due", event)
        judge_item(event["item"], event)
        lawful(not self._cut_off, "nothing begins after an item that was cut off", event)
        judge = item_judge(event)
        lawful(judge.id not in {other.id for other in self._items}, "ids of items are unique", event)
        alone = all(judge.stands_beside(other) for other in self._open.values())
        lawful(alone, "an item begins when those before it are done; calls alone are open side by side", event)
        self._items.append(judge)
        self._open[index] = judge
        self._output.append(None)


def judge_item(item: Mapping[str, Any], event: Event | None = None) -> None:
    """What an item of the output has beyond the SDK's shape."""
    lawful(item.get("id"), "an item has an id", event)
    if item["type"] in ("message", "function_call", "custom_tool_call", "function_call_output"):
        lawful(item.get("status"), f"a {item['type']} has a status", event)
    for part in item["content"] if item["type"] == "message" else ():
        if part["type"] == "output_text":
            lawful(part.keys() >= {"annotations", "logprobs"}, "a text part has annotations and logprobs", event)


def judge_response(response: Mapping[str, Any], event: Event | None = None) -> None:
    """A response, streamed or whole. Its shape is held to the SDK's type here where no event's was."""
    if event is None:
        _shaped(Response, response)
    missing = sorted(REQUIRED - response.keys())
    lawful(not missing, f"a response has all its fields; missing: {missing}", event)
    empty = sorted(name for name in NEVER_NULL if response[name] is None)
    lawful(not empty, f"these are never null: {empty}", event)
    lawful(isinstance(response["created_at"], int), "created_at is whole seconds", event)
    status = response["status"]
    lawful((response["completed_at"] is not None) == (status == "completed"), "completed_at is of the completed", event)
    lawful((response["error"] is not None) == (status == "failed"), "error is of the failed", event)
    details = response["incomplete_details"]
    lawful((details is not None) == (status == "incomplete"), "incomplete_details are of the incomplete", event)
    lawful(details is None or details.get("reason"), "incomplete_details say the reason", event)
    for item in response["output"]:
        judge_item(item, event)
    ids = [item["id"] for item in response["output"]]
    lawful(len(ids) == len(set(ids)), "ids of items are unique", event)
    usage = response["usage"]
    lawful(usage is not None or status not in ("completed", "incomplete"), "a response that ended has usage", event)
    if usage is not None:
        _judge_usage(usage, event)


def _judge_usage(usage: Mapping[str, Any], event: Event | None) -> None:
    read, written = usage["input_tokens_details"], usage["output_tokens_details"]
    counts = (usage["input_tokens"], usage["output_tokens"], *read.values(), *written.values())
    lawful(all(count >= 0 for count in counts if isinstance(count, int)), "no count of tokens is negative", event)
    lawful(usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], "total_tokens is the sum", event)
    lawful(read["cached_tokens"] <= usage["input_tokens"], "cached tokens are among those of the input", event)
    lawful(read["cache_write_tokens"] <= usage["input_tokens"], "tokens put into a cache are among the input's", event)
    lawful(written["reasoning_tokens"] <= usage["output_tokens"], "reasoning is among the output's tokens", event)


def judged(stream: bytes, *, first_number: int = 0) -> list[dict[str, Any]]:
    """The events in the bytes of a stream, seen by a judge from the first to the end.

    Each has an `event` line with its type and one `data` line; comments may stand between them.
    """
    splitter = EventSplitter(limit_bytes=_EVENT_BYTES)
    judge = EventJudge(first_number=first_number)
    events: list[dict[str, Any]] = []
    closed = False
    for raw in splitter.feed(stream):
        if all(line.startswith(b":") for line in raw.splitlines() if line):
            continue
        lawful(not closed, "nothing comes after [DONE]")
        data = event_data(raw) or b""
        if data == b"[DONE]":
            closed = True
            judge.end()
            continue
        event = orjson.loads(data)
        framed = b"event: %b\ndata: %b\n\n" % (event["type"].encode(), data)
        lawful(raw == framed, "an event is an event line with its type and one data line", event)
        judge.see(event)
        events.append(event)
    lawful(splitter.rest == b"", "a stream ends with a whole event")
    judge.end()
    return events


def _shaped(kind: type[BaseModel], document: Mapping[str, Any]) -> None:
    """`document` held to the SDK's type, custom tools' calls apart: as an output item that type forgets the status."""
    held_to(kind, orjson.dumps(_known(document)), extensions=EXTENSIONS)


def _known(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_known(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("type") == "custom_tool_call":
        held_to(ResponseCustomToolCallItem, orjson.dumps(value))
        return {name: part for name, part in value.items() if name != "status"}
    return {name: _known(part) if name in ("item", "output", "response") else part for name, part in value.items()}
