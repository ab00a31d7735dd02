"""Which chunks a search may find, as SQL: those of files that are there, and that a filter admits.

Chunks are stretches of numbers, a document's one after the other, so all that may be found, or must not be, is a
multirange for each store. It goes into finding candidates, so that a filter never makes results short.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from psycopg import sql

from ali.features.knowledge.filters import Filter, condition_of

# As `features.files.queries` has it.
LIVING: Final = sql.SQL("(x.state = 'ready' and (x.expires_at is null or x.expires_at > now() or x.holds > 0))")
"""Whether `ali.file x` is there."""

_ATTRIBUTES: Final = sql.SQL("f.attributes")

# Without a filter, what may not be found is little, and `allowed` is null: everything else.
_OPEN: Final = sql.SQL("""
scope as materialized (
    select array_agg(s.id order by s.place) as stores,
        array_agg(null::int4multirange order by s.place) as allowed,
        array_agg((
            select coalesce(range_agg(int4range(d.first_number, d.first_number + d.chunks)), '{{}}')
            from ali.store_document d
            where d.vector_store_id = s.id and (
                d.state = 'left' or d.id in (
                    select f.document_id from ali.file x join ali.store_file f on f.file_id = x.id
                    where (x.state <> 'ready' or x.expires_at <= now()) and f.vector_store_id = s.id
                ) and not exists (
                    select from ali.store_file f join ali.file x on x.id = f.file_id
                    where f.document_id = d.id and f.status = 'completed' and {living}
                )
            )
        ) order by s.place) as barred
    from unnest(%s::uuid[]) with ordinality as s (id, place)
)""")
_FILTERED: Final = sql.SQL("""
scope as materialized (
    select array_agg(s.id order by s.place) as stores,
        array_agg((
            select coalesce(range_agg(int4range(d.first_number, d.first_number + d.chunks)), '{{}}')
            from ali.store_file f
            join ali.file x on x.id = f.file_id
            join ali.store_document d on d.id = f.document_id
            where f.vector_store_id = s.id and f.status = 'completed' and {living} and {admitted}
        ) order by s.place) as allowed,
        array_agg(null::int4multirange order by s.place) as barred
    from unnest(%s::uuid[]) with ordinality as s (id, place)
)""")


def admitted(filters: Filter | None) -> tuple[sql.Composable, tuple[object, ...]]:
    """Whether `filters` admit `ali.store_file f`, as a condition and the values of its placeholders."""
    if filters is None:
        return sql.SQL("true"), ()
    condition = condition_of(filters, attributes=_ATTRIBUTES)
    return condition.statement, condition.values


def scope(stores: Sequence[UUID], filters: Filter | None) -> tuple[sql.Composed, list[Any]]:
    """The `with` entry `scope (stores uuid[], allowed int4multirange[], barred int4multirange[])`, of one row.

    `allowed`, by store: the chunks that may be found, null for all; `barred` those that may not. Cost: a few
    microseconds for each file of the stores where there are filters.
    """
    if filters is None:
        return _OPEN.format(living=LIVING), [list(stores)]
    condition, values = admitted(filters)
    return _FILTERED.format(living=LIVING, admitted=condition), [*values, list(stores)]
