"""What a model cites, over every wire: its marks leave the text, annotations come in their place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ali.providers.turns import OutputWriter
from ali.providers.turns.chat_turn import ChatTurn
from ali.providers.turns.citing import Citations
from ali.providers.turns.messages_turn import MessagesTurn
from ali.providers.turns.native_turn import NativeTurn
from tests.contract.response_events import EventJudge
from tests.unit.translate.reading import named, sent
from tests.unit.translate.test_chat_stream import START, block
from tests.unit.translate.test_chat_stream import end as ended
from tests.unit.translate.test_messages_stream import chunk
from tests.unit.turns.messages_sealing import seal
from tests.unit.turns.native_events import lifecycle, message
from tests.unit.turns.output_reading import turned
from tests.unit.turns.test_citing import PIECES, read
from tests.unit.turns.told import begin, end, events_of

Json = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """A page of a file."""

    number: int

    def annotation(self, *, span: tuple[int, int] | None = None) -> Json:
        return {"type": "file_citation", "file_id": f"f{self.number}", "filename": "a.pdf", "citation": {"span": span}}


def citing_writer() -> OutputWriter:
    writer = OutputWriter()
    writer.citations = Citations()
    for number in range(1, 13):
        writer.citations.give(Page(number))
    return writer


def over_chat(pieces: list[str], writer: OutputWriter) -> bytes:
    relay = ChatTurn(writer, provider="local")
    return turned(relay, sent(*[chunk(content=piece) for piece in pieces], chunk("stop"), "[DONE]"))


def over_messages(pieces: list[str], writer: OutputWriter) -> bytes:
    relay = MessagesTurn(writer, provider="anthropic", seal=seal, custom_tools=frozenset())
    deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
    return turned(relay, named(START, *block(0, {"type": "text", "text": ""}, *deltas), *ended()))


def natively(pieces: list[str], writer: OutputWriter) -> bytes:
    return turned(NativeTurn(writer, provider="openai", seal=seal), lifecycle(*message(0, pieces, item_id="msg_a")))


WIRES = pytest.mark.parametrize("wire", [over_chat, over_messages, natively])
Wire = Callable[[list[str], OutputWriter], bytes]


def judged(stream: Callable[[OutputWriter], bytes], writer: OutputWriter | None = None) -> list[Json]:
    """The events of a response around a stream, all of them found right by the judge of event streams."""
    writer = writer or citing_writer()
    begin(writer)
    before = writer.take()
    body = stream(writer)
    end(writer, "completed")
    judge = EventJudge()
    events = events_of(before + body + writer.take())
    for event in events:
        judge.see(event)
    judge.end()
    return events


def only_part(events: list[Json]) -> Json:
    [item] = events[-1]["response"]["output"]
    [part] = item["content"]
    found: Json = part
    return found


@WIRES
def test_a_mark_leaves_the_text_and_becomes_an_annotation(wire: Wire) -> None:
    events = judged(lambda writer: wire(["Trin", "ta dias ", "【", "c3】", ". E", " mais 【c9", "9】【c1】."], writer))
    part = only_part(events)
    assert part["text"] == "Trinta dias. E mais."
    assert [(one["file_id"], one["index"]) for one in part["annotations"]] == [("f3", 11), ("f1", 19)]
    kinds = [event["type"] for event in events]
    assert kinds.count("response.output_text.annotation.added") == 2
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert deltas == ["Trin", "ta dias", ". E", " mais", "."]


@WIRES
def test_text_without_marks_goes_on_as_it_came(wire: Wire) -> None:
    pieces = ["Olá", " mundo", " [c3]", " 【重要】", "!"]
    deltas = [
        event["delta"]
        for event in judged(lambda writer: wire(pieces, writer))
        if event["type"] == "response.output_text.delta"
    ]
    assert deltas == pieces


@WIRES
@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(PIECES | st.text(max_size=4), min_size=1, max_size=10).filter(any))
def test_any_text_in_any_pieces_says_the_same_over_every_wire(wire: Wire, pieces: list[str]) -> None:
    part = only_part(judged(lambda writer: wire(pieces, writer)))
    text, cited, _ = read(["".join(pieces)])
    assert part["text"] == text
    assert [(one["index"], one["file_id"]) for one in part["annotations"]] == cited


def test_blocks_of_text_are_one_part_and_their_citations_stand_where_they_end() -> None:
    quoted: Json = {
        "type": "search_result_location",
        "source": "c2",
        "title": "a.pdf",
        "cited_text": "So it is.",
        "search_result_index": 0,
        "start_block_index": 0,
        "end_block_index": 1,
        "start_char_index": 4,
        "end_char_index": 13,
    }
    other = {**quoted, "source": "elsewhere"}
    blocks = [
        block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Found:【c1】 "}),
        block(
            1,
            {"type": "text", "text": "", "citations": []},
            {"type": "text_delta", "text": "“So it is.”"},
            {"type": "citations_delta", "citation": quoted},
            {"type": "citations_delta", "citation": other},
        ),
    ]

    def stream(writer: OutputWriter) -> bytes:
        relay = MessagesTurn(writer, provider="extractive", seal=seal, custom_tools=frozenset())
        return turned(relay, named(START, *blocks[0], *blocks[1], *ended()))

    part = only_part(judged(stream))
    assert part["text"] == "Found: “So it is.”"
    assert [(one["file_id"], one["index"]) for one in part["annotations"]] == [
        ("f1", 6),
        ("f2", 18),
        ("elsewhere", 18),
    ]
    assert part["annotations"][1]["citation"] == {"span": (4, 13)} or part["annotations"][1]["citation"] == {
        "span": [4, 13]
    }


def test_annotations_of_the_upstream_move_with_the_text() -> None:
    bodies = message(0, ["A【c1】 page", "."], item_id="msg_a")
    theirs = {"type": "url_citation", "start_index": 6, "end_index": 10, "url": "https://a.example", "title": "A"}
    place = {"item_id": "msg_a", "output_index": 0, "content_index": 0}
    bodies.insert(
        4, {"type": "response.output_text.annotation.added", **place, "annotation_index": 0, "annotation": theirs}
    )
    for body in bodies[5:]:
        part = body.get("part") or (body.get("item") or {"content": []})["content"]
        for each in part if isinstance(part, list) else [part]:
            each["annotations"] = [theirs]
    events = judged(lambda writer: turned(NativeTurn(writer, provider="openai", seal=seal), lifecycle(*bodies)))
    part = only_part(events)
    assert part["text"] == "A page."
    assert [one["type"] for one in part["annotations"]] == ["file_citation", "url_citation"]
    assert part["annotations"][1] == {**theirs, "start_index": 2, "end_index": 6}


def test_a_message_that_comes_whole_is_read_as_well() -> None:
    bodies = [body for body in message(0, ["A 【c1】."], item_id="msg_a") if "item" in body][1:]
    writer = citing_writer()
    turned(NativeTurn(writer, provider="openai", seal=seal), lifecycle(*bodies))
    [item] = writer.output
    assert item["content"][0]["text"] == "A."
    assert [one["index"] for one in item["content"][0]["annotations"]] == [1]


@WIRES
def test_a_text_that_is_cut_off_in_a_mark_ends_before_it(wire: Wire) -> None:
    assert only_part(judged(lambda writer: wire(["A day 【c1"], writer)))["text"] == "A day"


def test_log_probabilities_are_told_once_each() -> None:
    logprobs: list[Json] = [
        {"token": token, "bytes": list(token.encode()), "logprob": -0.5, "top_logprobs": []}
        for token in ("A", " 【", "c1", "】", ".", " 【c2】")
    ]

    def stream(writer: OutputWriter) -> bytes:
        for one in logprobs:
            writer.text(one["token"], logprobs=[one])
        writer.end_all()
        return writer.take()

    part = only_part(judged(stream))
    assert (part["text"], part["logprobs"]) == ("A.", logprobs)
    bodies = message(0, [one["token"] for one in logprobs], item_id="msg_a")
    for one, body in zip(logprobs, bodies[2:8], strict=True):
        body["logprobs"] = [one]
    for body in bodies[8:]:
        if "logprobs" in body:
            body["logprobs"] = logprobs
        parts = [body["part"]] if "part" in body else body["item"]["content"] if "item" in body else []
        for each in parts:
            each["logprobs"] = logprobs
    part = only_part(
        judged(lambda writer: turned(NativeTurn(writer, provider="openai", seal=seal), lifecycle(*bodies)))
    )
    assert (part["text"], part["logprobs"]) == ("A.", logprobs)
