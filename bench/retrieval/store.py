"""A set in a vector store of a real PostgreSQL, written and searched by the product's own code."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg

from ali.features.knowledge.analysis import index_terms
from ali.features.knowledge.chunk import Found, Prepared
from ali.features.knowledge.index import Document as IndexDocument
from ali.features.knowledge.index import Merger, write
from ali.features.knowledge.reading.content import Content
from ali.features.knowledge.reading.cutting import chunks_of
from ali.features.knowledge.reading.formats.text import markdown_structure
from ali.features.knowledge.retrieval import Searcher
from ali.kernel.db import Pool, make_pool
from ali.kernel.ids import uuid7
from ali.kernel.telemetry import Metrics
from bench.database import migrated
from bench.knowledge.loading import HMAC_SECRET, Store, enter, make_store
from bench.retrieval.sets import Document

_AT_ONCE: Final = 50
_FILE: Final = """
with file as (
    insert into ali.file (id, organization_id, project_id, purpose, name, object_name, state)
    values (%(file)s, %(organization)s, %(project)s, 'assistants', %(name)s, %(object)s, 'ready')
)
insert into ali.store_file (
    id, vector_store_id, file_id, organization_id, project_id, document_id, attributes, chunking, status
) values (%(file)s, %(store)s, %(file)s, %(organization)s, %(project)s, %(document)s, '{}', 'auto', 'completed')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Documents that can be searched. `chunks`: how many they were cut into."""

    searcher: Searcher
    store: Store
    identifiers: dict[UUID, str]
    chunks: int

    async def search(self, text: str, *, limit: int) -> list[Found]:
        """As the API searches."""
        return await self.searcher.search(
            organization_id=self.store.organization_id,
            project_id=self.store.project_id,
            vector_store_ids=[self.store.id],
            queries=[text],
            limit=limit,
        )

    def documents(self, found: Sequence[Found]) -> list[str]:
        """The documents that passages are of, each once, where its best stands."""
        return list(dict.fromkeys(self.identifiers[each.file_id] for each in found))


def prepared(document: Document, *, key: bytes) -> Iterator[Prepared]:
    """The chunks of a document, read as the Markdown file that it would be uploaded as."""
    text = f"# {document.title}\n\n{document.text}" if document.title else document.text
    headings, tables = markdown_structure(text) if document.title else ([], [])
    content = Content(pages=[text], bodies=[(0, len(text))], headings=headings, tables=tables)
    for chunk in chunks_of(content):
        yield Prepared(chunk=chunk, analysed=index_terms(chunk, key=key))


@asynccontextmanager
async def stored(documents: Sequence[Document]) -> AsyncIterator[Collection]:
    """The documents in a store of their own, all that writing left to do being done."""
    with migrated() as server:
        store = make_store(server.dsn)
        pool = make_pool(server.service_dsn, size=2)
        await pool.open()
        try:
            identifiers: dict[UUID, str] = {}
            chunks = 0
            for begin in range(0, len(documents), _AT_ONCE):
                chunks += await _write(pool, store, documents[begin : begin + _AT_ONCE], identifiers)
                print(f"\r{len(identifiers)} documents", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            metrics = Metrics()
            await Merger(pool, metrics=metrics).sweep()
            await asyncio.to_thread(_analyze, server.dsn)
            yield Collection(
                searcher=Searcher(pool, hmac_secret=HMAC_SECRET, metrics=metrics),
                store=store,
                identifiers=identifiers,
                chunks=chunks,
            )
        finally:
            await pool.close()


async def _write(pool: Pool, store: Store, documents: Sequence[Document], identifiers: dict[UUID, str]) -> int:
    """Write documents in one transaction; returns their chunks."""
    chunks = 0
    async with pool.connection() as connection, connection.transaction():
        await enter(connection, store)
        for document in documents:
            cut = list(prepared(document, key=store.key))
            if not cut:
                continue  # no text, so nothing to be found by
            file_id = uuid7()
            written = await write(
                connection,
                store=store.id,
                document=IndexDocument(
                    id=uuid7(), digest=hashlib.sha256(file_id.bytes).digest(), chunking="auto", pages=None
                ),
                prepared=cut,
            )
            values = {
                "file": file_id,
                "organization": store.organization_id,
                "project": store.project_id,
                "name": f"{document.id}.md".encode(),
                "object": file_id.hex,
                "store": store.id,
                "document": written.document_id,
            }
            await connection.execute(_FILE, values)
            identifiers[file_id] = document.id
            chunks += len(cut)
    return chunks


def _analyze(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("analyze")
