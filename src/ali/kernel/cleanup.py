"""Cleanup that is not cut short."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


async def to_its_end(cleanup: Coroutine[Any, Any, None]) -> None:
    """Await `cleanup` whole, however often the waiting is cancelled meanwhile. Raises what it raises."""
    task = asyncio.ensure_future(cleanup)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    await task
