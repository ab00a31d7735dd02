"""How the items of a response are named."""

from typing import Final

from ali.kernel.ids import new_id

ITEM_PREFIXES: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "file_search_call": "fs",
    "mcp_list_tools": "mcpl",
    "mcp_call": "mcp",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "compaction": "cmp",
}
"""How identifiers of items begin, by the item's type; `item` for others."""


def new_item_id(kind: str) -> str:
    """A fresh identifier for an item of type `kind`."""
    return new_id(ITEM_PREFIXES.get(kind, "item"))
