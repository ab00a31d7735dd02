"""The texts of the chunks that a search chose, and the files that they are of."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from psycopg import sql

from ali.features.knowledge.chunk import Found
from ali.features.knowledge.filters import Filter
from ali.features.knowledge.index import read_chunk
from ali.features.knowledge.retrieval.fusion import Hit
from ali.features.knowledge.retrieval.scope import LIVING, admitted

# A chunk all of whose files went a moment ago gives way to the next, so more are asked for than wanted. Texts are read
# of those alone that are given out: before, they are pointers.
_PASSAGES: Final = sql.SQL("""
select h.place, f.file_id, f.name, f.attributes, c.position, c.text, c.place
from unnest(%s::uuid[], %s::integer[]) with ordinality as h (store, number, place)
join ali.store_chunk c on c.vector_store_id = h.store and c.number = h.number
cross join lateral (
    select f.file_id, x.name, f.attributes from ali.store_file f join ali.file x on x.id = f.file_id
    where f.document_id = c.document_id and f.status = 'completed' and {living} and {admitted}
    order by f.id limit 1
) f
order by h.place limit %s
""")


def passages_statement(hits: Sequence[Hit], filters: Filter | None, *, limit: int) -> tuple[sql.Composed, list[Any]]:
    """A statement that reads the first `limit` of `hits`, and the values of its placeholders.

    Where several files have the same content, it names the one that came first of those that `filters` admit.
    """
    condition, values = admitted(filters)
    return _PASSAGES.format(living=LIVING, admitted=condition), [
        [hit.store for hit in hits],
        [hit.number for hit in hits],
        *values,
        limit,
    ]


def read_passages(rows: Iterable[Sequence[Any]], hits: Sequence[Hit]) -> list[Found]:
    """What the statement gave of `hits`."""
    return [
        Found(
            vector_store_id=hit.store,
            file_id=file_id,
            filename=name.decode(),
            attributes=attributes,
            number=hit.number,
            position=position,
            chunk=read_chunk(text=text, place=place),
            score=hit.score,
            scores=hit.scores,
        )
        for at, file_id, name, attributes, position, text, place in rows
        for hit in (hits[at - 1],)
    ]
