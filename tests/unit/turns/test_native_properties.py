"""What holds for any Responses stream, any order of its items' events, any JSON."""

from collections import deque
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ali.kernel.errors import AliError
from ali.providers.sse import EventSplitter, event_data
from ali.providers.turns.native_request import turn_to_responses
from ali.providers.turns.native_turn import NativeTurn
from ali.providers.turns.served import ServedTool
from ali.providers.turns.writer import OutputWriter
from tests.unit.translate.test_properties import BOUNDED, FUZZ, OBJECTS, SCALARS
from tests.unit.turns.native_events import call, lifecycle, message, ours, reasoning, theirs

TEXTS = st.text(max_size=8) | st.sampled_from(['"sequence_number":3', '"output_index":0', '","x":"', "\\", "\u2028\n"])
FIELDS = st.sampled_from(
    """type sequence_number output_index content_index summary_index item_id item id delta part text status content
    summary annotations annotation arguments input encrypted_content response usage error code message role name
    incomplete_details reason service_tier input_tokens server_label call_id""".split()  # noqa: SIM905 - reads better
)
KINDS = st.sampled_from(
    """response.created response.completed response.incomplete response.failed response.output_item.added
    response.output_item.done response.content_part.added response.content_part.done response.output_text.delta
    response.output_text.done response.reasoning_summary_part.added response.function_call_arguments.delta
    response.function_call_arguments.done response.output_text.annotation.added error keepalive response.new
    message reasoning function_call mcp_call compaction mcp_list_tools""".split()  # noqa: SIM905 - as above
)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS | KINDS | st.integers(0, 2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | st.text(max_size=3), inner, max_size=5),
    max_leaves=25,
)
EVENTS = st.fixed_dictionaries(
    {"type": KINDS | st.text(max_size=4)},
    optional={
        "output_index": st.integers(0, 2),
        "content_index": st.integers(0, 2),
        "delta": TEXTS,
        "item": st.fixed_dictionaries(
            {"type": KINDS},
            optional={
                "id": TEXTS,
                "content": JSON,
                "summary": JSON,
                "name": st.sampled_from(["served", "hidden", "own"]),
                "call_id": TEXTS,
                "arguments": JSON,
                "status": JSON,
            },
        ),
        "part": OBJECTS,
        "text": TEXTS,
        "annotation": JSON,
        "response": JSON,
        "x": JSON,
    },
)


def seal(payload: dict[str, Any]) -> str:
    return orjson.dumps(payload).decode()


@st.composite
def outputs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The events of some items, those of different items mixed; an item begins only after those before it began."""
    queues: list[deque[dict[str, Any]]] = []
    for index in range(draw(st.integers(0, 3))):
        texts = draw(st.lists(TEXTS, max_size=4))
        kind = draw(st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call"]))
        if kind == "message":
            events = message(index, texts, item_id=f"msg_{index}")
        elif kind == "reasoning":
            events = reasoning(index, "".join(texts), hidden=draw(TEXTS), item_id=f"rs_{index}")
        else:
            events = call(index, texts, item_id=f"fc_{index}", kind=kind)
        queues.append(deque(events))
    mixed = [queue.popleft() for queue in queues]
    while queues := [queue for queue in queues if queue]:
        mixed.append(draw(st.sampled_from(queues)).popleft())
    return mixed


@BOUNDED
@given(outputs(), outputs(), st.integers(0, 3))
def test_two_turns_are_one_output_with_the_same_items(
    first: list[dict[str, Any]], second: list[dict[str, Any]], before: int
) -> None:
    writer = OutputWriter(first_number=before)
    stream, items = b"", []
    for bodies in (first, second):
        turn = NativeTurn(writer, provider="openai", seal=seal)
        for event in lifecycle(*bodies):
            stream += turn.feed(event)
        assert turn.finished
        done = {body["output_index"]: body["item"] for body in bodies if body["type"] == "response.output_item.done"}
        items += [done[index] for index in sorted(done)]
        assert turn.output_chars == sum(len(body.get("delta", "")) for body in bodies)
    seen = ours(stream, first_number=before)
    assert len(seen) == len(first) + len(second)
    expected = [
        item | {"encrypted_content": seal({"encrypted_content": item["encrypted_content"]})}
        if item["type"] == "reasoning"
        else item
        for item in items
    ]
    assert writer.output == writer.snapshot() == expected
    assert [event.get("delta") for event in seen] == [body.get("delta") for body in (*first, *second)]


@BOUNDED
@given(outputs(), st.data())
def test_a_snapshot_at_any_moment_is_what_its_events_add_up_to(
    bodies: list[dict[str, Any]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(bodies)))
    writer = OutputWriter()
    turn = NativeTurn(writer, provider="openai", seal=seal)
    texts: dict[int, str] = {}
    for body, event in zip(bodies[:cut], theirs(*bodies[:cut]), strict=True):
        turn.feed(event)
        if "delta" in body:
            texts[body["output_index"]] = texts.get(body["output_index"], "") + body["delta"]
    snapshot = writer.snapshot()
    for index, text in texts.items():
        item = snapshot[index]
        parts = item.get("content") or item.get("summary") or [{"text": item.get("arguments") or item.get("input")}]
        assert "".join(part["text"] or "" for part in parts) == text
    closed = b"".join(turn.feed(event) for event in theirs({"type": "response.completed", "response": {}}))
    assert turn.finished
    assert writer.output == writer.snapshot()
    ours(closed, first_number=cut)


@FUZZ
@given(st.lists(EVENTS | JSON, max_size=6))
def test_whatever_comes_is_forwarded_as_json_or_is_the_provider_s_fault(bodies: list[Any]) -> None:
    served = ServedTool(kind="mcp_call", item=lambda item_id, text: {"id": item_id, "arguments": text})
    writer = OutputWriter(served={"served": served, "hidden": replace(served, shown=False)})
    turn = NativeTurn(writer, provider="openai", seal=seal)
    for body in bodies:
        try:
            out = turn.feed(b"data: " + orjson.dumps(body) + b"\n\n")
        except AliError:
            out = writer.take()
        for event in EventSplitter(limit_bytes=1 << 24).feed(out):
            assert isinstance(orjson.loads(event_data(event) or b""), dict)
        orjson.dumps(writer.snapshot())
    for made in writer.take_calls():
        assert made.arguments


@FUZZ
@given(st.dictionaries(FIELDS, JSON, max_size=4) | st.fixed_dictionaries({"input": st.lists(JSON, max_size=4)}))
def test_whatever_is_asked_can_be_sent_or_is_refused(request: dict[str, Any]) -> None:
    try:
        body = turn_to_responses(request, model="m", unseal=lambda _: {"encrypted_content": "x"}).body
    except AliError as refusal:
        assert refusal.http_status == 400  # noqa: PT017 - the refusal is one of two outcomes
        return
    assert (body["model"], body["store"], body["stream"]) == ("m", False, True)
    orjson.dumps(body)
