"""The events of a background response, durable before anybody sees them: whoever comes back gets each of them once.

While one batch commits, and for a moment after it, the next gathers, so a fast model costs few commits. Each answer of
the database also says whether the response shall stop; where the model is silent, it is asked all the same.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from ali.features.responses.errors import StateUnavailable
from ali.features.responses.run import CHECKPOINT_S, ResponseRun
from ali.features.responses.state import Place, ResponseState
from ali.kernel import log

_GATHER_S: Final = 0.025
"""For so long, after a batch, events wait for others: each commit costs as much as some twenty of them."""
_ASK_S: Final = 0.5
"""How often the database is asked whether to stop, where nothing is to be written."""


class WrittenEvents:
    """The log of one run. `run` must be running until the response has ended.

    `on_stop`: the response was cancelled (True), or is no longer this process's to run (False). `on_written`: there is
    more to read.
    """

    def __init__(
        self,
        state: ResponseState,
        place: Place,
        *,
        first_number: int,
        on_stop: Callable[[bool], None],
        on_written: Callable[[], None],
    ) -> None:
        self._state = state
        self._place = place
        self._first = first_number
        self._next = first_number
        self._pending: list[bytes] = []
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._on_stop = on_stop
        self._on_written = on_written
        self._ending = False
        self._snapshot_at_s = time.monotonic() + CHECKPOINT_S
        self.response: ResponseRun | None = None

    def add(self, events: bytes, *, next_number: int) -> None:
        """Events that are due, up to but not including `next_number`."""
        if events:
            self._pending.append(events)
            self._next = next_number
            self._wake.set()

    async def rest(self) -> tuple[int, bytes]:
        """What is not written yet, with the number of its first event: it is written with the response's end.

        From now on the database is not asked whether to stop, for it answers that the response has ended.
        """
        async with self._writing:
            self._ending = True
            rest, first = b"".join(self._pending), self._first
            self._pending.clear()
            return first, rest

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_ASK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                verdict = await self._write()
            except StateUnavailable:
                log.warning("response.events_not_written", response=self._place.response_id.hex)
                await asyncio.sleep(_ASK_S)
                self._wake.set()
                continue
            if verdict != "ok":
                self._on_stop(verdict == "cancel")
                return
            await asyncio.sleep(_GATHER_S)

    async def _write(self) -> str:
        async with self._writing:
            if self._ending:
                return "ok"
            first, last = self._first, self._next - 1
            batch = b"".join(self._pending)
            taken = len(self._pending)
            output = None
            if self.response is not None and time.monotonic() > self._snapshot_at_s:
                self._snapshot_at_s = time.monotonic() + CHECKPOINT_S
                output = self.response.writer.snapshot()
            verdict = await self._state.checkpoint(
                self._place, output=output, numbers=(first, last) if batch else None, events=batch or None
            )
            del self._pending[:taken]
            self._first = last + 1
        if batch:
            self._on_written()
        return verdict
