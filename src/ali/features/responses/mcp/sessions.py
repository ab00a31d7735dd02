"""The sessions of one response: one for each MCP server it names, opened when first needed and ended with it."""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ali.features.responses.mcp.failures import McpFailed
from ali.features.responses.mcp.outcomes import McpListing, McpOutcome
from ali.features.responses.mcp.session import McpLimits, McpSession
from ali.features.responses.mcp.tool import McpServer
from ali.kernel import log

if TYPE_CHECKING:
    from ali.kernel.outbound.client import OutboundClient  # for types alone: 13 ms of import, for few installations


class McpSessions:
    """Lists and calls the tools of MCP servers for one response. Leave it by `async with`, which ends the sessions.

    Nothing that a server does raises: a failure is the listing's or the outcome's `error`, and is logged with its kind
    and code alone. Calls may run side by side.
    """

    def __init__(self, client: "OutboundClient", *, limits: McpLimits | None = None) -> None:
        self._client = client
        self._limits = limits or McpLimits()
        self._sessions: dict[str, McpSession] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        closing = asyncio.ensure_future(self._close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing  # it has deadlines of its own, a few seconds
            raise

    async def tools(self, server: McpServer) -> McpListing:
        """The tools of `server` that the request may use; with an `error` instead where they cannot be had."""
        try:
            return McpListing(tools=await self._session(server).tools())
        except McpFailed as failure:
            _log(failure, "mcp.list_failed")
            return McpListing(error=failure.message)

    async def call(self, server: McpServer, name: str, arguments: str) -> McpOutcome:
        """The outcome of calling tool `name` with `arguments`, the JSON text that the model wrote."""
        try:
            return await self._session(server).call(name, arguments)
        except McpFailed as failure:
            _log(failure, "mcp.call_failed")
            return McpOutcome(error=failure.error)

    def _session(self, server: McpServer) -> McpSession:
        """The session with `server`, by its label: labels are unique in a request."""
        session = self._sessions.get(server.label)
        if session is None:
            session = self._sessions[server.label] = McpSession(self._client, server, limits=self._limits)
        return session

    async def _close(self) -> None:
        await asyncio.gather(*(session.close() for session in self._sessions.values()))


def _log(failure: McpFailed, event: str) -> None:
    log.info(event, kind=failure.kind, code=failure.code)
