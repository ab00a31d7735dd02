"""How calls leave that are not to a provider: through the guard of outbound addresses."""

from collections.abc import Callable, Mapping

from ali.features.metering.budgets.webhook import Post
from ali.features.responses.mcp import McpAllowList, McpLimits, McpSessions
from ali.kernel.outbound import read_allowed
from ali.kernel.settings import Settings

_WEBHOOK_DEADLINE_S = 10.0
_WEBHOOK_ANSWER_BYTES = 64 * 1024


def webhook_post(settings: Settings) -> Post:
    """How webhooks leave: through the guard of outbound addresses."""
    from ali.kernel.outbound.client import OutboundClient  # noqa: PLC0415 - for few installations; 20 ms of import

    client = OutboundClient(allowed=read_allowed(settings.outbound_allowed_hosts))

    async def post(url: str, *, body: bytes, headers: Mapping[str, str]) -> int:
        reply = await client.request(
            "POST", url, headers=headers, body=body, deadline_s=_WEBHOOK_DEADLINE_S, limit_bytes=_WEBHOOK_ANSWER_BYTES
        )
        return reply.status

    return post


def mcp_allow_list(settings: Settings) -> McpAllowList:
    """The MCP servers that requests may name."""
    return McpAllowList(settings.mcp_servers, outbound=read_allowed(settings.outbound_allowed_hosts))


def mcp_sessions(settings: Settings) -> Callable[[], McpSessions]:
    """Makes the sessions of one response with its MCP servers."""
    from ali.kernel.outbound.client import OutboundClient  # noqa: PLC0415 - as above

    client = OutboundClient(allowed=read_allowed(settings.outbound_allowed_hosts))
    limits = McpLimits(
        list_s=settings.mcp_list_s, call_s=settings.mcp_call_s, answer_bytes=settings.mcp_max_answer_bytes
    )
    return lambda: McpSessions(client, limits=limits)
