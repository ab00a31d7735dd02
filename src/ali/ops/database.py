"""The installation's database, embedded or not: is it up, is its schema right, and making it so."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from ali.kernel.errors import Unavailable
from ali.kernel.settings import Settings
from ali.migrations import HEAD, UNBOUND_ROLE, known_revisions
from ali.ops import embedded

if TYPE_CHECKING:
    from sqlalchemy import Connection

OLDEST_SERVER = 160000
"""PostgreSQL 16, as `server_version_num` has it."""

_MIGRATION_LOCK = 0x616C69_0001
"""Of PostgreSQL's one space of advisory locks: "ali", and a number."""
_LOCK_TRIES = 6
_CONNECT_TIMEOUT_S = 5
_START_TIMEOUT_S = 15.0
_TICK_S = 0.1

Report = Callable[[str], None]


class DatabaseUnreachable(Unavailable):
    """The database server does not answer, or refuses us."""

    code = "database_unreachable"


class DatabaseUnsuitable(Unavailable):
    """The server is too old, or the role may not do what is needed."""

    code = "database_unsuitable"


class SchemaNewer(Unavailable):
    """The schema was made by a newer release than this one."""

    code = "schema_newer"


class SchemaBehind(Unavailable):
    """The schema lacks migrations that this release needs."""

    code = "schema_behind"


class MigrationFailed(Unavailable):
    """A migration did not pass; the ones before it stay applied."""

    code = "migration_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A database as it was found. `revision`: of its schema, None where there is none."""

    server_version: str
    revision: str | None
    head: str
    size_bytes: int
    tables: int

    @property
    def current(self) -> bool:
        """Whether the schema is the one that this release needs."""
        return self.revision == self.head


@contextmanager
def reached(settings: Settings, *, report: Report) -> Iterator[str]:
    """The connection string of the installation's database, which is up within the `with` block.

    For commands: an embedded server that nobody runs is started, and stopped at the end. Raises `DatabaseUnreachable`
    or a leaf of `EmbeddedPostgresFailed`.
    """
    if not settings.embedded:
        yield settings.database_dsn()
        return
    try:
        server = embedded.start(settings.home, report=report)
    except embedded.HomeInUse:
        try:
            dsn = settings.database_dsn()
        except FileNotFoundError as error:
            raise DatabaseUnreachable(
                "The embedded database is being made by another process. Try again in a moment."
            ) from error
        wait_until_up(dsn, timeout_s=_START_TIMEOUT_S, report=report)
        yield dsn
    else:
        with server:
            yield server.dsn


def wait_until_up(dsn: str, *, timeout_s: float, report: Report) -> None:
    """Return once a connection succeeds. Raises `DatabaseUnreachable` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    told = False
    while True:
        try:
            connect(dsn).close()
        except DatabaseUnreachable:
            if time.monotonic() > deadline:
                raise
            if not told:
                report("Waiting for the database")
                told = True
            time.sleep(_TICK_S)
        else:
            return


def status(dsn: str) -> Status:
    """Ask a database for its versions and size. Raises `DatabaseUnreachable`."""
    with connect(dsn) as connection:
        row = connection.execute(
            "select current_setting('server_version'), pg_database_size(current_database()),"
            " (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'ali' and c.relkind in ('r', 'p') and not c.relispartition)"
        ).fetchone()
        if row is None:
            raise DatabaseUnreachable("The database answered with nothing.")
        return Status(
            server_version=row[0], revision=_revision(connection), head=HEAD, size_bytes=row[1], tables=row[2]
        )


def extension_version(dsn: str, name: str) -> str | None:
    """The version of an extension that the database has; None where it has none. Raises `DatabaseUnreachable`."""
    with connect(dsn) as connection:
        row = connection.execute("select extversion from pg_extension where extname = %s", (name,)).fetchone()
    return str(row[0]) if row else None


def require_current(dsn: str) -> None:
    """Raises `SchemaBehind` or `SchemaNewer` unless the schema is the one that this release needs."""
    with connect(dsn) as connection:
        revision = _revision(connection)
    _refuse_unknown(revision)
    if revision != HEAD:
        raise SchemaBehind(
            f"The database's schema is at {revision or 'nothing'}, and this release needs {HEAD}. "
            "Run `ali database migrate`."
        )


def migrate(dsn: str, *, report: Report) -> None:
    """Bring the schema to what this release needs; one process at a time, the others wait and find it done.

    Costs two queries where nothing is to be done. Raises `SchemaNewer`, `DatabaseUnreachable`, `DatabaseUnsuitable` or
    `MigrationFailed`.
    """
    with connect(dsn) as connection:
        if connection.info.server_version < OLDEST_SERVER:
            raise DatabaseUnsuitable(
                f"The database server is PostgreSQL {connection.info.server_version // 10000}; 16 or newer is needed."
            )
        revision = _revision(connection)
        if revision == HEAD:
            return
        _refuse_unknown(revision)
        # In a transaction, and not in a session: behind a pooler in transaction mode only the former is ours alone.
        with connection.transaction():
            connection.execute("set local idle_in_transaction_session_timeout = 0")
            taken = connection.execute("select pg_try_advisory_xact_lock(%s)", (_MIGRATION_LOCK,)).fetchone()
            if not (taken and taken[0]):
                report("Waiting for another process that is migrating the database")
                connection.execute("select pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
            if _revision(connection) == HEAD:
                return
            report(f"Migrating the database from {revision or 'nothing'} to {HEAD}")
            _upgrade(dsn, report=report)


def _upgrade(dsn: str, *, report: Report) -> None:
    # Imported here: 0.4 s that only a start with something to migrate has to spend.
    import sqlalchemy as sa  # noqa: PLC0415 - see above

    from ali.kernel.db import sqlalchemy_url  # noqa: PLC0415 - see above

    engine = sa.create_engine(
        sqlalchemy_url(dsn), poolclass=sa.NullPool, connect_args={"prepare_threshold": None, "connect_timeout": 5}
    )

    @sa.event.listens_for(engine, "begin")
    def _bound_locks(connection: "Connection") -> None:
        """A migration that waits for a lock makes everybody behind it wait too."""
        connection.exec_driver_sql("set local lock_timeout = '5s'")

    for attempt in range(1, _LOCK_TRIES + 1):
        try:
            with engine.connect() as connection:
                _apply(connection)
        except sa.exc.DBAPIError as error:
            if isinstance(error.orig, errors.LockNotAvailable) and attempt < _LOCK_TRIES:
                report("A migration waited too long for a lock; trying again")
                time.sleep(attempt)
                continue
            raise _explained(error) from error
        else:
            return


def _apply(connection: "Connection") -> None:
    from alembic import command  # noqa: PLC0415 - as above
    from alembic.config import Config  # noqa: PLC0415 - as above

    _ensure_service_role(connection)
    # `if not exists` would ask for the right to create schemas even where there is nothing to create.
    if not connection.exec_driver_sql("select to_regnamespace('ali')").scalar():
        connection.exec_driver_sql("create schema ali")
    connection.commit()
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "ali:migrations")
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")


def _ensure_service_role(connection: "Connection") -> None:
    """The role that the revisions grant the service's rights to: made where it is not there and this login may."""
    if connection.exec_driver_sql("select 1 from pg_roles where rolname = 'ali_service'").scalar() is None:
        # Another database of the same server may be migrated at the same moment: roles are the server's.
        connection.exec_driver_sql(
            "do $$ begin create role ali_service nologin;"
            " exception when duplicate_object or unique_violation then null; end $$"
        )
        connection.exec_driver_sql("grant ali_service to current_user")
    connection.commit()


