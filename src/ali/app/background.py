"""Work that goes on without a request: what it is made of, and which chores it has."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

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


class Background:
    """Files and batches. Its chores are run by one of the processes that have it, as `ALI_BACKGROUND` says."""

    def __init__(
        self,
        settings: Settings,
        sessions: async_sessionmaker[AsyncSession],
        pool: Pool,
        *,
        authenticator: Authenticator,
        metrics: Metrics,
        instance_id: UUID,
        api: FastAPI,
    ) -> None:
        self.objects = Objects(settings.objects)
        self.files = FileStore(sessions, pool, self.objects, max_bytes=settings.max_file_bytes)

        async def route(scope: Scope, receive: Receive, send: Send) -> None:
            await api.state.route(scope, receive, send)

        means = Means(
            book=Book(pool, instance_id=instance_id, dead_after_s=DEAD_AFTER_S),
            files=self.files,
            authenticator=authenticator,
            route=route,
            metrics=metrics,
            at_once=asyncio.Semaphore(settings.batch_lines_at_once),
            max_body_bytes=settings.max_body_bytes,
        )
        self.batches = BatchRunner(means, lines_per_project=settings.batch_lines_per_project, rng=random.SystemRandom())

    def chores(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What runs until it is cancelled."""
        return self.files.keep_house(), self.batches.run()
