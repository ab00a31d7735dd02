"""Strict judges of the items of a response's output while they are streamed: one `ItemJudge` for each that is open.

Each kind of item has its own small grammar; see the rules' names where they are asserted.
Source: the SDK's types under `openai.types.responses`; the Open Responses specification, `events.tsp` and `items.tsp`.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

Event = Mapping[str, Any]

PREFIX: Final = "response."
_EMPTY_PARTS: Final[Mapping[str, dict[str, Any]]] = {
    "output_text": {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
    "refusal": {"type": "refusal", "refusal": ""},
    "reasoning_text": {"type": "reasoning_text", "text": ""},
    "summary_text": {"type": "summary_text", "text": ""},
}
_TEXT_OF: Final = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text", "summary_text": "text"}
_ITEM_STATUSES: Final = ("completed", "incomplete")


def lawful(condition: object, rule: str, event: Event | None = None) -> None:
    """Fail with the name of the rule that was broken, and by which event."""
    where = "" if event is None else f" (event {event.get('sequence_number')}: {event.get('type')})"
    assert condition, f"{rule}{where}"


class ItemJudge:
    """What every kind of item obeys; by itself, the judge of items that have no events of their own."""

    company: Literal["none", "calls", "any"] = "none"
    """Beside what it may be open: nothing but what the service itself runs, the model's other calls, or anything."""

    def __init__(self, added: Event) -> None:
        self.index: int = added["output_index"]
        self.first: dict[str, Any] = added["item"]
        self.id: str = self.first["id"]
        self._added(added)

    def _added(self, event: Event) -> None:
        """How such an item begins."""

    def see(self, event: Event) -> None:
        """An event of this item that is neither its beginning nor its end."""
        lawful(False, f"a {self.first['type']} has no such event", event)

    def stands_beside(self, other: "ItemJudge") -> bool:
        """Whether this item may begin while `other`, which began before, is open."""
        return other.company == "any" or (other.company == "calls" and self.company != "none")

    def done(self, event: Event) -> None:
        """The item's end."""
        item = event["item"]
        lawful(item["id"] == self.id, "an item keeps its id", event)
        lawful(item["type"] == self.first["type"], "an item keeps its type", event)
        lawful(item.get("status") not in ("in_progress", "searching", "calling"), "an item that is done is over", event)
        self._done(event, item)

    def _done(self, event: Event, item: dict[str, Any]) -> None:
        """What such an item must be in the end."""


class _Part:
    """A part of a message or a reasoning item, while it is written."""

    def __init__(self, event: Event, *, kinds: tuple[str, ...]) -> None:
        part = event["part"]
        lawful(part["type"] in kinds, f"a part here is one of {kinds}", event)
        self.kind: str = part["type"]
        lawful(part == _EMPTY_PARTS[self.kind], "a part begins empty, with all its fields", event)
        self.pieces: list[str] = []
        self.annotations: list[Any] = []
        self.logprobs: list[Any] = []
        self.text_done = False

    @property
    def whole(self) -> dict[str, Any]:
        """The part as its events make it."""
        whole = {**_EMPTY_PARTS[self.kind], _TEXT_OF[self.kind]: "".join(self.pieces)}
        return whole | ({"annotations": self.annotations, "logprobs": self.logprobs} if "annotations" in whole else {})

    def see(self, event: Event) -> None:
        """A delta, an annotation or the text's end."""
        name, _, verb = event["type"].removeprefix(PREFIX).rpartition(".")
        lawful(not self.text_done, "nothing comes between a text's done and its part's", event)
        if name == "output_text.annotation":
            lawful(self.kind == "output_text", "only text is annotated", event)
            lawful(event["annotation_index"] == len(self.annotations), "annotation_index counts from 0", event)
            lawful(event.get("annotation") is not None, "an annotation is there", event)
            self.annotations.append(event["annotation"])
            return
        lawful(name == _NAME_OF[self.kind], f"the events of a {self.kind} part are {_NAME_OF[self.kind]}", event)
        if verb == "delta":
            self.pieces.append(event["delta"])
            self.logprobs += event.get("logprobs") or []
        else:
            text = event[_TEXT_OF[self.kind]]
            lawful(text == "".join(self.pieces), "a done text is its deltas joined", event)
            lawful(
                event.get("logprobs", self.logprobs) == self.logprobs, "done logprobs are those of the deltas", event
            )
            self.text_done = True

    def end(self, event: Event) -> dict[str, Any]:
        """The part's end; the part."""
        lawful(self.text_done, "a text is done before its part", event)
        lawful(event["part"] == self.whole, "a done part is what its events said", event)
        return self.whole


