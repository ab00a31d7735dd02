"""Servers that keep to no protocol: each failure is the item's, says what happened, and costs no time or memory."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from openai.types.responses.response_output_item import McpCall

from ali.features.responses.mcp import McpLimits, McpListing, McpOutcome, McpSessions, call_item
from ali.kernel.outbound import read_allowed
from ali.kernel.outbound.client import OutboundClient
from tests.fixtures.logs import captured_logs
from tests.unit.mcp.servers import QUICK, Address, Asked, Script, events, http, scripted, well_behaved

HASTY = McpLimits(list_s=0.8, call_s=0.8, answer_bytes=64 * 1024)
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def on_call(answer: Callable[[Asked], Any]) -> Script:
    """A server that behaves until a tool is called."""
    return lambda asked: answer(asked) if asked.rpc == "tools/call" else None


async def called(address: Address, *, limits: McpLimits = QUICK) -> McpOutcome:
    async with address.sessions(limits=limits) as sessions:
        return await sessions.call(address.named(), "echo", "{}")


async def listed(script: Script, *, limits: McpLimits = QUICK) -> McpListing:
    async with scripted(script) as found, found.address.sessions(limits=limits) as sessions:
        return await sessions.tools(found.address.named())


async def endless(head: bytes, part: bytes, *, pause_s: float = 0.0) -> AsyncIterator[bytes]:
    yield head
    while True:
        yield part
        await asyncio.sleep(pause_s)


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


BROKEN = -32603
HOSTILE: dict[str, tuple[Callable[[Asked], Any], int]] = {
    "garbage as JSON": (lambda _: http(b"<html>"), BROKEN),
    "invalid UTF-8": (lambda _: http(b'{"a": "\xff"}'), BROKEN),
    "a lone surrogate": (lambda a: http(a.result({"content": "?"}).replace(b"?", b"\\ud800")), BROKEN),
    "garbage as events": (lambda _: events(b"<html>"), BROKEN),
    "JSON that is no object": (lambda _: http(b"[1]"), BROKEN),
    "JSON nested without end": (lambda _: http(nested(10_000)), BROKEN),
    "a page": (lambda _: http(b"<html>", kind="text/html"), BROKEN),
    "no type": (lambda _: http(b"{}", kind=""), BROKEN),
    "accepted without an answer": (lambda _: http(status=202), BROKEN),
    "an empty stream": (lambda _: events(), BROKEN),
    "a stream without the reply": (lambda _: events(b'{"jsonrpc":"2.0","method":"a"}'), BROKEN),
    "another's reply": (lambda _: http(b'{"jsonrpc":"2.0","id":999,"result":{}}'), BROKEN),
    "a reply to true": (lambda _: http(b'{"jsonrpc":"2.0","id":true,"result":{}}'), BROKEN),
    "a result that is no object": (lambda a: http(a.result([])), BROKEN),
    "an error without a code": (
        lambda a: http(orjson.dumps({"id": a.message["id"], "error": "no"})),
        BROKEN,
    ),
    "an error": (
        lambda a: http(orjson.dumps({"id": a.message["id"], "error": {"code": -32000, "message": "a" * 9999}})),
        -32000,
    ),
    "questions without end": (
        lambda _: endless(SSE, b'data: {"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}\n\n'),
        BROKEN,
    ),
    "400": (lambda _: http(b'{"error":{"message":"why"}}', status=400), 400),
    "401": (lambda _: http(status=401), 401),
    "403": (lambda _: http(status=403), 403),
    "404 again and again": (lambda _: http(status=404), 404),
    "405": (lambda _: http(status=405), 405),
    "429": (lambda _: http(status=429, retry_after="99"), 429),
    "500": (lambda _: http(b"<html>", status=500), 500),
    "503": (lambda _: http(b"{", status=503), 503),
    "a redirect": (lambda _: http(status=307, location="http://169.254.169.254/"), 307),
    "a redirect to itself": (lambda _: http(status=302, location="/mcp"), 302),
    "no HTTP": (lambda _: b"SSH-2.0-OpenSSH_9.2\r\n", 502),
    "nothing": (lambda _: b"", 502),
    "half an answer": (lambda a: http(a.result({}))[:-3], 502),
    "a compressed answer": (lambda _: http(b"x" * 10, content_encoding="gzip"), 502),
    "a body without end": (lambda _: endless(WHOLE, b"a" * 4096), 502),
    "an event without end": (lambda _: endless(SSE + b"data: ", b"a" * 4096), 502),
    "an error's body without end": (
        lambda _: endless(b"HTTP/1.1 500 X\r\ncontent-type: application/json\r\n\r\n", b"a" * 4096),
        500,
    ),
}


@pytest.mark.parametrize(("answer", "code"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_whatever_a_server_answers_to_a_call_is_an_error_of_its_item(
    answer: Callable[[Asked], Any], code: int
) -> None:
    async with scripted(on_call(answer)) as found:
        outcome = await called(found.address)
    assert outcome.error is not None
    kind = "http_error" if code > 0 else "mcp_protocol_error"
    assert (outcome.error["type"], outcome.error["code"]) == (kind, code)
    assert 0 < len(outcome.error["message"]) <= 1000
    item = call_item("mcp_1", server_label="test", name="echo", arguments="{}", outcome=outcome)
    assert McpCall.model_validate(item, strict=True).status == "failed"
    assert all(asked.headers["host"] == found.address.host for asked in found.asked)


SLOW: dict[str, Callable[[Asked], Any]] = {
    "silence": lambda _: endless(b"", b"", pause_s=0.05),
    "a head that dribbles": lambda _: endless(b"HTTP/1.1 200 OK\r\nx: ", b"a", pause_s=0.01),
    "pings without end": lambda _: endless(SSE, b": ping\n\n", pause_s=0.01),
    "notifications without end": lambda _: endless(
        SSE, b'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n', pause_s=0.01
    ),
    "a stream to be taken up for ever": lambda _: http(
        b"id: 1\nretry: 999999999\ndata: \n\n", kind="text/event-stream"
    ),
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW.keys())
async def test_a_server_that_keeps_us_waiting_ends_at_the_deadline_and_is_told(
    answer: Callable[[Asked], Any],
) -> None:
    async with scripted(on_call(answer)) as found:
        started = time.perf_counter()
        outcome = await called(found.address, limits=HASTY)
        assert time.perf_counter() - started < 5
    assert outcome.error is not None
    assert (outcome.error["type"], outcome.error["code"]) == ("http_error", 504)
    assert "notifications/cancelled" in found.methods()


async def test_the_deadline_is_for_the_handshake_and_all_pages_together() -> None:
    cursors = itertools.count()

    async def slowly(asked: Asked) -> AsyncIterator[bytes]:
        await asyncio.sleep(0.1)
        yield http(asked.result({"tools": [], "nextCursor": str(next(cursors))}))

    listing = await listed(lambda asked: slowly(asked) if asked.rpc == "tools/list" else None, limits=HASTY)
    assert "in time" in (listing.error or "")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"tools": "a"}, "listed no tools"),
        ({"tools": [1]}, "no tool"),
        ({"tools": [{"name": "a"}]}, "input schema"),
        ({"tools": [], "nextCursor": "again"}, "more than 50 pages"),
        ({"tools": [], "nextCursor": "a" * 5000}, "cursor"),
        ({"tools": [], "nextCursor": 1}, "cursor"),
        ({"tools": [{"name": f"t{n}", "inputSchema": {}} for n in range(201)]}, "more than 200 tools"),
        ({"tools": [{"name": "a", "inputSchema": {"d": "a" * 70_000}}]}, "allowed_tools"),
        ({"tools": [{"name": "a", "inputSchema": {"d": "a" * 300_000}}]}, "more than the"),
    ],
)
async def test_a_list_that_cannot_be_used_is_an_error_of_its_item(answer: dict[str, Any], message: str) -> None:
    listing = await listed(lambda asked: http(asked.result(answer)) if asked.rpc == "tools/list" else None)
    assert listing.tools == ()
    assert message in (listing.error or "")


async def test_of_many_tools_those_that_are_allowed_are_listed_whatever_the_others_are() -> None:
    tools: list[dict[str, Any]] = [{"name": f"t{n}", "inputSchema": {"d": "a" * 700}} for n in range(300)]
    pages = {None: (tools[:150], "2"), "2": ([*tools[150:], {"name": "broken"}, tools[0]], None)}

    def script(asked: Asked) -> bytes | None:
        if asked.rpc != "tools/list":
            return None
        page, cursor = pages[asked.message["params"].get("cursor")]
        return http(asked.result({"tools": page} | ({"nextCursor": cursor} if cursor else {})))

    async with scripted(script) as found, found.address.sessions() as sessions:
        listing = await sessions.tools(found.address.named(allowed_tools=["t0", "t299"]))
    assert [tool.name for tool in listing.tools] == ["t0", "t299"]


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_an_older_revision_is_spoken_where_the_server_has_no_newer(revision: str) -> None:
    async with scripted(lambda asked: well_behaved(asked, revision=revision)) as found:
        assert await called(found.address) == McpOutcome(output="done")
    assert found.asked[0].message["params"]["protocolVersion"] == "2025-11-25"
    assert {asked.headers["mcp-protocol-version"] for asked in found.asked[1:]} == {revision}


@pytest.mark.parametrize("revision", ["1999-01-01", "", None, 1, {"a": []}])
async def test_a_revision_that_nobody_knows_is_an_error(revision: Any) -> None:  # noqa: ANN401 - whatever a server may send
    async with scripted(lambda asked: well_behaved(asked, revision=revision)) as found:
        outcome = await called(found.address)
    assert "Update it" in outcome.text


@pytest.mark.parametrize(
    "discovered", [None, {}, {"supportedVersions": "2026-07-28"}, {"supportedVersions": ["2099-01-01"]}]
)
async def test_a_server_that_refuses_the_handshake_and_names_no_other_way_is_an_error(discovered: object) -> None:
    def script(asked: Asked) -> bytes:
        if asked.rpc == "server/discover" and discovered is not None:
            return http(asked.result(discovered))
        return http(b'{"error":{"code":-32601,"message":"unknown"}}', status=404)

    async with scripted(script) as found:
        outcome = await called(found.address)
    assert "HTTP 404. It says: unknown" in outcome.text
    assert found.methods() == ["initialize", "server/discover"]


async def test_a_handshake_that_fails_for_another_reason_is_not_tried_in_another_way() -> None:
    async with scripted(lambda _: http(status=401)) as found:
        outcome = await called(found.address)
    assert "credentials" in outcome.text
    assert found.methods() == ["initialize"]


async def test_an_error_of_the_protocol_is_one_whatever_its_status() -> None:
    def refuse(asked: Asked) -> bytes:
        error = {"jsonrpc": "2.0", "id": asked.message["id"], "error": {"code": -32602, "message": "unknown tool"}}
        return http(orjson.dumps(error), status=400)

    async with scripted(on_call(refuse)) as found:
        outcome = await called(found.address)
    assert outcome.error == {"type": "mcp_protocol_error", "code": -32602, "message": "unknown tool"}


async def test_a_tool_that_asks_something_back_is_an_error() -> None:
    async with scripted(on_call(lambda asked: http(asked.result({"resultType": "input_required"})))) as found:
        outcome = await called(found.address)
    assert "asks for something" in outcome.text


@pytest.mark.parametrize("session_id", ["a b", "\u00e9", "a" * 1025, ""])
async def test_a_session_under_a_name_that_could_be_no_header_is_an_error(session_id: str) -> None:
    def script(asked: Asked) -> bytes | None:
        answer = well_behaved(asked)
        return answer.replace(b"session-1", session_id.encode("latin-1")) if asked.rpc == "initialize" else None

    async with scripted(script) as found:
        outcome = await called(found.address)
    assert outcome.error is not None
    assert "mcp-session-id" not in {name for asked in found.asked for name in asked.headers}


async def test_a_session_is_forgotten_once_and_no_more() -> None:
    gone = itertools.count()

    def script(asked: Asked) -> bytes | None:
        return http(status=404) if asked.rpc == "tools/call" and next(gone) == 0 else None

    async with scripted(script) as found:
        assert await called(found.address) == McpOutcome(output="done")
    assert found.methods().count("initialize") == 2


async def test_calls_side_by_side_share_one_handshake_and_one_renewal() -> None:
    gone: set[str] = set()

    def script(asked: Asked) -> bytes | None:
        arguments = asked.message and asked.message.get("params", {}).get("arguments")
        if asked.rpc == "tools/call" and str(arguments) not in gone:
            gone.add(str(arguments))
            return http(status=404)
        return None

    async with scripted(script) as found, found.address.sessions() as sessions:
        server = found.address.named()
        outcomes = await asyncio.gather(*(sessions.call(server, "echo", f'{{"n": {n}}}') for n in range(4)))
    assert outcomes == [McpOutcome(output="done")] * 4
    assert found.methods().count("initialize") == 2


async def test_a_ping_within_a_stream_is_answered_before_the_reply_comes() -> None:
    answered = asyncio.Event()

    async def pinging(asked: Asked) -> AsyncIterator[bytes]:
        yield SSE + b'data: {"jsonrpc":"2.0","id":"p","method":"ping"}\r\n\r\n'
        await answered.wait()
        yield b'data: {"jsonrpc":"2.0","method":"notifications/message"}\n\n'
        yield b"data: " + asked.result({"content": [{"type": "text", "text": "done"}]}) + b"\n\n"
        await asyncio.sleep(60)  # a stream may stay open: its reply is enough

    def script(asked: Asked) -> bytes | AsyncIterator[bytes] | None:
        if asked.message == {"jsonrpc": "2.0", "id": "p", "result": {}}:
            answered.set()
        return pinging(asked) if asked.rpc == "tools/call" else None

    async with scripted(script) as found:
        assert await called(found.address) == McpOutcome(output="done")


@pytest.mark.parametrize("event_id", [b" 1", b"1 ", b"\x00", b"\xff", b"a" * 1025, b"\t", b""])
async def test_a_stream_whose_events_have_names_that_could_be_no_header_is_not_taken_up(event_id: bytes) -> None:
    stream = http(b"id: " + event_id + b"\ndata: \n\n", kind="text/event-stream")
    async with scripted(on_call(lambda _: stream)) as found:
        outcome = await called(found.address)
    assert "without a reply" in outcome.text
    assert "GET" not in {asked.method for asked in found.asked}


async def test_a_batch_that_holds_the_reply_is_read() -> None:
    async with scripted(
        on_call(lambda asked: http(b'[{"jsonrpc":"2.0","method":"a"},' + asked.result({"content": []}) + b"]"))
    ) as found:
        assert await called(found.address) == McpOutcome(output="")


@pytest.mark.parametrize("arguments", ["[]", "1", "{", '"a"', "null", '{"a":' * 300 + "1" + "}" * 300])
async def test_arguments_that_a_model_got_wrong_never_leave(arguments: str) -> None:
    async with scripted(lambda _: None) as found, found.address.sessions() as sessions:
        outcome = await sessions.call(found.address.named(), "echo", arguments)
    assert outcome.error is not None
    assert outcome.error["code"] == -32602
    assert "tools/call" not in found.methods()


async def test_an_address_that_the_guard_refuses_is_an_error_and_never_called() -> None:
    async with scripted(lambda _: None) as found, McpSessions(OutboundClient()) as sessions:
        listing = await sessions.tools(found.address.named())
        outcome = await sessions.call(found.address.named(), "echo", "{}")
    assert found.asked == []
    assert "ALI_OUTBOUND_ALLOWED_HOSTS" in (listing.error or "")
    assert outcome.error is not None
    assert outcome.error["code"] == 400


async def test_a_name_that_resolves_inwards_is_never_called() -> None:
    async def rebound(_host: str, _port: int) -> list[str]:
        return ["169.254.169.254"]

    async with scripted(lambda _: None) as found:
        client = OutboundClient(allowed=read_allowed([found.address.host]), resolver=rebound)
        server = replace(found.address.named(), url="https://mcp.example.com/mcp")
        async with McpSessions(client) as sessions:
            outcome = await sessions.call(server, "echo", "{}")
    assert "not a public address" in outcome.text
    assert "169.254" not in outcome.text


async def test_a_closed_port_is_an_error() -> None:
    async with scripted(lambda _: None) as found:
        pass
    outcome = await called(found.address)
    assert outcome.error is not None
    assert outcome.error["code"] == 502


@pytest.mark.parametrize("answer", [http(status=405), http(status=500), b"", b"garbage\r\n\r\n"])
async def test_how_a_server_takes_the_end_of_the_session_matters_to_nobody(answer: bytes) -> None:
    async with scripted(lambda asked: answer if asked.method == "DELETE" else None) as found:
        assert await called(found.address) == McpOutcome(output="done")
    assert [asked.headers.get("mcp-session-id") for asked in found.asked if asked.method == "DELETE"] == ["session-1"]


async def test_a_response_that_is_cancelled_still_ends_its_session() -> None:
    waiting = asyncio.Event()

    async def silent(_: Asked) -> AsyncIterator[bytes]:
        waiting.set()
        yield b""
        await asyncio.sleep(60)

    async with scripted(on_call(silent)) as found:
        task = asyncio.create_task(called(found.address))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [asked.method for asked in found.asked][-1] == "DELETE"


async def test_the_log_tells_the_kind_of_a_failure_and_nothing_that_anybody_wrote() -> None:
    async with scripted(on_call(lambda _: http(b'{"error":{"message":"secret"}}', status=400))) as found:
        with captured_logs() as logs:
            async with found.address.sessions() as sessions:
                await sessions.call(found.address.named(authorization="secret"), "echo", '{"a": "secret"}')
    assert [entry["event"] for entry in logs] == ["mcp.call_failed"]
    assert "secret" not in str(logs)
