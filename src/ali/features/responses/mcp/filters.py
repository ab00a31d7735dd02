"""Which tools of a server a request means: those that the model may see, and those whose calls somebody approves."""

from dataclasses import dataclass
from typing import Any, Final

from ali.features.responses.mcp.offered import LONGEST_NAME, McpTool
from ali.kernel.errors import InvalidRequest
from ali.providers.translate.shapes import caller_object

MOST_NAMES: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFilter:
    """Tools by name, by the server's word that they only read, or by both. `as_written`: as the request has it."""

    names: frozenset[str] | None
    read_only: bool | None
    as_written: Any

    def matches(self, tool: McpTool) -> bool:
        """Whether the filter means `tool`."""
        return self.may_match(tool.name) and (self.read_only is None or tool.read_only is self.read_only)

    def may_match(self, name: str) -> bool:
        """Whether the filter may mean a tool of that name, whatever the server says of it."""
        return self.names is None or name in self.names


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Whose calls need approval: by default all. `as_written`: as the request has it."""

    always: ToolFilter | None = None
    never: ToolFilter | None = None
    default: bool = True
    as_written: Any = "always"

    def needed_for(self, tool: McpTool) -> bool:
        """See `McpServer.needs_approval`."""
        if self.always is not None and self.always.matches(tool):
            return True
        if self.never is not None and self.never.matches(tool):
            return False
        return self.default


def read_allowed_tools(value: object, *, param: str) -> ToolFilter | None:
    """`allowed_tools`: a list of names, or a filter; None where all tools are allowed. Raises `InvalidRequest`."""
    if value is None:
        return None
    if isinstance(value, list):
        return ToolFilter(names=_names(value, param=param), read_only=None, as_written=value)
    return _filter(value, param=param)


def read_approval(value: object, *, param: str) -> Approval:
    """`require_approval`: a word, or the filters `always` and `never`. Raises `InvalidRequest`."""
    if value is None or value == "always":
        return Approval()
    if value == "never":
        return Approval(default=False, as_written="never")
    if not isinstance(value, dict) or not value or value.keys() - {"always", "never"}:
        raise InvalidRequest(
            f'{param} must be "always", "never", or an object with the filters always and never.', param=param
        )
    return Approval(
        always=None if value.get("always") is None else _filter(value["always"], param=f"{param}.always"),
        never=None if value.get("never") is None else _filter(value["never"], param=f"{param}.never"),
        as_written=value,
    )


def _filter(value: object, *, param: str) -> ToolFilter:
    written = caller_object(value, param=param)
    names, read_only = written.get("tool_names"), written.get("read_only")
    if written.keys() - {"tool_names", "read_only"} or (names is None and read_only is None):
        raise InvalidRequest(f"{param} must have tool_names, read_only, or both, and nothing else.", param=param)
    if read_only is not None and not isinstance(read_only, bool):
        raise InvalidRequest(f"{param}.read_only must be true or false.", param=f"{param}.read_only")
    return ToolFilter(
        names=None if names is None else _names(names, param=f"{param}.tool_names"),
        read_only=read_only,
        as_written=written,
    )


def _names(value: object, *, param: str) -> frozenset[str]:
    if (
        not isinstance(value, list)
        or len(value) > MOST_NAMES
        or not all(isinstance(name, str) and 0 < len(name) <= LONGEST_NAME for name in value)
    ):
        raise InvalidRequest(
            f"{param} must be a list of at most {MOST_NAMES} names of tools, each of 1 to {LONGEST_NAME} characters.",
            param=param,
        )
    return frozenset(value)
