"""Waiting for another execution of the same request, as long as it is worth it."""

import asyncio
from collections.abc import MutableMapping
from typing import Any, Final, TypeVar

from ali.features.chat.gateway import ClientGone, Receive
from ali.kernel.errors import Conflict

_RETRY_AFTER_S: Final = 2.0
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.25

T = TypeVar("T")


class IdempotencyInProgress(Conflict):
    """409: a request with this Idempotency-Key is still being carried out."""

    code = "idempotency_in_progress"

    def __init__(self) -> None:
        super().__init__(
            "A request with this Idempotency-Key is still being carried out. Send it again, with the same key, to get "
            "its answer.",
            param="Idempotency-Key",
        )
        self.retry_after_s = _RETRY_AFTER_S


class Patience:
    """One request's waiting: at most `wait_s` in all, and no longer than its caller is there. Hold no connection."""

    def __init__(self, receive: Receive, *, wait_s: float) -> None:
        self._receive = receive
        self._until_s = asyncio.get_running_loop().time() + wait_s
        self._pause_s = FIRST_PAUSE_S
        self._watcher: asyncio.Task[MutableMapping[str, Any]] | None = None

    async def outlast(self, flight: asyncio.Future[T]) -> T:
        """What comes of `flight`. Raises `IdempotencyInProgress` or `ClientGone`."""
        while not flight.done():
            await self._wait(flight)
        return flight.result()

    async def pause(self) -> None:
        """Wait a little, each time a little longer. Raises as `outlast`."""
        await self._wait(None, at_most_s=self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    async def _wait(self, flight: asyncio.Future[T] | None, *, at_most_s: float = 3600.0) -> None:
        left_s = self._until_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise IdempotencyInProgress
        if self._watcher is None:
            self._watcher = asyncio.ensure_future(self._next_message())
        awaited: set[asyncio.Future[Any]] = {self._watcher} if flight is None else {self._watcher, flight}
        await asyncio.wait(awaited, timeout=min(left_s, at_most_s), return_when=asyncio.FIRST_COMPLETED)
        if self._watcher.done():  # after a whole body the next message is the disconnect
            raise ClientGone

    async def _next_message(self) -> MutableMapping[str, Any]:
        return await self._receive()

    async def end(self) -> None:
        """Stop watching for the caller's leaving."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
