"""Writing a document into a store: its chunks, and segments of the index over them."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection

from ali.features.knowledge.chunk import Prepared
from ali.features.knowledge.index.place import write_place
from ali.kernel.errors import NotFound

SEGMENT_CHUNKS: Final = 2048
"""As many chunks are written by one statement, and make one segment."""
MOST_WORDS: Final = 2047
"""A longer chunk counts as this long."""
MOST_COUNT: Final = 15

_LOCK: Final = """
select s.organization_id, s.project_id, s.next_number from ali.vector_store s
where s.id = %s and s.state = 'ready' for no key update
"""
_SAME: Final = """
select d.id, d.first_number, d.chunks, d.words, d.size_bytes from ali.store_document d
where d.vector_store_id = %s and d.digest = %s and d.chunking = %s and d.state <> 'gone'
"""
# psycopg sends a number in the smallest type that holds it, in which sums would overflow: hence the casts.
_BEGIN: Final = """
with store as (
    update ali.vector_store s
    set next_number = s.next_number + %(chunks)s::integer, chunks = s.chunks + %(chunks)s::integer,
        words = s.words + %(words)s::bigint, merge_due = s.merge_due or %(chunks)s::integer > 0
    where s.id = %(store)s
)
insert into ali.store_document (
    id, vector_store_id, organization_id, project_id, digest, chunking, first_number, chunks, words, pages, size_bytes
) values (
    %(id)s, %(store)s, %(organization)s, %(project)s, %(digest)s, %(chunking)s, %(first)s, %(chunks)s, %(words)s,
    %(pages)s, %(size)s
)
"""
# Numbers in an entry count from the segment's first chunk, so that it is packed before the store is locked.
_WRITE: Final = """
with new_segment as (
    insert into ali.segment (vector_store_id, organization_id, project_id, first_number, end_number)
    values (%(store)s, %(organization)s, %(project)s, %(first)s, %(first)s::integer + %(chunks)s::integer)
    returning id
), new_chunk as (
    insert into ali.store_chunk (
        vector_store_id, number, organization_id, project_id, document_id, position, text, place, words, signature
    )
    select %(store)s, %(first)s::integer + c.at - 1, %(organization)s, %(project)s, %(document)s,
        %(position)s::integer + c.at - 1, c.text, c.place, c.words, c.signature
    from unnest(%(texts)b::bytea[], %(places)b::bytea[], %(words)s::integer[], %(signatures)b::bytea[])
        with ordinality as c (text, place, words, signature, at)
)
insert into ali.posting (segment_id, term, organization_id, project_id, chunks, numbers, weights)
select s.id, e.term, %(organization)s, %(project)s, count(*), array_agg(e.number), array_agg(e.weight)
from new_segment s cross join (
    select e.term, %(first)s::integer + (e.entry >> 16)::integer as number, (e.entry & 65535)::smallint as weight
    from unnest(%(terms)s::bigint[], %(entries)s::bigint[]) as e (term, entry) order by e.term, e.entry
) e
group by s.id, e.term
"""


class StoreGone(NotFound):
    """404: there is no such vector store (any more)."""

    code = "vector_store_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A content, cut one way, that is to be written. `id` is new; `digest` the SHA-256 of the file's bytes."""

    id: UUID
    digest: bytes
    chunking: str
    pages: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A document as it stands in the store. `fresh` is False where the store had the same content already."""

    document_id: UUID
    first_number: int
    chunks: int
    words: int
    size_bytes: int
    fresh: bool


async def write(
    connection: AsyncConnection[Any], *, store: UUID, document: Document, prepared: Sequence[Prepared]
) -> Written:
    """Write a document whose chunks are `prepared`, in its order; found by searches as soon as the caller commits.

    Within the caller's transaction, which has entered the tenant, and as late in it as may be: it locks the store's
    row, so that others who write into the store wait for its end. Makes the row in `store_document`. A store that has
    the same content, cut the same way, is left as it is, and that document returned. Packs off the event loop.

    Cost: about 0.3 ms a chunk. Raises `StoreGone`.
    """
    slices = [prepared[at : at + SEGMENT_CHUNKS] for at in range(0, len(prepared), SEGMENT_CHUNKS)]
    packed = [await asyncio.to_thread(_packed, each) for each in slices]
    row = await (await connection.execute(_LOCK, (store,))).fetchone()
    if row is None:
        raise StoreGone("There is no such vector store in this project. GET /v1/vector_stores lists those there are.")
    organization, project, first = row
    same = await (await connection.execute(_SAME, (store, document.digest, document.chunking))).fetchone()
    if same is not None:
        document_id, first_number, chunks, words, size = same
        return Written(
            document_id=document_id,
            first_number=first_number,
            chunks=chunks,
            words=words,
            size_bytes=size,
            fresh=False,
        )
    written = Written(
        document_id=document.id,
        first_number=first,
        chunks=len(prepared),
        words=sum(each.analysed.words for each in prepared),
        size_bytes=sum(each.size_bytes for each in packed),
        fresh=True,
    )
    whole = {"store": store, "organization": organization, "project": project, "document": document.id}
    await connection.execute(
        _BEGIN,
        {
            **whole,
            "id": document.id,
            "digest": document.digest,
            "chunking": document.chunking,
            "pages": document.pages,
            "first": first,
            "chunks": written.chunks,
            "words": written.words,
            "size": written.size_bytes,
        },
    )
    for position, each in zip(range(0, len(prepared), SEGMENT_CHUNKS), packed, strict=True):
        await connection.execute(_WRITE, {**whole, **each.parameters, "position": position, "first": first + position})
    return written


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packed:
    """Some chunks as the parameters of `_WRITE`, and what they take in the store."""

    parameters: dict[str, object]
    size_bytes: int


def _packed(prepared: Sequence[Prepared]) -> _Packed:
    """Lists of numbers as PostgreSQL's text for them: ten times as fast as psycopg's, a number at a time (measured)."""
    texts = [each.chunk.text.encode() for each in prepared]
    places = [write_place(each.chunk) for each in prepared]
    analysed = [each.analysed for each in prepared]
    signatures = [each.signature for each in analysed]
    entries: list[int] = []
    for number, each in enumerate(analysed):
        whole = number << 16 | min(each.words, MOST_WORDS) << 4
        entries += [whole | min(count, MOST_COUNT) for count in each.counts]
    return _Packed(
        parameters={
            "chunks": len(prepared),
            "texts": texts,
            "places": places,
            "words": _array(each.words for each in analysed),
            "signatures": signatures,
            "terms": _array(chain.from_iterable(each.terms for each in analysed)),
            "entries": _array(entries),
        },
        size_bytes=sum(map(len, chain(texts, places, signatures))) + 6 * len(entries),
    )


def _array(numbers: Iterable[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"
