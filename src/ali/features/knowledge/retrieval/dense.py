"""The vectors' part of a search: the questions' vectors, and what is near them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
import psycopg_pool
from psycopg import AsyncConnection, sql

from ali.features.knowledge.account import Account
from ali.features.knowledge.embedding import Embedder, Vector, VectorStorage
from ali.features.knowledge.embedding.store import Similar, read_similar
from ali.features.knowledge.index import Candidates
from ali.features.knowledge.ranking import Candidate

NEAREST: Final = 100
"""So many chunks of each store that are near a question are worth a closer look."""


@dataclass(frozen=True, slots=True)
class Dense:
    """How questions are embedded, and where vectors are."""

    embedder: Embedder
    storage: VectorStorage

    async def vectors(self, questions: Sequence[str], *, account: Account) -> list[Vector | None]:
        """The questions' vectors; None for those that get none now. Holds nothing of the database's meanwhile."""
        try:
            await self.storage.space()
        except (psycopg.Error, psycopg_pool.PoolTimeout):
            return [None] * len(questions)  # the search itself will say that the database is away
        return list(await asyncio.gather(*(self.embedder.embed_query(text, account=account) for text in questions)))

    async def near(
        self,
        connection: AsyncConnection[Any],
        vectors: Sequence[Vector | None],
        *,
        scope: tuple[sql.Composed, Sequence[object]],
        candidates: Sequence[Candidates],
        most: int,
    ) -> list[list[Similar]]:
        """For each question the chunks that are near it, and how near those are that its words found.

        Within the search's transaction. One round trip, none where no question has a vector.
        """
        if not any(vectors):
            return [[] for _ in vectors]
        space = await self.storage.space()
        async with connection.pipeline():
            cursors = [
                None
                if vector is None
                else await self.storage.similar(
                    *(connection, vector),
                    scope=scope,
                    wanted=known.chunks,
                    space=space,
                    at_most=max(NEAREST, most),
                )
                for vector, known in zip(vectors, candidates, strict=True)
            ]
        return [[] if cursor is None else await read_similar(cursor) for cursor in cursors]


def with_near(candidates: Candidates, similar: Sequence[Similar]) -> Candidates:
    """The candidates, and the chunks that only their vectors found."""
    known: set[tuple[UUID, int]] = set(candidates.chunks)
    more = [each for each in similar if (each.vector_store_id, each.number) not in known]
    return Candidates(
        found=(
            *candidates.found,
            *(
                Candidate(
                    number=number,
                    bm25=0.0,
                    words=each.words,
                    signature=each.signature,
                    document=each.document_id,
                )
                for number, each in enumerate(more, start=len(candidates.found))
            ),
        ),
        chunks=(*candidates.chunks, *((each.vector_store_id, each.number) for each in more)),
        statistics=candidates.statistics,
    )
