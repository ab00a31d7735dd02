"""No request can hide another: whatever two parsers could read differently is refused, and the connection closed.

Shapes from RFC 9112, section 11.2, and from the published attacks (CL.TE, TE.CL, TE.TE, CL.0, funky chunks, h2c).
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ali.cli import protocol
from tests.edge.wire import END, HOST, MARK, request, talk
from tests.fixtures.service import Serve, Service

POST = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST
CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"
TE = b"Transfer-Encoding: chunked\r\n\r\n"

SHAPES: dict[str, bytes] = {
    "a length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": POST + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nhello",
    "a length in hex": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "an empty length": POST + b"Content-Length: \r\n\r\nhello",
    "a length beyond all numbers": POST + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "a length with a space in it": POST + b"Content-Length: 5 5\r\n\r\nhello",
    "a length after a vertical tab": POST + b"Content-Length: \x0b5\r\n\r\nhello",
    "a length with an underscore": POST + b"Content-Length: 0_5\r\n\r\nhello",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED,
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n" + CHUNKED,
    "identity before chunked": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n" + CHUNKED,
    "chunked before identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED,
    "gzip before chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED,
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "two codings in two headers": POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "a comma before chunked": POST + b"Transfer-Encoding: ,chunked\r\n\r\n" + CHUNKED,
    "chunked with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + CHUNKED,
    "chunked after a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNKED,
    "chunked before NUL": POST + b"Transfer-Encoding: chunked\x00\r\n\r\n" + CHUNKED,
    "an empty coding": POST + b"Transfer-Encoding:\r\n\r\n" + CHUNKED,
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKED,
    "a space before the name": POST + b" Transfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKED,
    "a folded header": POST + b"X: a\r\n\tb\r\nContent-Length: 5\r\n\r\nhello",
    "bare line feeds": POST.replace(b"\r\n", b"\n") + b"Content-Length: 5\n\nhello",
    "one bare line feed": POST + b"X: a\nContent-Length: 5\r\n\r\nhello",
    "a bare line feed at the head's end": POST + b"Content-Length: 5\r\n\nhello",
    "a bare carriage return": POST + b"X: a\rContent-Length: 5\r\n\r\nhello",
    "NUL in a value": POST + b"X: a\x00b\r\nContent-Length: 5\r\n\r\nhello",
    "NUL in a name": POST + b"X\x00: a\r\nContent-Length: 5\r\n\r\nhello",
    "a line without a colon": POST + b"XXXX\r\nContent-Length: 5\r\n\r\nhello",
    "an empty name": POST + b": a\r\nContent-Length: 5\r\n\r\nhello",
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + TE + CHUNKED,
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/1.2": b"GET /healthz HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a host that is none": b"GET /healthz HTTP/1.1\r\nHost: a/b@c d\r\n\r\n",
    "an absolute target": b"GET http://evil.test/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT evil.test:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that is no path": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment": b"GET /healthz#/v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the target": b"GET /healthz\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a chunk's size as 0x": POST + TE + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk's size with a sign": POST + TE + b"+5\r\nhello\r\n0\r\n\r\n",
    "a chunk's size with a space": POST + TE + b"5 \r\nhello\r\n0\r\n\r\n",
    "a chunk's size with an underscore": POST + TE + b"0_5\r\nhello\r\n0\r\n\r\n",
    "a chunk's size beyond all numbers": POST + TE + b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "no size of a chunk": POST + TE + b"\r\nhello\r\n0\r\n\r\n",
    "a chunk's size before a line feed": POST + TE + b"5\nhello\r\n0\r\n\r\n",
    "a line feed in a chunk's extension": POST + TE + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "a chunk that ends otherwise": POST + TE + b"5\r\nhelloXX0\r\n\r\n",
    "a chunk that is longer than its size": POST + TE + b"5\r\nhello!\r\n0\r\n\r\n",
    "a length among the trailers": POST + TE + b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "bare line feeds after the last chunk": POST + TE + b"5\r\nhello\r\n0\n\n",
    "an upgrade beside a body": POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
    "an upgrade beside chunks": POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + TE + CHUNKED,
}


@pytest.fixture
async def edge(serve: Serve) -> AsyncIterator[Service]:
    """The service without any provider."""
    async with serve(drain_s=1) as running:
        yield running


async def test_what_two_parsers_could_read_differently_is_refused_and_the_connection_closed(edge: Service) -> None:
    assert len(SHAPES) >= 20
    wrong = {}
    for name, shape in SHAPES.items():
        for parts in ((shape + MARK,), (shape[: len(shape) // 2], shape[len(shape) // 2 :] + MARK)):
            answers = await talk(edge, *parts)
            # Where a body is malformed, its request may have been answered 401 by its head alone.
            told = answers.statuses in ([400], [401])
            if not (told and answers.closed and b"/smuggled" not in answers.data):
                wrong[name] = (answers.statuses, answers.closed)
    assert wrong == {}
    assert (await talk(edge, request())).statuses == [200]


@pytest.mark.parametrize(
    "shape",
    [
        POST + b"Content-Length: 5\r\n\r\nhello",
        POST + b"Content-Length:\t005\t\r\n\r\nhello",
        POST + TE + CHUNKED,
        POST + b"transfer-encoding: CHUNKED\r\n\r\n" + CHUNKED,
        POST + TE + b"5;a=b\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    ],
)
async def test_what_is_well_formed_is_answered_and_so_is_the_request_behind_it(edge: Service, shape: bytes) -> None:
    answers = await talk(edge, shape + MARK)
    assert len(answers.statuses) == 2
    assert answers.statuses[0] in {200, 401}
    assert answers.statuses[1] == 404
    assert not answers.closed


async def test_a_trailer_never_becomes_a_header(edge: Service) -> None:
    """Uvicorn appends trailers to the headers that the application reads."""
    key = f"Authorization: Bearer {edge.tenant.secret}\r\n".encode()
    head = b"POST /v1/models/none HTTP/1.1\r\nConnection: close\r\n" + HOST + TE
    answers = await talk(edge, b"GET /v1/models HTTP/1.1\r\n" + HOST + TE + b"0\r\n" + key + b"\r\n")
    assert answers.statuses == [401]
    assert (await talk(edge, head + b"0\r\n" + key + b"\r\n")).statuses == [405]


async def test_what_follows_a_request_to_upgrade_is_never_read_as_a_request(edge: Service) -> None:
    asks = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: %s\r\n\r\n"
    for protocol_name in (b"h2c", b"websocket"):
        for parts in ((asks % protocol_name + MARK,), (asks % protocol_name, MARK)):
            answers = await talk(edge, *parts)
            assert (answers.statuses, answers.closed) == ([200], True)


async def test_nothing_is_written_into_an_answer_that_is_on_its_way(edge: Service) -> None:
    body = b'{"model":"ali-extractive","stream":true,"messages":[{"role":"user","content":"The sky is blue. Colour?"}]}'
    key = f"Authorization: Bearer {edge.tenant.secret}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    answers = await talk(edge, POST + key + body + b"\x00\x01 garbage\r\n\r\n")
    assert len(answers.statuses) == 1
    assert answers.closed


async def test_a_refusal_is_in_the_dialect_of_its_path_and_has_a_name(edge: Service) -> None:
    for path, key in (("/v1/chat/completions", "error"), ("/v1/messages", "request_id")):
        answers = await talk(edge, f"POST {path} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".encode())
        assert key in answers.document
        assert answers.document["error"]["message"] == "Send exactly one Host header."
        assert answers.headers["x-request-id"].startswith("req_")
        assert answers.headers["x-ali-error-code"] == "malformed_request"
        assert answers.headers["connection"] == "close"
        assert answers.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\r\n" * protocol.MOST_HEADERS + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"a" * protocol.MOST_HEAD_BYTES + END,
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"a" * protocol.MOST_HEAD_BYTES * 2,
        b"GET /" + b"a" * protocol.MOST_HEAD_BYTES + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /" + b"a" * protocol.MOST_HEAD_BYTES * 2,
    ],
)
async def test_a_head_that_is_too_large_is_refused_whole_or_not(edge: Service, head: bytes) -> None:
    for parts in ((head,), (head[:100], head[100:])):
        answers = await talk(edge, *parts)
        assert (answers.statuses, answers.closed) == ([431], True)


async def test_a_head_up_to_the_limits_is_served(edge: Service) -> None:
    head = (
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\r\n" * (protocol.MOST_HEADERS - 2) + b"X: " + b"a" * 60_000 + END
    )
    assert (await talk(edge, head)).statuses == [200]


async def test_trailers_and_extensions_without_end_close_the_connection(edge: Service) -> None:
    flood = b"a" * protocol.MOST_HEAD_BYTES * 2
    for start in (b"0\r\nX: ", b"5;"):
        assert (await talk(edge, POST + TE + start, flood)).closed


async def test_a_request_that_dribbles_is_given_up(edge: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol.HttpProtocol, "patience_s", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(edge.url.rpartition(":")[2]))
    writer.write(b"GET /healthz HTTP/1.1\r\n")
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408 ")
    writer.transport.abort()


async def test_a_kept_connection_and_a_slow_answer_outlast_the_patience(
    edge: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol.HttpProtocol, "patience_s", 0.05)
    whole = request().replace(b"Connection: close\r\n", b"")
    answers = await talk(edge, whole, whole, wait_s=0.3, pause_s=0.2)
    assert (answers.statuses, answers.closed) == ([200, 200], False)
