"""A stream of the Responses API becomes part of ours: renumbered, its reasoning sealed, its end told as facts."""

from typing import Any

import orjson
import pytest

from ali.providers.contract import UpstreamMalformed, UpstreamRefused, Usage
from ali.providers.sse import EventSplitter, event_data
from ali.providers.turns.native_turn import NativeTurn
from ali.providers.turns.served import ServedTool
from ali.providers.turns.writer import OutputWriter
from tests.unit.turns.native_events import call, lifecycle, message, ours, reasoning, theirs

USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 120,
}


def sealed(payload: dict[str, Any]) -> str:
    return "sealed:" + orjson.dumps(payload).decode()


def turn_in(writer: OutputWriter) -> NativeTurn:
    return NativeTurn(writer, provider="openai", seal=sealed)


def relayed(turn: NativeTurn, events: list[bytes]) -> bytes:
    out = b"".join(turn.feed(event) for event in events)
    assert turn.finished
    return out + turn.finish()


def test_everything_between_the_lifecycle_events_goes_on_as_it_came() -> None:
    writer = OutputWriter(first_number=2)
    bodies = [*message(0, ["Olá", ", ", 'mundo "\\'], item_id="msg_a"), *call(1, ['{"a":', "1}"]), *call(2, ["x"])]
    events = ours(relayed(turn_in(writer), lifecycle(*bodies)), first_number=2)
    assert [{name: event[name] for name in event if name != "sequence_number"} for event in events] == bodies
    assert writer.output == [body["item"] for body in bodies if body["type"] == "response.output_item.done"]


def test_turns_are_joined_into_one_output() -> None:
    writer = OutputWriter()
    writer.text("Before.")
    first = turn_in(writer)
    stream = relayed(first, lifecycle(*message(0, ["one"], item_id="msg_a"), *call(1, ["{}"], item_id="fc_a")))
    writer.whole(
        {"id": "fco_1", "type": "function_call_output", "status": "completed", "call_id": "call_fc_a", "output": "42"}
    )
    stream += writer.take()
    second = turn_in(writer)
    stream += relayed(second, lifecycle(*reasoning(0, "Hm.", hidden="x"), *message(1, ["two", " three"])))
    done = [event for event in ours(stream) if event["type"] == "response.output_item.done"]
    assert [event["output_index"] for event in done] == list(range(6))
    assert [event["item"] for event in done] == writer.output
    deltas = [event for event in ours(stream) if event["type"] == "response.output_text.delta"]
    assert [(event["output_index"], event["delta"]) for event in deltas] == [
        (0, "Before."),
        (1, "one"),
        (5, "two"),
        (5, " three"),
    ]
    assert all("obfuscation" in event for event in deltas[1:])


def test_reasoning_leaves_sealed_and_only_when_it_is_whole() -> None:
    writer = OutputWriter()
    stream = relayed(turn_in(writer), lifecycle(*reasoning(0, "Hm.", hidden="gAAA")))
    first, *_, last = ours(stream)
    assert "encrypted_content" not in first["item"]
    assert last["item"]["encrypted_content"] == 'sealed:{"encrypted_content":"gAAA"}'
    assert b'"gAAA"' not in stream.replace(b"\\", b"").replace(b'{"encrypted_content":"gAAA"}', b"")
    assert writer.output == [last["item"]]


def test_the_terminal_event_tells_usage_tier_and_why_it_was_cut_off() -> None:
    turn = turn_in(OutputWriter())
    relayed(
        turn,
        lifecycle(
            *message(0, ["cut"], status="incomplete"),
            end="response.incomplete",
            usage=USAGE,
            service_tier="flex",
            incomplete_details={"reason": "max_output_tokens"},
        ),
    )
    assert turn.usage == Usage(
        input_tokens=100,
        cached_input_tokens=60,
        cache_write_tokens=30,
        output_tokens=20,
        reasoning_tokens=5,
        reported=True,
    )
    assert (turn.incomplete_reason, turn.stop_reason, turn.service_tier) == (
        "max_output_tokens",
        "max_output_tokens",
        "flex",
    )
    assert turn.output_chars == 3
    whole = turn_in(OutputWriter())
    relayed(whole, lifecycle())
    assert (whole.incomplete_reason, whole.stop_reason, whole.service_tier) == (None, "completed", None)
    assert not whole.usage.reported


