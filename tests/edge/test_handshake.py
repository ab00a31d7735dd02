"""The one way out of HTTP, over raw sockets: which handshakes open a WebSocket, and that nothing else does."""

import base64
from collections.abc import AsyncIterator

import pytest

from tests.edge.wire import END, MARK, talk
from tests.fixtures.service import Serve, Service

KEY = "Sec-WebSocket-Key: " + base64.b64encode(b"k" * 16).decode()
VERSION = "Sec-WebSocket-Version: 13"
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
WHOLE = (*UPGRADE, KEY, VERSION)
APP = "https://app.example.com"


@pytest.fixture
async def edge(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1) as running:
        yield running


def handshake(
    service: Service, *headers: str, first: str = "GET /v1/responses HTTP/1.1", host: str = "ali.test"
) -> bytes:
    lines = (first, f"Host: {host}", f"Authorization: Bearer {service.tenant.secret}", *headers)
    return "\r\n".join(lines).encode() + END


async def test_a_whole_handshake_opens_a_socket_whole_or_in_parts(edge: Service) -> None:
    for headers in (WHOLE, ("connection: keep-alive, Upgrade", "upgrade: WebSocket", KEY, VERSION)):
        for first in ("GET /v1/responses HTTP/1.1", "GET /v1/responses?a=b HTTP/1.1"):
            sent = handshake(edge, *headers, "Sec-WebSocket-Extensions: permessage-deflate", first=first)
            for parts in ((sent,), (sent[:70], sent[70:])):
                answers = await talk(edge, *parts)
                assert (answers.statuses, answers.closed) == ([101], False)
                assert answers.headers["Upgrade"] == "websocket"
                assert "sec-websocket-extensions" not in {name.lower() for name in answers.headers}, "no compression"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((*UPGRADE, KEY), 426),
        ((*UPGRADE, KEY, "Sec-WebSocket-Version: 8"), 426),
        ((*UPGRADE, KEY, VERSION, VERSION), 426),
        ((*UPGRADE, VERSION), 400),
        ((*UPGRADE, KEY, KEY, VERSION), 400),
        ((*UPGRADE, "Sec-WebSocket-Key: short", VERSION), 400),
        ((*UPGRADE, "Sec-WebSocket-Key: " + "!" * 24, VERSION), 400),
        ((*WHOLE, "Sec-WebSocket-Protocol: " + "a" * 5000), 400),
        ((*WHOLE, "Content-Length: 5"), 400),
        ((*WHOLE, "Transfer-Encoding: chunked"), 400),
        (("Connection: Upgrade", "Upgrade: h2c", KEY, VERSION), 405),
        (("Connection: Upgrade", "Upgrade: websocket, h2c", KEY, VERSION), 405),
        (("Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c", KEY, VERSION), 405),
        (("Upgrade: websocket", KEY, VERSION), 405),
    ],
)
async def test_any_other_handshake_opens_nothing(edge: Service, headers: tuple[str, ...], status: int) -> None:
    answers = await talk(edge, handshake(edge, *headers) + MARK)
    assert answers.statuses[0] == status
    assert 101 not in answers.statuses
    if status != 405:
        assert (answers.statuses, answers.closed) == ([status], True)
    if status == 426:
        assert answers.headers["sec-websocket-version"] == "13"


async def test_no_other_path_method_or_version_opens_a_socket(edge: Service) -> None:
    for first in (
        "POST /v1/responses HTTP/1.1",
        "HEAD /v1/responses HTTP/1.1",
        "GET /v1/responses/ HTTP/1.1",
        "GET /v1/responses/resp_1 HTTP/1.1",
        "GET /v1/%72esponses HTTP/1.1",
        "GET //v1/responses HTTP/1.1",
        "GET /v1/chat/completions HTTP/1.1",
        "GET /healthz HTTP/1.1",
        "GET /v1/responses HTTP/1.0",
    ):
        answers = await talk(edge, handshake(edge, *WHOLE, first=first), MARK)
        assert 101 not in answers.statuses, first
        assert answers.closed, first
        assert b"/smuggled" not in answers.data, first


async def test_nothing_may_come_before_the_answer_nor_a_handshake_behind_a_request(edge: Service) -> None:
    answers = await talk(edge, handshake(edge, *WHOLE) + MARK)
    assert (answers.statuses, answers.closed) == ([400], True)
    body = b'{"model":"ali-extractive","input":"The sky is blue. Colour?"}'
    asks = handshake(edge, f"Content-Length: {len(body)}", first="POST /v1/responses HTTP/1.1") + body
    answers = await talk(edge, asks + handshake(edge, *WHOLE))
    assert 101 not in answers.statuses
    assert answers.closed


async def test_after_a_handshake_http_is_spoken_no_more(edge: Service) -> None:
    answers = await talk(edge, handshake(edge, *WHOLE), MARK, pause_s=0.1)
    assert answers.statuses == [101]
    assert answers.closed


async def test_who_may_not_come_in_is_told_over_http(edge: Service) -> None:
    for credential in ("x-nothing: a", "Authorization: Bearer sk-ali-wrong"):
        lines = ("GET /v1/responses HTTP/1.1", "Host: ali.test", credential, *WHOLE)
        answers = await talk(edge, "\r\n".join(lines).encode() + END)
        assert answers.statuses == [401]
        assert answers.document["error"]["code"] == "invalid_api_key"
        assert answers.headers["x-content-type-options"] == "nosniff"
        assert answers.closed


async def test_a_page_says_its_key_as_a_subprotocol_which_is_never_sent_back(edge: Service) -> None:
    offers = f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{edge.tenant.secret}"
    lines = ("GET /v1/responses HTTP/1.1", "Host: ali.test", *WHOLE, offers)
    answers = await talk(edge, "\r\n".join(lines).encode() + END)
    assert answers.statuses == [101]
    assert answers.headers["Sec-WebSocket-Protocol"] == "realtime"
    assert edge.tenant.secret.encode() not in answers.data


async def test_pages_of_other_origins_open_nothing_unless_they_are_named(edge: Service, serve: Serve) -> None:
    answers = await talk(edge, handshake(edge, *WHOLE, f"Origin: {APP}"))
    assert (answers.statuses, answers.document["error"]["code"]) == ([400], "origin_refused")
    async with serve(cors_origins=[APP]) as named:
        assert (await talk(named, handshake(named, *WHOLE, f"Origin: {APP}"))).statuses == [101]
        assert (await talk(named, handshake(named, *WHOLE, "Origin: https://evil.test"))).statuses == [400]
        assert (await talk(named, handshake(named, *WHOLE, "Origin: null"))).statuses == [400]
        assert (await talk(named, handshake(named, *WHOLE))).statuses == [101]
    async with serve(cors_origins=["*"]) as any_page:
        assert (await talk(any_page, handshake(any_page, *WHOLE, f"Origin: {APP}"))).statuses == [101]


async def test_hosts_and_proxies_count_as_for_any_request(serve: Serve) -> None:
    async with serve(trusted_hosts=["ali.test"]) as service:
        assert (await talk(service, handshake(service, *WHOLE))).statuses == [101]
        assert (await talk(service, handshake(service, *WHOLE, host="evil.test"))).statuses == [421]
