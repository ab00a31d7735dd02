"""The chore that makes the vectors that are missing: the provider was away, or the model was set or changed later."""

import asyncio
from typing import Final, NamedTuple
from uuid import UUID

import psycopg
import psycopg_pool

from ali.features.knowledge.account import Account
from ali.features.knowledge.embedding.batching import MOST_TEXTS
from ali.features.knowledge.embedding.embedder import Embedder
from ali.features.knowledge.embedding.passage import passage_text
from ali.features.knowledge.embedding.store import VectorStorage
from ali.features.knowledge.embedding.vector import Vector
from ali.features.knowledge.index import read_chunk
from ali.kernel import log
from ali.kernel.db import Pool

POLL_S: Final = 2.0
_PLAN_EVERY_S: Final = 600.0
_TIDY_EVERY_S: Final = 600.0
_AT_ONCE: Final = 4
_PAUSE_S: Final = 60.0
"""After which a document is tried again for which the model gave no vectors."""
_PAGE: Final = 4 * MOST_TEXTS
_MOST_FORGOTTEN: Final = 2_000
_DATABASE_AWAY: Final = (psycopg.Error, psycopg_pool.PoolTimeout)

_PLAN: Final = "select ali.plan_embedding(%s)"
_FORGET: Final = "select ali.forget_stale_vectors(%s, %s)"
_TAKE: Final = "select * from ali.take_embedding_tasks(%s, make_interval(secs => %s), %s)"
_RELEASE: Final = "select ali.release_embedding_task(%s, %s, make_interval(secs => %s))"
_ENTER: Final = "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true)"
_MISSING: Final = """
select c.position, c.text, c.place from ali.store_chunk c
where c.vector_store_id = %(store)s and c.number >= %(first)s and c.number < %(end)s and not exists (
    select from ali.chunk_vector v join ali.store_vectors p
        on p.vector_store_id = v.vector_store_id and p.space = v.space and v.shelf in (0, p.shelf)
    where v.vector_store_id = c.vector_store_id and v.space = %(space)s and v.number = c.number
)
order by c.number limit %(page)s
"""
_LOCK: Final = "select 1 from ali.vector_store s where s.id = %s and s.state = 'ready' for update"


class Task(NamedTuple):
    """A document that this process is to embed."""

    document_id: UUID
    vector_store_id: UUID
    organization_id: UUID
    project_id: UUID
    first_number: int
    chunks: int


class Backfill:
    """Embeds what the tasks name, each document by one process at a time; a dead process's are taken over.

    Page by page, each kept once it is made, so that nothing is paid for twice.
    """

    def __init__(
        self, pool: Pool, embedder: Embedder, storage: VectorStorage, *, instance_id: UUID, dead_after_s: float
    ) -> None:
        self._pool = pool
        self._embedder = embedder
        self._storage = storage
        self._instance_id = instance_id
        self._dead_after_s = dead_after_s

    async def run(self) -> None:
        """Embed what is missing. Runs until cancelled."""
        await asyncio.gather(self._embed_all(), self._plan_all(), self._tidy_all())

    async def plan(self) -> int:
        """Make a task of each document that lacks vectors of the present model; how many are new."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_PLAN, (await self._storage.space(),))).fetchone()
        return int(row[0]) if row else 0

    async def forget_stale(self) -> None:
        """Delete the vectors of models before this one, of the stores that are done with them."""
        space = await self._storage.space()
        while True:
            async with self._pool.connection() as connection:
                row = await (await connection.execute(_FORGET, (space, _MOST_FORGOTTEN))).fetchone()
            if row is None or row[0] is None:
                return

    async def sweep(self) -> int:
        """Take some tasks and carry them out; how many there were."""
        async with self._pool.connection() as connection:
            asked = (self._instance_id, self._dead_after_s, _AT_ONCE)
            tasks = [Task(*row) for row in await (await connection.execute(_TAKE, asked)).fetchall()]
        await asyncio.gather(*(self._carry_out(task) for task in tasks))
        return len(tasks)

    async def _embed_all(self) -> None:
        while True:
            found = 0
            try:
                found = await self.sweep()
            except _DATABASE_AWAY as error:
                log.warning("backfill.database_away", error_type=type(error).__name__)
            if not found:
                await asyncio.sleep(POLL_S)

    async def _plan_all(self) -> None:
        while True:
            try:
                if planned := await self.plan():
                    log.info("backfill.planned", documents=planned, model=self._embedder.model.name)
            except _DATABASE_AWAY as error:
                log.warning("backfill.database_away", error_type=type(error).__name__)
            await asyncio.sleep(_PLAN_EVERY_S)

    async def _tidy_all(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_EVERY_S)
            try:
                await self._embedder.tidy()
                await self.forget_stale()
            except _DATABASE_AWAY as error:
                log.warning("backfill.database_away", error_type=type(error).__name__)

    async def _carry_out(self, task: Task) -> None:
        """One document to its end, or until the model gives no more; then it is let go for a while."""
        pause_s = _PAUSE_S
        try:
            if await self._embed(task):
                log.info("backfill.embedded", document=task.document_id.hex, project=task.project_id.hex)
                return
        except _DATABASE_AWAY as error:
            log.warning("backfill.paused", document=task.document_id.hex, error_type=type(error).__name__)
        except Exception:
            pause_s = _PAUSE_S * 10
            log.exception("backfill.crashed", document=task.document_id.hex)
        await self._release(task, pause_s=pause_s)

    async def _embed(self, task: Task) -> bool:
        """Whether the document has all its vectors now, or is gone."""
        account = Account(organization_id=task.organization_id, project_id=task.project_id)
        space = await self._storage.space()
        while missing := await self._missing(task, space):
            vectors = await self._embedder.embed([text for _, text in missing], account=account)
            made = [(position, vector) for (position, _), vector in zip(missing, vectors, strict=True) if vector]
            last = len(missing) < _PAGE and len(made) == len(missing)
            if not await self._keep(task, made, space=space, whole=last) or last:
                return True
            if len(made) < len(missing):
                return False
        await self._keep(task, [], space=space, whole=True)
        return True

    async def _missing(self, task: Task, space: int) -> list[tuple[int, str]]:
        """Some chunks without a vector, the first ones: position and text."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(_ENTER, (str(task.organization_id), str(task.project_id)))
            asked = {
                "store": task.vector_store_id,
                "first": task.first_number,
                "end": task.first_number + task.chunks,
                "space": space,
                "page": _PAGE,
            }
            rows = await (await connection.execute(_MISSING, asked)).fetchall()
        return [(position, passage_text(read_chunk(text=text, place=place))) for position, text, place in rows]

    async def _keep(self, task: Task, made: list[tuple[int, Vector]], *, space: int, whole: bool) -> bool:
        """Write vectors under the store's lock; False where the store or the document is gone.

        `whole`: the document has all of them now.
        """
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(_ENTER, (str(task.organization_id), str(task.project_id)))
            locked = await (await connection.execute(_LOCK, (task.vector_store_id,))).fetchone()
            if locked is None:
                return False
            return await self._storage.add(
                connection,
                store=task.vector_store_id,
                document=task.document_id,
                vectors=made,
                space=space,
                whole=whole,
            )

    async def _release(self, task: Task, *, pause_s: float) -> None:
        try:
            async with self._pool.connection() as connection:
                await connection.execute(_RELEASE, (task.document_id, self._instance_id, pause_s))
        except _DATABASE_AWAY as error:  # its claim lapses with this process
            log.warning("backfill.release_failed", error_type=type(error).__name__)
