"""PostgreSQL: the pool of the hot path, the engine of everything else, and the declarative base of all models.

Two doors to one database. Ordinary routes use SQLAlchemy; the hot path's few statements go straight to psycopg, whose
cost a statement is about a third (measured), with one round trip each in autocommit.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import MetaData, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from ali.kernel.errors import Unprocessable

SCHEMA = "ali"

CONNECTION: Final[dict[str, Any]] = {"autocommit": True, "prepare_threshold": None, "connect_timeout": 5}
"""How the hot path connects: each statement its own transaction; nothing prepared, since a pooler may stand between."""

Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]


class Base(DeclarativeBase):
    """Base of all tables; names of constraints follow one rule, so that migrations can name them."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        },
    )


def sqlalchemy_url(dsn: str) -> str:
    """A libpq URL as SQLAlchemy's for psycopg 3."""
    for scheme in ("postgresql://", "postgres://"):
        if dsn.startswith(scheme):
            return "postgresql+psycopg://" + dsn.removeprefix(scheme)
    return dsn


def make_engine(dsn: str, *, size: int) -> AsyncEngine:
    """The engine for ordinary requests; connects when first used.

    Prepared statements are off: a pooler in transaction mode may stand before the server.
    """

    async def connect() -> AsyncConnection[TupleRow]:
        return await AsyncConnection.connect(dsn, prepare_threshold=None, connect_timeout=5)

    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        pool_size=size,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
    )


ENTER_TENANT: Final = (
    "select set_config('ali.organization', :organization, true), set_config('ali.project', :project, true)"
)


async def enter_tenant(session: AsyncSession, *, organization_id: UUID, project_id: UUID | None) -> None:
    """From here to the end of its transaction, `session` sees and changes rows of this tenant alone.

    `project_id` None: of the whole organization. One round trip. Row-level security does the rest (ADR 9).
    """
    await session.execute(
        text(ENTER_TENANT),
        {"organization": str(organization_id), "project": "*" if project_id is None else str(project_id)},
    )


async def enter_project(connection: AsyncConnection[TupleRow], *, organization_id: UUID, project_id: UUID) -> None:
    """As `enter_tenant`, for a project and a connection of the pool, within a transaction. One round trip."""
    await connection.execute(
        "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true)",
        (str(organization_id), str(project_id)),
    )


READ_LIMIT_S: Final = 10
"""How long a statement may take whose work depends on what a caller asks for."""


class QueryTooBroad(Unprocessable):
    """422: what was asked for takes too long to read."""

    code = "query_too_broad"


@asynccontextmanager
async def time_limited(session: AsyncSession) -> AsyncIterator[None]:
    """Statements within the block end after `READ_LIMIT_S`. Raises `QueryTooBroad`, after which nothing is left to do.

    One round trip more. The limit stays in force to the transaction's end.
    """
    await session.execute(text("select set_config('statement_timeout', :limit, true)"), {"limit": f"{READ_LIMIT_S}s"})
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.orig, QueryCanceled):
            raise
        raise QueryTooBroad("This takes too long to read. Ask for a shorter time, or for one project.") from error


def make_pool(dsn: str, *, size: int) -> Pool:
    """The hot path's pool, not opened yet: autocommit, waiting at most 5 s for a connection."""
    return AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=size,
        open=False,
        timeout=5,
        kwargs={**CONNECTION, "row_factory": tuple_row},
        connection_class=AsyncConnection[TupleRow],
    )
