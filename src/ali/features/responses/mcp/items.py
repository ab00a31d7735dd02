"""The items of a response that tell of MCP servers. Source: OpenAI API reference, "Responses", output items."""

from collections.abc import Iterable
from typing import Any, Literal

from ali.features.responses.mcp.failures import McpFailed
from ali.features.responses.mcp.offered import McpTool, read_tool
from ali.features.responses.mcp.outcomes import McpListing, McpOutcome

CallStatus = Literal["in_progress", "completed", "incomplete", "calling", "failed"]


def list_tools_item(item_id: str, *, server_label: str, listing: McpListing) -> dict[str, Any]:
    """The `mcp_list_tools` item: the tools, or why there are none."""
    return {
        "id": item_id,
        "type": "mcp_list_tools",
        "server_label": server_label,
        "tools": [tool.as_listed() for tool in listing.tools],
        "error": listing.error,
    }


def tools_of_item(item: dict[str, Any]) -> Iterable[McpTool]:
    """The tools of an `mcp_list_tools` item that an earlier response made: there is no need to list them again.

    What is no tool in it is left out: the item may have come from the caller.
    """
    listed = item.get("tools")
    for value in listed if isinstance(listed, list) else []:
        try:
            yield read_tool(value)
        except McpFailed:
            continue


def call_item(
    item_id: str,
    *,
    server_label: str,
    name: str,
    arguments: str,
    status: CallStatus | None = None,
    outcome: McpOutcome | None = None,
    approval_request_id: str | None = None,
) -> dict[str, Any]:
    """The `mcp_call` item: as it begins, without an outcome; or as it ended, `completed` or `failed`."""
    if status is None:
        status = "in_progress" if outcome is None else "completed" if outcome.error is None else "failed"
    return {
        "id": item_id,
        "type": "mcp_call",
        "status": status,
        "approval_request_id": approval_request_id,
        "server_label": server_label,
        "name": name,
        "arguments": arguments,
        "output": outcome.output if outcome else None,
        "error": outcome.error if outcome else None,
    }


def approval_request_item(item_id: str, *, server_label: str, name: str, arguments: str) -> dict[str, Any]:
    """The `mcp_approval_request` item: what the caller is asked to let happen."""
    return {
        "id": item_id,
        "type": "mcp_approval_request",
        "server_label": server_label,
        "name": name,
        "arguments": arguments,
    }
