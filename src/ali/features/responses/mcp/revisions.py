"""The protocol's revisions that are spoken: those that begin with a handshake, and the one that has none.

Source: Model Context Protocol, revisions 2025-11-25 ("Lifecycle") and 2026-07-28 ("Transports", "Request metadata").
"""

import base64
import re
from typing import Any, Final

from ali import __version__

NEWEST_WITH_HANDSHAKE: Final = "2025-11-25"
"""What the handshake offers. A server that answers with an older one is spoken to in that."""
WITH_HANDSHAKE: Final = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", NEWEST_WITH_HANDSHAKE})
SELF_CONTAINED: Final = "2026-07-28"
"""Each request says all of itself: no handshake, no session, nothing that the server asks."""

_CLIENT: Final = {"name": "ali-api", "version": __version__}
_PLAIN_VALUE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_PREFIX: Final = "io.modelcontextprotocol/"


def handshake() -> dict[str, Any]:
    """The params of `initialize`."""
    return {"protocolVersion": NEWEST_WITH_HANDSHAKE, "capabilities": {}, "clientInfo": _CLIENT}


def self_contained(params: dict[str, Any]) -> dict[str, Any]:
    """`params` with what a handshake would have said."""
    meta = {
        f"{_PREFIX}protocolVersion": SELF_CONTAINED,
        f"{_PREFIX}clientInfo": _CLIENT,
        f"{_PREFIX}clientCapabilities": {},
    }
    return {**params, "_meta": meta}


def routing_headers(method: str, params: dict[str, Any]) -> dict[str, str]:
    """The headers that repeat what a self-contained request is about, for those on the way who do not read bodies."""
    headers = {"mcp-method": method}
    name = params.get("name")
    if isinstance(name, str):
        headers["mcp-name"] = _header_value(name)
    return headers


def _header_value(text: str) -> str:
    """`text` as a header can carry it: as it is, or as Base64 within `=?base64?…?=`."""
    if _PLAIN_VALUE.fullmatch(text) and not text.startswith("=?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="