def require_bound_role(dsn: str) -> None:
    """Raises `DatabaseUnsuitable` unless row-level security binds the role that serves traffic, `dsn`'s."""
    with connect(dsn) as connection:
        row = connection.execute(UNBOUND_ROLE).fetchone()
    if row is not None and row[0]:
        raise DatabaseUnsuitable(
            "DATABASE_URL's role is a superuser, bypasses row-level security or owns the tables, so the database would "
            "not keep tenants apart. Give the service a login of its own (`create role NAME login password '…' in role "
            "ali_service`), set DATABASE_URL to it, and ALI_DATABASE_OWNER_URL to the present URL."
        )


def _explained(error: Exception) -> MigrationFailed | DatabaseUnsuitable:
    cause = getattr(error, "orig", error)
    if isinstance(cause, psycopg.Error) and 'extension "vector"' in (cause.diag.message_primary or ""):
        return DatabaseUnsuitable(
            f"The database lacks pgvector: {cause.diag.message_primary}. As an administrator of this database run "
            "`create extension vector` (the server must offer it: version 0.8 or newer), then migrate again."
        )
    if isinstance(cause, errors.InsufficientPrivilege):
        return DatabaseUnsuitable(
            f"The database role may not change the schema: {cause.diag.message_primary}. Grant it CREATE on the "
            "database (or make the schema ali its own) and, as an administrator, `create role ali_service nologin; "
            "grant ali_service to …` this role; or run `ali database migrate` with a role that may."
        )
    if isinstance(cause, errors.LockNotAvailable):
        return MigrationFailed(
            f"A migration waited {_LOCK_TRIES} times 5 s for a lock that another session holds. End "
            "long transactions on the database (see pg_stat_activity), and start again."
        )
    diagnosis = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return MigrationFailed(
        f"A migration failed, and nothing of it remains: {diagnosis or type(cause).__name__}. Mend the cause, and run "
        "`ali database migrate`."
    )


def connect(dsn: str) -> psycopg.Connection:
    """A connection in autocommit, fit for a pooler in transaction mode. Raises `DatabaseUnreachable`."""
    try:
        return psycopg.connect(
            dsn, autocommit=True, prepare_threshold=None, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ali"
        )
    except psycopg.OperationalError as error:
        words = str(error).strip().splitlines()[-1]
        raise DatabaseUnreachable(
            f"The database cannot be reached: {words} Check DATABASE_URL and that the server runs."
        ) from error


def _revision(connection: psycopg.Connection) -> str | None:
    """The schema's revision; None where there is no schema of ours."""
    # Asked first, for an error would end the transaction and with it the migration lock. Not by to_regclass: it answers
    # from a cache that may not have heard, within one transaction, of what another process has just made.
    exists = connection.execute(
        "select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'ali' and c.relname = 'alembic_version'"
    ).fetchone()
    if exists is None:
        return None
    row = connection.execute("select version_num from ali.alembic_version").fetchone()
    return str(row[0]) if row else None


def _refuse_unknown(revision: str | None) -> None:
    if revision is not None and revision not in known_revisions():
        raise SchemaNewer(
            f"The database's schema ({revision}) is newer than this release, which knows up to {HEAD}. Start the "
            "release that made it, or a newer one; to stay with this release, restore a backup from before the upgrade."
        )
