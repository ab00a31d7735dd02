"""The HTTP client reads the same answer however it is cut, keeps good connections and no others."""

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.providers.connection import Connection, ConnectionBroken, NotHttp
from ali.providers.contract import Deadlines, Dialect, UpstreamCall, UpstreamMalformed
from ali.providers.http import HttpUpstream

_REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
_CALL = UpstreamCall(path="/x", body=b"{}")
_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
_INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _LENGTH
_UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nhello"

Writer = asyncio.StreamWriter
Answer = Callable[[asyncio.StreamReader, Writer], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    running: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await answer(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*running), 5)


async def read_all(connection: Connection) -> bytes:
    body = b""
    while chunk := await connection.read(by_s=math.inf):
        body += chunk
    return body


class _Wire(asyncio.Transport):
    """A transport that goes nowhere: the parser is under test, not the network."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Swallow it."""

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


@given(answer=st.sampled_from([_LENGTH, _CHUNKED, _INTERIM, _UNTIL_CLOSE]), places=st.lists(st.integers(min_value=0)))
def test_an_answer_is_the_same_wherever_it_is_cut(answer: bytes, places: list[int]) -> None:
    async def exchange() -> tuple[int, str, bytes, bool]:
        connection = Connection()
        connection.connection_made(_Wire())
        asking = asyncio.ensure_future(connection.exchange(_REQUEST, by_s=math.inf))
        await asyncio.sleep(0)
        edges = sorted({0, len(answer), *(place % (len(answer) + 1) for place in places)})
        for start, end in itertools.pairwise(edges):
            connection.data_received(answer[start:end])
        if answer is _UNTIL_CLOSE:
            connection.eof_received()
        headers = await asking
        return connection.status, headers["X-a"], await read_all(connection), connection.reusable

    status, header, body, reusable = asyncio.run(exchange())
    assert (status, header, body) == (200, "1", b"hello")
    assert reusable is (answer is not _UNTIL_CLOSE)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"", ConnectionBroken),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ConnectionBroken),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", ConnectionBroken),
        (b"SSH-2.0-OpenSSH\r\n", NotHttp),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", NotHttp),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"a" * 200_000, NotHttp),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NotHttp),
    ],
)
async def test_what_is_not_a_whole_answer_fails(answer: bytes, failure: type[Exception]) -> None:
    async def send(reader: asyncio.StreamReader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with serving(send) as port:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        with pytest.raises(failure):  # noqa: PT012 - head and body are one exchange
            await connection.exchange(_REQUEST, by_s=math.inf)
            await read_all(connection)
        connection.abort()


async def test_a_connection_is_used_again_after_a_whole_answer_only() -> None:
    connections = 0

    async def send(reader: asyncio.StreamReader, writer: Writer) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"{}"):
                writer.write(_LENGTH)

    async with serving(send) as port:
        upstream = HttpUpstream(name="x", dialect=Dialect.OPENAI, base_url=f"http://127.0.0.1:{port}", headers={})
        for _ in range(3):
            reply = await upstream.send(_CALL, Deadlines())
            assert await reply.read(limit_bytes=100) == b"hello"
            await reply.close()
        assert connections == 1
        reply = await upstream.send(_CALL, Deadlines())
        await reply.close()  # unread
        reply = await upstream.send(_CALL, Deadlines())
        await reply.read(limit_bytes=100)
        await reply.close()
        assert connections <= 2
        await upstream.close()


async def test_a_redirect_is_not_followed_so_no_key_leaves_for_elsewhere() -> None:
    async def send(reader: asyncio.StreamReader, writer: Writer) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")

    async with serving(send) as port:
        upstream = HttpUpstream(name="x", dialect=Dialect.OPENAI, base_url=f"http://127.0.0.1:{port}", headers={})
        with pytest.raises(UpstreamMalformed, match="redirect"):
            await upstream.send(_CALL, Deadlines())
        await upstream.close()


async def test_a_line_break_in_a_header_never_reaches_the_wire() -> None:
    upstream = HttpUpstream(name="x", dialect=Dialect.OPENAI, base_url="http://127.0.0.1:9", headers={"a": "b\r\nc: d"})
    with pytest.raises(ValueError, match="line break"):
        upstream._head(_CALL)
