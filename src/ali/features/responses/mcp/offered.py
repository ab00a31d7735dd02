"""What an MCP server offers: its tools, read from what it sent, and in the three forms in which others know them.

Source: Model Context Protocol, revision 2025-11-25, "Tools", "Data types".
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from ali.features.responses.mcp.failures import McpFailed
from ali.providers.turns.tool_names import mcp_function_name

LONGEST_NAME: Final = 128
LONGEST_DESCRIPTION: Final = 16 * 1024
LARGEST_SCHEMA_BYTES: Final = 64 * 1024
DEEPEST_SCHEMA: Final = 64
_EVERY_OBJECT: Final[dict[str, Any]] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTool:
    """A tool of an MCP server. `annotations` are the server's own word about it, and may be wrong."""

    name: str
    description: str | None
    input_schema: dict[str, Any]
    annotations: dict[str, Any] | None

    @property
    def read_only(self) -> bool:
        """The server says that the tool changes nothing (`readOnlyHint`)."""
        return self.annotations is not None and self.annotations.get("readOnlyHint") is True

    def as_listed(self) -> dict[str, Any]:
        """The tool within an `mcp_list_tools` item."""
        return {
            "name": self.name,
            "description": self.description,
            "input_schema": self.input_schema,
            "annotations": self.annotations,
        }

    def as_function(self, server_label: str, *, server_description: str | None = None) -> dict[str, Any]:
        """The `function` tool that the model is shown in its place, with what the caller says of the server."""
        said = [text for text in (server_description, self.description) if text]
        return {
            "type": "function",
            "name": mcp_function_name(server_label, self.name),
            "description": "\n\n".join(said) or None,
            "parameters": self.input_schema,
            "strict": False,
        }


def read_tool(value: object) -> McpTool:
    """A tool as `tools/list` gave it, or as an `mcp_list_tools` item holds it. Raises `McpFailed` where it is none, or
    is larger than a model should be shown.
    """
    if not isinstance(value, dict):
        raise McpFailed("The MCP server listed something that is no tool. Ask whoever runs it.")
    name = value.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise McpFailed(f"The MCP server listed a tool without a name of 1 to {LONGEST_NAME} characters.")
    description = value.get("description")
    schema = value.get("inputSchema", value.get("input_schema"))
    annotations = value.get("annotations")
    if not isinstance(schema, dict):
        raise McpFailed(f"The MCP server's tool {name!r} has no input schema. Leave it out by allowed_tools.")
    if description is not None and not isinstance(description, str):
        raise McpFailed(f"The MCP server's tool {name!r} has a description that is no text.")
    if annotations is not None and not isinstance(annotations, dict):
        raise McpFailed(f"The MCP server's tool {name!r} has annotations that are no object.")
    if not is_shallow([schema, annotations], levels=DEEPEST_SCHEMA):
        raise McpFailed(f"The MCP server's tool {name!r} has a schema that is nested too deeply.")
    size = len(orjson.dumps([schema, annotations]))
    if size > LARGEST_SCHEMA_BYTES or len(description or "") > LONGEST_DESCRIPTION:
        raise McpFailed(
            f"The MCP server's tool {name!r} is described in more than {LARGEST_SCHEMA_BYTES} bytes of schema or "
            f"{LONGEST_DESCRIPTION} characters. Leave it out by allowed_tools."
        )
    return McpTool(name=name, description=description, input_schema=_as_object(schema), annotations=annotations or None)


def is_shallow(value: object, *, levels: int) -> bool:
    """Whether JSON `value` nests at most so many levels: what is deeper cannot be written into a response."""
    if isinstance(value, dict):
        return levels > 0 and all(is_shallow(item, levels=levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels > 0 and all(is_shallow(item, levels=levels - 1) for item in value)
    return True


def _as_object(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` as providers take a function's parameters: an object with properties, empty ones included."""
    return {**_EVERY_OBJECT, **schema} if schema.get("type", "object") == "object" else schema
