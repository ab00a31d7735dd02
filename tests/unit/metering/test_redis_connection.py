"""One connection to Redis carries many commands at once, answers each, and is given up when it falls silent."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis as redis_py
import uvloop

from ali.features.metering.limiting.redis_connection import RedisConnection, RedisRefused
from ali.features.metering.limiting.shared import StoreFailed
from tests.fixtures.redis_server import RedisServer

Run = Callable[[Coroutine[Any, Any, None]], None]

on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@on_both_loops
def test_commands_in_flight_share_one_connection_and_get_each_its_own_answer(
    redis_server: RedisServer, run: Run
) -> None:
    async def talk() -> None:
        connection = await RedisConnection.connect(redis_server.url, silence_s=10)
        answers = await asyncio.gather(*(connection.call("ECHO", f"{number}") for number in range(500)))
        assert answers == [f"{number}".encode() for number in range(500)]
        assert (await connection.call("INFO", "clients")).count(b"connected_clients:1\r\n") == 1
        connection.close()

    run(talk())


async def test_a_refusal_fails_its_own_command_alone(shared_redis: RedisServer) -> None:
    connection = await RedisConnection.connect(shared_redis.url, silence_s=10)
    answers = await asyncio.gather(
        connection.call("ECHO", "a"), connection.call("NOSUCH"), connection.call("ECHO", "b"), return_exceptions=True
    )
    assert (answers[0], answers[2]) == (b"a", b"b")
    assert isinstance(answers[1], RedisRefused)
    connection.close()


async def test_a_caller_who_stops_waiting_leaves_the_others_their_answers(shared_redis: RedisServer) -> None:
    connection = await RedisConnection.connect(shared_redis.url, silence_s=10)
    abandoned = connection.call("ECHO", "a")
    kept = connection.call("ECHO", "b")
    abandoned.cancel()
    assert await kept == b"b"
    connection.close()


@on_both_loops
def test_silence_fails_everybody_who_waits_and_the_connection(redis_server: RedisServer, run: Run) -> None:
    async def talk() -> None:
        connection = await RedisConnection.connect(redis_server.url, silence_s=0.1)
        redis_server.freeze()
        waiting = [connection.call("PING") for _ in range(3)]
        failures = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        assert [str(failure) for failure in failures] == ["silent"] * 3
        assert not connection.alive
        with pytest.raises(StoreFailed, match="closed"):
            connection.call("PING")

    try:
        run(talk())
    finally:
        redis_server.thaw()


async def test_the_urls_password_and_database_are_used(redis_server: RedisServer) -> None:
    with redis_py.Redis.from_url(redis_server.url) as admin:
        admin.config_set("requirepass", "a-password")
    with pytest.raises(StoreFailed):
        await RedisConnection.connect(f"{redis_server.url}?password=wrong", silence_s=10)
    connection = await RedisConnection.connect(f"{redis_server.url}?password=a-password&db=3", silence_s=10)
    assert b"db=3" in await connection.call("CLIENT", "INFO")
    connection.close()


async def test_a_server_that_is_not_there_is_a_failed_store() -> None:
    with pytest.raises(StoreFailed, match="ConnectionRefusedError"):
        await RedisConnection.connect("redis://127.0.0.1:1/0", silence_s=1)
