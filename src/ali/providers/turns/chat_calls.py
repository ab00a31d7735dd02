"""The calls of tools in a chat stream, told apart though servers number and name them carelessly."""

from typing import Any

import orjson

from ali.kernel.ids import new_id
from ali.providers.translate.shapes import malformed, provider_dump, provider_object, provider_text
from ali.providers.turns.writer import CallKind, ItemStatus, OutputWriter


class _Call:
    """One call; `given_id` is the upstream's own. `waiting`: what it says before its name is known."""

    __slots__ = ("closed", "given_id", "judged", "kind", "opened", "pieces", "waiting", "whole")

    def __init__(self) -> None:
        self.given_id = ""
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
            self.whole = _is_json_object("".join(self.pieces))
        return self.whole and self.judged == len(self.pieces)


class ChatCalls:
    """Reads deltas of calls and writes them. Calls stay open side by side until `end`, or `end_if_done`."""

    __slots__ = ("_by_id", "_calls", "_latest", "_open", "_writer")

    def __init__(self, writer: OutputWriter) -> None:
        self._writer = writer
        self._calls: dict[int, _Call] = {}  # by the index that deltas use now
        self._by_id: dict[str, _Call] = {}
        self._latest: _Call | None = None
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
        call = self._call_of(delta.get("index"), call_id=call_id, name=name)
        call.given_id = call.given_id or call_id
        if call_id:
            self._by_id[call_id] = call
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
                mangled = cut and not call.done and (call is self._latest or call.kind == "function_call")
                status: ItemStatus = "incomplete" if mangled else "completed"
                self._writer.end_call(call, status=status)
            elif not cut:
                raise malformed("a function's name")
        self._open.clear()

    def _begin(self, call: _Call, *, name: str, custom: bool) -> None:
        call.kind = "custom_tool_call" if custom else "function_call"
        call.opened = True
        self._writer.begin_call(call, kind=call.kind, call_id=call.given_id or new_id("call"), name=name)
        for piece in call.waiting:
            call.pieces.append(piece)
            self._writer.arguments(call, piece)
        call.waiting.clear()

    def _call_of(self, index: object, *, call_id: str, name: str) -> _Call:
        """The call of a delta, new where this is its first.

        Without `index` it is the call with the same id, else a new one where the delta names one, else the latest. With
        one, a different id beside a name begins another call: some servers number all their calls 0.
        """
        if index is not None and (not isinstance(index, int) or isinstance(index, bool)):
            raise malformed("a tool call's index")
        if index is None:
            call = self._by_id.get(call_id) if call_id or name else self._latest
            index = max(self._calls, default=-1) + 1
        else:
            call = self._calls.get(index)
            if call is not None and name and call_id and call.given_id not in ("", call_id):
                call = self._by_id.get(call_id)
        if call is None:
            call = self._calls[index] = _Call()
            self._open.append(call)
        self._latest = call
        return call


def _is_json_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