def test_a_snapshot_shows_open_items_with_what_they_hold_so_far() -> None:
    writer = OutputWriter()
    turn = turn_in(writer)
    bodies = [
        *reasoning(0, "Hm.", hidden="x")[:3],
        *message(1, ["So ", "far"])[:4],
        *call(2, ['{"a":', "1}"])[:2],
        *call(3, ["raw"], item_id="ctc_1", kind="custom_tool_call")[:2],
    ]
    for event in theirs(*bodies):
        turn.feed(event)
    thought, said, called, custom = writer.snapshot()
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert (said["status"], said["content"][0]["text"]) == ("in_progress", "So far")
    assert (called["arguments"], custom["input"]) == ('{"a":', "raw")
    turn.feed(
        theirs(
            {
                "type": "response.output_text.annotation.added",
                "item_id": "msg_1",
                "output_index": 1,
                "content_index": 0,
                "annotation_index": 0,
                "annotation": {"type": "file_path", "file_id": "file_1", "index": 1},
            }
        )[0]
    )
    assert writer.snapshot()[1]["content"][0]["annotations"] == [{"type": "file_path", "file_id": "file_1", "index": 1}]


@pytest.mark.parametrize("reason", [None, "content_filter"])
def test_what_is_open_at_the_terminal_event_is_closed(reason: str | None) -> None:
    writer = OutputWriter()
    bodies = [*reasoning(0, "Hm.", hidden="x")[:3], *message(1, ["So ", "far"])[:4], *call(2, ['{"a":', "1}"])[:3]]
    end = "response.incomplete" if reason else "response.completed"
    stream = relayed(turn_in(writer), lifecycle(*bodies, end=end, incomplete_details=reason and {"reason": reason}))
    kinds = [event["type"] for event in ours(stream)]
    for name in ("reasoning_summary_text", "output_text", "function_call_arguments"):
        assert kinds.count(f"response.{name}.done") == 1
    assert kinds.count("response.content_part.done") == kinds.count("response.reasoning_summary_part.done") == 1
    assert kinds.count("response.output_item.done") == 3
    _, said, called = writer.output
    assert said["content"][0]["text"] == "So far"
    assert called["arguments"] == '{"a":1}'
    assert {said["status"], called["status"]} == {"incomplete" if reason else "completed"}


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ({"code": "rate_limit_exceeded", "message": "Slow down."}, 429, "rate_limit_error"),
        ({"code": "server_error", "message": "Slow down."}, 500, "api_error"),
        ({"code": "invalid_prompt", "message": "Slow down."}, 400, "invalid_request_error"),
        ({"code": "slow_down", "message": "Slow down."}, 503, "overloaded_error"),
        ({"type": "invalid_request_error", "code": None, "message": "Slow down."}, 400, "invalid_request_error"),
    ],
)
@pytest.mark.parametrize("shape", ["failed", "flat", "nested"])
def test_an_error_in_the_stream_is_the_provider_s_refusal(
    error: dict[str, Any], status: int, kind: str, shape: str
) -> None:
    if shape == "failed":
        body: dict[str, Any] = {"type": "response.failed", "response": {"error": error, "usage": USAGE}}
    elif shape == "nested":
        body = {"type": "error", "error": error}
    elif "type" in error:
        return
    else:
        body = {"type": "error", "param": None, **error}
    turn = turn_in(OutputWriter())
    with pytest.raises(UpstreamRefused, match="Slow down") as refused:
        turn.feed(theirs(body)[0])
    assert (refused.value.upstream_status, refused.value.kind) == (status, kind)
    assert refused.value.error_code == (error["code"] or UpstreamRefused.code)
    assert turn.usage.reported is (shape == "failed")


