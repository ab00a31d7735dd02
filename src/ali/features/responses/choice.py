"""`tool_choice`: checked as it comes, and said to a model, which knows functions where the caller knows MCP servers."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ali.features.responses.errors import ToolNotOffered
from ali.kernel.errors import InvalidRequest
from ali.providers.turns.tool_names import FILE_SEARCH

Json = dict[str, Any]

Offered = Mapping[str, Mapping[str, str]]
"""The functions that stand for the tools of MCP servers: by the server's label, by the tool's own name."""

_WORDS: Final = frozenset({"none", "auto", "required"})
_NAMED: Final = frozenset({"function", "custom", "mcp"})
_SERVED: Final = frozenset({"mcp", "file_search"})
"""What this service runs, and a model knows as functions."""
_MODES: Final = ("auto", "required")


def check_choice(choice: object, tools: Iterable[Json]) -> None:
    """Raises `InvalidRequest` for a `tool_choice` that is none, or names a tool that is not among `tools`."""
    if choice is None or (isinstance(choice, str) and choice in _WORDS):
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(kind, str):
        raise InvalidRequest(
            "Invalid 'tool_choice': expected none, auto, required, or an object that names a tool.",
            param="tool_choice",
            code="invalid_value",
        )
    present = [(tool.get("type"), tool.get("name") or tool.get("server_label")) for tool in tools]
    if kind != "allowed_tools":
        _check_named(choice, present, param="tool_choice")
        return
    if choice.get("mode") not in _MODES or not isinstance(choice.get("tools"), list):
        raise InvalidRequest(
            "tool_choice.allowed_tools takes `mode` (auto or required) and the list `tools`.",
            param="tool_choice",
            code="invalid_value",
        )
    for at, allowed in enumerate(choice["tools"]):
        _check_named(allowed, present, param=f"tool_choice.tools[{at}]")


def _check_named(choice: object, present: list[tuple[object, object]], *, param: str) -> None:
    """One tool that is named is among those that are `present`, each as its type and its name or label."""
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(kind, str):
        raise InvalidRequest(
            f"Invalid '{param}': expected an object that names a tool.", param=param, code="invalid_type"
        )
    name = choice.get("server_label" if kind == "mcp" else "name") if kind in _NAMED else None
    there = (kind, name) in present if kind in _NAMED else any(kind == each for each, _ in present)
    if not there:
        said = name if kind in _NAMED else kind
        raise InvalidRequest(
            f"Tool choice '{str(said)[:64]}' not found in 'tools' parameter.", param=param, code="invalid_value"
        )
    if kind == "mcp" and not isinstance(choice.get("name"), str | None):
        raise InvalidRequest(f"Invalid '{param}.name': expected a string.", param=f"{param}.name", code="invalid_type")


def choice_for_turn(choice: object, offered: Offered, *, first: bool, searches: bool = False) -> Any:  # noqa: ANN401 - as in the API
    """A checked `choice` in terms of functions. None: the model is free, or there is nothing to choose among.

    `searches`: the search of files is offered.

    What a choice demands is met by the `first` turn; from then on the model may answer, or a response that calls a
    server's tools would have no end. Raises `ToolNotOffered` where a server does not offer what is demanded of it.
    """
    if not isinstance(choice, dict):
        return choice if first or choice != "required" else None
    served = choice["type"] in _SERVED
    if not served and choice["type"] != "allowed_tools":
        return choice if first else None
    named = [choice] if served else choice["tools"]
    allowed = [tool for each in named for tool in _functions_of(each, offered, searches=searches)]
    demands = served or choice["mode"] == "required"
    if not demands or not first:
        if served:
            return None
        return {**choice, "mode": "auto", "tools": allowed} if allowed else "none"
    if not allowed:
        raise ToolNotOffered(
            "Nothing offers what tool_choice demands. The mcp_list_tools items say what MCP servers offer, or why that "
            "is not known.",
            param="tool_choice",
        )
    if served and len(allowed) == 1:
        return allowed[0]
    return {"type": "allowed_tools", "mode": "required", "tools": allowed}


def _functions_of(choice: Json, offered: Offered, *, searches: bool) -> list[Json]:
    """The functions that stand for a server's tools, or for the one that is named; others stand for themselves."""
    if choice["type"] == "file_search":
        return [{"type": "function", "name": FILE_SEARCH}] if searches else []
    if choice["type"] != "mcp":
        return [choice]
    tools = offered.get(choice["server_label"], {})
    name = choice.get("name")
    names = tools.values() if name is None else [tools[name]] if name in tools else []
    return [{"type": "function", "name": each} for each in names]
