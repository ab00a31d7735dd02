"""A store of many chunks, written through the product's own code while merges run beside it."""

import asyncio
import hashlib
import sys
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from ali.features.knowledge.analysis import index_terms
from ali.features.knowledge.chunk import Chunk, Prepared
from ali.features.knowledge.index import Document, Merger, index_key, write
from ali.kernel.db import Pool, make_pool
from ali.kernel.ids import uuid7
from ali.kernel.telemetry import Metrics
from bench.knowledge.corpus import CHUNKS_PER_DOCUMENT, Corpus

HMAC_SECRET: Final = b"the benchmark's secret"
_FILE: Final = """
with file as (
    insert into ali.file (id, organization_id, project_id, purpose, name, object_name, state)
    values (%(file)s, %(organization)s, %(project)s, 'assistants', %(name)s, %(object)s, 'ready')
)
insert into ali.store_file (
    id, vector_store_id, file_id, organization_id, project_id, document_id, attributes, chunking, status
) values (
    %(file)s, %(store)s, %(file)s, %(organization)s, %(project)s, %(document)s,
    jsonb_build_object('tenth', %(number)s %% 10, 'number', %(number)s), 'auto', 'completed'
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A store of one project, and what searches in it need to know."""

    organization_id: UUID
    project_id: UUID
    id: UUID

    @property
    def key(self) -> bytes:
        """The project's key."""
        return index_key(HMAC_SECRET, project_id=self.project_id)


@dataclass(slots=True, kw_only=True)
class Loaded:
    """Seconds that loading took, by what was done."""

    chunks: int = 0
    analysing_s: float = 0.0
    writing_s: float = 0.0
    merging_s: float = 0.0
    """After the last document, until no merge was due any more."""


def make_store(dsn: str) -> Store:
    """An empty store. `dsn`: the schema's owner's."""
    store = Store(organization_id=uuid7(), project_id=uuid7(), id=uuid7())
    with psycopg.connect(dsn) as owner:
        owner.execute("insert into ali.organization (id, name) values (%s, 'Bench')", (store.organization_id,))
        owner.execute(
            "insert into ali.project (id, organization_id, name) values (%s, %s, 'Bench')",
            (store.project_id, store.organization_id),
        )
        owner.execute(
            "insert into ali.vector_store (id, organization_id, project_id, name) values (%s, %s, %s, 'Bench')",
            (store.id, store.organization_id, store.project_id),
        )
    return store


async def load(service_dsn: str, store: Store, corpus: Corpus, *, chunks: int) -> Loaded:
    """Write the corpus' first documents into the store: a transaction each, merges beside them."""
    loaded, pool = Loaded(), make_pool(service_dsn, size=3)
    await pool.open()
    merger = Merger(pool, metrics=Metrics())
    chore = asyncio.create_task(merger.run())
    for number in range(-(-chunks // CHUNKS_PER_DOCUMENT)):
        document = corpus.document(number)
        began = perf_counter()
        prepared = _analysed(document, store.key)
        written = perf_counter()
        await _write(pool, store, number, prepared)
        loaded.analysing_s += written - began
        loaded.writing_s += perf_counter() - written
        loaded.chunks += len(document)
        if number % 200 == 0:
            print(f"\r{loaded.chunks} chunks", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    chore.cancel()
    await asyncio.gather(chore, return_exceptions=True)
    began = perf_counter()
    await merger.sweep()
    loaded.merging_s = perf_counter() - began
    await pool.close()
    return loaded


async def merge_all(service_dsn: str) -> None:
    """Merge until nothing is due."""
    pool = make_pool(service_dsn, size=1)
    await pool.open()
    await Merger(pool, metrics=Metrics()).sweep()
    await pool.close()


def _analysed(document: list[Chunk], key: bytes) -> list[Prepared]:
    return [Prepared(chunk=chunk, analysed=index_terms(chunk, key=key)) for chunk in document]


async def _write(pool: Pool, store: Store, number: int, prepared: list[Prepared]) -> None:
    async with pool.connection() as connection, connection.transaction():
        await enter(connection, store)
        file_id = uuid7()
        written = await write(
            connection,
            store=store.id,
            document=Document(id=uuid7(), digest=hashlib.sha256(file_id.bytes).digest(), chunking="auto", pages=1),
            prepared=prepared,
        )
        await connection.execute(
            _FILE,
            {
                "file": file_id,
                "organization": store.organization_id,
                "project": store.project_id,
                "name": f"document {number}.txt".encode(),
                "object": file_id.hex,
                "store": store.id,
                "document": written.document_id,
                "number": number,
            },
        )


async def enter(connection: AsyncConnection[Any], store: Store) -> None:
    """From here to the end of its transaction, the connection acts for the store's project."""
    await connection.execute(
        "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true)",
        (str(store.organization_id), str(store.project_id)),
    )
