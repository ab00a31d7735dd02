"""The client of remote MCP servers: what a request's `mcp` tool names is listed, and called between a model's turns."""

from ali.features.responses.mcp.allow_list import McpAllowList
from ali.features.responses.mcp.items import approval_request_item, call_item, list_tools_item, tools_of_item
from ali.features.responses.mcp.offered import McpTool
from ali.features.responses.mcp.outcomes import McpListing, McpOutcome
from ali.features.responses.mcp.session import McpLimits
from ali.features.responses.mcp.sessions import McpSessions
from ali.features.responses.mcp.tool import McpServer, parse_mcp_tool, refuse_repeated_labels

__all__ = [
    "McpAllowList",
    "McpLimits",
    "McpListing",
    "McpOutcome",
    "McpServer",
    "McpSessions",
    "McpTool",
    "approval_request_item",
    "call_item",
    "list_tools_item",
    "parse_mcp_tool",
    "refuse_repeated_labels",
    "tools_of_item",
]
