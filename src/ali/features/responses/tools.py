"""The tools of a response: which ones the caller runs, which this service does, and which only a provider can."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ali.features.responses.errors import ToolNotOffered
from ali.features.responses.file_search.tool import FileSearchTool, read_file_search, refuse_own_function, refuse_second
from ali.features.responses.file_search.tool import echoed as file_search_echoed
from ali.kernel.errors import InvalidRequest
from ali.providers.turns.tool_names import mcp_function_prefix

Json = dict[str, Any]

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_MOST: Final = 128
_FILES: Final = ("file_id", "file_ids")
_CALLERS: Final = frozenset({"function", "custom"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """A request's tools, sorted by who runs them."""

    own: tuple[Json, ...]
    """Functions and custom tools: the caller runs them."""
    remote: tuple[tuple[int, Json], ...]
    """MCP servers, with their places in the list: this service calls them."""
    hosted: tuple[Json, ...]
    """Of the provider's."""
    search: FileSearchTool | None = None
    """This service searches its vector stores."""


def read_tools(raw: object) -> Tools:
    """Sort and check `tools`. Raises `InvalidRequest`."""
    if raw is None:
        return Tools(own=(), remote=(), hosted=())
    if not isinstance(raw, list) or len(raw) > _MOST:
        raise InvalidRequest(
            f"Invalid 'tools': expected a list of at most {_MOST} tools.", param="tools", code="invalid_type"
        )
    own, remote, hosted = [], [], []
    search: FileSearchTool | None = None
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
            refuse_second(search, at)
            search = read_file_search(tool, at)
        else:
            _refuse_files(tool, at)
            hosted.append(tool)
    names = [tool["name"] for tool in own]
    if len(set(names)) != len(names):
        raise InvalidRequest("Two tools have one name. Give each its own.", param="tools", code="duplicate_tool_name")
    if search is not None:
        for at, tool in enumerate(raw):
            if tool["type"] in _CALLERS:
                refuse_own_function(tool["name"], at)
    return Tools(own=tuple(own), remote=tuple(remote), hosted=tuple(hosted), search=search)


def _refuse_files(tool: Json, at: int) -> None:
    """A provider's tool names no file: by the installation's key it would reach whatever file the account has there."""
    waiting: list[object] = [tool]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if named := next((member for member in _FILES if value.get(member)), None):
                raise ToolNotOffered(
                    f"'{named}' in a tool that runs at the provider names files there, and this project has none. Send "
                    "the file in the input instead, by the id that POST /v1/files gave it.",
                    param=f"tools[{at}]",
                )
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


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


def refuse_reserved_names(tools: Sequence[Json], *, labels: Iterable[str]) -> None:
    """Raises `InvalidRequest` for a tool of the caller's that could be taken for one of an MCP server of the request,
    whatever that server turns out to offer. `tools`: the request's list.
    """
    reserved = tuple(mcp_function_prefix(label) for label in labels)
    for at, tool in enumerate(tools):
        if tool["type"] in _CALLERS and tool["name"].startswith(reserved):
            raise InvalidRequest(
                "Names that begin with mcp__ and the server_label of an mcp tool stand for that server's tools. Rename "
                f"'tools[{at}].name', or the server_label.",
                param=f"tools[{at}].name",
                code="duplicate_tool_name",
            )


def echoed(tool: Json) -> Json:
    """A tool as the response object says it: with the members that OpenAI always prints."""
    if tool.get("type") == "file_search":
        return file_search_echoed(tool)
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": True, **tool}
