"""A search, end to end: two round trips to the database, three with vectors, and a closer look before the last.

    candidates (BM25, in PostgreSQL) ─► ranked by their signatures (here) ─► texts and files of the best
       └─► what vectors find, and say of the candidates ─┘

All trips see the database as of one moment.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from psycopg import sql
from psycopg.errors import QueryCanceled

from ali.features.knowledge.account import Account
from ali.features.knowledge.analysis import AnalysedQuery, analyse_query
from ali.features.knowledge.chunk import Found
from ali.features.knowledge.embedding import Vector
from ali.features.knowledge.embedding.store import Similar
from ali.features.knowledge.filters import Filter
from ali.features.knowledge.index import Candidates, candidates_statement, index_key, read_candidates
from ali.features.knowledge.index.candidates import CANDIDATES
from ali.features.knowledge.ranking import rank
from ali.features.knowledge.retrieval.dense import Dense, with_near
from ali.features.knowledge.retrieval.fusion import Hit, fuse
from ali.features.knowledge.retrieval.meaning import Weights, weighed
from ali.features.knowledge.retrieval.passages import passages_statement, read_passages
from ali.features.knowledge.retrieval.reranking import MOST, Reranker
from ali.features.knowledge.retrieval.scope import scope
from ali.kernel.db import READ_LIMIT_S, Pool, QueryTooBroad
from ali.kernel.telemetry import Metrics

_PARTS: Final = ("candidates", "vectors", "ranking", "reading")
_BEGIN: Final = "begin isolation level repeatable read read only"
_ENTER: Final = (
    "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true),"
    f" set_config('statement_timeout', '{READ_LIMIT_S}s', true)"
)


class Searcher:
    """Searches in vector stores. One for the process."""

    def __init__(
        self,
        pool: Pool,
        *,
        hmac_secret: bytes,
        metrics: Metrics,
        dense: Dense | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        """`dense` None: no model is configured that embeds, and words decide alone."""
        self._reranker = reranker
        self._pool = pool
        self._secret = hmac_secret
        self._dense = dense
        self._candidates = metrics.search_candidates
        self._seconds = {part: metrics.searches.labels(part) for part in _PARTS}

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
        weights: Weights | None = None,
        rerank: bool = True,
        account: Account | None = None,
    ) -> list[Found]:
        """The at most `limit` chunks of the stores that answer best, the best first.

        Of several queries each finds its own, and a chunk's score is the best of them. Never fewer than `limit` while
        there are more that have a word of a query, score `score_threshold`, and are of files that are there and that
        `filters` admit. A store that is not there has nothing. Raises `QueryTooBroad`.

        `weights`: of meaning and words; None: as the vectors turn out to understand the texts. `rerank`: the configured
        model, if there is one, puts the best in order. `account`: who pays for models; None: the project. Where one
        cannot be had in time, the search goes on without it.
        """
        payer = account or Account(organization_id=organization_id, project_id=project_id)
        vectors = await self._vectors(queries, weights=weights, account=payer) if vector_store_ids else []
        reranker = self._reranker if rerank else None
        found = await self._found(
            list(zip(queries, vectors, strict=False)),
            *(organization_id, project_id, vector_store_ids, filters),
            limit=limit if reranker is None else max(limit, MOST),
            score_threshold=score_threshold,
            weights=weights,
        )
        return found if reranker is None else (await reranker.order(queries, found, account=payer))[:limit]

    async def _found(
        self,
        questions: Sequence[tuple[str, Vector | None]],
        organization_id: UUID,
        project_id: UUID,
        vector_store_ids: Sequence[UUID],
        filters: Filter | None,
        *,
        limit: int,
        score_threshold: float,
        weights: Weights | None,
    ) -> list[Found]:
        key = index_key(self._secret, project_id=project_id)
        read = [(analyse_query(text, key=key), vector) for text, vector in questions]
        asked = [query for query, vector in read if query.groups or vector]
        vectors = [vector for query, vector in read if query.groups or vector]
        if not asked:
            return []
        try:
            async with self._pool.connection() as connection:
                with self._seconds["candidates"].time():
                    async with connection.pipeline():
                        await connection.execute(_BEGIN)
                        await connection.execute(_ENTER, (str(organization_id), str(project_id)))
                        cursor = await connection.execute(*_find(asked, vector_store_ids, filters, most=2 * limit))
                    candidates = read_candidates(await cursor.fetchall(), [query.groups for query in asked])
                similar: list[list[Similar]] = [[] for _ in asked]
                if self._dense is not None and any(vectors):
                    with self._seconds["vectors"].time():
                        similar = await self._dense.near(
                            *(connection, vectors),
                            scope=scope(vector_store_ids, filters),
                            candidates=candidates,
                            most=2 * limit,
                        )
                with self._seconds["ranking"].time():
                    ranked = fuse(
                        [
                            weighed(_rank(query, with_near(found, near)), near, weights=weights)
                            for query, found, near in zip(asked, candidates, similar, strict=True)
                        ]
                    )
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

    async def _vectors(
        self, queries: Sequence[str], *, weights: Weights | None, account: Account
    ) -> list[Vector | None]:
        if self._dense is None or (weights is not None and not weights.embedding):
            return [None] * len(queries)
        return await self._dense.vectors(queries, account=account)


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
