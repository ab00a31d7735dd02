"""A vector store of numbers for words, written and searched through the product's own code, and what must come out."""

import hashlib
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, IsolationLevel, sql
from psycopg.rows import TupleRow

from ali.features.knowledge.analysis import TermGroup
from ali.features.knowledge.chunk import Analysed, Chunk, Prepared, Span
from ali.features.knowledge.filters import Filter
from ali.features.knowledge.index import (
    Candidates,
    Document,
    Written,
    candidates_statement,
    read_candidates,
    write,
)
from ali.features.knowledge.retrieval.scope import scope
from ali.kernel.ids import uuid7
from ali.kernel.service_role import SERVICE_ROLE, with_role
from tests.fixtures.database import Tenant

Words = Mapping[int, int]
"""A chunk by its terms and how often it has each."""


def prepared(words: Words, *, text: str = "…", length: int | None = None) -> Prepared:
    """A chunk that has `words`, and is `length` words long (None: as many as they are)."""
    return Prepared(
        chunk=Chunk(text=text, spans=(Span(at=0, page=None, start=0, end=len(text)),), language="pt"),
        analysed=Analysed(
            terms=tuple(words),
            counts=tuple(words.values()),
            words=sum(words.values()) if length is None else length,
            signature=b"",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A store of a tenant, as the service's role reaches it."""

    tenant: Tenant
    id: UUID = field(default_factory=uuid7)

    @property
    def dsn(self) -> str:
        return with_role(self.tenant.dsn, SERVICE_ROLE)

    def make(self) -> "Shelf":
        """Make the store's row."""
        with psycopg.connect(self.tenant.dsn) as owner:
            owner.execute(
                "insert into ali.vector_store (id, organization_id, project_id, name) values (%s, %s, %s, 'Shelf')",
                (self.id, self.tenant.organization_id, self.tenant.project_id),
            )
        return self

    @asynccontextmanager
    async def entered(self, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """A transaction of the service's role that has entered the tenant. `snapshot`: sees one moment throughout."""
        async with await AsyncConnection.connect(self.dsn) as connection:
            if snapshot:
                await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            await self.enter(connection)
            yield connection

    async def enter(self, connection: AsyncConnection[TupleRow]) -> None:
        """From here to the end of its transaction, the connection acts for the tenant."""
        await connection.execute(
            "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true)",
            (str(self.tenant.organization_id), str(self.tenant.project_id)),
        )

    async def add(
        self, chunks: Sequence[Words], *, document_id: UUID | None = None, content: str | None = None
    ) -> Written:
        """Write a document in a transaction of its own. `content`: what it is told by (None: like no other)."""
        document_id = document_id or uuid7()
        digest = hashlib.sha256((content or document_id.hex).encode()).digest()
        async with self.entered() as connection:
            return await write(
                connection,
                store=self.id,
                document=Document(id=document_id, digest=digest, chunking="auto"),
                prepared=[prepared(each) for each in chunks],
            )

    async def remove(self, document_id: UUID) -> bool:
        """Remove a document, as the functions that tidy up do."""
        return bool((await self.rows("select ali.remove_document(%(document)s)", document=document_id))[0][0])

    async def merge(self) -> int:
        """Merge until nothing is due; how many merges that took."""
        merges = 0
        async with await AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            while True:
                row = await (await connection.execute("select ali.merge_segments(%s)", (self.id,))).fetchone()
                if row is None or not row[0]:
                    return merges
                merges += 1

    async def candidates(
        self,
        *groups: TermGroup,
        filters: Filter | None = None,
        also: Sequence["Shelf"] = (),
        **bounds: int,
    ) -> Candidates:
        """What the index finds for the groups of terms, here and in the shelves `also`."""
        async with self.entered() as connection:
            return await find(connection, [self.id, *(each.id for each in also)], groups, filters=filters, **bounds)

    async def rows(self, statement: LiteralString, **values: object) -> list[tuple[Any, ...]]:
        """What a statement gives to the schema's owner, if it gives anything. `%(store)s` is this store."""
        async with await AsyncConnection.connect(self.tenant.dsn) as owner:
            cursor = await owner.execute(statement, {"store": self.id, **values})
            return await cursor.fetchall() if cursor.description else []


async def find(
    connection: AsyncConnection[TupleRow],
    stores: Sequence[UUID],
    groups: Sequence[TermGroup],
    *,
    filters: Filter | None = None,
    **bounds: int,
) -> Candidates:
    """What the index finds for the groups of terms, as a search asks it."""
    scoped, values = scope(stores, filters)
    statement, more = candidates_statement([groups], **bounds)
    cursor = await connection.execute(sql.SQL("with {} {}").format(scoped, statement), [*values, *more])
    return read_candidates(await cursor.fetchall(), [groups])[0]


def one(term: int, *, weight: float = 1.0) -> TermGroup:
    return TermGroup(terms=(term,), weight=weight)


@dataclass(slots=True)
class Oracle:
    """BM25 over living chunks by its formula, as slow as it is plain."""

    chunks: dict[int, tuple[Words, int]] = field(default_factory=dict)
    """By number: the words, and the length."""

    def add(self, first_number: int, chunks: Sequence[Words]) -> None:
        for number, words in enumerate(chunks, start=first_number):
            self.chunks[number] = words, sum(words.values())

    def remove(self, first_number: int, count: int) -> None:
        for number in range(first_number, first_number + count):
            del self.chunks[number]

    def frequency(self, group: TermGroup) -> int:
        return sum(term in words for words, _ in self.chunks.values() for term in group.terms)

    def scores(self, *groups: TermGroup) -> dict[int, float]:
        """Every chunk that has a term, with its score."""
        average = sum(length for _, length in self.chunks.values()) / max(1, len(self.chunks))
        total = len(self.chunks)
        found: dict[int, float] = {}
        for group in groups:
            frequency = min(self.frequency(group), total)
            idf = math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))
            for number, (words, length) in self.chunks.items():
                counts = [min(15, words[term]) for term in group.terms if term in words]
                if counts:
                    norm = 1.2 * (1 - 0.75 + 0.75 * length / average)
                    found[number] = found.get(number, 0.0) + group.weight * idf * max(counts) / (max(counts) + norm)
        return found
