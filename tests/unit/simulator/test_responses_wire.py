"""Details of the Responses wire that the SDK does not show: its events, its refusals, its faults."""

import json
from typing import Any

import pytest

from ali.ops.simulator import Answer, Fault, FaultLimits, Simulator
from ali.ops.simulator.responses_wire import encrypted
from ali.providers.contract import Dialect
from ali.providers.sse import EventSplitter, event_data
from tests.simulators.fixtures import KEY
from tests.unit.simulator.raw_http import PROMPT, Wire, request, talk
from tests.unit.simulator.test_faults import ECHO, PROMISES, Check, datas, says_error

PATH = "/v1/responses"
TERMINAL = b'"type":"response.completed"'


def asked(*, stream: bool = False, path: str = PATH, **fields: Any) -> bytes:  # noqa: ANN401 - a body may hold anything
    body: dict[str, Any] = {"messages": None, "input": PROMPT, "model": "gpt-5.4"} | fields
    return request(Dialect.OPENAI, path=path, stream=stream, **body)


async def test_a_stream_has_named_events_in_openai_s_order_and_no_done(simulator: Simulator) -> None:
    simulator.answer("Bom dia")
    wire = await talk(simulator, asked(stream=True))
    events = EventSplitter(limit_bytes=1 << 20).feed(wire.content)
    bodies = [json.loads(event_data(event) or b"") for event in events]
    assert [body["type"] for body in bodies] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    for event, body in zip(events, bodies, strict=True):
        assert event.startswith(f'event: {body["type"]}\ndata: {{"type":"{body["type"]}",'.encode())
        assert list(body)[1:] == sorted(list(body)[1:])
    assert [len(body["delta"]) + len(body["obfuscation"]) for body in bodies[4:6]] == [16, 16]
    assert bodies[0]["response"]["status"] == "in_progress"
    plain = await talk(simulator, asked(stream=True, stream_options={"include_obfuscation": False}))
    assert b"obfuscation" not in plain.content
    assert b"x-request-id: req_" in wire.head


USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
THOUGHT = {"type": "reasoning", "summary": []}


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"model": "gpt-does-not-exist"}, 404, "model_not_found"),
        ({"input": None}, 400, "missing_required_parameter"),
        ({"input": [1]}, 400, "invalid_type"),
        ({"input": {}}, 400, "invalid_type"),
        ({"input": [USER, OUTPUT]}, 400, "No tool call found for function call output with call_id call_1."),
        ({"input": [OUTPUT, CALL]}, 400, "No tool call found for function call output"),
        ({"input": [USER, CALL]}, 400, "No tool output found for function call call_1."),
        ({"input": [CALL, OUTPUT | {"type": "custom_tool_call_output"}]}, 400, "custom tool call output"),
        ({"input": [CALL | {"id": "mcp_1"}, OUTPUT]}, 400, "begins with 'fc'"),
        ({"input": [THOUGHT | {"id": "rs_1"}]}, 404, "Items are not persisted"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, 404, "Items are not persisted"),
        ({"input": [THOUGHT | {"encrypted_content": "gAAAA"}]}, 400, "invalid_encrypted_content"),
        ({"input": [{"type": "nothing"}]}, 400, "invalid_value"),
        ({"input": [{"role": "tool", "content": "42"}]}, 400, "input[0].role"),
        ({"input": [{"role": "user"}]}, 400, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, 400, "input[0].content[0]"),
        ({"input": [{"role": "assistant", "content": [{"type": "input_text", "text": ""}]}]}, 400, "'output_text'"),
        ({"previous_response_id": "resp_1"}, 400, "previous_response_not_found"),
        ({"conversation": "conv_1"}, 404, "not found"),
        ({"messages": [USER]}, 400, "moved to 'input'"),
        ({"max_tokens": 9}, 400, "moved to 'max_output_tokens'"),
        ({"max_output_tokens": 15}, 400, "integer_below_min_value"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "tools[0].name"),
        ({"model": "gpt-4o", "include": ["reasoning.encrypted_content"]}, 400, "not supported with this model"),
        ({"input": "[[fault:nonsense]]"}, 400, "stall_mid_stream"),
        ({"path": PATH + "/compact", "previous_response_id": "resp_1"}, 400, "previous_response_not_found"),
        ({"path": PATH + "/input_tokens", "input": [OUTPUT]}, 400, "No tool call found"),
    ],
)
async def test_what_openai_refuses_is_refused(
    simulator: Simulator, fields: dict[str, Any], status: int, says: str
) -> None:
    wire = await talk(simulator, asked(**fields))
    assert (wire.status, says in wire.content.decode()) == (status, True), wire.data
    assert set(json.loads(wire.content)["error"]) == {"message", "type", "param", "code"}


