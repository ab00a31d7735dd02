"""The head of an answer that names its length leaves with its body; everything else leaves when it is written."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, cast

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ali.cli.answer_writer import AnswerWriter

LENGTH = (b"content-length", b"5")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written, one entry for each packet."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.packets.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def answering(wire: Wire, *, method: str = "GET", expects: bool = False) -> RequestResponseCycle:
    scope: Any = {"type": "http", "method": method, "path": "/", "headers": []}
    cycle = RequestResponseCycle(
        scope=scope,
        transport=wire,
        flow=FlowControl(wire),
        logger=logging.getLogger("uvicorn.error"),
        access_logger=logging.getLogger("uvicorn.access"),
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=expects,
        keep_alive=True,
        on_response=lambda: None,
    )
    cycle.transport = cast(asyncio.Transport, AnswerWriter(wire, cycle))
    return cycle


def start(*headers: tuple[bytes, bytes]) -> Any:  # noqa: ANN401 - uvicorn's own type of messages
    return {"type": "http.response.start", "status": 200, "headers": headers}


def body(data: bytes, *, more: bool = False) -> Any:  # noqa: ANN401 - as above
    return {"type": "http.response.body", "body": data, "more_body": more}


@pytest.fixture
def wire() -> Wire:
    return Wire()


async def test_a_whole_answer_is_one_packet(wire: Wire) -> None:
    cycle = answering(wire)
    await cycle.send(start(LENGTH))
    await cycle.send(body(b"hello"))
    assert wire.packets == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"]


async def test_a_body_in_parts_leaves_in_parts_the_head_with_the_first(wire: Wire) -> None:
    cycle = answering(wire)
    await cycle.send(start(LENGTH))
    for part, more in ((b"he", True), (b"ll", True), (b"o", False)):
        await cycle.send(body(part, more=more))
    assert [packet.rpartition(b"\r\n")[2] for packet in wire.packets] == [b"he", b"ll", b"o"]


async def test_the_head_of_a_stream_leaves_at_once(wire: Wire) -> None:
    cycle = answering(wire)
    await cycle.send(start())
    assert wire.packets == [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]
    await cycle.send(body(b"hello", more=True))
    assert wire.packets[1:] == [b"5\r\nhello\r\n"]


async def test_an_answer_without_a_body_is_written_all_the_same(wire: Wire) -> None:
    cycle = answering(wire)
    await cycle.send(start((b"content-length", b"0")))
    await cycle.send(body(b""))
    assert wire.packets == [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]


async def test_an_answer_to_head_is_its_head(wire: Wire) -> None:
    cycle = answering(wire, method="HEAD")
    await cycle.send(start(LENGTH))
    await cycle.send(body(b""))
    assert wire.packets == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"]


async def test_a_caller_who_asks_whether_to_go_on_is_told_at_once(wire: Wire) -> None:
    cycle = answering(wire, expects=True)
    cycle.message_event.set()
    await cycle.receive()
    assert wire.packets == [CONTINUE]
    await cycle.send(start(LENGTH))
    await cycle.send(body(b"hello"))
    assert wire.packets[1:] == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"]


async def test_a_head_whose_body_never_comes_is_written_before_the_end(wire: Wire) -> None:
    cycle = answering(wire)
    await cycle.send(start(LENGTH))
    assert not cycle.transport.is_closing()
    cycle.transport.close()
    assert wire.packets == [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"]
    assert wire.closed
