"""What `ali doctor` finds about the index of vector stores: whether its merges keep up."""

from collections.abc import Iterator
from typing import Final

from psycopg import errors

from ali.kernel.checks import CheckResult, passed, warned
from ali.kernel.settings import Settings
from ali.ops import database

MOST_SEGMENTS: Final = 100
"""Of a store; merges leave a few dozen, and more make each search in it slower."""
_HINT: Final = (
    "Merges are background work: run a process with ALI_BACKGROUND=here, or `ali worker`. Where one runs, its log"
    " says `index.merge_failed` with the reason."
)
_STATE: Final = """
select
    (select count(*) from ali.vector_store),
    (
        select count(*) from (
            select from ali.segment s group by s.vector_store_id having count(*) > %s
        ) many
    ),
    (
        select count(*) from ali.store_document d
        where d.state = 'gone' and d.chunks > 0 and d.gone_at < now() - interval '3 days'
    )
"""


def search_index(settings: Settings) -> Iterator[CheckResult]:
    """Stores whose index is in too many parts, and deleted documents whose terms are in it still."""
    name = "search index"
    try:
        with database.connect(settings.database_dsn()) as connection:
            row = connection.execute(_STATE, (MOST_SEGMENTS,)).fetchone()
    except (FileNotFoundError, database.DatabaseUnreachable, errors.UndefinedTable, errors.InvalidSchemaName):
        return  # the check of the database says it
    stores, scattered, lingering = row or (0, 0, 0)
    if scattered:
        yield warned(name, f"{scattered} of {stores} stores are in more than {MOST_SEGMENTS} parts", hint=_HINT)
    if lingering:
        yield warned(name, f"terms of {lingering} documents are there 3 days after their deletion", hint=_HINT)
    if not scattered and not lingering:
        yield passed(name, f"of {stores} stores, merged as it should be")
