"""The tools of a response: which ones the caller runs, which this service does, and which only a provider can."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from ali.features.responses.errors import ToolNotOffered
from ali.kernel.errors import InvalidRequest

Json = dict[str, Any]

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_MOST: Final = 128
_CALLERS: Final = frozenset({"function", "custom"})
_CHOICES: Final = frozenset({"none", "auto", "required"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """A request's tools, sorted by who runs them."""

    own: tuple[Json, ...]
    """Functions and custom tools: the caller runs them."""
    remote: tuple[tuple[int, Json], ...]
    """MCP servers, with their places in the list: this service calls them."""
    hosted: tuple[Json, ...]
    """Of the provider's."""


def read_tools(raw: object) -> Tools:
    """Sort and check `tools`. Raises `InvalidRequest`."""
    if raw is None:
        return Tools(own=(), remote=(), hosted=())
    if not isinstance(raw, list) or len(raw) > _MOST:
        raise InvalidRequest(
            f"Invalid 'tools': expected a list of at most {_MOST} tools.", param="tools", code="invalid_type"
        )
    own, remote, hosted = [], [], []
    for at, tool in enumerate(raw):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str):
            raise InvalidRequest(
                f"Missing required parameter: 'tools[{at}].type'.",
                param=f"tools[{at}].type",
                code="missing_required_parameter",
            )
        if kind in _CALLERS:
            _check_own(tool, at)
            own.append(tool)
        elif kind == "mcp":
            remote.append((at, tool))
        elif kind == "file_search":
            raise ToolNotOffered(
                "This service has no vector stores to search yet. Send the documents as input_file parts, or leave "
                "file_search out.",
                param=f"tools[{at}].type",
            )
        else:
            hosted.append(tool)
    names = [tool["name"] for tool in own]
    if len(set(names)) != len(names):
        raise InvalidRequest("Two tools have one name. Give each its own.", param="tools", code="duplicate_tool_name")
    return Tools(own=tuple(own), remote=tuple(remote), hosted=tuple(hosted))


def _check_own(tool: Json, at: int) -> None:
    where = f"tools[{at}]"
    name = tool.get("name")
    if name is None:
        raise InvalidRequest(
            f"Missing required parameter: '{where}.name'.", param=f"{where}.name", code="missing_required_parameter"
        )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"Invalid '{where}.name': send 1 to 128 letters, digits, underscores and hyphens.",
            param=f"{where}.name",
            code="invalid_value",
        )
    for member, kind, wanted in (
        ("description", str, "a string"),
        ("parameters", dict, "a JSON schema object"),
        ("strict", bool, "true or false"),
        ("format", dict, "an object"),
    ):
        if tool.get(member) is not None and not isinstance(tool[member], kind):
            raise InvalidRequest(
                f"Invalid type for '{where}.{member}': expected {wanted}.",
                param=f"{where}.{member}",
                code="invalid_type",
            )


def check_choice(choice: object, tools: Iterable[Json]) -> None:
    """Raises `InvalidRequest` for a `tool_choice` that is none, or names a tool that is not there."""
    if choice is None or (isinstance(choice, str) and choice in _CHOICES):
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(kind, str):
        raise InvalidRequest(
            "Invalid 'tool_choice': expected none, auto, required, or an object that names a tool.",
            param="tool_choice",
            code="invalid_value",
        )
    present = [(tool.get("type"), tool.get("name") or tool.get("server_label")) for tool in tools]
    if kind in ("function", "custom", "mcp"):
        name = choice.get("name") if kind != "mcp" else choice.get("server_label")
        if (kind, name) not in present:
            raise InvalidRequest(f"Tool choice '{str(name)[:64]}' not found in 'tools' parameter.", param="tool_choice")
    elif kind == "allowed_tools":
        if choice.get("mode") not in ("auto", "required") or not isinstance(choice.get("tools"), list):
            raise InvalidRequest(
                "tool_choice.allowed_tools takes `mode` (auto or required) and the list `tools`.", param="tool_choice"
            )
    elif (kind, None) not in present and kind not in {each for each, _ in present}:
        raise InvalidRequest(f"Tool choice '{kind[:64]}' not found in 'tools' parameter.", param="tool_choice")


def echoed(tool: Json) -> Json:
    """A tool as the response object says it: with the members that OpenAI always prints."""
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": True, **tool}