_NAME_OF: Final = {
    "output_text": "output_text",
    "refusal": "refusal",
    "reasoning_text": "reasoning_text",
    "summary_text": "reasoning_summary_text",
}


class _PartsJudge(ItemJudge):
    """Items made of parts, of which one at a time is open."""

    empty: Mapping[str, Any]
    kinds: Mapping[str, tuple[str, tuple[str, ...]]]
    """By the name of the part's events: the field that indexes it (and holds the parts), and the kinds of parts."""
    has_status = True
    """Whether it always says its status; what has none begins and ends without."""

    def _added(self, event: Event) -> None:
        self._parts: dict[str, list[dict[str, Any]]] = {field: [] for field, _ in self.kinds.values()}
        self._open: tuple[str, _Part] | None = None
        begins = "in_progress" if self.has_status or self.first.get("status") is not None else None
        lawful(self.first.get("status") == begins, "an item that is written begins in progress", event)
        for name, value in self.empty.items():
            lawful(self.first.get(name, value) == value, f"an item begins without {name}", event)

    def see(self, event: Event) -> None:
        name, _, verb = event["type"].removeprefix(PREFIX).rpartition(".")
        if name in self.kinds:
            field, kinds = self.kinds[name]
            if verb == "added":
                lawful(self._open is None, "one part at a time is open", event)
                self._open = (field, _Part(event, kinds=kinds))
                self._placed(event)
                return
            lawful(self._open is not None and self._open[0] == field, "a part was added before it is done", event)
            assert self._open is not None
            self._placed(event)
            self._parts[field].append(self._open[1].end(event))
            self._open = None
            return
        lawful(self._open is not None, "a part is added before what is in it", event)
        assert self._open is not None
        self._placed(event)
        self._open[1].see(event)

    def _placed(self, event: Event) -> None:
        assert self._open is not None
        field = self._open[0]
        index = "content_index" if field == "content" else "summary_index"
        lawful(event.get(index) == len(self._parts[field]), f"{index} is the part's place", event)

    def _done(self, event: Event, item: dict[str, Any]) -> None:
        lawful(self._open is None, "a part is done before its item", event)
        ends = _ITEM_STATUSES if self.first.get("status") is not None else (None,)
        lawful(item.get("status") in ends, "an item that is done is completed or incomplete", event)
        for field, parts in self._parts.items():
            lawful(item.get(field, []) == parts, f"a done item's {field} is its done parts", event)


class MessageJudge(_PartsJudge):
    """A message of the assistant."""

    empty: Mapping[str, Any] = {"content": []}
    kinds: Mapping[str, tuple[str, tuple[str, ...]]] = {"content_part": ("content", ("output_text", "refusal"))}

    def _done(self, event: Event, item: dict[str, Any]) -> None:
        super()._done(event, item)
        lawful(item["role"] == "assistant", "what a model says is the assistant's", event)
        lawful(item.get("phase") == self.first.get("phase"), "a message keeps its phase", event)


class ReasoningJudge(_PartsJudge):
    """A reasoning item: its summary, and its text where the model shows it. OpenAI's own have no status."""

    has_status = False

    empty: Mapping[str, Any] = {"summary": [], "content": []}
    kinds: Mapping[str, tuple[str, tuple[str, ...]]] = {
        "reasoning_summary_part": ("summary", ("summary_text",)),
        "content_part": ("content", ("reasoning_text",)),
    }


