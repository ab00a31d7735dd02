"""A project's vector stores, as responses search them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import psycopg
import psycopg_pool

from ali.features.knowledge.account import Account
from ali.features.knowledge.activity import Activity
from ali.features.knowledge.chunk import Found
from ali.features.knowledge.presence import present
from ali.features.knowledge.retrieval import Searcher
from ali.features.knowledge.stores.errors import store_expired, store_not_found
from ali.features.responses.errors import StateUnavailable
from ali.features.responses.file_search.tool import FileSearchTool
from ali.features.responses.state import Place
from ali.kernel.db import Pool

_DOWN: Final = "The database does not answer, so files cannot be searched. Try again in a few seconds."


class VectorStores:
    """One for the process."""

    def __init__(self, pool: Pool, searcher: Searcher, activity: Activity) -> None:
        self._pool = pool
        self._searcher = searcher
        self._activity = activity

    async def require(self, tool: FileSearchTool, place: Place) -> None:
        """That all of the tool's stores can be searched. One round trip.

        Raises `VectorStoreNotFound`, `VectorStoreExpired`, `StateUnavailable`.
        """
        async with _reachable():
            there = await present(
                self._pool,
                organization_id=place.organization_id,
                project_id=place.project_id,
                stores=tool.stores,
            )
        for at, store in enumerate(tool.stores):
            param = f"{tool.param}[{at}]"
            if store not in there:
                raise store_not_found(param)
            if not there[store]:
                raise store_expired(param)

    async def search(self, tool: FileSearchTool, account: Account, queries: Sequence[str]) -> list[Found]:
        """The passages that answer best, the best first, each once. Raises `QueryTooBroad`, `StateUnavailable`."""
        async with _reachable():
            await self._activity.note(account.project_id, tool.stores)
            return await self._searcher.search(
                organization_id=account.organization_id,
                project_id=account.project_id,
                vector_store_ids=tool.stores,
                queries=queries,
                filters=tool.filters,
                limit=tool.limit,
                score_threshold=tool.ranking.score_threshold,
                weights=tool.ranking.weights,
                rerank=tool.ranking.reranks,
                account=account,
            )


@asynccontextmanager
async def _reachable() -> AsyncIterator[None]:
    try:
        yield
    except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
        raise StateUnavailable(_DOWN) from error