async def test_what_openai_takes_is_taken(simulator: Simulator) -> None:
    taken = [
        USER,
        THOUGHT | {"encrypted_content": encrypted("Hm.")},
        THOUGHT,
        CALL | {"id": "fc_1", "status": "completed"},
        OUTPUT,
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "So."}],
            "phase": "commentary",
        },
        {"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
    ]
    include = ["reasoning.encrypted_content"]
    wire = await talk(simulator, asked(input=taken, include=include, a_parameter_of_tomorrow=1, max_output_tokens=16))
    assert wire.status == 200, wire.data
    assert simulator.last.json["a_parameter_of_tomorrow"] == 1


def streamed_text(content: bytes) -> str:
    """The text of a stream up to its terminal event."""
    text = ""
    for data in datas(content):
        event = json.loads(data)
        if event["type"] == "response.completed":
            break
        text += event["delta"] if event["type"] == "response.output_text.delta" else ""
    return text


def plain_text(content: bytes) -> str:
    return str(json.loads(content)["output"][0]["content"][0]["text"])


def _error_last(wire: Wire) -> bool:
    last = json.loads(datas(wire.content)[-1])
    return (
        last["type"] == "error"
        and last["sequence_number"] == len(datas(wire.content)) - 1
        and TERMINAL not in wire.content
    )


PROMISED: dict[Fault, Check] = PROMISES | {
    Fault.MISSING_END: lambda w, _d, _s: TERMINAL not in w.content and w.data.endswith(b"0\r\n\r\n"),
    Fault.ERROR_EVENT: lambda w, _d, _s: _error_last(w) and b"quick" in w.content,
    Fault.ERROR_EVENT_FIRST: lambda w, _d, _s: _error_last(w) and len(datas(w.content)) == 1,
    Fault.DUPLICATE_END: lambda w, _d, _s: w.content.count(b"event: response.completed\n") == 2,
    Fault.EVENTS_AFTER_END: lambda w, _d, _s: TERMINAL not in datas(w.content)[-1],
    Fault.JSON_FOR_STREAM: lambda w, _d, _s: b"application/json" in w.head and plain_text(w.content) == ECHO,
    Fault.STREAM_FOR_JSON: lambda w, _d, _s: b"event-stream" in w.head and streamed_text(w.content) == ECHO,
    Fault.MISSING_USAGE: lambda w, _d, _s: b'"usage":null' in w.content and b'"input_tokens"' not in w.content,
    Fault.OK_WITH_ERROR: lambda w, _d, _s: w.status == 200 and says_error(w.content),
}


@pytest.mark.parametrize(
    ("fault", "stream"),
    [
        pytest.param(fault, stream, id=f"{fault}-{'stream' if stream else 'plain'}")
        for fault in Fault
        for stream in (False, True)
        if fault.changes(streamed=stream)
    ],
)
async def test_a_fault_puts_the_promised_bytes_on_the_socket(fault: Fault, *, stream: bool) -> None:
    limits = FaultLimits(
        fault_limit_s=0.4, drip_s=0.01, enormous_bytes=2 << 20, endless_bytes=4 << 20, bomb_bytes=64 << 20
    )
    async with Simulator(api_key=KEY, limits=limits) as simulator:
        simulator.answer(Answer(fault=fault))
        wire = await talk(simulator, asked(stream=stream))
        assert PROMISED[fault](wire, Dialect.OPENAI, stream), wire.data[:3000]
        if fault.healthy:
            assert (streamed_text if stream else plain_text)(wire.content) == ECHO
        await simulator.until(lambda: simulator.counters.open_connections == 0)
        assert (simulator.counters.in_flight, simulator.queued) == (0, 0)
