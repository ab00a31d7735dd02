"""A search, end to end: two round trips to the database, and a closer look in between.

    candidates (BM25, in PostgreSQL) ─► ranked by their signatures (here) ─► texts and files of the best

Both trips see the database as of one moment.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.errors import QueryCanceled
from psycopg.rows import TupleRow

from ali.features.knowledge.analysis import AnalysedQuery, analyse_query
from ali.features.knowledge.chunk import Found
from ali.features.knowledge.filters import Filter
from ali.features.knowledge.index import Candidates, candidates_statement, index_key, read_candidates
from ali.features.knowledge.ranking import rank
from ali.features.knowledge.retrieval.fusion import Hit, fuse
from ali.features.knowledge.retrieval.passages import passages_statement, read_passages
from ali.features.knowledge.retrieval.scope import scope
from ali.kernel.db import READ_LIMIT_S, Pool, QueryTooBroad
from ali.kernel.telemetry import Metrics

_BEGIN: Final = "begin isolation level repeatable read read only"
_ENTER: Final = (
    "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true),"
    f" set_config('statement_timeout', '{READ_LIMIT_S}s', true)"
)


class Searcher:
    """Searches in vector stores. One for the process."""

    def __init__(self, pool: Pool, *, hmac_secret: bytes, metrics: Metrics) -> None:
        self._pool = pool
        self._secret = hmac_secret
        self._candidates = metrics.search_candidates
        self._seconds = {part: metrics.searches.labels(part) for part in ("candidates", "ranking", "reading")}

    async def search(
        self,
        *,
        organization_id: UUID,
        project_id: UUID,
        vector_store_ids: Sequence[UUID],
        queries: Sequence[str],
        filters: Filter | None = None,
        limit: int = 10,
        score_threshold: float = 0.0,
    ) -> list[Found]:
        """The at most `limit` chunks of the stores that answer best, the best first.

        Of several queries each finds its own, and a chunk's score is the best of them. Never fewer than `limit` while
        there are more that have a word of a query, score `score_threshold`, and are of files that are there and that
        `filters` admit. A store that is not there has nothing. Raises `QueryTooBroad`.
        """
        key = index_key(self._secret, project_id=project_id)
        asked = [query for text in queries if (query := analyse_query(text, key=key)).groups]
        if not asked or not vector_store_ids:
            return []
        try:
            async with self._pool.connection() as connection, connection.pipeline():
                await connection.execute(_BEGIN)
                await connection.execute(_ENTER, (str(organization_id), str(project_id)))
                hits = await self._hits(connection, asked, vector_store_ids, filters)
                return await self._passages(
                    connection, [hit for hit in hits if hit.score >= score_threshold], filters, limit=limit
                )
        except QueryCanceled as error:
            raise QueryTooBroad("This search takes too long. Ask with fewer words, or in fewer stores.") from error

    async def _hits(
        self,
        connection: AsyncConnection[TupleRow],
        asked: Sequence[AnalysedQuery],
        stores: Sequence[UUID],
        filters: Filter | None,
    ) -> list[Hit]:
        """All that is worth a look, ranked. The first round trip."""
        began = perf_counter()
        groups = [query.groups for query in asked]
        scoped, values = scope(stores, filters)
        statement, more = candidates_statement(groups)
        cursor = await connection.execute(sql.SQL("with {} {}").format(scoped, statement), [*values, *more])
        candidates = read_candidates(await cursor.fetchall(), groups)
        found = perf_counter()
        hits = [_ranked(query, each) for query, each in zip(asked, candidates, strict=True)]
        self._seconds["candidates"].observe(found - began)
        self._seconds["ranking"].observe(perf_counter() - found)
        for each in candidates:
            self._candidates.observe(len(each.found))
        return fuse(hits)

    async def _passages(
        self, connection: AsyncConnection[TupleRow], hits: Sequence[Hit], filters: Filter | None, *, limit: int
    ) -> list[Found]:
        """The texts and files of the best. The second round trip, and the end of the transaction."""
        if not hits:
            return []
        began = perf_counter()
        statement, values = passages_statement(hits, filters, limit=limit)
        cursor = await connection.execute(statement, values)
        await connection.execute("commit")
        found = read_passages(await cursor.fetchall(), hits)
        self._seconds["reading"].observe(perf_counter() - began)
        return found


def _ranked(query: AnalysedQuery, candidates: Candidates) -> list[Hit]:
    ranked = rank(query, candidates.found, statistics=candidates.statistics)
    return [
        Hit(store=store, number=number, score=each.score, scores=each.scores)
        for each in ranked
        for store, number in (candidates.chunks[each.number],)
    ]
