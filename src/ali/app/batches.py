"""Files and batches: what they are made of, and which chores they have."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Final
from uuid import UUID

from fastapi import FastAPI

from ali.app.chores import stop
from ali.features.batches.book import Book
from ali.features.batches.run import Means
from ali.features.batches.runner import BatchRunner
from ali.features.chat.gateway import Receive, Scope, Send
from ali.features.files.store import FileStore
from ali.features.files.uploads import Uploads
from ali.features.keys.authenticate import Authenticator
from ali.features.metering.ledger import DEAD_AFTER_S
from ali.kernel.db import Pool
from ali.kernel.objects import Objects
from ali.kernel.settings import Settings
from ali.kernel.telemetry import Metrics

_DRAIN_S: Final = 1.0
"""What lines of batches get to end once the requests have had their time; others run them again."""


def assemble_files(
    api: FastAPI, settings: Settings, stack: AsyncExitStack, *, pool: Pool, metrics: Metrics
) -> FileStore:
    """Build where files are kept, and start its chore where `ALI_BACKGROUND` says that it runs here."""
    objects = Objects(settings.objects)
    stack.push_async_callback(objects.close)
    files = FileStore(
        *(api.state.sessions, pool, objects),
        max_bytes=settings.max_file_bytes,
        max_project_bytes=settings.max_project_file_bytes,
        metrics=metrics,
    )
    api.state.files = files
    api.state.uploads = Uploads(api.state.sessions, files, max_bytes=settings.max_upload_bytes)
    if settings.background == "here":
        stack.push_async_callback(stop, [asyncio.create_task(files.keep_house())])
    return files


def assemble_batches(
    api: FastAPI,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    pool: Pool,
    files: FileStore,
    authenticator: Authenticator,
    metrics: Metrics,
    instance_id: UUID,
) -> None:
    """Build batches, and start their chore where `ALI_BACKGROUND` says that it runs here."""

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
    api.state.batches, api.state.public_url = batches, settings.public_url
    if settings.background == "here":
        stack.push_async_callback(stop, [asyncio.create_task(batches.run())])
    stack.push_async_callback(batches.drain, deadline_s=_DRAIN_S)
