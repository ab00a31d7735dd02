"""Vectors in PostgreSQL: written beside a document's chunks, and searched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg.rows import tuple_row

from ali.features.knowledge.embedding.vector import Halfvec, HalfvecDumper, Vector, dimensions_of
from ali.kernel import log
from ali.kernel.db import Pool

EXACT_UP_TO: Final = 50_000
"""So many vectors are compared one by one; a store with more gets an index."""

_SPACE: Final = "select id, dimensions from ali.vector_space(%s)"
_DIMENSIONS: Final = "select ali.space_dimensions(%s, %s)"
_PLACE: Final = """
insert into ali.store_vectors (vector_store_id, space, organization_id, project_id)
select s.id, %s, s.organization_id, s.project_id from ali.vector_store s where s.id = %s on conflict do nothing
"""
_SHELF: Final = "select v.shelf from ali.store_vectors v where v.vector_store_id = %s and v.space = %s"
_WRITE: Final = """
insert into ali.chunk_vector (shelf, vector_store_id, space, number, organization_id, project_id, vector)
select %s, d.vector_store_id, %s, d.first_number + %s, d.organization_id, d.project_id, %s
from ali.store_document d where d.id = %s and d.state = 'ready' on conflict do nothing
"""
_WHOLE: Final = "update ali.store_document set embedded_by = %s where id = %s"
_DONE: Final = "delete from ali.embedding_task t where t.document_id = %s"
_THERE: Final = "select 1 from ali.store_document d where d.id = %s and d.state = 'ready'"
_TASK: Final = """
insert into ali.embedding_task (document_id, vector_store_id, organization_id, project_id)
select d.id, d.vector_store_id, d.organization_id, d.project_id from ali.store_document d
where d.id = %s and d.state = 'ready' on conflict do nothing
"""
_SIMILAR: Final = sql.SQL(
    "select n.*, c.words, c.signature, c.document_id from scope s cross join ali.search_vectors("
    "s.stores, s.allowed, s.barred, %s::uuid[], %s::integer[], %s, %s, %s, %s) n"
    " join ali.store_chunk c on c.vector_store_id = n.vector_store_id and c.number = n.number"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """A chunk and its vector's likeness to that of a question: their cosine, -1 to 1.

    `mean` and `deviation` are those of the likenesses of the store's chunks on the whole. `words` and `signature` are
    the chunk's, as `ranking.Candidate` has them.
    """

    vector_store_id: UUID
    number: int
    similarity: float
    mean: float
    deviation: float
    words: int
    signature: bytes
    document_id: UUID | None = None


class VectorStorage:
    """The vectors of one space: those of `model`, as `EmbeddingModel.identity` names it."""

    def __init__(self, pool: Pool, *, model: str) -> None:
        self._pool = pool
        self._model = model
        self._space: int | None = None
        self._dimensions: int | None = None

    async def space(self) -> int:
        """The number of the space; asked of the database once. Raises `psycopg.Error`, `PoolTimeout`."""
        if self._space is None:
            async with self._pool.connection() as connection:
                row = await (await connection.execute(_SPACE, (self._model,))).fetchone()
            if row is None:
                raise AssertionError("the function gives one row")
            self._space, self._dimensions = row
        return self._space

    async def write(
        self,
        connection: AsyncConnection[Any],
        *,
        store: UUID,
        document: UUID,
        vectors: Sequence[Vector | None],
        space: int,
    ) -> None:
        """Write the vectors of a new document's chunks. Where one is None, a task is left to make it.

        Within the caller's transaction, which has entered the tenant, holds the lock on the store's row, and has
        written the document.
        """
        there = [(at, vector) for at, vector in enumerate(vectors) if vector is not None]
        await self.add(
            connection,
            store=store,
            document=document,
            vectors=there,
            space=space,
            whole=len(there) == len(vectors),
        )

    async def add(
        self,
        connection: AsyncConnection[Any],
        *,
        store: UUID,
        document: UUID,
        vectors: Sequence[tuple[int, Vector]],
        space: int,
        whole: bool,
    ) -> bool:
        """Write vectors by their chunks' positions in the document, in a transaction as `write` has it.

        `whole`: no chunk lacks one now; else a task is left. False where the document is gone, and nothing was written.
        """
        cursor = _cursor(connection)
        if vectors and not await self._fits(cursor, space, {dimensions_of(vector) for _, vector in vectors}):
            vectors, whole = [], False
        if vectors:
            await cursor.execute(_PLACE, (space, store))
            await cursor.execute(_SHELF, (store, space))
            (shelf,) = await cursor.fetchone() or (0,)
            await cursor.executemany(_WRITE, [(shelf, space, at, Halfvec(vector), document) for at, vector in vectors])
        if whole:
            await cursor.execute(_DONE, (document,))
            await cursor.execute(_WHOLE, (space, document))
        else:
            await cursor.execute(_TASK, (document,))
        return bool(await (await cursor.execute(_THERE, (document,))).fetchone())

    async def _fits(self, cursor: AsyncCursor[Any], space: int, dimensions: set[int]) -> bool:
        """Whether vectors of these dimensions are of the space, whose first vector says so."""
        if dimensions == {self._dimensions}:
            return True
        (known,) = await (await cursor.execute(_DIMENSIONS, (space, max(dimensions)))).fetchone() or (None,)
        self._dimensions = known
        if dimensions != {known}:
            log.error("vectors.other_dimensions", model=self._model, known=known, given=sorted(dimensions))
            return False
        return True

    async def similar(
        self,
        connection: AsyncConnection[Any],
        query: Vector,
        *,
        scope: tuple[sql.Composed, Sequence[object]],
        wanted: Sequence[tuple[UUID, int]],
        space: int,
        at_most: int,
        exact_up_to: int = EXACT_UP_TO,
    ) -> AsyncCursor[tuple[Any, ...]]:
        """Ask for the chunks nearest to `query`, of each store `at_most` or all that may be found and have a vector,
        and for those that are `wanted`, near or not. `read_similar` reads the answer.

        `scope` as `retrieval.scope` gives it. Within a transaction that has entered the tenant; stores of others have
        nothing. One round trip.
        """
        within, values = scope
        asked = [[store for store, _ in wanted], [number for _, number in wanted]]
        return await _cursor(connection).execute(
            sql.SQL("with {} {}").format(within, _SIMILAR),
            [*values, *asked, space, Halfvec(query), at_most, exact_up_to],
        )


async def read_similar(cursor: AsyncCursor[tuple[Any, ...]]) -> list[Similar]:
    """What `similar` found, in no order. Rounding may put a likeness a little above 1."""
    return [
        Similar(
            vector_store_id=store,
            number=number,
            similarity=similarity,
            mean=mean,
            deviation=deviation,
            words=words,
            signature=signature,
            document_id=document_id,
        )
        for store, number, similarity, mean, deviation, words, signature, document_id in await cursor.fetchall()
    ]


def _cursor(connection: AsyncConnection[Any]) -> AsyncCursor[Any]:
    cursor = connection.cursor(row_factory=tuple_row)
    cursor.adapters.register_dumper(Halfvec, HalfvecDumper)
    return cursor
