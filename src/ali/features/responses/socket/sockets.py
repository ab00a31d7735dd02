"""All sockets of the process: who may open one, how many, and that all have ended when it does."""

import asyncio
import time
from collections import Counter
from typing import Any, Final
from uuid import UUID

from ali.features.chat.admission import recognised
from ali.features.chat.exchange import Stopping
from ali.features.chat.gateway import Arrival, Receive, Scope, Send, arrive, credential
from ali.features.chat.hot import refuse
from ali.features.chat.operations import RESPONSES
from ali.features.chat.settlement import tell_refused
from ali.features.identity import Principal
from ali.features.responses.order import Engine
from ali.features.responses.socket.connection import Connection
from ali.features.responses.socket.errors import SocketsExhausted, TooManySockets
from ali.kernel import log
from ali.kernel.errors import AliError

KEY_PROTOCOL: Final = "openai-insecure-api-key."
"""How a browser's page, which cannot set headers, says its key: as one of the subprotocols that it offers."""
_RETRY_S: Final = 30.0
_END_S: Final = 5.0


class Sockets:
    """Serves sockets. `drain` at the end."""

    def __init__(self, engine: Engine, *, most: int, most_of_one_caller: int, memory_bytes: int) -> None:
        self._engine = engine
        self._most = most
        self._most_of_one_caller = most_of_one_caller
        self._memory_bytes = memory_bytes
        self._open: dict[UUID, asyncio.Task[Any]] = {}
        self._of_caller: Counter[UUID] = Counter()

    async def serve(self, scope: Scope, receive: Receive, send: Send, *, deny: Send) -> None:
        """ASGI, for a `websocket` scope. `deny` answers the handshake with an HTTP response."""
        arrival = arrive(scope)
        metrics = self._engine.gateway.metrics
        await receive()  # websocket.connect
        try:
            chosen = _take_offered(arrival, scope.get("subprotocols") or ())
            principal = await recognised(self._engine.gateway, RESPONSES, arrival)
            principal.require_project()
            caller = self._admit(principal)
        except AliError as error:
            await self._refuse(error, arrival, deny)
            return
        except asyncio.CancelledError:
            await self._refuse(Stopping("The service is being stopped. Connect again."), arrival, deny)
            return
        self._of_caller[caller] += 1
        self._open[arrival.request_id] = _current_task()
        metrics.sockets += 1
        try:
            accepts = {"type": "websocket.accept", "subprotocol": chosen}
            await send({**accepts, "headers": [(b"x-request-id", arrival.name.encode())]})
            connection = Connection(self._engine, arrival, receive=receive, send=send, memory_bytes=self._memory_bytes)
            await connection.run()
        except OSError:  # gone before it was accepted
            return
        finally:
            metrics.sockets -= 1
            del self._open[arrival.request_id]
            self._of_caller[caller] -= 1
            if not self._of_caller[caller]:
                del self._of_caller[caller]
            log.info(
                "socket.ended",
                request_id=arrival.name,
                duration_ms=int((time.monotonic() - arrival.started_s) * 1000),
            )

    def _admit(self, principal: Principal) -> UUID:
        """Whose socket it is. Raises `SocketsExhausted`, `TooManySockets`."""
        caller = principal.key_id or principal.user_id or principal.organization_id
        if len(self._open) >= self._most:
            raise SocketsExhausted("This process serves as many WebSockets as it may. Try again shortly.")
        if self._of_caller[caller] >= self._most_of_one_caller:
            raise TooManySockets(
                f"{self._most_of_one_caller} WebSockets of this caller are open. Close one, or use the lanes of one: "
                "stream_id.",
                retry_after_s=_RETRY_S,
            )
        return caller

    async def _refuse(self, error: AliError, arrival: Arrival, deny: Send) -> None:
        tell_refused(self._engine.gateway, RESPONSES, arrival.name, error)
        await refuse(error, operation=RESPONSES, arrival=arrival, send=deny)

    async def drain(self) -> None:
        """Wait for connections that were cancelled to settle what they ran."""
        if self._open:
            await asyncio.wait(self._open.values(), timeout=_END_S)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine of a task
    return task


def _take_offered(arrival: Arrival, offered: tuple[str, ...] | list[str]) -> str | None:
    """The subprotocol to choose. A key among those offered becomes the credential where no header has one; it is never
    chosen, for the choice is sent back.
    """
    for protocol in offered:
        if protocol.startswith(KEY_PROTOCOL) and credential(arrival.headers) is None:
            arrival.headers[b"authorization"] = b"Bearer " + protocol.removeprefix(KEY_PROTOCOL).encode("latin-1")
    return next((protocol for protocol in offered if not protocol.startswith("openai-")), None)
