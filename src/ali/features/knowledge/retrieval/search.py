"""A search, end to end: two round trips to the database, and a closer look in between.

    candidates (BM25, in PostgreSQL) ─► ranked by their signatures (here) ─► texts and files of the best

Both trips see the database as of one moment.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from psycopg import sql
from psycopg.errors import QueryCanceled

from ali.features.knowledge.analysis import AnalysedQuery, analyse_query
from ali.features.knowledge.chunk import Found
from ali.features.knowledge.filters import Filter
from ali.features.knowledge.index import Candidates, candidates_statement, index_key, read_candidates
from ali.features.knowledge.index.candidates import CANDIDATES
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
            async with self._pool.connection() as connection:
                with self._seconds["candidates"].time():
                    async with connection.pipeline():
                        await connection.execute(_BEGIN)
                        await connection.execute(_ENTER, (str(organization_id), str(project_id)))
                        cursor = await connection.execute(*_find(asked, vector_store_ids, filters, most=2 * limit))
                    candidates = read_candidates(await cursor.fetchall(), [query.groups for query in asked])
                with self._seconds["ranking"].time():
                    ranked = fuse([_rank(query, each) for query, each in zip(asked, candidates, strict=True)])
                hits = [hit for hit in ranked if hit.score >= score_threshold]
                with self._seconds["reading"].time():
                    async with connection.pipeline():
                        cursor = await connection.execute(*passages_statement(hits, filters, limit=limit))
                        await connection.execute("commit")
                    found = read_passages(await cursor.fetchall(), hits)
        except QueryCanceled as error:
            raise QueryTooBroad("This search takes too long. Ask with fewer words, or in fewer stores.") from error
        for each in candidates:
            self._candidates.observe(len(each.found))
        return found


def _find(
    asked: Sequence[AnalysedQuery], stores: Sequence[UUID], filters: Filter | None, *, most: int
) -> tuple[sql.Composed, list[Any]]:
    """The statement of the first round trip, and the values of its placeholders."""
    scoped, values = scope(stores, filters)
    statement, more = candidates_statement([query.groups for query in asked], most=max(CANDIDATES, most))
    return sql.SQL("with {} {}").format(scoped, statement), [*values, *more]


def _rank(query: AnalysedQuery, candidates: Candidates) -> list[Hit]:
    """What one query found, after a closer look."""
    ranked = rank(query, candidates.found, statistics=candidates.statistics)
    return [
        Hit(store=store, number=number, score=each.score, scores=each.scores)
        for each in ranked
        for store, number in (candidates.chunks[each.number],)
    ]
