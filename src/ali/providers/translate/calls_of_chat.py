"""Which call of a tool a chat stream's delta belongs to, though servers number and name calls carelessly."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import orjson

from ali.providers.translate.shapes import malformed


class Named(Protocol):
    """A call in the making, with the upstream's own id for it; empty until one has come."""

    call_id: str


Call = TypeVar("Call", bound=Named)


class CallsOfChat(Generic[Call]):
    """The calls of one stream, found by what their deltas say. `new` makes one and gives it its place."""

    __slots__ = ("_by_id", "_by_index", "_new", "latest")

    def __init__(self, new: Callable[[], Call]) -> None:
        self._new = new
        self._by_index: dict[int, Call] = {}  # by the index that deltas use now
        self._by_id: dict[str, Call] = {}
        self.latest: Call | None = None

    def __bool__(self) -> bool:
        """Whether there was any."""
        return bool(self._by_index)

    def find(self, index: object, *, call_id: str, name: str) -> Call:
        """The call of a delta, new where this is its first. Raises `UpstreamMalformed` for an index that is none.

        Without `index` it is the call with the same id, else a new one where the delta names one, else the latest. With
        one, a different id beside a name begins another call: some servers number all their calls 0.
        """
        if index is not None and (not isinstance(index, int) or isinstance(index, bool)):
            raise malformed("a tool call's index")
        if index is None:
            call = self._by_id.get(call_id) if call_id or name else self.latest
            index = max(self._by_index, default=-1) + 1
        else:
            call = self._by_index.get(index)
            if call is not None and name and call_id and call.call_id not in ("", call_id):
                call = self._by_id.get(call_id)
        if call is None:
            call = self._by_index[index] = self._new()
        self.latest = call
        call.call_id = call.call_id or call_id
        if call_id:
            self._by_id[call_id] = call
        return call


def is_json_object(text: str) -> bool:
    """Whether `text` is a whole JSON object: nothing can follow it among a call's arguments."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
