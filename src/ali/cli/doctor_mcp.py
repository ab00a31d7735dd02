"""What `ali doctor` finds about the MCP servers that requests may name."""

import asyncio
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from ali.kernel.checks import CheckResult, failed, passed, warned
from ali.kernel.errors import AliError
from ali.kernel.mcp_server import AllowedMcpServer
from ali.kernel.outbound import read_allowed
from ali.kernel.outbound.client import OutboundClient
from ali.kernel.settings import Settings

_DEADLINE_S: Final = 5.0
_LIMIT_BYTES: Final = 1024 * 1024
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def mcp_servers(settings: Settings) -> Iterator[CheckResult]:
    """The settings, one finding for each server; nothing is called."""
    if not settings.mcp_servers:
        yield passed("MCP servers", "none may be called")
    for server in settings.mcp_servers:
        name = f"MCP server {server.url}"
        parts = urlsplit(server.url)
        if parts.scheme == "http" and server.authorization is not None and parts.hostname not in _LOCAL:
            hint = "Use https, unless the network between is yours alone."
            yield warned(name, "the authorization goes there unencrypted", hint=hint)
        elif server.authorization is not None and parts.path in {"", "/"}:
            hint = "Right where all of the origin is yours. Otherwise name the server's whole path in ALI_MCP_SERVERS."
            yield warned(name, "requests choose the path that the authorization is sent to", hint=hint)
        else:
            yield passed(name, f"{'with' if server.authorization else 'without'} an authorization")


def mcp_servers_online(settings: Settings) -> Iterator[CheckResult]:
    """Whether each server's name resolves to what may be called, and something answers there, all at once."""
    client = OutboundClient(allowed=read_allowed(settings.outbound_allowed_hosts))

    async def ask() -> list[CheckResult]:
        return await asyncio.gather(*(_online(client, server) for server in settings.mcp_servers))

    yield from asyncio.run(ask())


async def _online(client: OutboundClient, server: AllowedMcpServer) -> CheckResult:
    """One server; its answer is left after the head, since it may be a stream without end."""
    name = f"MCP server {server.url}, online"
    headers = {"accept": "text/event-stream", "user-agent": "ali-doctor"}
    if server.authorization is not None:
        headers["authorization"] = f"Bearer {server.authorization.get_secret_value()}"
    try:
        async with client.open(
            "GET", server.url, headers=headers, deadline_s=_DEADLINE_S, limit_bytes=_LIMIT_BYTES
        ) as answer:
            status = answer.status
    except AliError as error:
        return failed(name, error.message, hint="Check ALI_MCP_SERVERS, the network, and ALI_OUTBOUND_ALLOWED_HOSTS.")
    if status in {401, 403} and server.authorization is not None:
        hint = "Set its authorization in ALI_MCP_SERVERS to a valid token."
        return warned(name, f"refuses the authorization (HTTP {status})", hint=hint)
    if status >= 500:
        return warned(name, f"answered HTTP {status}", hint="Ask whoever runs it, or try again later.")
    return passed(name, "reached")
