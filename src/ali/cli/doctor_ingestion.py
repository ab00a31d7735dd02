"""What `ali doctor` finds about files of vector stores: whether somebody reads them, and clears away what is left."""

from collections.abc import Iterator
from typing import Final

from psycopg import errors

from ali.kernel.checks import CheckResult, passed, warned
from ali.kernel.settings import Settings
from ali.ops import database

_LONG_WAIT_MINUTES: Final = 15
_HINT: Final = (
    "Reading is background work: run a process with ALI_BACKGROUND=here, or `ali worker`. Where one runs, its log says "
    "why files are paused (`store_file.paused`), or more of it is needed (ALI_READINGS_AT_ONCE, further workers)."
)
_STATE: Final = """
select
    count(*),
    count(*) filter (where instance_id is null and created_at < now() - make_interval(mins => %(minutes)s)),
    (select count(*) from ali.vector_store s where s.state in ('expiring', 'gone')),
    (
        select count(*) from ali.vector_store s
        where s.state = 'ready' and s.expires_at < now() - make_interval(mins => %(minutes)s)
    )
from ali.store_file where status = 'in_progress'
"""


def ingestion(settings: Settings) -> Iterator[CheckResult]:
    """Files that wait for long, and stores that are long since to be cleared away."""
    name = "files of vector stores"
    try:
        with database.connect(settings.database_dsn()) as connection:
            row = connection.execute(_STATE, {"minutes": _LONG_WAIT_MINUTES}).fetchone()
    except (FileNotFoundError, database.DatabaseUnreachable, errors.UndefinedTable, errors.InvalidSchemaName):
        return  # the check of the database says it
    unfinished, waiting, leaving, overdue = row or (0, 0, 0, 0)
    if waiting:
        yield warned(name, f"{waiting} have waited for more than {_LONG_WAIT_MINUTES} minutes to be read", hint=_HINT)
    if overdue:
        yield warned(name, f"{overdue} stores have expired and are not cleared away", hint=_HINT)
    if not waiting and not overdue:
        yield passed(name, f"{unfinished} being read or about to be; {leaving} stores being cleared away")
