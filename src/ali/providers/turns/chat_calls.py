"""The calls of tools in a chat stream, told apart though servers number and name them carelessly."""

from typing import Any

from ali.kernel.ids import new_id
from ali.providers.translate.calls_of_chat import CallsOfChat, is_json_object
from ali.providers.translate.shapes import malformed, provider_dump, provider_object, provider_text
from ali.providers.turns.writer import CallKind, ItemStatus, OutputWriter


class _Call:
    """One call; `call_id` is the upstream's own. `waiting`: what it says before its name is known."""

    __slots__ = ("call_id", "closed", "judged", "kind", "opened", "pieces", "waiting", "whole")

    def __init__(self) -> None:
        self.call_id = ""
        self.kind: CallKind = "function_call"
        self.opened = False
        self.closed = False
        self.waiting: list[str] = []
        self.pieces: list[str] = []
        self.judged = 0  # how many of the pieces `whole` speaks of
        self.whole = False

    @property
    def done(self) -> bool:
        """Whether it is all there: a JSON object. Of a custom tool's input nobody can tell before the end."""
        if self.kind == "function_call" and self.judged != len(self.pieces) and self.pieces[-1].rstrip().endswith("}"):
            self.judged = len(self.pieces)
            self.whole = is_json_object("".join(self.pieces))
        return self.whole and self.judged == len(self.pieces)


class ChatCalls:
    """Reads deltas of calls and writes them. Calls stay open side by side until `end`, or `end_if_done`."""

    __slots__ = ("_calls", "_open", "_writer")

    def __init__(self, writer: OutputWriter) -> None:
        self._writer = writer
        self._calls = CallsOfChat(self._new)
        self._open: list[_Call] = []

    @property
    def are_open(self) -> bool:
        """Whether a call has begun that is not closed."""
        return bool(self._open)

    def feed(self, delta: dict[str, Any]) -> int:
        """One entry of `delta.tool_calls`; how many characters it brought. Raises `UpstreamMalformed`.

        An id is minted for a call that has a name and none: it goes back to the upstream with the result, and nothing
        else asks for it.
        """
        custom = delta.get("custom") is not None
        said = provider_object(delta.get("custom") if custom else delta.get("function"), what="a function")
        call_id = provider_text(delta.get("id"), what="a tool call's id")
        name = provider_text(said.get("name"), what="a function's name")
        written = said.get("input") if custom else said.get("arguments")
        if isinstance(written, dict):  # some compatible servers send the object itself
            written = provider_dump(written, what="arguments")
        piece = provider_text(written, what="arguments")
        call = self._calls.find(delta.get("index"), call_id=call_id, name=name)
        if call.closed:
            if piece.strip():
                raise malformed("no arguments after a whole object")
            return 0
        if not call.opened and name:
            self._begin(call, name=name, custom=custom)
        if not piece:
            return 0
        if call.opened:
            call.pieces.append(piece)
            self._writer.arguments(call, piece)
        else:
            call.waiting.append(piece)
        return len(piece)

    def end_if_done(self) -> bool:
        """Close the open calls if each is whole, so that something else may be written; whether none is open now."""
        if not all(call.done for call in self._open):
            return False
        self.end(cut=False)
        return True

    def end(self, *, cut: bool) -> None:
        """Close the open calls; where the model was `cut` off, those that are not whole are incomplete.

        Raises `UpstreamMalformed` for a call that never got its name, unless it was cut off: then it is left out.
        """
        for call in self._open:
            call.closed = True
            if call.opened:
                if call.kind == "function_call" and not cut and not "".join(call.pieces).strip():
                    self._writer.arguments(call, "{}")  # clients want an object to parse
                mangled = cut and not call.done and (call is self._calls.latest or call.kind == "function_call")
                status: ItemStatus = "incomplete" if mangled else "completed"
                self._writer.end_call(call, status=status)
            elif not cut:
                raise malformed("a function's name")
        self._open.clear()

    def _begin(self, call: _Call, *, name: str, custom: bool) -> None:
        call.kind = "custom_tool_call" if custom else "function_call"
        call.opened = True
        self._writer.begin_call(call, kind=call.kind, call_id=call.call_id or new_id("call"), name=name)
        for piece in call.waiting:
            call.pieces.append(piece)
            self._writer.arguments(call, piece)
        call.waiting.clear()

    def _new(self) -> _Call:
        call = _Call()
        self._open.append(call)
        return call
