"""One execution of a keyed request: the application gets the body again, and its answer is kept on the way out."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ali.features.chat.gateway import Receive, Send
from ali.features.idempotency.answers import is_final
from ali.features.idempotency.claims import Claim, Claims
from ali.features.idempotency.sealing import Answer, RawHeaders
from ali.kernel import log
from ali.kernel.departure import CONNECTION

App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


async def execute(
    app: App, scope: MutableMapping[str, Any], *, body: bytes, send: Send, claims: Claims, claim: Claim, ended: "Ended"
) -> None:
    """Run `app` on a request whose claim is ours, until its end even where its caller leaves.

    The answer is committed before its last byte goes out. `ended` is called once, then at the latest: with the answer
    where it can be replayed, with None where it cannot. Raises what `app` raises, the claim released.
    """
    keeper = _Keeper(send, claims=claims, claim=claim, ended=ended)
    try:
        # Without the connection: that the caller leaves stops nothing.
        await app({**scope, CONNECTION: None}, _again(body), keeper.send)
    finally:
        if not keeper.concluded:
            await claims.release(claim)


Ended = Callable[[Answer | None], None]


def _again(body: bytes) -> Receive:
    """A `receive` that gives the whole body, and then nothing more, ever.

    Not the caller's leaving either, which would stop the work: whoever sends a key comes back for the answer.
    """
    given = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            await asyncio.get_running_loop().create_future()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


class _Keeper:
    """A `send` that passes everything on, and concludes the claim before the last message."""

    def __init__(self, send: Send, *, claims: Claims, claim: Claim, ended: Ended) -> None:
        self._send = send
        self._claims = claims
        self._claim = claim
        self._ended = ended
        self._status = 0
        self._headers: RawHeaders = []
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self.concluded = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """As ASGI's `send`."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        elif message["type"] == "http.response.body" and not self.concluded:
            part: bytes = message.get("body", b"")
            self._size_bytes += len(part)
            if self._size_bytes <= self._claims.max_answer_bytes:
                self._parts.append(part)
            else:
                self._parts.clear()
            if not message.get("more_body", False):
                self.concluded = True
                await self._conclude(last=part)
        await self._send(message)

    async def _conclude(self, *, last: bytes) -> None:
        replayable: Answer | None = None
        try:
            if not is_final(self._status, last=last):
                await self._claims.release(self._claim)
                return
            answer: Answer | None = None
            if self._size_bytes <= self._claims.max_answer_bytes:
                answer = Answer(status=self._status, headers=self._headers, body=b"".join(self._parts))
            else:
                log.warning("idempotency.answer_too_large", size_bytes=self._size_bytes)
            if await self._claims.settle(self._claim, status=self._status, answer=answer):
                replayable = answer
        finally:
            self._ended(replayable)
