"""An item that the upstream itself writes as events of the Responses API, followed while it is open.

Its events go to the caller as they came; what they add up to is kept, so that a snapshot shows the item as it stands
and an item that the upstream leaves open can be closed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeltaKind:
    """One kind of delta: which list of the item holds the part that it adds to (`holder`, None: the item itself), the
    field that names the part's place in that list (`index`), the field that grows, and the type of such a part.
    """

    name: str
    grows: str
    holder: str | None = None
    index: str = "content_index"
    part: str = ""
    line: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", f"event: {self.name}\ndata: ".encode())

    @property
    def done(self) -> str:
        """The event that ends such deltas."""
        return self.name.removesuffix("delta") + "done"


_KINDS: Final = (
    DeltaKind(name="response.output_text.delta", grows="text", holder="content", part="output_text"),
    DeltaKind(name="response.refusal.delta", grows="refusal", holder="content", part="refusal"),
    DeltaKind(name="response.reasoning_text.delta", grows="text", holder="content", part="reasoning_text"),
    DeltaKind(
        name="response.reasoning_summary_text.delta",
        grows="text",
        holder="summary",
        index="summary_index",
        part="summary_text",
    ),
    DeltaKind(name="response.function_call_arguments.delta", grows="arguments"),
    DeltaKind(name="response.mcp_call_arguments.delta", grows="arguments"),
    DeltaKind(name="response.custom_tool_call_input.delta", grows="input"),
    DeltaKind(name="response.code_interpreter_call_code.delta", grows="code"),
)
DELTAS: Final = {kind.name: kind for kind in _KINDS}
"""The deltas whose text is kept, by the event's type."""
DONES: Final = {kind.done: kind for kind in _KINDS}
"""The events that end them."""
PARTS: Final = {
    "response.content_part.added": ("content", "content_index"),
    "response.content_part.done": ("content", "content_index"),
    "response.reasoning_summary_part.added": ("summary", "summary_index"),
    "response.reasoning_summary_part.done": ("summary", "summary_index"),
}
"""The events that begin and end a part: the list that holds it, and the field that names its place."""
_PART_DONE: Final = {
    "content": ("response.content_part.done", "content_index"),
    "summary": ("response.reasoning_summary_part.done", "summary_index"),
}


class ForwardedItem:
    """An item that is open: as it was added, its parts, and the pieces of the texts that grow."""

    __slots__ = ("_added", "_open_parts", "_parts", "_pieces", "_texts_done", "index")

    def __init__(self, added: dict[str, Any], *, index: int) -> None:
        self.index = index
        self._added = added
        self._parts: dict[tuple[str, int], dict[str, Any]] = {}
        self._open_parts: set[tuple[str, int]] = set()
        self._pieces: dict[tuple[DeltaKind, int], list[str]] = {}
        self._texts_done: set[tuple[DeltaKind, int]] = set()

    @property
    def item_id(self) -> str:
        """The item's identifier, as it was added."""
        return str(self._added.get("id"))

    def grow(self, kind: DeltaKind, place: int, delta: str) -> None:
        """More of a text; `place` is 0 where the item itself holds it."""
        pieces = self._pieces.get((kind, place))
        if pieces is None:
            self._pieces[kind, place] = [delta]
        else:
            pieces.append(delta)

    def end_text(self, kind: DeltaKind, place: int, text: str) -> None:
        """A text is whole."""
        self._pieces[kind, place] = [text]
        self._texts_done.add((kind, place))

    def begin_part(self, holder: str, place: int, part: dict[str, Any]) -> None:
        """A part begins."""
        self._parts[holder, place] = part
        self._open_parts.add((holder, place))

    def end_part(self, holder: str, place: int, part: dict[str, Any]) -> None:
        """A part is whole: it replaces what its deltas added up to."""
        self._parts[holder, place] = part
        self._open_parts.discard((holder, place))
        for key in [key for key in self._pieces if (key[0].holder, key[1]) == (holder, place)]:
            del self._pieces[key]

    def annotate(self, place: int, annotation: object) -> None:
        """A citation within a part of the content."""
        part = self._parts.get(("content", place))
        if part is not None:
            known = part.get("annotations")
            self._parts["content", place] = part | {
                "annotations": [*(known if isinstance(known, list) else []), annotation]
            }

    def item(self, status: str) -> dict[str, Any]:
        """The item as it stands."""
        item = dict(self._added)
        if "status" in item or item.get("type") == "message":
            item["status"] = status
        held = self._held()
        for holder in {key[0] for key in held}:
            item[holder] = [held[key] for key in sorted(held) if key[0] == holder]
        for (kind, _), pieces in self._pieces.items():
            if kind.holder is None:
                item[kind.grows] = "".join(pieces)
        return item

    def endings(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events that end whatever is open within the item: their types, and their fields."""
        place_of_item = {"item_id": self._added.get("id"), "output_index": self.index}
        for (kind, place), pieces in self._pieces.items():
            if (kind, place) not in self._texts_done:
                fields = place_of_item | ({} if kind.holder is None else {kind.index: place})
                if kind.part == "output_text":
                    fields["logprobs"] = []
                yield kind.done, fields | {kind.grows: "".join(pieces)}
        held = self._held()
        for holder, place in sorted(self._open_parts):
            name, index = _PART_DONE[holder]
            yield name, place_of_item | {index: place, "part": held[holder, place]}

    def _held(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Every part as it stands."""
        held = dict(self._parts)
        for (kind, place), pieces in self._pieces.items():
            if kind.holder is not None:
                begun = held.get((kind.holder, place)) or {"type": kind.part}
                held[kind.holder, place] = begun | {kind.grows: "".join(pieces)}
        return held
