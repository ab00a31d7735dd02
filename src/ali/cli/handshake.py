"""Which requests may leave HTTP for a WebSocket, and what is wrong with those that may not (RFC 6455, 4.2.1)."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from ali.kernel.edge import MalformedRequest, SocketVersionRefused
from ali.kernel.errors import AliError

SOCKET_PATH: Final = b"/v1/responses"
"""The one path whose GET opens a socket."""
_VERSION: Final = b"13"
_KEY_BYTES: Final = 16
_MOST_PROTOCOLS_BYTES: Final = 4096

RawHeaders = Sequence[tuple[bytes, bytes]]


def asks_for_socket(method: bytes, target: bytes, upgrades: Sequence[bytes]) -> bool:
    """Whether a request that asks to upgrade is one for a socket that is served here; others stay HTTP."""
    named = [name.lower() for name in upgrades]
    return method == b"GET" and target.partition(b"?")[0] == SOCKET_PATH and named == [b"websocket"]


def handshake_problem(headers: RawHeaders) -> AliError | None:
    """What is wrong with the handshake's own headers, or None."""
    versions = _all(headers, b"sec-websocket-version")
    if versions != [_VERSION]:
        return SocketVersionRefused(
            "This service speaks WebSocket version 13 (RFC 6455). Send Sec-WebSocket-Version: 13, once.",
            headers=(("sec-websocket-version", "13"), ("upgrade", "websocket")),
        )
    keys = _all(headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return MalformedRequest("Send exactly one Sec-WebSocket-Key: 16 bytes in base64.")
    if len(b",".join(_all(headers, b"sec-websocket-protocol"))) > _MOST_PROTOCOLS_BYTES:
        return MalformedRequest(f"Sec-WebSocket-Protocol is longer than {_MOST_PROTOCOLS_BYTES} bytes. Offer fewer.")
    return None


def canonical_handshake(headers: RawHeaders) -> bytes:
    """The handshake in a form that two parsers cannot read differently: only what the second one is to answer."""
    lines = [
        b"GET %b HTTP/1.1" % SOCKET_PATH,
        b"host: ali",
        b"connection: upgrade",
        b"upgrade: websocket",
        b"sec-websocket-version: " + _VERSION,
        b"sec-websocket-key: " + _all(headers, b"sec-websocket-key")[0],
    ]
    if protocols := _all(headers, b"sec-websocket-protocol"):
        lines.append(b"sec-websocket-protocol: " + b", ".join(protocols))
    return b"\r\n".join([*lines, b"", b""])


def _all(headers: RawHeaders, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
