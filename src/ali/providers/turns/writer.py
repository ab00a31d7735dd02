"""The output of a response, written as the events of the Responses API while it comes into being.

Whatever the upstream speaks, its relay calls the verbs of `OutputWriter`; the order of events, their numbers, indexes
and identifiers, a `…done` for each `…delta` and the items themselves are made here alone.

    output_item.added → (part added → delta… → done → part done)… → output_item.done

Text, reasoning and whole items are strictly sequential: each closes what was open before it. Calls of tools may be
open side by side, since a chat stream mixes their deltas.
Source: OpenAI API reference, "Responses", "Streaming events"; the Open Responses specification.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import orjson

from ali.providers.turns.citing import Citations, CitedText, Piece, moved
from ali.providers.turns.events import EventWriter
from ali.providers.turns.forwarded import ForwardedItem
from ali.providers.turns.item_ids import new_item_id
from ali.providers.turns.parts import OpenCall, OpenMessage, OpenReasoning
from ali.providers.turns.served import OpenServed, ServedCall, ServedTool

ItemStatus = Literal["completed", "incomplete"]
CallKind = Literal["function_call", "custom_tool_call"]
_Open = OpenMessage | OpenReasoning | OpenCall | OpenServed


class OutputWriter(EventWriter):
    """Writes one response's events into a buffer, and keeps its output items.

    `first_number`: the `sequence_number` of the next event. Nothing here waits. A delta costs about 1 µs (measured).
    """

    __slots__ = (
        "_calls",
        "_forwarded",
        "_message",
        "_reasoning",
        "_served_calls",
        "_unended",
        "citations",
        "output",
        "served",
    )

    def __init__(self, *, first_number: int = 0, served: Mapping[str, ServedTool] | None = None) -> None:
        super().__init__(first_number=first_number)
        self.served: Mapping[str, ServedTool] = served or {}
        """The functions that this service runs itself, by the names that models know them under."""
        self._served_calls: list[ServedCall] = []
        self._unended: set[int] = set()  # items that the service itself is to end
        self.citations: Citations | None = None
        """What the model may cite. Where it is set, its marks are taken out of the texts and told as annotations, and a
        message has one part of text, however many blocks the upstream makes of it.
        """
        self._message: OpenMessage | None = None
        self._reasoning: OpenReasoning | None = None
        self._calls: dict[Hashable, OpenCall | OpenServed] = {}
        self._forwarded: dict[int, ForwardedItem] = {}
        self.output: list[dict[str, Any]] = []
        """The items that have begun, by `output_index`; one that is open stands as it was added. See `snapshot`."""

    def mark(self) -> tuple[int, int, int]:
        """Where the writer stands between two turns, for `rewind`."""
        return self._number, len(self.output), len(self._served_calls)

    def rewind(self, mark: tuple[int, int, int]) -> None:
        """Forget what a turn has written of which nobody was told: another target is asked instead."""
        self._number, items, calls = mark
        del self.output[items:]
        del self._served_calls[calls:]
        self._unended = {index for index in self._unended if index < items}
        self._buffer.clear()
        self._calls.clear()
        self._forwarded.clear()
        self._message = self._reasoning = None

    def snapshot(self) -> list[dict[str, Any]]:
        """The output as it stands, items that are open included, with what they hold so far and `in_progress`."""
        now = list(self.output)
        for piece in self._open():
            now[piece.index] = piece.item("in_progress")
        return now

    # A message

    def text(self, delta: str, *, logprobs: list[dict[str, Any]] | None = None) -> None:
        """More of the answer's text; opens a message, and a text part, where none is open."""
        message = self._message
        if message is None or message.kind != "output_text":
            message = self._begin_part("output_text")
        if message.cited is None:
            self._text(message, delta, logprobs)
        else:
            self._cited(message, message.cited.feed(delta), logprobs)

    def _text(self, message: OpenMessage, delta: str, logprobs: list[dict[str, Any]] | None) -> None:
        message.pieces.append(delta)
        if logprobs:
            message.logprobs += logprobs
            self._emit(b"response.output_text.delta", b'%b%b,"logprobs":%b' % (
                message.head, orjson.dumps(delta), orjson.dumps(logprobs)
            ))  # fmt: skip
        else:
            self._emit(b"response.output_text.delta", b'%b%b,"logprobs":[]' % (message.head, orjson.dumps(delta)))

    def _cited(self, message: OpenMessage, due: Sequence[Piece], logprobs: list[dict[str, Any]] | None) -> None:
        """What of a text with marks may be shown now. Log probabilities, also those of marks, go with the next text."""
        waiting = [*message.waiting_logprobs, *(logprobs or ())]
        for piece in due:
            if isinstance(piece, str):
                self._text(message, piece, waiting)
                waiting = []
            else:
                self._annotate(message, piece)
        message.waiting_logprobs = waiting

    def refuse(self, delta: str) -> None:
        """More of a refusal's text."""
        message = self._message
        if message is None or message.kind != "refusal":
            message = self._begin_part("refusal")
        message.pieces.append(delta)
        self._emit(b"response.refusal.delta", b"%b%b" % (message.head, orjson.dumps(delta)))

    def annotate(self, annotation: dict[str, Any]) -> None:
        """A citation within the text part that is open, by the model's own text; opens one where none is."""
        message = self._message
        if message is None or message.kind != "output_text":
            message = self._begin_part("output_text")
        self._annotate(message, annotation if message.cited is None else moved(annotation, message.cited))

    @property
    def text_length(self) -> int:
        """Characters of the model's own text in the part of text that is open, where others may join it; else 0."""
        message = self._message
        return 0 if message is None or message.kind is None or message.cited is None else message.cited.taken

    def _annotate(self, message: OpenMessage, annotation: dict[str, Any]) -> None:
        message.annotations.append(annotation)
        self.event(
            "response.output_text.annotation.added",
            **message.place,
            annotation_index=len(message.annotations) - 1,
            annotation=annotation,
        )

    def begin_message(self, *, phase: str | None = None) -> None:
        """A new message, though one may be open: blocks of text that an upstream tells apart by more than parts."""
        self.end_all()
        self._open_message(phase)

    def _open_message(self, phase: str | None) -> OpenMessage:
        message = OpenMessage(new_item_id("message"), index=len(self.output), phase=phase)
        self._message = message
        self._added(message)
        return message

    def _begin_part(self, kind: Literal["output_text", "refusal"]) -> OpenMessage:
        message = self._message
        if message is None:
            self.end_all()
            message = self._open_message(None)
        else:
            self._end_part(message)
        message.begin(kind)
        if self.citations is not None and kind == "output_text":
            message.cited = CitedText(self.citations)
        self.event("response.content_part.added", **message.place, part=message.part())
        return message

    def end_part(self) -> None:
        """The open part of the message is whole; what follows begins another, of the same message, or joins it where
        texts are read for marks.
        """
        if self._message is not None and self.citations is None:
            self._end_part(self._message)

    def _end_part(self, message: OpenMessage) -> None:
        if message.kind is None:
            return
        if message.cited is not None:
            self._cited(message, message.cited.end(), None)
            if message.waiting_logprobs:
                self._text(message, "", message.waiting_logprobs)
        part = message.part()
        if message.kind == "output_text":
            self.event("response.output_text.done", **message.place, text=part["text"], logprobs=part["logprobs"])
        else:
            self.event("response.refusal.done", **message.place, refusal=part["refusal"])
        self.event("response.content_part.done", **message.place, part=part)
        message.end(part)

    # Reasoning

    def begin_reasoning(self) -> None:
        """A reasoning item, which may stay without any text; closes whatever is open."""
        self.end_all()
        self._reasoning = OpenReasoning(new_item_id("reasoning"), index=len(self.output))
        self._added(self._reasoning)

    def summarise(self, delta: str, *, new_part: bool = False) -> None:
        """More of a summary of the reasoning, as Anthropic's thinking and OpenAI's summaries are."""
        self._think(delta, kind="summary_text", new_part=new_part)

    def think(self, delta: str, *, new_part: bool = False) -> None:
        """More of the reasoning itself, as open models show it."""
        self._think(delta, kind="reasoning_text", new_part=new_part)

    def _think(self, delta: str, *, kind: Literal["summary_text", "reasoning_text"], new_part: bool) -> None:
        reasoning = self._reasoning
        if reasoning is None:
            self.begin_reasoning()
            reasoning = self._reasoning
        assert reasoning is not None  # noqa: S101 - opened just above
        if reasoning.kind != kind or new_part:
            self._end_thought(reasoning)
            reasoning.begin(kind)
            self.event(reasoning.names.added, **reasoning.place, part=reasoning.part())
        reasoning.pieces.append(delta)
        self._emit(reasoning.names.delta, b"%b%b" % (reasoning.head, orjson.dumps(delta)))

    def _end_thought(self, reasoning: OpenReasoning) -> None:
        if reasoning.kind is None:
            return
        part = reasoning.part()
        self.event(reasoning.names.done, **reasoning.place, text=part["text"])
        self.event(reasoning.names.part_done, **reasoning.place, part=part)
        reasoning.end(part)

    def end_reasoning(self, *, encrypted_content: str | None = None, status: ItemStatus = "completed") -> None:
        """The reasoning item is whole; what only its model may read goes with it."""
        reasoning = self._reasoning
        if reasoning is None:
            return
        self._end_thought(reasoning)
        reasoning.encrypted_content = encrypted_content
        self._reasoning = None
        self._done(reasoning, status)

    # Calls of tools

    def begin_call(
        self, key: Hashable, *, kind: CallKind, call_id: str, name: str, namespace: str | None = None
    ) -> None:
        """A call of the caller's tool; `key` names it among those that are open, and ends one that had it before."""
        self._end_sequential()
        if key in self._calls:
            self.end_call(key)
        if kind == "function_call" and (tool := self.served.get(name)) is not None:
            self._begin_served(key, tool, call_id=call_id, function=name)
            return
        call = OpenCall(
            new_item_id(kind), index=len(self.output), kind=kind, call_id=call_id, name=name, namespace=namespace
        )
        self._calls[key] = call
        self._added(call)

    def _begin_served(self, key: Hashable, tool: ServedTool, *, call_id: str, function: str) -> None:
        item_id = new_item_id(tool.kind)
        call = OpenServed(item_id, index=len(self.output), tool=tool, call_id=call_id, function=function)
        self._calls[key] = call
        if tool.shown:
            self._added(call)
            self.event(f"response.{tool.kind}.in_progress", item_id=item_id, output_index=call.index)

    def arguments(self, key: Hashable, delta: str) -> None:
        """More of a call's arguments (or of a custom tool's input)."""
        call = self._calls[key]
        call.pieces.append(delta)
        if call.names is not None:
            self._emit(call.names.delta, b"%b%b" % (call.head, orjson.dumps(delta)))

    def end_call(self, key: Hashable, *, status: ItemStatus = "completed") -> None:
        """The call is whole. One that this service runs waits for `take_calls`, unless the model was cut off in it."""
        call = self._calls.pop(key)
        hidden = isinstance(call, OpenServed) and not call.tool.shown
        if call.names is not None:
            text = "".join(call.pieces)
            self.event(call.names.done, item_id=call.item_id, output_index=call.index, **{call.names.field: text})
        if isinstance(call, OpenCall) or (status == "incomplete" and not hidden):
            self._done(call, status)
        elif status == "completed":
            if not hidden:
                self.output[call.index] = call.item("in_progress")
                self._unended.add(call.index)
            self._served_calls.append(call.whole())

    def take_calls(self) -> list[ServedCall]:
        """The calls that this service is to run, whole since the last time, in the model's order."""
        calls, self._served_calls = self._served_calls, []
        return calls

    def end_served(self, call: ServedCall, item: dict[str, Any], *, outcome: str) -> None:
        """A call that was shown has been run: `outcome` is `completed` or `failed`, `item` how it ended."""
        if call.index is None:
            raise ValueError("the call has no item yet")
        kind = item["type"]
        self.event(f"response.{kind}.{outcome}", item_id=call.item_id, output_index=call.index)
        self.end_item(call.index, item)

    # Whole items, and the end

    def whole(self, item: dict[str, Any]) -> int:
        """An item that is there at once: added and done. Its index."""
        index = self.begin_item(item)
        self.end_item(index, item)
        return index

    def begin_item(self, item: dict[str, Any]) -> int:
        """An item of a tool that runs on the server, as it begins; its index, for `end_item` and `event`."""
        self.end_all()
        index = len(self.output)
        self.output.append(item)
        self._unended.add(index)
        self.event("response.output_item.added", output_index=index, item=item)
        return index

    def end_item(self, index: int, item: dict[str, Any], *, told: dict[str, Any] | None = None) -> None:
        """The item of `begin_item`, as it ended. `told`: what callers see of it, where that is not all."""
        self.output[index] = item
        self._unended.discard(index)
        self.event("response.output_item.done", output_index=index, item=item if told is None else told)

    # What an upstream that speaks this very API has written already

    def begin_forwarded(self, item: dict[str, Any]) -> ForwardedItem:
        """An item as the upstream added it; several may be open. Its events go through `forward` or `splice`."""
        self._end_sequential()
        piece = ForwardedItem(item, index=len(self.output))
        self._forwarded[piece.index] = piece
        self.output.append(item)
        self.event("response.output_item.added", output_index=piece.index, item=item)
        return piece

    def end_forwarded(self, piece: ForwardedItem, item: dict[str, Any]) -> None:
        """The item as the upstream ended it."""
        self._forwarded.pop(piece.index, None)
        self.end_item(piece.index, item)

    def end_all(self, *, status: ItemStatus = "completed") -> None:
        """Close whatever is open: the upstream's turn is over, or (`incomplete`) was cut off, with what runs here.

        After a cut nothing is left for `take_calls`.
        """
        self._end_sequential(status)
        for key in list(self._calls):
            self.end_call(key, status=status)
        for piece in list(self._forwarded.values()):
            for kind, fields in piece.endings():
                self.forward(kind, fields)
            self.end_forwarded(piece, piece.item(status))
        if status == "completed":
            return
        self._served_calls.clear()
        for index in sorted(self._unended):
            item = self.output[index]
            self.end_item(index, {**item, "status": status} if "status" in item else item)

    def _end_sequential(self, status: ItemStatus = "completed") -> None:
        self.end_reasoning(status=status)
        message = self._message
        if message is not None:
            self._end_part(message)
            self._message = None
            self._done(message, status)

    def _open(self) -> Sequence[_Open | ForwardedItem]:
        calls = [call for call in self._calls.values() if isinstance(call, OpenCall) or call.tool.shown]
        own = (self._message, self._reasoning, *calls)
        return [piece for piece in (*own, *self._forwarded.values()) if piece is not None]

    def _added(self, piece: _Open) -> None:
        item = piece.item("in_progress")
        self.output.append(item)
        self.event("response.output_item.added", output_index=piece.index, item=item)

    def _done(self, piece: _Open, status: ItemStatus) -> None:
        item = piece.item(status)
        self.output[piece.index] = item
        self.event("response.output_item.done", output_index=piece.index, item=item)
