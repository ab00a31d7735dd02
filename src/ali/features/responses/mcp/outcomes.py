"""What came of asking an MCP server: its tools, or the result of one call."""

from dataclasses import dataclass
from typing import Any

import orjson

from ali.features.responses.mcp.failures import McpFailed
from ali.features.responses.mcp.offered import McpTool


@dataclass(frozen=True, slots=True, kw_only=True)
class McpListing:
    """The tools of a server that the request may use, in the server's order; or why there are none."""

    tools: tuple[McpTool, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class McpOutcome:
    """The end of one call: `output`, or an `error` in the form of OpenAI's `McpToolCallError`."""

    output: str | None = None
    error: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """What the model is told of the call, as the output of a function."""
        if self.error is None:
            return self.output or ""
        if self.error["type"] == "mcp_tool_execution_error":
            return f"The tool failed: {text_of(self.error['content'])}"
        return f"The tool could not be called: {self.error['message']}"


def read_result(result: dict[str, Any]) -> McpOutcome:
    """The outcome of a `tools/call` that the server answered; a tool's own failure (`isError`) is an error.

    Raises `McpFailed` for a result that cannot be written.
    """
    if result.get("resultType", "complete") != "complete":
        raise McpFailed("The MCP server's tool asks for something before it answers, which is not offered here.")
    content = result.get("content")
    blocks = content if isinstance(content, list) else []
    if result.get("isError") is True:
        return McpOutcome(error={"type": "mcp_tool_execution_error", "content": [_kept(block) for block in blocks]})
    if not blocks and result.get("structuredContent") is not None:
        try:
            return McpOutcome(output=orjson.dumps(result["structuredContent"]).decode())
        except orjson.JSONEncodeError as error:
            raise McpFailed("The MCP server's result is nested too deeply.") from error
    return McpOutcome(output=text_of(blocks))


def text_of(blocks: object) -> str:
    """The text of content blocks, one under the other. What is no text is named, and left out."""
    return "\n".join(_text(block) for block in blocks) if isinstance(blocks, list) else ""


def _text(block: object) -> str:
    match block:
        case {"type": "text", "text": str(text)} | {"type": "resource", "resource": {"text": str(text)}}:
            return text
        case {"type": "resource_link", "uri": str(uri)}:
            return uri
        case {"type": "image" | "audio" as kind, "mimeType": str(mime_type)}:
            return f"[{kind} of type {mime_type}, left out]"
        case {"type": str(kind)}:
            return f"[{kind}, left out]"
        case _:
            return "[content of an unknown kind, left out]"


def _kept(block: object) -> object:
    """A block of a failure as the item keeps it: with its text, and without the bytes of anything else."""
    match block:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case _:
            return {"type": "text", "text": _text(block)}
