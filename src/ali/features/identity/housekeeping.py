"""What sign-in leaves behind is cleaned in bounded batches: sessions 44 days after their last use, links and attempts
once they have run out, counts of failures after a day. A chore of the epoch's watch.
"""

import time
from typing import Final

from ali.features.identity import queries
from ali.kernel.db import Pool

EVERY_S: Final = 300.0
MOST: Final = 1000
"""Rows of a kind a time."""


class Housekeeping:
    """One for the process; several processes clean beside each other and skip what another one holds."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._at_s = time.monotonic() + EVERY_S

    async def tidy(self) -> None:
        """Clean, at most every `EVERY_S`."""
        if time.monotonic() < self._at_s:
            return
        self._at_s = time.monotonic() + EVERY_S
        async with self._pool.connection() as connection:
            await connection.execute(queries.TIDY, (MOST,))
