"""What a log of events says, whoever wrote them: their numbers, and the output that they leave at any point."""

from typing import Any

import orjson
import pytest

from ali.features.responses.replay import events_of, number_of, output_of
from ali.providers.turns import OutputWriter
from ali.providers.turns.native_turn import NativeTurn


def native() -> bytes:
    """A stream of OpenAI's own: the number stands in the middle of each event."""
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    events: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": item},
        {"type": "response.content_part.added", "sequence_number": 3, **place, "part": part},
        {"type": "response.output_text.delta", "sequence_number": 4, **place, "delta": "Good ", "logprobs": []},
        {"type": "response.output_text.delta", "sequence_number": 5, **place, "delta": "day: 7", "logprobs": []},
    ]
    writer = OutputWriter(first_number=3)
    turn = NativeTurn(writer, provider="openai", seal=lambda _: "sealed")
    return b"".join(turn.feed(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), orjson.dumps(e))) for e in events)


def own() -> bytes:
    """A stream of this service's writer: the number stands last."""
    writer = OutputWriter(first_number=3)
    for piece in ("Good ", "day: 7"):
        writer.text(piece)
    return writer.take()


@pytest.mark.parametrize("log", [native(), own()], ids=["native", "own"])
def test_every_event_is_known_by_its_number(log: bytes) -> None:
    assert [number_of(event) for event in events_of(log)] == [3, 4, 5, 6]


@pytest.mark.parametrize("log", [native(), own()], ids=["native", "own"])
def test_what_was_not_done_is_there_as_far_as_it_came(log: bytes) -> None:
    [item] = output_of(log)
    assert item["status"] == "incomplete"
    assert [part["text"] for part in item["content"]] == ["Good day: 7"]


def test_every_kind_of_item_is_there_as_far_as_it_came() -> None:
    writer = OutputWriter()
    writer.begin_reasoning()
    writer.summarise("Hm. ")
    writer.summarise("So.")
    writer.end_reasoning(encrypted_content="sealed")
    writer.refuse("I ")
    writer.refuse("cannot.")
    writer.begin_call("a", kind="function_call", call_id="c1", name="f")
    writer.begin_call("b", kind="custom_tool_call", call_id="c2", name="g")
    writer.arguments("a", '{"x":')
    writer.arguments("b", "free ")
    writer.arguments("a", "1}")
    writer.arguments("b", "text")
    left = [{**item, "status": "incomplete"} if item["status"] == "in_progress" else item for item in writer.snapshot()]
    assert output_of(writer.take()) == left
