"""Work that a request leaves behind, so that its answer tells nothing by how long it took: done one by one, in order.

The line is bounded, and gone with the process: whoever waits for a letter in vain asks for another.
"""

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from ali.kernel import log
from ali.kernel.errors import AliError

LONGEST_LINE = 200


class Line:
    """What waits, under the name that the log has for it. `run` must be running."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._line: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue(LONGEST_LINE)

    def leave(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have `work` awaited soon; dropped, with a word in the log, where too much waits already."""
        try:
            self._line.put_nowait(work)
        except asyncio.QueueFull:
            log.warning("afterwards.dropped", line=self._name)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            work = await self._line.get()
            try:
                await work()
            except (AliError, SQLAlchemyError, OSError) as error:
                log.warning("afterwards.failed", line=self._name, error_type=type(error).__name__)
            finally:
                self._line.task_done()

    async def settled(self) -> None:
        """Return once nothing waits any more."""
        await self._line.join()
