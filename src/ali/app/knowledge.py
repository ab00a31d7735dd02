"""Vector stores: what they are made of, and which chores they have."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Final
from uuid import UUID

from fastapi import FastAPI

from ali.app.chores import stop
from ali.features.files.store import FileStore
from ali.features.knowledge.account import ModelCalls
from ali.features.knowledge.activity import Activity
from ali.features.knowledge.content import Contents
from ali.features.knowledge.embedding import Embedder, EmbeddingCache, EmbeddingModel, VectorStorage
from ali.features.knowledge.embedding.backfill import Backfill
from ali.features.knowledge.embedding.maker import VectorMaker
from ali.features.knowledge.embedding.shelving import Shelving
from ali.features.knowledge.index import Merger
from ali.features.knowledge.ingestion.book import Book
from ali.features.knowledge.ingestion.run import Means
from ali.features.knowledge.ingestion.runner import Ingestion
from ali.features.knowledge.ingestion.scratch import Scratch
from ali.features.knowledge.ingestion.tidying import Tidying
from ali.features.knowledge.reading import Reader
from ali.features.knowledge.retrieval import Consultant, Dense, Reranker, Rewriter, Searcher
from ali.features.knowledge.state import Knowledge
from ali.features.metering.ledger import DEAD_AFTER_S
from ali.kernel.db import Pool
from ali.kernel.settings import Settings
from ali.kernel.telemetry import Metrics

_DRAIN_S: Final = 1.0
"""What readings get to end once the requests have had their time; others begin them anew."""


def assemble_knowledge(
    api: FastAPI,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    pool: Pool,
    files: FileStore,
    metrics: Metrics,
    instance_id: UUID,
    hmac_secret: bytes,
    calls: ModelCalls,
) -> Knowledge:
    """Build what vector stores need, and start their chores where `ALI_BACKGROUND` says that they run here."""
    dense = dense_search(settings, pool, calls, hmac_secret=hmac_secret, metrics=metrics)
    orders = consultant(settings.rerank_model, "reranking", settings, calls, metrics)
    reranker = None if orders is None else Reranker(orders)
    api.state.knowledge = knowledge = Knowledge(
        searcher=Searcher(pool, hmac_secret=hmac_secret, metrics=metrics, dense=dense, reranker=reranker),
        rewriter=Rewriter(consultant(settings.rewrite_model, "rewriting", settings, calls, metrics)),
        contents=Contents(pool),
        activity=Activity(pool),
        most_files=settings.max_store_files,
    )
    if settings.background != "here":
        return knowledge
    scratch = Scratch(settings.home / "scratch")
    stack.callback(scratch.close)
    reader = Reader(processes=settings.readings_at_once, document_s=settings.reading_max_s)
    stack.push_async_callback(reader.close)
    means = Means(
        book=Book(pool, instance_id=instance_id, dead_after_s=DEAD_AFTER_S),
        objects=files.objects,
        reader=reader,
        vectors=None if dense is None else VectorMaker(dense.embedder, dense.storage),
        metrics=metrics,
        hmac_secret=hmac_secret,
        scratch=scratch.open(),
    )
    api.state.ingestion = ingestion = Ingestion(means, at_once=settings.readings_at_once)
    metrics.readings.set_function(lambda: ingestion.running)
    chores = [ingestion.run(), Tidying(pool).run(), Merger(pool, metrics=metrics).run()]
    if dense is not None:
        backfill = Backfill(*(pool, dense.embedder, dense.storage), instance_id=instance_id, dead_after_s=DEAD_AFTER_S)
        chores += [backfill.run(), Shelving(pool).run()]
    stack.push_async_callback(stop, [asyncio.create_task(chore) for chore in chores])
    stack.push_async_callback(ingestion.drain, deadline_s=_DRAIN_S)
    return knowledge


def dense_search(
    settings: Settings, pool: Pool, calls: ModelCalls, *, hmac_secret: bytes, metrics: Metrics
) -> Dense | None:
    """How vectors are made and found; None where no model is set that makes them."""
    if settings.embedding_model is None:
        return None
    model = EmbeddingModel(
        name=settings.embedding_model,
        dimensions=settings.embedding_dimensions,
        query_prefix=settings.embedding_query_prefix,
        passage_prefix=settings.embedding_passage_prefix,
        query_s=settings.embedding_query_s,
    )
    cache = EmbeddingCache(pool, hmac_secret=hmac_secret, most_per_project=settings.embedding_cache_per_project)
    return Dense(
        Embedder(model, calls, cache, metrics=metrics, rng=random.SystemRandom()),
        VectorStorage(pool, model=model.identity),
    )


def consultant(
    model: str | None, part: str, settings: Settings, calls: ModelCalls, metrics: Metrics
) -> Consultant | None:
    """The chat model for a part of searches; None where none is set for it."""
    if model is None:
        return None
    return Consultant(model=model, part=part, deadline_s=settings.search_model_s, calls=calls, metrics=metrics)
