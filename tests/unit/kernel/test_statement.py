"""The hot path's own way to run a statement, planned each time or once, does what psycopg's cursor would."""

import asyncio

import orjson
import psycopg
import pytest

from ali.kernel.statement import StatementConnection

_CREATE = "create table notes.note (id int primary key, text text)"
_INSERT = b"insert into notes.note select id, text from jsonb_to_recordset($1::jsonb) as n(id int, text text)"

both_ways = pytest.mark.parametrize("prepares", [False, True])


def batch(*ids: int, text: str = "x") -> bytes:
    return orjson.dumps([{"id": number, "text": text} for number in ids])


def count(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select count(*) from notes.note").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def notes_dsn(database_dsn: str) -> str:
    with psycopg.connect(database_dsn) as connection:
        connection.execute("create schema if not exists notes")
        connection.execute(_CREATE)
    return database_dsn


@both_ways
async def test_each_execution_is_committed_when_it_returns(notes_dsn: str, *, prepares: bool) -> None:
    connection = await StatementConnection.connect(notes_dsn, prepares=prepares)
    for number in range(3):
        await connection.execute(_INSERT, batch(number))
        assert await asyncio.to_thread(count, notes_dsn) == number + 1
    await connection.close()


@both_ways
async def test_a_batch_larger_than_the_sockets_buffer_arrives_whole(notes_dsn: str, *, prepares: bool) -> None:
    connection = await StatementConnection.connect(notes_dsn, prepares=prepares)
    await connection.execute(_INSERT, batch(*range(2000), text="y" * 5000))
    assert await asyncio.to_thread(count, notes_dsn) == 2000
    await connection.close()


@both_ways
async def test_the_servers_refusal_is_psycopgs_error_and_the_connection_serves_on(
    notes_dsn: str, *, prepares: bool
) -> None:
    connection = await StatementConnection.connect(notes_dsn, prepares=prepares)
    await connection.execute(_INSERT, batch(1))
    with pytest.raises(psycopg.IntegrityError):
        await connection.execute(_INSERT, batch(1))
    with pytest.raises(psycopg.DataError):
        await connection.execute(_INSERT, b'[{"id": 2, "text": "\\u0000"}]')
    await connection.execute(_INSERT, batch(3))
    assert await asyncio.to_thread(count, notes_dsn) == 2
    await connection.close()


async def test_a_server_that_goes_away_is_an_error_not_a_hang(notes_dsn: str) -> None:
    connection = await StatementConnection.connect(notes_dsn, prepares=True)
    await connection.execute(_INSERT, batch(1))
    with psycopg.connect(notes_dsn, autocommit=True) as other:
        other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    async with asyncio.timeout(5):
        with pytest.raises(psycopg.Error):
            await connection.execute(_INSERT, batch(2))
    await connection.close()
