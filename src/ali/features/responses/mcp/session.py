"""A session with one MCP server: the handshake, the list of its tools, calls, and the end.

Source: Model Context Protocol, revision 2025-11-25, "Lifecycle", "Tools", "Pagination"; 2026-07-28, "Discovery".
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from ali.features.responses.mcp.failures import McpFailed, McpHttpFailed, SessionGone
from ali.features.responses.mcp.messages import INVALID_PARAMS
from ali.features.responses.mcp.offered import McpTool, read_tool
from ali.features.responses.mcp.outcomes import McpOutcome, read_result
from ali.features.responses.mcp.revisions import SELF_CONTAINED, WITH_HANDSHAKE, handshake
from ali.features.responses.mcp.tool import McpServer
from ali.features.responses.mcp.transport import McpTransport

if TYPE_CHECKING:
    from ali.kernel.outbound.client import OutboundClient  # for types alone: 13 ms of import, for few installations

_NO_HANDSHAKE: Final = frozenset({400, 404, 405, -32022, -32020, -32602, -32601, -32600})
"""How servers refuse `initialize` that may know requests without it alone: HTTP's statuses and JSON-RPC's codes for
a request, version, header or method that they do not take."""
MOST_TOOLS: Final = 200
_MOST_PAGES: Final = 50
_LONGEST_CURSOR: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class McpLimits:
    """What a server may take: seconds for its list and for each call, and bytes for each answer."""

    list_s: float = 15.0
    call_s: float = 60.0
    answer_bytes: int = 1024 * 1024


class McpSession:
    """A session that opens when first needed, and once more when the server has forgotten it."""

    def __init__(self, client: "OutboundClient", server: McpServer, *, limits: McpLimits) -> None:
        self._server = server
        self._limits = limits
        self._client = client
        self._opening = asyncio.Lock()
        self._open: McpTransport | None = None

    async def tools(self) -> tuple[McpTool, ...]:
        """The server's tools that the request may use, in its order. Raises `McpFailed`, also past `MOST_TOOLS`."""
        until = _Deadline(self._limits.list_s)
        found: dict[str, McpTool] = {}
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._ask("tools/list", {} if cursor is None else {"cursor": cursor}, until=until)
            listed = page.get("tools")
            if not isinstance(listed, list):
                raise McpFailed("The MCP server listed no tools where its protocol wants them. Check server_url.")
            for value in listed:
                if (tool := self._admitted(value)) is not None:
                    found.setdefault(tool.name, tool)
            if len(found) > MOST_TOOLS:
                raise McpFailed(
                    f"The MCP server offers more than {MOST_TOOLS} tools. Name those that you need in allowed_tools."
                )
            cursor = page.get("nextCursor")
            if cursor is None:
                return tuple(found.values())
            if not isinstance(cursor, str) or len(cursor) > _LONGEST_CURSOR:
                raise McpFailed("The MCP server sent a cursor that is no text, or too long a one.")
        raise McpFailed(f"The MCP server's list of tools has more than {_MOST_PAGES} pages.")

    def _admitted(self, value: object) -> McpTool | None:
        """The tool, if the request may use it; a tool that is left out by its name may be as it likes."""
        allowed = self._server.allowed
        name = value.get("name") if isinstance(value, dict) else None
        if allowed is not None and isinstance(name, str) and not allowed.may_match(name):
            return None
        tool = read_tool(value)
        return tool if self._server.admits(tool) else None

    async def call(self, name: str, arguments: str) -> McpOutcome:
        """The outcome of a call of tool `name` with `arguments`, a JSON object as text. Raises `McpFailed`."""
        allowed = self._server.allowed
        if allowed is not None and not allowed.may_match(name):
            raise McpFailed(f"The tool {name!r} is not among allowed_tools.", code=INVALID_PARAMS)
        params = {"name": name, "arguments": _object(arguments)}
        return read_result(await self._ask("tools/call", params, until=_Deadline(self._limits.call_s), cancels=True))

    async def close(self) -> None:
        """End the session, if there is one. Never fails, and takes seconds at most."""
        if self._open is not None:
            await self._open.end()
            self._open = None

    async def _ask(
        self, method: str, params: dict[str, Any], *, until: "_Deadline", cancels: bool = False
    ) -> dict[str, Any]:
        transport = await self._opened(None, until=until)
        try:
            return await transport.ask(method, params, deadline_s=until.left_s(), cancels=cancels)
        except SessionGone:
            transport = await self._opened(transport, until=until)
            return await transport.ask(method, params, deadline_s=until.left_s(), cancels=cancels)

    async def _opened(self, gone: McpTransport | None, *, until: "_Deadline") -> McpTransport:
        """The open session, or a new one: where there was none, or the one there was is `gone`."""
        async with self._opening:
            if self._open is None or self._open is gone:
                self._open = await self._handshake(until)
            return self._open

    async def _handshake(self, until: "_Deadline") -> McpTransport:
        """A way to the server on which requests can be sent, in the newest revision that both sides speak."""
        transport = self._transport()
        try:
            result = await transport.ask("initialize", handshake(), deadline_s=until.left_s())
        except McpFailed as failure:
            if failure.code not in _NO_HANDSHAKE:
                raise
            return await self._discovered(until, failure)
        revision = result.get("protocolVersion")
        if not isinstance(revision, str) or revision not in WITH_HANDSHAKE:
            spoken = ", ".join(sorted({*WITH_HANDSHAKE, SELF_CONTAINED}))
            raise McpFailed(f"The MCP server speaks none of the protocol's revisions {spoken}. Update it.")
        transport.protocol_version = revision
        try:
            await transport.tell("notifications/initialized", deadline_s=until.left_s())
        except McpFailed:
            await transport.end()
            raise
        return transport

    async def _discovered(self, until: "_Deadline", refused: McpFailed) -> McpTransport:
        """The way to a server that knows no handshake. Raises `refused` where it does not say that it is one."""
        transport = self._transport()
        transport.protocol_version = SELF_CONTAINED
        try:
            result = await transport.ask("server/discover", {}, deadline_s=until.left_s())
        except McpFailed:
            raise refused from None
        supported = result.get("supportedVersions")
        if not isinstance(supported, list) or SELF_CONTAINED not in supported:
            raise refused
        return transport

    def _transport(self) -> McpTransport:
        return McpTransport(self._client, self._server, limit_bytes=self._limits.answer_bytes)


class _Deadline:
    """The end of an operation of several calls."""

    def __init__(self, seconds: float) -> None:
        self._at = asyncio.get_running_loop().time() + seconds

    def left_s(self) -> float:
        """Seconds to go. Raises `McpHttpFailed` where there are none."""
        left = self._at - asyncio.get_running_loop().time()
        if left <= 0:
            raise McpHttpFailed("The MCP server did not answer in time. Try again later.", status=504)
        return left


def _object(arguments: str) -> dict[str, Any]:
    """A call's arguments; none at all are an empty object, as models write them."""
    try:
        value = orjson.loads(arguments) if arguments.strip() else {}
    except orjson.JSONDecodeError as error:
        raise McpFailed("The arguments are not JSON.", code=INVALID_PARAMS) from error
    if not isinstance(value, dict):
        raise McpFailed("The arguments are not a JSON object.", code=INVALID_PARAMS)
    return value
