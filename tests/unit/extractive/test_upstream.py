import asyncio
import base64
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ali.providers.contract import Deadlines, Dialect, Upstream, UpstreamCall, UpstreamTimeout, UpstreamTooLarge
from ali.providers.extractive import ExtractiveUpstream
from tests.unit.extractive.pdf_bytes import MANUAL, make_pdf

DEADLINES = Deadlines()
SLOW = make_pdf([[f"linha {n} de um documento bem longo" for n in range(40)]] * 3000)


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[ExtractiveUpstream]:
    made = ExtractiveUpstream()
    yield made
    await made.close()


def call(pdf: bytes = MANUAL, *, path: str = "/v1/messages", **more: object) -> UpstreamCall:
    source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(pdf).decode()}
    content = [
        {"type": "document", "title": "manual.pdf", "source": source},
        {"type": "text", "text": "Quem projetou a bomba?"},
    ]
    body = {"model": "ali-extractive", "max_tokens": 500, "messages": [{"role": "user", "content": content}], **more}
    return UpstreamCall(path=path, body=json.dumps(body).encode(), stream=bool(more.get("stream")))


async def told(upstream: Upstream, asked: UpstreamCall) -> tuple[int, Any]:
    reply = await upstream.send(asked, DEADLINES)
    body = json.loads(await reply.read(limit_bytes=1 << 20))
    await reply.close()
    return reply.status, body


async def test_it_answers_messages_in_anthropics_dialect(upstream: ExtractiveUpstream) -> None:
    status, body = await told(upstream, call())

    assert (upstream.name, upstream.dialect) == ("extractive", Dialect.ANTHROPIC)
    assert status == 200
    assert "Ana Souza" in body["content"][0]["text"]
    assert body["id"].startswith("msg_")


async def test_a_stream_comes_event_by_event(upstream: ExtractiveUpstream) -> None:
    reply = await upstream.send(call(stream=True), DEADLINES)
    events = [chunk async for chunk in reply.chunks()]

    assert reply.headers["content-type"].startswith("text/event-stream")
    assert events[0].startswith(b"event: message_start\n")
    assert events[-1].startswith(b"event: message_stop\n")
    assert all(event.endswith(b"\n\n") and event.count(b"\n\n") == 1 for event in events)


async def test_tokens_are_counted(upstream: ExtractiveUpstream) -> None:
    status, body = await told(upstream, call(path="/v1/messages/count_tokens?beta=true"))

    assert status == 200
    assert body["input_tokens"] > 10


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        (call(MANUAL[:700]), 400, "invalid_request_error"),
        (UpstreamCall(path="/v1/messages", body=b"{"), 400, "invalid_request_error"),
        (UpstreamCall(path="/v1/messages", body=b"[" * 100_000), 400, "invalid_request_error"),
        (UpstreamCall(path="/v1/messages", body=b"[]"), 400, "invalid_request_error"),
        (UpstreamCall(path="/v1/chat/completions", body=b"{}"), 404, "not_found_error"),
        (UpstreamCall(path="/v1/messages", body=b"", method="GET"), 405, "invalid_request_error"),
    ],
)
async def test_what_is_wrong_with_a_call_is_a_reply_in_the_dialect(
    upstream: ExtractiveUpstream, asked: UpstreamCall, status: int, kind: str
) -> None:
    got, body = await told(upstream, asked)

    assert (got, body["type"], body["error"]["type"]) == (status, "error", kind)


async def test_the_child_holds_no_secret_and_imports_no_web_framework(
    upstream: ExtractiveUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    await told(upstream, call())
    assert upstream._child is not None
    folder = Path(f"/proc/{upstream._child.pid}")
    if not folder.is_dir():  # noqa: ASYNC240 - /proc is memory
        pytest.skip("this system has no /proc")

    assert b"canary" not in (folder / "environ").read_bytes()
    assert "fastapi" not in (folder / "maps").read_text().lower()


async def test_a_child_killed_while_idle_is_replaced_unnoticed(upstream: ExtractiveUpstream) -> None:
    await told(upstream, call())
    assert upstream._child is not None
    os.kill(upstream._child.pid, signal.SIGKILL)

    status, _ = await told(upstream, call())

    assert status == 200


async def test_a_crash_of_the_reader_is_a_400_and_the_next_call_is_answered(upstream: ExtractiveUpstream) -> None:
    work = asyncio.create_task(told(upstream, call(SLOW)))
    await asyncio.sleep(0.8)
    assert upstream._child is not None
    os.kill(upstream._child.pid, signal.SIGSEGV)

    status, body = await work

    assert status == 400
    assert "crashes" in body["error"]["message"]
    assert (await told(upstream, call()))[0] == 200


async def test_a_call_past_its_time_ends_the_child_with_a_400_and_the_loop_stays_free() -> None:
    upstream = ExtractiveUpstream(call_s=0.5)
    try:
        ticks = 0
        work = asyncio.create_task(told(upstream, call(SLOW)))
        while not work.done():
            await asyncio.sleep(0.01)
            ticks += 1
        status, body = await work

        assert status == 400
        assert "took more than 0.5 s" in body["error"]["message"]
        assert ticks > 10
        assert upstream._child is None
    finally:
        await upstream.close()


async def test_cancelling_a_call_ends_its_child_and_the_next_call_is_answered(upstream: ExtractiveUpstream) -> None:
    await told(upstream, call())
    assert upstream._child is not None
    child = upstream._child
    work = asyncio.create_task(told(upstream, call(SLOW)))
    await asyncio.sleep(0.1)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    assert child.returncode is not None
    assert (await told(upstream, call()))[0] == 200


async def test_calls_wait_their_turn_and_past_the_queue_are_answered_503() -> None:
    upstream = ExtractiveUpstream(queue=2)
    try:
        answers = await asyncio.gather(*(upstream.send(call(), DEADLINES) for _ in range(6)))
        statuses = sorted(reply.status for reply in answers)

        assert statuses in ([200, 200, 200, 503, 503, 503], [200, 200, 503, 503, 503, 503])
        full = next(reply for reply in answers if reply.status == 503)
        assert full.headers["retry-after"] == "2"
        assert json.loads(await full.read(limit_bytes=9999))["error"]["type"] == "overloaded_error"
    finally:
        await upstream.close()


async def test_who_gets_no_turn_in_time_times_out(upstream: ExtractiveUpstream) -> None:
    work = asyncio.create_task(upstream.send(call(SLOW), DEADLINES))
    await asyncio.sleep(0.05)
    with pytest.raises(UpstreamTimeout):
        await upstream.send(call(), Deadlines(first_byte_s=0.05))
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_a_closed_upstream_answers_503_and_leaves_no_child(upstream: ExtractiveUpstream) -> None:
    await told(upstream, call())
    child = upstream._child
    await upstream.close()

    assert child is not None
    assert child.returncode is not None
    assert (await told(upstream, call()))[0] == 503


async def test_a_body_over_the_callers_limit_is_refused(upstream: ExtractiveUpstream) -> None:
    reply = await upstream.send(call(), DEADLINES)

    with pytest.raises(UpstreamTooLarge):
        await reply.read(limit_bytes=10)
