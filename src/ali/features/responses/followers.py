"""Those who read the events of a background response, wherever it runs: each event once, from wherever they left off.

They read what is written down. Where the response runs in this process they are woken by each batch; where another
process runs it they look again after a moment.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, Final
from uuid import UUID

from ali.features.chat.exchange import EVENT_STREAM, Stopping
from ali.features.chat.gateway import Receive, Scope, Send
from ali.features.responses.errors import ResponseNotFound, StateUnavailable
from ali.features.responses.head import error_event
from ali.features.responses.replay import events_of, number_of
from ali.features.responses.state import Place, ResponseState
from ali.kernel.departure import on_stopping

_LOOK_S: Final = 0.1
_RETRY_S: Final = 0.5
_OUTAGE_S: Final = 20.0
"""For so long a reader waits for the database."""


class _Reader:
    """One of them: woken when there is more to read, or when it is to end."""

    __slots__ = ("stopping", "wake")

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.stopping = False

    def stop(self) -> None:
        """The service stops."""
        self.stopping = True
        self.wake.set()


class Followers:
    """The readers in this process."""

    def __init__(self, state: ResponseState) -> None:
        self._state = state
        self._waiting: dict[UUID, set[asyncio.Event]] = {}

    def tell(self, response_id: UUID) -> None:
        """There is more to read of a response."""
        for wake in self._waiting.get(response_id, ()):
            wake.set()

    async def follow(self, place: Place, *, after: int, scope: Scope) -> AsyncGenerator[bytes, None]:
        """The events above number `after`, each once, as they come, up to the terminal one. `scope`: the request's.

        Waits through an outage of the database for a while. What cannot go on, this service's own stop included, is
        told in-band, by an `error` event with the number of the last event that was sent, so that going on after it
        loses nothing.
        """
        reader = _Reader()
        self._waiting.setdefault(place.response_id, set()).add(reader.wake)
        unwatch = on_stopping(scope, reader.stop)
        try:
            async for due in self._read(place, after, reader):
                yield due
        finally:
            unwatch()
            waiting = self._waiting[place.response_id]
            waiting.discard(reader.wake)
            if not waiting:
                del self._waiting[place.response_id]

    async def _read(self, place: Place, after: int, reader: "_Reader") -> AsyncGenerator[bytes, None]:
        away_since_s: float | None = None
        while True:
            reader.wake.clear()
            try:
                status, pieces = await self._state.events(place, after=after)
            except StateUnavailable as error:
                now_s = time.monotonic()
                away_since_s = away_since_s or now_s
                if now_s - away_since_s > _OUTAGE_S:
                    yield error_event(error.message, code=error.error_code, number=max(after, 0))
                    return
                await asyncio.sleep(_RETRY_S)
                continue
            away_since_s = None
            for first, last, body in pieces:
                due = body if first > after else b"".join(e for e in events_of(body) if number_of(e) > after)
                after = last
                yield due
            if status is None:
                gone = ResponseNotFound("This response was deleted while it was being read.")
                yield error_event(gone.message, code=gone.error_code, number=max(after, 0))
                return
            if status not in ("queued", "in_progress"):
                return  # the last event was among these, or the caller had it already
            if reader.stopping:
                stopping = Stopping("The service is being stopped. Go on after this number at once, elsewhere.")
                yield error_event(stopping.message, code=stopping.error_code, number=max(after, 0))
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await reader.wake.wait()

    async def stream(
        self,
        place: Place,
        *,
        after: int,
        headers: list[tuple[bytes, bytes]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Send a response's events until its end, or until the caller leaves, which stops nothing."""
        task = asyncio.current_task()
        watcher = asyncio.ensure_future(receive())
        gone = False

        def leave(_: asyncio.Future[Any]) -> None:
            nonlocal gone
            gone = True
            if task is not None:
                task.cancel()

        watcher.add_done_callback(leave)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*EVENT_STREAM, *headers]})
            async with aclosing(self.follow(place, after=after, scope=scope)) as events:
                async for due in events:
                    await send({"type": "http.response.body", "body": due, "more_body": True})
            watcher.remove_done_callback(leave)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not gone:
                raise
        finally:
            watcher.remove_done_callback(leave)
            watcher.cancel()
