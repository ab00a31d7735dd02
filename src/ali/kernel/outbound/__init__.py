"""The one guard for every outbound address that is no provider's base URL: resolve, check, pin, and only then talk.

Webhooks, OpenID discovery, tokens and key sets, MCP servers, image and file URLs go through `client.OutboundClient`,
which is not imported here: the settings need the pure part alone. docs/explanation/edge.md has the rules,
docs/adr/0010-outbound-guard.md the reasons.
"""

from ali.kernel.outbound.destination import Destination, check_url, read_allowed
from ali.kernel.outbound.errors import OutboundFailed, OutboundRefused, OutboundTimedOut

__all__ = [
    "Destination",
    "OutboundFailed",
    "OutboundRefused",
    "OutboundTimedOut",
    "check_url",
    "read_allowed",
]
