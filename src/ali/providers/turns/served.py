"""Calls of tools that this service runs itself: the model calls a function, callers see an item of the tool's kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ali.providers.turns.parts import CallNames

MCP_ARGUMENTS: Final = CallNames(
    delta=b"response.mcp_call_arguments.delta", done="response.mcp_call_arguments.done", field="arguments"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedTool:
    """How a function that this service runs shows itself. `item` makes its item from an identifier and arguments.

    `shown` false: nothing is seen of a call until it is whole, and then what the engine makes of it. `arguments`: the
    events in which they are told while the model writes them; None where they are not.
    """

    kind: str
    item: Callable[[str, str], dict[str, Any]]
    shown: bool = True
    arguments: CallNames | None = MCP_ARGUMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCall:
    """A whole call for the engine to run. `index` is its item's place in the output; None where it has none yet."""

    call_id: str
    function: str
    arguments: str
    item_id: str
    index: int | None


class OpenServed:
    """Such a call while the model writes its arguments."""

    __slots__ = ("call_id", "function", "head", "index", "item_id", "names", "pieces", "tool")

    def __init__(self, item_id: str, *, index: int, tool: ServedTool, call_id: str, function: str) -> None:
        self.item_id = item_id
        self.index = index
        self.tool = tool
        self.call_id = call_id
        self.function = function
        self.names = tool.arguments if tool.shown else None
        self.pieces: list[str] = []
        self.head = orjson.dumps({"item_id": item_id, "output_index": index})[1:-1] + b',"delta":'

    def item(self, status: str) -> dict[str, Any]:
        """The item as it stands: in progress until the service has run it, `incomplete` where the model was cut off."""
        item = self.tool.item(self.item_id, "".join(self.pieces))
        return {**item, "status": status} if status == "incomplete" else item

    def whole(self) -> ServedCall:
        """The call, for the engine."""
        return ServedCall(
            call_id=self.call_id,
            function=self.function,
            arguments="".join(self.pieces),
            item_id=self.item_id,
            index=self.index if self.tool.shown else None,
        )
