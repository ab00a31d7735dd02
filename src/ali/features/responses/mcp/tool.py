"""The `mcp` tool of a request: read once, held against the operator's list, and echoed without its secrets.

Source: OpenAI API reference, "Responses", `tools`, MCP tool.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import SecretStr

from ali.features.responses.mcp.allow_list import McpAllowList
from ali.features.responses.mcp.filters import Approval, ToolFilter, read_allowed_tools, read_approval
from ali.features.responses.mcp.headers import read_authorization, read_headers
from ali.features.responses.mcp.offered import McpTool
from ali.kernel.errors import InvalidRequest
from ali.providers.translate.shapes import caller_name, caller_object, caller_text

_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_DESCRIPTION: Final = 4096
_MEMBERS: Final = frozenset(
    {
        "type",
        "server_label",
        "server_url",
        "server_description",
        "allowed_tools",
        "require_approval",
        "headers",
        "authorization",
        "defer_loading",
        "allowed_callers",
        "connector_id",
        "tunnel_id",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """An MCP server as one request names it. Its credentials show in no representation of it."""

    label: str
    url: str = field(repr=False)
    """Secret like the headers: some servers have a key in their path or query."""
    description: str | None
    allowed: ToolFilter | None
    """None: all tools."""
    approval: Approval
    headers: Mapping[str, str] = field(repr=False)
    """What the request sends along, its names in lower case."""
    authorization: SecretStr | None
    """The request's bearer token, or else the operator's."""
    defer_loading: bool

    def admits(self, tool: McpTool) -> bool:
        """Whether the request lets the model see and call `tool`."""
        return self.allowed is None or self.allowed.matches(tool)

    def needs_approval(self, tool: McpTool) -> bool:
        """Whether somebody must approve each call of `tool`. What `always` names does, though `never` name it too; so
        does what neither names.
        """
        return self.approval.needed_for(tool)

    def as_echoed(self) -> dict[str, Any]:
        """The tool as a response object shows it: no credentials, no headers, and of the URL the origin alone."""
        echoed = {
            "type": "mcp",
            "server_label": self.label,
            "server_url": _redacted(self.url),
            "server_description": self.description,
            "allowed_tools": None if self.allowed is None else self.allowed.as_written,
            "require_approval": self.approval.as_written,
            "headers": None,
        }
        return echoed | ({"defer_loading": True} if self.defer_loading else {})


def parse_mcp_tool(value: object, *, param: str, allow_list: McpAllowList) -> McpServer:
    """The `mcp` tool object at `param` (`tools[2]`). Raises `InvalidRequest`, naming the member that is wrong.

    `defer_loading` is taken and has no effect: there is no tool search that would load tools later.
    """
    tool = caller_object(value, param=param)
    unknown = sorted(tool.keys() - _MEMBERS)
    if unknown:
        raise InvalidRequest(f"{param}.{unknown[0]} is no member of an mcp tool.", param=f"{param}.{unknown[0]}")
    _refuse_elsewhere(tool, param=param)
    label = caller_name(tool.get("server_label"), param=f"{param}.server_label")
    if not _LABEL.fullmatch(label):
        raise InvalidRequest(
            f"{param}.server_label must be 1 to 64 letters, digits, hyphens and underscores.",
            param=f"{param}.server_label",
        )
    url = caller_name(tool.get("server_url"), param=f"{param}.server_url")
    operators = allow_list.authorization_for(url, param=f"{param}.server_url")
    headers = read_headers(tool.get("headers"), param=f"{param}.headers")
    own = read_authorization(tool.get("authorization"), param=f"{param}.authorization")
    if own is not None and "authorization" in headers:
        raise InvalidRequest(
            f"Send {param}.authorization, or an Authorization header, and not both.", param=f"{param}.authorization"
        )
    return McpServer(
        label=label,
        url=url,
        description=_description(tool.get("server_description"), param=f"{param}.server_description"),
        allowed=read_allowed_tools(tool.get("allowed_tools"), param=f"{param}.allowed_tools"),
        approval=read_approval(tool.get("require_approval"), param=f"{param}.require_approval"),
        headers=headers,
        authorization=None if "authorization" in headers else own or operators,
        defer_loading=_flag(tool.get("defer_loading"), param=f"{param}.defer_loading"),
    )


def refuse_repeated_labels(servers: Iterable[McpServer]) -> None:
    """Raise `InvalidRequest` where two servers of one request have the same label: calls could not be told apart."""
    seen = set()
    for server in servers:
        if server.label in seen:
            raise InvalidRequest(f"Two mcp tools have the server_label {server.label!r}. Rename one.", param="tools")
        seen.add(server.label)


def _refuse_elsewhere(tool: dict[str, Any], *, param: str) -> None:
    """What only OpenAI itself can carry out."""
    for name, why in (
        ("connector_id", "OpenAI's connectors do not run here"),
        ("tunnel_id", "OpenAI's tunnels do not end here"),
    ):
        if tool.get(name) is not None:
            raise InvalidRequest(
                f"{why}. Name a remote MCP server in {param}.server_url instead.", param=f"{param}.{name}"
            )
    callers = tool.get("allowed_callers")
    if callers is not None and (not isinstance(callers, list) or "direct" not in callers):
        raise InvalidRequest(
            f'{param}.allowed_callers must contain "direct": only the model itself calls tools here.',
            param=f"{param}.allowed_callers",
        )


def _description(value: object, *, param: str) -> str | None:
    if value is None:
        return None
    text = caller_text(value, param=param)
    if len(text) > _LONGEST_DESCRIPTION:
        raise InvalidRequest(f"{param} is longer than {_LONGEST_DESCRIPTION} characters.", param=param)
    return text or None


def _flag(value: object, *, param: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"{param} must be true or false.", param=param)
    return value is True


def _redacted(url: str) -> str:
    """`url` without what may hold a key."""
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"{scheme.lower()}://{authority.lower()}" + ("/<redacted>" if rest[len(authority) :].strip("/") else "/")
