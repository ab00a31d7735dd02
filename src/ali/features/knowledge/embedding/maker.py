"""The vectors of a document that is being read, for whoever writes it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from ali.features.knowledge.account import Account
from ali.features.knowledge.chunk import Prepared
from ali.features.knowledge.embedding.embedder import Embedder
from ali.features.knowledge.embedding.passage import passage_text
from ali.features.knowledge.embedding.store import VectorStorage


@dataclass(frozen=True, slots=True)
class VectorMaker:
    """Makes vectors before a document is written, so that no transaction waits for the model."""

    embedder: Embedder
    storage: VectorStorage

    async def make(
        self, prepared: Sequence[Prepared], *, account: Account
    ) -> Callable[[AsyncConnection[Any], UUID, UUID], Awaitable[None]]:
        """The vectors of a document's chunks, as many as there can be now, and how they are written: in the
        transaction that has written the document, by store and document. Raises `psycopg.Error`, `PoolTimeout`.
        """
        space = await self.storage.space()
        vectors = await self.embedder.embed([passage_text(each.chunk) for each in prepared], account=account)

        async def write(connection: AsyncConnection[Any], store: UUID, document: UUID) -> None:
            await self.storage.write(connection, store=store, document=document, vectors=vectors, space=space)

        return write