class CallJudge(ItemJudge):
    """A call of one of the caller's tools; several may be open side by side."""

    company = "calls"

    def __init__(self, added: Event, *, events: str, field: str) -> None:
        self._events = events
        self._field = field
        self._pieces: list[str] = []
        self._text: str | None = None
        super().__init__(added)

    def _added(self, event: Event) -> None:
        lawful(self.first.get("status") == "in_progress", "an item that is written begins in progress", event)
        lawful(self.first[self._field] == "", f"an item begins without {self._field}", event)
        lawful(
            self.first["call_id"] and self.first["name"], "a call has a call_id and a name from its beginning", event
        )

    def see(self, event: Event) -> None:
        name, _, verb = event["type"].removeprefix(PREFIX).rpartition(".")
        lawful(name == self._events, f"a {self.first['type']} has no such event", event)
        lawful(self._text is None, "nothing of a call's text comes after its done", event)
        if verb == "delta":
            self._pieces.append(event["delta"])
            return
        self._text = event[self._field]
        lawful(self._text == "".join(self._pieces), f"done {self._field} are the deltas joined", event)

    def _done(self, event: Event, item: dict[str, Any]) -> None:
        lawful(self._text is not None, f"{self._field} are done before their item", event)
        lawful(item[self._field] == self._text, f"a done item's {self._field} are those of its events", event)
        lawful(item.get("status") in _ITEM_STATUSES, "an item that is done is completed or incomplete", event)
        for name in ("call_id", "name", "namespace"):
            lawful(item.get(name) == self.first.get(name), f"a call keeps its {name}", event)


_RANKS: Final = {"in_progress": 0, "searching": 1, "interpreting": 1, "generating": 1, "partial_image": 1}
_ENDS: Final = frozenset({"completed", "failed"})


class ServerToolJudge(ItemJudge):
    """A tool that runs on the server: `in_progress`, perhaps more, then `completed` or `failed`, as the item says."""

    company = "any"

    def __init__(self, added: Event, *, field: str | None = None) -> None:
        self._field = field
        self._rank: int | None = None
        self._end: str | None = None
        self._pieces: list[str] = []
        self._text: str | None = None
        super().__init__(added)

    def _added(self, event: Event) -> None:
        lawful(self.first.get("status", "in_progress") == "in_progress", "a tool's call begins in progress", event)

    def see(self, event: Event) -> None:
        name, _, verb = event["type"].removeprefix(PREFIX).rpartition(".")
        lawful(self._end is None, "nothing of a tool's call comes after its end", event)
        if self._field is not None and name == f"{self.first['type']}_{self._field}":
            self._write(event, verb)
            return
        lawful(name == self.first["type"], f"a {self.first['type']} has no such event", event)
        if verb in _ENDS:
            lawful(self._rank is not None, "a tool's call is in progress before it ends", event)
            self._end = verb
            return
        rank = _RANKS[verb]
        onward = rank == 0 if self._rank is None else rank > self._rank or verb == "partial_image"
        lawful(onward, "in_progress comes once and first, then the work", event)
        self._rank = rank

    def _write(self, event: Event, verb: str) -> None:
        assert self._field is not None
        lawful(self._rank is not None, "a tool's call is in progress before its text", event)
        lawful(self._text is None, "nothing of a call's text comes after its done", event)
        if verb == "delta":
            self._pieces.append(event["delta"])
            return
        self._text = event[self._field]
        lawful(self._text == "".join(self._pieces), f"done {self._field} are the deltas joined", event)

    def _done(self, event: Event, item: dict[str, Any]) -> None:
        over = item.get("status") == "incomplete"
        silent = over or self._ends_silently(item)
        lawful(self._end is not None or silent, "a tool's call ends before its item", event)
        lawful(not self._pieces or self._text is not None or over, "a done for each delta", event)
        if self._text is not None and self._field is not None:
            lawful(item[self._field] == self._text, f"a done item's {self._field} are those of its events", event)
        failed = item.get("status") == "failed" or item.get("error") is not None
        if not over and not self._ends_silently(item):
            lawful(failed == (self._end == "failed"), "an item says how its call ended", event)

    def _ends_silently(self, item: dict[str, Any]) -> bool:
        """A search of files has no event for its failure."""
        return item["type"] == "file_search_call" and item.get("status") == "failed" and self._end is None


def item_judge(added: Event) -> ItemJudge:
    """The judge of the item that `added`, a `response.output_item.added`, begins."""
    match added["item"]["type"]:
        case "message":
            return MessageJudge(added)
        case "reasoning":
            return ReasoningJudge(added)
        case "function_call":
            return CallJudge(added, events="function_call_arguments", field="arguments")
        case "custom_tool_call":
            return CallJudge(added, events="custom_tool_call_input", field="input")
        case "mcp_call":
            return ServerToolJudge(added, field="arguments")
        case "code_interpreter_call":
            return ServerToolJudge(added, field="code")
        case "mcp_list_tools" | "file_search_call" | "web_search_call" | "image_generation_call":
            return ServerToolJudge(added)
        case _:
            return ItemJudge(added)
