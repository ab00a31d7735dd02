"""The upstream is hostile or sick: every fault, on every route through the gateway, ends as the caller may expect.

For each case: the answer is either whole (a healthy fault) or one typed error in the caller's dialect, with exactly one
terminal event for a stream; the bill is settled; no connection is left.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from ali.ops.simulator import Applies, Fault, FaultLimits, Simulator
from tests.fixtures.service import Serve, Service, providers

_MODELS = {"openai": "gpt-4.1", "anthropic": "claude-sonnet-5-5"}
_MALFORMED = {"upstream_malformed"}
_BROKEN = {"upstream_unreachable", "upstream_malformed"}
_LATE = {"upstream_timeout"}
_EXPECTED: dict[Fault, set[str]] = {
    Fault.MISSING_END: _MALFORMED,
    Fault.BAD_JSON: _MALFORMED,
    Fault.BAD_UTF8: _MALFORMED,
    Fault.ERROR_EVENT: {"upstream_refused", "server_error", "overloaded_error"},
    Fault.ERROR_EVENT_FIRST: {"upstream_refused", "server_error", "overloaded_error"},
    Fault.JSON_ARRAY: _MALFORMED,
    Fault.DEEP_JSON: _MALFORMED,
    Fault.JSON_FOR_STREAM: _MALFORMED,
    Fault.STREAM_FOR_JSON: _MALFORMED,
    Fault.HTML: _MALFORMED,
    Fault.OK_WITH_ERROR: _MALFORMED,
    Fault.OK_EMPTY: _MALFORMED,
    Fault.HTTP_401: {"upstream_credential_refused"},
    Fault.STALL_BEFORE_HEAD: _LATE,
    Fault.STALL_AFTER_HEAD: _LATE,
    Fault.STALL_MID_STREAM: _LATE,
    Fault.SLOW_HEAD: _LATE,
    Fault.SLOW_LORIS: _LATE,
    Fault.ENDLESS_PINGS: _LATE,
    Fault.ENORMOUS_LINE: {"upstream_too_large"},
    Fault.ENDLESS_BODY: {"upstream_too_large", "upstream_timeout"},
    Fault.GZIP_BOMB: _MALFORMED,
    Fault.CLOSED_ON_ACCEPT: _BROKEN,
    Fault.RESET_BEFORE_HEAD: _BROKEN,
    Fault.RESET_MID_CHUNK: _BROKEN,
    Fault.HALF_CHUNK_THEN_FIN: _BROKEN,
    Fault.CONTENT_LENGTH_TOO_LONG: _BROKEN,
    Fault.WRONG_CHUNKED: _BROKEN,
    Fault.GARBAGE: _BROKEN,
    Fault.NEGATIVE_USAGE: _MALFORMED,  # an answer that cannot be billed is not delivered
    Fault.ABSURD_USAGE: _MALFORMED,
}
"""The stable codes that each fault may end in; faults that are absent relay the provider's own status."""


@dataclass(frozen=True, slots=True)
class Case:
    fault: Fault
    caller: str
    upstream: str
    streamed: bool

    def __str__(self) -> str:
        return f"{self.fault}-{self.caller}-over-{self.upstream}-{'streamed' if self.streamed else 'plain'}"


CASES = [
    Case(fault, caller, upstream, streamed)
    for fault in Fault
    for caller in ("openai", "anthropic")
    for upstream in ("openai", "anthropic")
    for streamed in (True, False)
    if fault.changes(streamed=streamed)
]


@pytest.fixture
async def sick() -> AsyncIterator[Simulator]:
    async with Simulator(limits=FaultLimits(fault_limit_s=8)) as simulator:
        yield simulator


@pytest.fixture
async def guarded(serve: Serve, sick: Simulator) -> AsyncIterator[Service]:
    """A service with short deadlines and small caps."""
    async with serve(
        **providers(sick),
        upstream_connect_s=0.6,
        upstream_first_byte_s=0.6,
        upstream_silence_s=0.4,
        upstream_total_s=2.0,
        max_upstream_body_bytes=2_000_000,
        max_event_bytes=1_000_000,
        drain_s=1,
    ) as service:
        yield service


def delivered(fault: Fault) -> bool:
    """Whether the caller gets the whole answer all the same."""
    return fault.healthy and fault not in _EXPECTED


@dataclass(frozen=True, slots=True)
class Received:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, object]]:
        data = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [json.loads(item) for item in data if item != "[DONE]"]


async def ask(service: Service, case: Case) -> Received:
    path = "/v1/chat/completions" if case.caller == "openai" else "/v1/messages"
    body = {
        "model": _MODELS[case.upstream],
        "max_tokens": 200,
        "stream": case.streamed,
        "messages": [{"role": "user", "content": "Count to twenty, please"}],
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(service.url + path, json=body, headers=service.headers) as response,
    ):
        return Received(response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read())


def check_error_body(case: Case, body: dict[str, object]) -> str:
    """The envelope's exact keys; gives the OpenAI code or the Anthropic type."""
    error = body["error"]
    assert isinstance(error, dict)
    assert error["message"]
    if case.caller == "anthropic":
        assert body["type"] == "error"
        assert set(error) == {"type", "message"}
        assert "request_id" in body
        return str(error["type"])
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["code"])


def check_stream_end(case: Case, received: Received) -> None:
    """One terminal event, and nothing after it."""
    text = received.body.decode()
    if case.caller == "openai":
        assert text.endswith("data: [DONE]\n\n")
        assert text.count("data: [DONE]") == 1
    else:
        terminal = [event["type"] for event in received.events if event["type"] in ("message_stop", "error")]
        assert len(terminal) == 1
        assert received.events[-1]["type"] == terminal[0]
        assert [e["type"] for e in received.events].count("message_start") <= 1


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_every_fault_ends_in_a_whole_answer_or_one_typed_error(
    guarded: Service, sick: Simulator, case: Case
) -> None:
    sick.script(*[case.fault] * 3)
    async with asyncio.timeout(8):
        received = await ask(guarded, case)
    if delivered(case.fault):
        assert received.status == 200
        if case.streamed:
            check_stream_end(case, received)
            assert not any("error" in event for event in received.events)
        assert b"Count" in received.body
    elif received.status == 200:
        assert case.streamed, "a plain answer that failed must not be a 200"
        check_stream_end(case, received)
        code = check_error_body(case, received.events[-1])
        if case.caller == "openai":
            assert code in _EXPECTED[case.fault]
    else:
        check_error_body(case, json.loads(received.body))
        if case.fault in _EXPECTED:
            assert received.headers["x-ali-error-code"] in _EXPECTED[case.fault]
        assert 400 <= received.status < 600
        assert received.status != 500
    sick.reset()
    [record] = await guarded.records()
    assert record["outcome"] == ("ok" if delivered(case.fault) else "error")
    assert record["duration_ms"] is not None
    assert 0 <= record["cost_microusd"] < 20_000_000, "no more than what was streamed under the cap of 2 MB"
    assert record["usage_reported"] is (delivered(case.fault) and case.fault is not Fault.MISSING_USAGE)
    if not delivered(case.fault):
        assert record["error_code"]
    await sick.until(lambda: sick.counters.in_flight == 0)


def test_the_fault_table_covers_both_kinds_of_answer() -> None:
    assert {fault.applies for fault in Fault} == set(Applies)
    assert len(CASES) > 200
