"""More of a store than there is time to write: its documents again under other numbers, by plain SQL.

A copy has its original's words, so every term is as frequent, in proportion, as it was, and lists are longer by as many
times: no easier for a search than as many chunks that were written.
"""

from typing import Final

import psycopg

from bench.knowledge.loading import Store

_COPY: Final = (
    """
    insert into ali.store_document (
        id, vector_store_id, organization_id, project_id, digest, chunking, first_number, chunks, words, pages,
        size_bytes
    )
    select md5(d.id::text || %(copy)s)::uuid, d.vector_store_id, d.organization_id, d.project_id,
        sha256(d.digest || %(copy)s::text::bytea), d.chunking, d.first_number + %(shift)s, d.chunks, d.words, d.pages,
        d.size_bytes
    from ali.store_document d where d.vector_store_id = %(store)s and d.first_number < %(chunks)s
    """,
    """
    insert into ali.file (id, organization_id, project_id, purpose, name, object_name, state)
    select md5(f.file_id::text || %(copy)s)::uuid, x.organization_id, x.project_id, x.purpose, x.name,
        x.object_name || %(copy)s, x.state
    from ali.store_file f join ali.file x on x.id = f.file_id join ali.store_document d on d.id = f.document_id
    where f.vector_store_id = %(store)s and d.first_number < %(chunks)s
    """,
    """
    insert into ali.store_file (
        id, vector_store_id, file_id, organization_id, project_id, document_id, attributes, chunking, status
    )
    select md5(f.file_id::text || %(copy)s)::uuid, f.vector_store_id, md5(f.file_id::text || %(copy)s)::uuid,
        f.organization_id, f.project_id, md5(d.id::text || %(copy)s)::uuid,
        f.attributes || jsonb_build_object('number', (f.attributes ->> 'number')::integer + d.chunks * %(copy)s),
        f.chunking, f.status
    from ali.store_file f join ali.store_document d on d.id = f.document_id
    where f.vector_store_id = %(store)s and d.first_number < %(chunks)s
    """,
    """
    insert into ali.store_chunk (
        vector_store_id, number, organization_id, project_id, document_id, position, text, place, words, signature
    )
    select c.vector_store_id, c.number + %(shift)s, c.organization_id, c.project_id,
        md5(c.document_id::text || %(copy)s)::uuid, c.position, c.text, c.place, c.words, c.signature
    from ali.store_chunk c where c.vector_store_id = %(store)s and c.number < %(chunks)s
    """,
    """
    with copied as (
        insert into ali.segment (vector_store_id, organization_id, project_id, first_number, end_number)
        select i.vector_store_id, i.organization_id, i.project_id, i.first_number + %(shift)s, i.end_number + %(shift)s
        from ali.segment i where i.vector_store_id = %(store)s and i.first_number < %(chunks)s
        returning id, first_number
    )
    insert into ali.posting (segment_id, term, organization_id, project_id, chunks, numbers, weights)
    select n.id, p.term, p.organization_id, p.project_id, p.chunks,
        (select array_agg(number + %(shift)s order by number) from unnest(p.numbers) number), p.weights
    from copied n
    join ali.segment i on i.vector_store_id = %(store)s and i.first_number = n.first_number - %(shift)s
    join ali.posting p on p.segment_id = i.id
    """,
    """
    update ali.vector_store v
    set chunks = v.chunks + d.chunks, words = v.words + d.words, next_number = v.next_number + %(chunks)s,
        merge_due = true
    from (
        select sum(o.chunks) as chunks, sum(o.words) as words from ali.store_document o
        where o.vector_store_id = %(store)s and o.first_number < %(chunks)s
    ) d
    where v.id = %(store)s
    """,
)


def copy(dsn: str, store: Store, *, chunks: int, copies: int) -> None:
    """Have the store's `chunks` chunks, which are all it has, `copies` times more. `dsn`: the schema's owner's."""
    for number in range(1, copies + 1):
        values = {"store": store.id, "copy": number, "chunks": chunks, "shift": number * chunks}
        with psycopg.connect(dsn) as owner:
            for statement in _COPY:
                owner.execute(statement, values)
