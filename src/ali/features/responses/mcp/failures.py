"""How a call of an MCP server fails, as the item of the call tells it. Never the service's own failure.

Source: OpenAI API reference, "Responses", `mcp_call.error`: a protocol error, an HTTP error, or the tool's own.
"""

from typing import Any, Final

from ali.kernel.errors import AliError

MALFORMED: Final = -32603
"""JSON-RPC's code for an internal error: what we give where a server does not keep to its protocol."""
LONGEST_MESSAGE: Final = 1000


class McpFailed(Exception):
    """An MCP server gave no usable answer; `error` is what the item says. Its text may be the server's."""

    def __init__(self, message: str, *, code: int = MALFORMED, kind: str = "mcp_protocol_error") -> None:
        super().__init__(message)
        self.message = message[:LONGEST_MESSAGE]
        self.code = code
        self.kind = kind

    @property
    def error(self) -> dict[str, Any]:
        """The failure as a `mcp_call` item has it."""
        return {"type": self.kind, "code": self.code, "message": self.message}


class McpHttpFailed(McpFailed):
    """The server was not reached, or answered with another status than success; `code` is that status, or ours."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message, code=status, kind="http_error")


class SessionGone(McpHttpFailed):
    """404 within a session: the server has forgotten it, and wants a new one."""


def unreached(error: AliError) -> McpHttpFailed:
    """A failure on the way to the server, which carries the status that a gateway would give."""
    return McpHttpFailed(error.message, status=error.http_status)
