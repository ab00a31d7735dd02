"""Faults for the guards to catch, and innocent tests for them to leave alone. Run by `test_guards`, never by itself.

Each `test_` named in `test_guards.CAUGHT` must fail; every other must pass.
"""

import asyncio
import contextlib
import gc
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
import uvloop

from tests.fixtures.guards import SOURCE
from tests.fixtures.loopback import BeyondLoopback

DSN = "postgresql://ali@192.0.2.1:9/ali?connect_timeout=2"


def ours(code: str) -> dict[str, Any]:
    """The names that `code` defines, as if it stood in a module of the product."""
    names: dict[str, Any] = {"__name__": "ali.seeded"}
    exec(compile(code, str(SOURCE / "seeded.py"), "exec"), names)  # noqa: S102 - the literals below
    return names


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def close_next(server: socket.socket) -> None:
    server.accept()[0].close()


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


# Leaving the machine


def test_ipv4_connection() -> None:
    with socket.socket() as sock:
        sock.connect(("192.0.2.1", 9))


def test_ipv6_connection() -> None:
    with socket.socket(socket.AF_INET6) as sock:
        sock.connect(("2001:db8::1", 9))


def test_mapped_address() -> None:
    with socket.socket(socket.AF_INET6) as sock:
        sock.connect(("::ffff:192.0.2.1", 9))


def test_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", ("192.0.2.1", 9))


def test_name_lookup() -> None:
    socket.create_connection(("provider.example", 443), timeout=1)


def test_swallowed_attempt() -> None:
    with contextlib.suppress(BeyondLoopback), socket.socket() as sock:
        sock.connect(("192.0.2.1", 9))


async def test_aiohttp_by_name() -> None:
    async with aiohttp.ClientSession() as session:
        await session.get("http://provider.example/")


def test_uvloop_by_address() -> None:
    async def connect() -> None:
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, "192.0.2.1", 9)

    uvloop.run(connect())


def test_uvloop_by_name() -> None:
    async def connect() -> None:
        await asyncio.get_running_loop().getaddrinfo("provider.example", 443)

    uvloop.run(connect())


def test_psycopg_by_address() -> None:
    psycopg.connect(DSN)


async def test_psycopg_async_by_address() -> None:
    await psycopg.AsyncConnection.connect(DSN)


def test_unix_sockets_and_loopback(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()
        uvloop.run(_connect_and_close(server.getsockname()[1]))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"host={tmp_path} dbname=ali")


async def _connect_and_close(port: int) -> None:
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
    transport.close()
    await asyncio.sleep(0.01)


# Blocking the event loop


async def test_sleep_in_a_coroutine() -> None:
    time.sleep(0.5)  # noqa: ASYNC251 - the fault


def test_sleep_on_a_loop_in_another_thread() -> None:
    async def block() -> None:
        time.sleep(0.5)  # noqa: ASYNC251 - the fault

    thread = threading.Thread(target=lambda: asyncio.run(block()))
    thread.start()
    thread.join()


async def test_synchronous_connect_in_a_coroutine() -> None:
    """A server that takes the connection and says nothing, as one that is overloaded does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        closer = threading.Timer(0.7, close_next, args=(server,))
        closer.start()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"host=127.0.0.1 port={server.getsockname()[1]}")
        closer.join()


async def test_computing_in_our_code() -> None:
    ours("def count(burn):\n    burn(0.5)\n")["count"](burn)


async def test_awaited_sleep() -> None:
    await asyncio.sleep(0.5)


async def test_sleep_in_a_worker_thread() -> None:
    await asyncio.to_thread(time.sleep, 0.5)


async def test_computing_in_a_test() -> None:
    burn(0.5)


async def test_many_short_blocks() -> None:
    for _ in range(8):
        time.sleep(0.06)  # noqa: ASYNC251 - within the limit
        await asyncio.sleep(0)


async def test_a_stopped_process() -> None:
    """As a machine that is suspended, or a container out of its CPU quota."""
    me = os.getpid()
    with subprocess.Popen(["/bin/sh", "-c", f"sleep 0.1; kill -STOP {me}; sleep 0.6; kill -CONT {me}"]):  # noqa: S603, ASYNC220 - literals; it must not wait
        ours("def count(burn):\n    burn(0.2)\n")["count"](burn)
        await asyncio.sleep(0.8)


async def test_threads_that_hold_the_interpreter() -> None:
    """A callback that often lets the interpreter go, and must queue for it behind computing threads each time."""
    threads = [threading.Thread(target=burn, args=(0.6,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    left, right = socket.socketpair()
    with left, right:
        for _ in range(80):
            left.send(b".")
    await asyncio.to_thread(join, threads)


@pytest.mark.blocks_loop("to show that it may")
async def test_a_declared_block() -> None:
    time.sleep(0.5)  # noqa: ASYNC251 - declared


# Leaving something behind


async def test_task_without_an_owner() -> None:
    watch: Callable[[], Coroutine[Any, Any, None]] = ours(
        "import asyncio\nasync def watch():\n    await asyncio.sleep(60)\n"
    )["watch"]
    held.append(asyncio.create_task(watch()))
    await asyncio.sleep(0)


held: list[object] = []


def test_thread_without_an_owner() -> None:
    threading.Thread(target=ours("import time\ndef wait():\n    time.sleep(4)\n")["wait"], daemon=True).start()


@pytest.fixture(scope="module")
def pump() -> Iterator[threading.Thread]:
    stop = threading.Event()
    thread = threading.Thread(target=ours("def pump(stop):\n    stop.wait()\n")["pump"], args=(stop,))
    thread.start()
    yield thread
    stop.set()
    thread.join()


def test_a_shared_thread(pump: threading.Thread) -> None:
    assert pump.is_alive()


async def test_unawaited_coroutine() -> None:
    asyncio.sleep(0)  # type: ignore[unused-coroutine]  # the fault
    gc.collect()


def test_unclosed_socket() -> None:
    socket.socket()
    gc.collect()
