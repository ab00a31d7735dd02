"""Files and batches: what they are made of, and which chores they have."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Final
from uuid import UUID

from fastapi import FastAPI

from ali.features.batches.book import Book
from ali.features.batches.run import Means
from ali.features.batches.runner import BatchRunner
from ali.features.chat.gateway import Receive, Scope, Send
from ali.features.files.store import FileStore
from ali.features.keys.authenticate import Authenticator
from ali.features.metering.ledger import DEAD_AFTER_S
from ali.kernel.db import Pool
from ali.kernel.objects import Objects
from ali.kernel.settings import Settings
from ali.kernel.telemetry import Metrics

_DRAIN_S: Final = 1.0
"""What lines of batches get to end once the requests have had their time; others run them again."""


def assemble_batches(
    api: FastAPI,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    pool: Pool,
    authenticator: Authenticator,
    metrics: Metrics,
    instance_id: UUID,
) -> None:
    """Build files and batches, and start their chores where `ALI_BACKGROUND` says that they run here."""
    objects = Objects(settings.objects)
    stack.push_async_callback(objects.close)
    files = FileStore(api.state.sessions, pool, objects, max_bytes=settings.max_file_bytes)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        await api.state.route(scope, receive, send)

    means = Means(
        book=Book(pool, instance_id=instance_id, dead_after_s=DEAD_AFTER_S),
        files=files,
        authenticator=authenticator,
        route=route,
        metrics=metrics,
        at_once=asyncio.Semaphore(settings.batch_lines_at_once),
        max_body_bytes=settings.max_body_bytes,
    )
    batches = BatchRunner(means, lines_per_project=settings.batch_lines_per_project, rng=random.SystemRandom())
    api.state.files, api.state.batches, api.state.public_url = files, batches, settings.public_url
    if settings.background == "here":
        chores = [asyncio.create_task(files.keep_house()), asyncio.create_task(batches.run())]
        stack.push_async_callback(_stop, chores)
    stack.push_async_callback(batches.drain, deadline_s=_DRAIN_S)


async def _stop(chores: list[asyncio.Task[None]]) -> None:
    for chore in chores:
        chore.cancel()
    await asyncio.gather(*chores, return_exceptions=True)
