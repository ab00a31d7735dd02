"""Bodies of ordinary operations: how large, how deep, and of which kind. The hot path has its own, cheaper caps."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from ali.kernel.edge.errors import JsonTooDeep, MediaTypeRefused
from ali.kernel.errors import AliError, PayloadTooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Refuse = Callable[[AliError], Awaitable[None]]

MOST_DEPTH: Final = 64
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS: Final = b"[]{}"
_NO_BRACKETS: Final = bytes(set(range(256)) - set(_BRACKETS))
_HOT_TYPES: Final = frozenset({b"application/json", b"application/octet-stream"})
_ORDINARY_TYPES: Final = frozenset({b"application/json", b"multipart/form-data", b"application/x-www-form-urlencoded"})


def check_media_type(content_type: bytes, *, hot: bool) -> None:
    """Raises `MediaTypeRefused`. None at all is left to the operation; the hot path takes bytes of no said kind too."""
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type in (_HOT_TYPES if hot else _ORDINARY_TYPES) or media_type.endswith(b"+json"):
        return
    raise MediaTypeRefused("This operation takes JSON. Send it with content-type application/json.")


def is_json(content_type: bytes) -> bool:
    """Whether a body is said to be JSON."""
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type == b"application/json" or media_type.endswith(b"+json")


def check_depth(body: bytes) -> None:
    """Raises `JsonTooDeep`. Costs two counts for nearly every body, about 10 ms a megabyte for one of many brackets.

    Nothing is decoded: strings are cut out, and pairs of brackets taken away from the inside, one level a turn.
    """
    if body.count(b"[") + body.count(b"{") <= MOST_DEPTH:
        return
    rest = _STRING.sub(b"", body).translate(None, _NO_BRACKETS)
    for _ in range(MOST_DEPTH):
        rest = rest.replace(b"[]", b"").replace(b"{}", b"")
        if not rest:
            return
    raise JsonTooDeep(f"The JSON body is nested more than {MOST_DEPTH} levels deep, or its brackets do not match.")


async def read_json(receive: Receive, *, limit_bytes: int, declared: int | None) -> Receive:
    """Read a whole JSON body and give it back as a `receive`. Raises `PayloadTooLarge` and `JsonTooDeep`."""
    if declared is not None and declared > limit_bytes:
        raise too_large(limit_bytes)
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return _replay(message, receive)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit_bytes:
            raise too_large(limit_bytes)
        more = message.get("more_body", False)
    body = b"".join(parts)
    check_depth(body)
    return _replay({"type": "http.request", "body": body, "more_body": False}, receive)


def _replay(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


class CappedBody:
    """`receive` and `send` of an operation that reads its body as it comes, an upload.

    Once more than `limit_bytes` have come, the refusal is sent in the operation's place, and the operation is told that
    the caller left; what it still says is dropped.
    """

    def __init__(self, receive: Receive, send: Send, *, limit_bytes: int, refuse: Refuse) -> None:
        self._receive = receive
        self._send = send
        self._left_bytes = limit_bytes
        self._limit_bytes = limit_bytes
        self._refuse = refuse
        self.refused = False
        self._started = False

    async def receive(self) -> Message:
        """ASGI."""
        if self.refused:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._left_bytes -= len(message.get("body", b""))
        if self._left_bytes >= 0:
            return message
        self.refused = True
        if not self._started:
            await self._refuse(too_large(self._limit_bytes))
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI."""
        if self.refused and not self._started:
            return
        self._started = True
        await self._send(message)


def too_large(limit_bytes: int) -> PayloadTooLarge:
    """413, with what to do."""
    return PayloadTooLarge(
        f"The body is larger than the {limit_bytes} bytes that this operation takes. Send less, or ask the operator "
        "to raise ALI_MAX_JSON_BYTES (for JSON), ALI_MAX_FILE_BYTES (for files) or ALI_MAX_BODY_BYTES (for the rest)."
    )
