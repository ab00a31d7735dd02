"""MCP servers on loopback: real ones, made with the official SDK, and one that answers whatever a test scripts."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvicorn
from mcp.server.mcpserver import MCPServer
from pydantic import SecretStr
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from ali.features.responses.mcp import McpAllowList, McpLimits, McpServer, McpSessions, parse_mcp_tool
from ali.kernel.mcp_server import AllowedMcpServer
from ali.kernel.outbound import read_allowed
from ali.kernel.outbound.client import OutboundClient

QUICK = McpLimits(list_s=5.0, call_s=5.0, answer_bytes=256 * 1024)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, and how this product reaches it."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def named(self, *, operators: str | None = None, **members: Any) -> McpServer:  # noqa: ANN401 - a request's members
        """The server as a request names it."""
        tool = {"type": "mcp", "server_label": "test", "server_url": self.url, **members}
        allowed = AllowedMcpServer(url=self.url, authorization=SecretStr(operators) if operators else None)
        return parse_mcp_tool(
            tool, param="tools[0]", allow_list=McpAllowList([allowed], outbound=read_allowed([self.host]))
        )

    def sessions(self, *, limits: McpLimits = QUICK) -> McpSessions:
        return McpSessions(OutboundClient(allowed=read_allowed([self.host])), limits=limits)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@dataclass(slots=True)
class Recorded:
    """An ASGI app, and the requests that came to it: method, headers.

    `refuse_handshake`: it is one that knows revisions without a handshake alone.
    """

    app: ASGIApp
    refuse_handshake: bool = False
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        if scope["type"] == "http":
            headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
            self.requests.append((scope["method"], headers))
            if self.refuse_handshake and headers.get("mcp-protocol-version") != "2026-07-28":
                error = {"code": -32022, "message": "Unsupported", "data": {"supported": ["2026-07-28"]}}
                refusal = JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=400)
                return await refusal(scope, receive, send)
        return await self.app(scope, receive, send)


@contextlib.asynccontextmanager
async def served(
    server: MCPServer[Any],
    *,
    refuse_handshake: bool = False,
    **options: Any,  # noqa: ANN401 - the SDK's
) -> AsyncIterator[tuple[Address, Recorded]]:
    """`server` over streamable HTTP, in the modes that `options` of `streamable_http_app` choose."""
    recorded = Recorded(server.streamable_http_app(**options), refuse_handshake)
    config = uvicorn.Config(recorded, log_config=None, lifespan="on", timeout_graceful_shutdown=1, ws="none")
    runner = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        running = asyncio.create_task(runner.serve(sockets=[listening]))
        while not runner.started:  # noqa: ASYNC110 - uvicorn tells it by no event
            await asyncio.sleep(0.01)
        try:
            yield Address(listening.getsockname()[1]), recorded
        finally:
            runner.should_exit = True
            await running


@dataclass(frozen=True, slots=True)
class Asked:
    """One HTTP request that the scripted server got."""

    method: str
    headers: Mapping[str, str]
    message: Any
    """The JSON-RPC message; None without a body."""

    @property
    def rpc(self) -> str | None:
        return self.message.get("method") if isinstance(self.message, dict) else None

    def result(self, result: object) -> bytes:
        """A reply to this request, as JSON-RPC."""
        return orjson.dumps({"jsonrpc": "2.0", "id": self.message["id"], "result": result})


Script = Callable[[Asked], bytes | AsyncIterator[bytes] | None]
"""The raw HTTP answer, whole or in parts; None for what a well-behaved server would say."""


@dataclass(slots=True)
class Scripted:
    """A server written by hand, and what it was asked."""

    address: Address
    asked: list[Asked] = field(default_factory=list)

    def methods(self) -> list[str | None]:
        return [each.rpc for each in self.asked]


def http(body: bytes = b"", *, status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    """A whole HTTP answer; `_` in the names of headers stands for `-`."""
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def events(*data: bytes) -> bytes:
    """A whole stream of events."""
    return http(b"".join(b"event: message\ndata: " + each + b"\n\n" for each in data), kind="text/event-stream")


def well_behaved(asked: Asked, *, revision: str = "2025-06-18") -> bytes:
    """What a small, stateful server answers."""
    match asked.rpc:
        case "initialize":
            result = {"protocolVersion": revision, "capabilities": {"tools": {}}, "serverInfo": {"name": "s"}}
            return http(asked.result(result), mcp_session_id="session-1")
        case "tools/list":
            return http(asked.result({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}))
        case "tools/call":
            return http(asked.result({"content": [{"type": "text", "text": "done"}]}))
        case _:
            return http(status=202)


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Scripted]:
    """A server that answers by `script`, one request a connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            asked = Asked(head[0].split(" ")[0], headers, orjson.loads(body) if body else None)
            found.asked.append(asked)
            answer = script(asked)
            if answer is None:
                answer = well_behaved(asked)
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                async for part in answer:
                    writer.write(part)
                    await writer.drain()
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    found = Scripted(Address(server.sockets[0].getsockname()[1]))
    async with server:
        yield found
