"""Request and relay together, over a socket, against the simulated OpenAI: what it refuses is not sent."""

from typing import Any

import orjson
import pytest

from ali.ops.simulator import Answer, Fault, FaultLimits, RedactedThinking, Simulator, Thinking, ToolCall
from ali.providers.contract import Dialect, UpstreamError, Usage
from ali.providers.sse import EventSplitter
from ali.providers.turns.native_request import turn_to_responses
from ali.providers.turns.native_turn import NativeTurn
from ali.providers.turns.writer import OutputWriter
from tests.simulators.fixtures import KEY
from tests.unit.simulator.raw_http import PROMPT, request, talk
from tests.unit.simulator.test_faults import ECHO
from tests.unit.turns.native_events import ours

TOOLS = [{"type": "function", "name": "f", "parameters": {}}, {"type": "custom", "name": "g"}]
SIGNED = "signed by us: "
WHOLE_HTTP = [
    fault
    for fault in Fault
    if fault.changes(streamed=True)
    and not fault.startswith(
        ("stall", "slow", "http", "reset", "half", "closed", "wrong", "garbage", "html", "endless")
    )
    and fault not in (Fault.GZIP_BOMB, Fault.CONTENT_LENGTH_TOO_LONG, Fault.ENORMOUS_LINE, Fault.OK_WITH_ERROR)
]
"""Those whose bytes are an event stream, or ought to be."""


def seal(payload: dict[str, Any]) -> str:
    return SIGNED + orjson.dumps(payload).decode()


def unseal(sealed: str) -> dict[str, Any] | None:
    return orjson.loads(sealed.removeprefix(SIGNED)) if sealed.startswith(SIGNED) else None


async def turn_of(
    simulator: Simulator, writer: OutputWriter, items: list[dict[str, Any]], *, model: str = "gpt-5.4"
) -> tuple[NativeTurn, bytes]:
    """One turn on `items`: the relay, and what the caller gets of it."""
    body = turn_to_responses({"input": items, "tools": TOOLS}, model=model, unseal=unseal).body
    wire = await talk(simulator, request(Dialect.OPENAI, path="/v1/responses", messages=None, **body))
    assert wire.status == 200, wire.data
    turn = NativeTurn(writer, provider="openai", seal=seal)
    return turn, b"".join(turn.feed(event) for event in EventSplitter(limit_bytes=1 << 22).feed(wire.content))


async def test_a_conversation_of_several_turns_is_taken_item_by_item(simulator: Simulator) -> None:
    usage = Usage(input_tokens=9, cached_input_tokens=4, output_tokens=7, reasoning_tokens=2, reported=True)
    simulator.script(
        Answer(
            text="One moment.",
            thinking=(Thinking(text="Hm, well."), RedactedThinking()),
            tool_calls=(ToolCall(name="f", arguments={"a": 1}), ToolCall(name="g", arguments="raw")),
            usage=usage,
        ),
        Answer(text="It is 42."),
    )
    writer = OutputWriter()
    question: dict[str, Any] = {"type": "message", "id": "item_1", "role": "user", "content": "hi"}
    first, stream = await turn_of(simulator, writer, [question])
    assert (first.finished, first.usage, first.service_tier) == (True, usage, "default")
    *_, called, custom = writer.output
    assert [item["type"] for item in writer.output] == [
        "reasoning",
        "reasoning",
        "message",
        "function_call",
        "custom_tool_call",
    ]
    assert (called["arguments"], custom["input"]) == ('{"a":1}', "raw")
    assert all(item["encrypted_content"].startswith(SIGNED) for item in writer.output[:2])
    results = [
        {"type": f"{kind}_output", "id": "item_2", "status": "completed", "call_id": item["call_id"], "output": "42"}
        for kind, item in (("function_call", called), ("custom_tool_call", custom))
    ]
    remote = {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "n", "arguments": "{}", "output": "x"}
    second, more = await turn_of(simulator, writer, [question, *writer.output, *results, remote])
    assert second.finished
    sent: Any = simulator.last.json
    assert (sent["store"], sent["stream"], sent["include"]) == (False, True, ["reasoning.encrypted_content"])
    assert all("id" not in item for item in sent["input"])
    assert writer.output[5]["content"][0]["text"] == "It is 42."
    events = ours(stream + more)
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == writer.output


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4.1", "o4-mini"])
async def test_every_family_of_models_takes_the_request(simulator: Simulator, model: str) -> None:
    turn, _ = await turn_of(simulator, OutputWriter(), [{"role": "user", "content": "hi"}], model=model)
    assert turn.finished


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter"), ("stop", None)]
)
async def test_why_the_model_stopped_is_known(simulator: Simulator, finish: str, reason: str | None) -> None:
    simulator.answer(Answer(text="So far", finish_reason=finish))
    writer = OutputWriter()
    turn, _ = await turn_of(simulator, writer, [{"role": "user", "content": "hi"}])
    assert turn.incomplete_reason == reason
    assert writer.output[0]["status"] == ("incomplete" if reason else "completed")


async def test_a_response_that_fails_leaves_what_it_had_said(simulator: Simulator) -> None:
    simulator.answer(Answer(text="So far", finish_reason="rate_limit_exceeded"))
    writer = OutputWriter()
    with pytest.raises(UpstreamError, match="Rate limit reached") as failed:
        await turn_of(simulator, writer, [{"role": "user", "content": "hi"}])
    assert failed.value.error_code == "rate_limit_exceeded"
    assert writer.snapshot()[0]["content"][0]["text"] == "So far"


@pytest.mark.parametrize("fault", WHOLE_HTTP)
async def test_a_sick_stream_is_refused_and_a_healthy_one_is_whole(fault: Fault) -> None:
    async with Simulator(api_key=KEY, limits=FaultLimits(fault_limit_s=0.4)) as simulator:
        simulator.answer(fault)
        writer = OutputWriter()
        try:
            turn, stream = await turn_of(simulator, writer, [{"role": "user", "content": PROMPT}])
        except UpstreamError:
            assert not fault.healthy or not fault.usage_is_true
            return
        assert turn.finished is fault.healthy
        if fault.healthy:
            assert ours(stream)
            assert writer.output[0]["content"][0]["text"] == ECHO
            assert turn.usage.reported is fault.usage_is_true
