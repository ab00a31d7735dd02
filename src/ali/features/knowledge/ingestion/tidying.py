"""The chore that clears away what nobody can see any more: expired and deleted stores, documents without a file."""

import asyncio
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
import psycopg_pool

from ali.kernel import log
from ali.kernel.db import Pool

TIDY_S: Final = 5.0
"""How long what is to be cleared away waits at most, as long as there is not much of it."""
_STORES: Final = 100
_DOCUMENTS: Final = 100
_ROWS: Final = 5_000
_EXPIRE: Final = "select ali.expire_vector_stores(%s)"
_LEAVING: Final = "select * from ali.leaving_vector_stores(%s)"
_EMPTY: Final = "select ali.empty_vector_store(%s, %s)"
_LEFT: Final = "select * from ali.left_documents(%s)"
_REMOVE: Final = "select ali.remove_left_document(%s)"


class Tidying:
    """Each step is a transaction of its own, of bounded size: several processes may do so at once, and any may die."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self) -> None:
        """Clear away what is due. Runs until cancelled."""
        while True:
            try:
                await self.sweep()
            except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
                log.warning("vector_stores.tidying_failed", error_type=type(error).__name__)
            await asyncio.sleep(TIDY_S)

    async def sweep(self) -> None:
        """Clear away all that is due now."""
        while (await self._rows(_EXPIRE, _STORES))[0][0] == _STORES:
            pass
        while documents := [row[0] for row in await self._rows(_LEFT, _DOCUMENTS)]:
            removed = [await self._is_so(_REMOVE, document) for document in documents]
            log.info("vector_stores.documents_removed", documents=sum(removed))
            if len(documents) < _DOCUMENTS or not any(removed):
                break
        for (store,) in await self._rows(_LEAVING, _STORES):
            while await self._is_so(_EMPTY, store, _ROWS):
                pass
            log.info("vector_stores.emptied", vector_store=store.hex)

    async def _is_so(self, statement: LiteralString, *values: UUID | int) -> bool:
        return bool((await self._rows(statement, *values))[0][0])

    async def _rows(self, statement: LiteralString, *values: UUID | int) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(statement, values)).fetchall()