@pytest.mark.parametrize(
    "event",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b"data: 1\n\n",
        b'data: {"type":"response.output_text.delta","output_index":0,"delta":"\xff"}\n\n',
        b'data: {"type":"response.output_text.delta","output_index":0,"delta":"no such item"}\n\n',
        b'data: {"type":"response.output_item.added","output_index":0,"item":null}\n\n',
        b'data: {"type":"response.output_item.added","item":{"type":"message"}}\n\n',
        b'data: {"type":"response.output_item.done","item":{"type":"message"}}\n\n',
        b'data: {"type":"response.web_search_call.searching","output_index":7}\n\n',
        b'data: {"type":"x\\",\\"y","z":1}\n\n',
        b'data: {"type":"response.new","deep":' + b"[" * 500 + b"]" * 500 + b"}\n\n",
        b'data: {"type":"response.completed","response":{"usage":{"input_tokens":-1}}}\n\n',
    ],
)
def test_what_is_not_the_protocol_is_malformed(event: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        turn_in(OutputWriter()).feed(event)


def test_events_that_are_not_known_go_on_and_keep_alives_do_not() -> None:
    writer = OutputWriter()
    turn = turn_in(writer)
    writer.whole({"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "s", "tools": []})
    writer.take()
    item = {"id": "ws_1", "type": "web_search_call", "status": "in_progress"}
    turn.feed(theirs({"type": "response.output_item.added", "output_index": 0, "item": item})[0])
    assert turn.feed(b": comment\n\n") == b""
    seen = turn.progress
    assert turn.feed(theirs({"type": "keepalive"})[0]) == b""
    assert turn.progress == seen
    new = {"type": "response.new", "kind": "k", "self": {"sequence_number": 4}, "output_index": 0}
    data = event_data(turn.feed(theirs(new)[0]))
    assert data is not None
    assert orjson.loads(data) == new | {"output_index": 1, "sequence_number": 3}
    turn.feed(
        theirs({"type": "response.output_item.done", "output_index": 0, "item": item | {"status": "completed"}})[0]
    )
    assert writer.output[1]["status"] == "completed"


@pytest.mark.parametrize(
    "data",
    [
        (
            b'{ "type": "response.output_text.delta", "sequence_number": 12, "item_id": "msg_1", "output_index": 0,'
            b' "content_index": 0, "logprobs": [], "delta": "word" }'
        ),
        (
            b'{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"logprobs":[],'
            b'"delta":"word"}'
        ),
        (
            b'{"delta":"word","sequence_number":12,"x":{"sequence_number":12,"output_index":0},"output_index":0,'
            b'"type":"response.output_text.delta","item_id":"msg_1","content_index":0,"logprobs":[]}'
        ),
        (
            b'{"delta":"word",\n"sequence_number":12,"type":"response.output_text.delta","item_id":"msg_1",'
            b'"output_index":0,"content_index":0,"logprobs":[]}'
        ),
    ],
)
def test_a_delta_is_renumbered_however_it_is_written(data: bytes) -> None:
    writer = OutputWriter(first_number=3)
    writer.whole({"id": "fco_1", "type": "function_call_output", "call_id": "c", "output": "42"})
    turn = turn_in(writer)
    for event in theirs(*message(0, [])[:2]):
        turn.feed(event)
    number = writer.next_number
    lines = b"".join(b"data: " + line + b"\n" for line in data.split(b"\n"))
    [event] = EventSplitter(limit_bytes=1 << 20).feed(turn.feed(lines + b"\n"))
    body = orjson.loads(event_data(event) or b"")
    assert (body["sequence_number"], body["output_index"], body["delta"]) == (number, 1, "word")
    assert ours(event, first_number=number)
    assert writer.snapshot()[1]["content"][0]["text"] == "word"


def test_what_follows_the_end_is_not_looked_at() -> None:
    turn = turn_in(OutputWriter())
    relayed(turn, lifecycle())
    assert turn.feed(b"data: {\n\n") == b""


def served_item(item_id: str, arguments: str) -> dict[str, Any]:
    return {"id": item_id, "type": "mcp_call", "server_label": "s", "name": "n", "arguments": arguments}


@pytest.mark.parametrize("shown", [True, False])
def test_a_call_of_a_function_that_the_service_runs_is_shown_as_what_it_stands_for(*, shown: bool) -> None:
    tool = ServedTool(kind="mcp_call", item=served_item, shown=shown)
    writer = OutputWriter(served={"f": tool})
    silent = call(2, [], item_id="fc_c")
    bodies = [
        *message(0, ["So."]),
        *call(1, ['{"a":', "1}"], item_id="fc_a"),
        *[silent[0], silent[-1]],
        *call(3, ["x"], item_id="ctc_1", kind="custom_tool_call"),
        *message(4, ["And"], item_id="msg_2"),
    ]
    turn = turn_in(writer)
    events = ours(relayed(turn, lifecycle(*bodies)))
    first, second = writer.take_calls()
    assert [(made.call_id, made.arguments) for made in (first, second)] == [
        ("call_fc_a", '{"a":1}'),
        ("call_fc_c", "{}"),
    ]
    assert (first.index, second.index) == ((1, 2) if shown else (None, None))
    kinds = [item["type"] for item in writer.output]
    assert kinds == ["message", *["mcp_call"] * 2 * shown, "custom_tool_call", "message"]
    assert b"function_call" not in orjson.dumps(events)
    assert [event["output_index"] for event in events if event["type"] == "response.output_text.delta"] == [
        0,
        4 if shown else 2,
    ]
    assert turn.output_chars == len("So.") + len('{"a":1}') + len("{}") + len("x") + len("And")


def test_a_served_call_that_was_cut_off_is_not_run() -> None:
    writer = OutputWriter(served={"f": ServedTool(kind="mcp_call", item=served_item)})
    cut = call(0, ['{"a":'])
    cut[-1]["item"]["status"] = "incomplete"
    reason = {"reason": "max_output_tokens"}
    relayed(turn_in(writer), lifecycle(*cut, end="response.incomplete", incomplete_details=reason))
    assert writer.take_calls() == []
    relayed(turn_in(writer), lifecycle(*cut[:2], end="response.incomplete", incomplete_details=reason))
    assert writer.take_calls() == []
    assert [item["arguments"] for item in writer.output] == ['{"a":', '{"a":']
