"""Long-lived tasks of the process: how they end."""

import asyncio
from collections.abc import Sequence


async def stop(chores: Sequence[asyncio.Task[None]]) -> None:
    """Cancel `chores` and wait until they have ended, however they do."""
    for chore in chores:
        chore.cancel()
    await asyncio.gather(*chores, return_exceptions=True)
