"""Which MCP servers requests may name: those that the operator has listed, and nothing that only looks like them."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from ali.kernel.errors import InvalidRequest
from ali.kernel.mcp_server import AllowedMcpServer
from ali.kernel.outbound import Destination, OutboundRefused, check_url

_AMBIGUOUS: Final = re.compile(r"/\.{1,2}(?:/|$)|//|;|%(?:2[ef5]|5c|3b|00)", re.IGNORECASE)
"""What two servers can read as two paths: dot segments, empty ones, parameters, escapes of these and of the escape."""


@dataclass(frozen=True, slots=True)
class _Entry:
    origin: tuple[str, str, int]
    path: str
    authorization: SecretStr | None = field(repr=False)

    def admits(self, destination: Destination, path: str) -> bool:
        return self.origin == destination.origin and (
            path == self.path or path.startswith(self.path if self.path.endswith("/") else f"{self.path}/")
        )


class McpAllowList:
    """The operator's list, in the form in which requests are held against it. Empty: no request may name a server.

    `outbound`: the exceptions of the outbound guard (`read_allowed`), without which no private server passes.
    """

    def __init__(self, servers: Iterable[AllowedMcpServer] = (), *, outbound: Collection[tuple[str, int]] = ()) -> None:
        self._outbound = outbound
        entries = []
        for server in servers:
            destination = check_url(server.url, allowed=outbound)
            entries.append(_Entry(destination.origin, destination.target, server.authorization))
        self._entries = sorted(entries, key=lambda entry: len(entry.path), reverse=True)

    def authorization_for(self, server_url: str, *, param: str) -> SecretStr | None:
        """The operator's bearer token for `server_url`, of the entry that says most about it; None where it has none.

        Raises `InvalidRequest` for a server that is on no entry of the list, or that the outbound guard refuses.
        """
        if not self._entries:
            raise InvalidRequest(
                "This installation calls no MCP servers. Its operator can allow some in ALI_MCP_SERVERS.",
                param=param,
                code="mcp_server_not_allowed",
            )
        try:
            destination = check_url(server_url, allowed=self._outbound)
        except OutboundRefused as error:
            raise InvalidRequest(error.message, param=param, code=error.code) from error
        path = destination.target.partition("?")[0]
        if _AMBIGUOUS.search(path):
            raise InvalidRequest(
                f"{param} has dot segments, empty segments, parameters or escaped slashes. Write its path plainly.",
                param=param,
                code="mcp_server_not_allowed",
            )
        for entry in self._entries:
            if entry.admits(destination, path):
                return entry.authorization
        raise InvalidRequest(
            f"{param} is not among the MCP servers that this installation calls. Its operator can allow it in "
            "ALI_MCP_SERVERS.",
            param=param,
            code="mcp_server_not_allowed",
        )
