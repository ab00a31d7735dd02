"""The writer's streams stand before the judge of streams, whatever is written; a stream with one fault does not."""

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ali.providers.turns import OutputWriter
from tests.contract.response_events import EventJudge, judge_response, judged
from tests.unit.turns import told
from tests.unit.turns.told import Event

Fault = Callable[[list[Event]], object]


def test_a_response_with_every_kind_of_item_stands() -> None:
    events = told.everything()
    assert judged(told.stream_of(events)) == events


def test_the_whole_response_stands_too() -> None:
    judge_response(told.everything()[-1]["response"])


def test_comments_and_a_closing_done_are_taken() -> None:
    stream = told.stream_of(told.everything())
    assert judged(b": still here\n\n" + stream + b"data: [DONE]\n\n")


@pytest.mark.parametrize("status", ["failed", "incomplete"])
def test_a_response_that_was_cut_off_stands(status: str) -> None:
    writer = OutputWriter()
    told.begin(writer)
    writer.text("Half a sen")
    writer.end_all(status="incomplete")
    told.end(writer, status)
    assert judged(writer.take())[-1]["response"]["output"][0]["status"] == "incomplete"


def test_a_stream_may_break_off_with_an_error() -> None:
    writer = OutputWriter()
    told.begin(writer)
    writer.text("Half a sen")
    writer.event("error", code="server_error", message="Try again.", param=None)
    assert judged(writer.take())[-1]["type"] == "error"


def test_a_call_that_takes_the_key_of_an_open_one_ends_that_one() -> None:
    writer = OutputWriter()
    told.begin(writer)
    for call_id in ("call_1", "call_2"):
        writer.begin_call(0, kind="function_call", call_id=call_id, name="weather")
        writer.arguments(0, "{}")
    writer.end_all()
    told.end(writer, "completed")
    [*_, last] = judged(writer.take())
    assert [(item["call_id"], item["arguments"]) for item in last["response"]["output"]] == [
        ("call_1", "{}"),
        ("call_2", "{}"),
    ]


# Faults


def _at(events: list[Event], kind: str, *, nth: int = 0) -> int:
    found = [index for index, event in enumerate(events) if event["type"] == f"response.{kind}"]
    return found[nth]


def _numbered(events: list[Event]) -> None:
    for number, event in enumerate(events):
        event["sequence_number"] = number


def drop(kind: str, *, nth: int = 0) -> Fault:
    """An event is missing, and the numbers hide it."""

    def fault(events: list[Event]) -> None:
        del events[_at(events, kind, nth=nth)]
        _numbered(events)

    return fault


def double(kind: str, *, nth: int = 0) -> Fault:
    """An event comes twice, and the numbers hide it."""

    def fault(events: list[Event]) -> None:
        index = _at(events, kind, nth=nth)
        events.insert(index, copy.deepcopy(events[index]))
        _numbered(events)

    return fault


def swap(kind: str, *, nth: int = 0) -> Fault:
    """An event and the one after it change places, and the numbers hide it."""

    def fault(events: list[Event]) -> None:
        index = _at(events, kind, nth=nth)
        events[index : index + 2] = reversed(events[index : index + 2])
        _numbered(events)

    return fault


def alter(kind: str, change: Callable[[Any], object], *, nth: int = 0) -> Fault:
    """An event says something else."""

    def fault(events: list[Event]) -> None:
        change(events[_at(events, kind, nth=nth)])

    return fault


def put(*path: str | int, value: object) -> Callable[[Any], object]:
    """Another value at a path."""

    def change(event: Any) -> None:  # noqa: ANN401 - any JSON
        for step in path[:-1]:
            event = event[step]
        event[path[-1]] = value

    return change


def remove(*path: str | int) -> Callable[[Any], object]:
    """No value at a path."""

    def change(event: Any) -> None:  # noqa: ANN401 - any JSON
        for step in path[:-1]:
            event = event[step]
        del event[path[-1]]

    return change


def both(*faults: Fault) -> Fault:
    """Several faults that hide one another."""

    def fault(events: list[Event]) -> None:
        for each in faults:
            each(events)

    return fault


def _gap(events: list[Event]) -> None:
    for event in events[9:]:
        event["sequence_number"] += 1


def _go_on(events: list[Event]) -> None:
    events.append({**copy.deepcopy(events[2]), "sequence_number": len(events)})


def _forget_the_end(events: list[Event]) -> None:
    events.pop()


def _in_the_end(change: Callable[[Any], object]) -> Fault:
    return alter("completed", lambda event: change(event["response"]))


FAULTS: Final[dict[str, tuple[str, Fault]]] = {
    # Order of the lifecycle
    "no created": ("response.created comes first|queued comes right after", drop("created")),
    "created twice": ("created comes once", double("created")),
    "created late": ("queued comes right after response.created", swap("created")),
    "no queued": ("a response that waits", drop("queued")),
    "no in_progress": ("while the response is in progress", drop("in_progress")),
    "in_progress twice": ("in_progress comes once", double("in_progress")),
    "queued late": ("a response that waits", swap("queued")),
    "nothing at the end": ("ends with a terminal event", _forget_the_end),
    "two ends": ("nothing comes after the terminal event", double("completed")),
    "an event after the end": ("nothing comes after the terminal event", _go_on),
    "queued in the foreground": (
        "only a background response is queued|keeps its background",
        both(
            *(alter(kind, put("response", "background", value=False)) for kind in ("created", "queued", "in_progress"))
        ),
    ),
    # Numbers
    "a gap in the numbers": ("no gaps", _gap),
    "numbers from 1": (
        "no gaps",
        lambda events: [event.update(sequence_number=n + 1) for n, event in enumerate(events)],
    ),
    "a number as a string": ("sequence_number", alter("in_progress", put("sequence_number", value="2"))),
    # Shapes
    "an unknown event": ("a type that the SDK knows", alter("output_text.delta", put("type", value="response.text"))),
    "an unknown field": ("fields that", alter("output_text.delta", put("extra", value=1))),
    "an unknown field of an item": ("fields that", alter("output_item.done", put("item", "extra", value=1), nth=3)),
    "a delta without its item": ("item_id", alter("output_text.delta", remove("item_id"))),
    "a delta without logprobs": ("logprobs", alter("output_text.delta", remove("logprobs"))),
    "an item without an id": ("an item has an id", alter("output_item.added", remove("item", "id"), nth=5)),
    "a custom call of no status": ("status", alter("output_item.added", remove("item", "status"), nth=6)),
    # Items
    "an item that was never added": ("an item is added before anything of it", drop("output_item.added", nth=4)),
    "an item added twice": ("output_index counts", double("output_item.added", nth=4)),
    "an item that is never done": ("an item begins when those before", drop("output_item.done", nth=4)),
    "the last item is never done": ("every item is done", drop("output_item.done", nth=6)),
    "an item done twice": ("done after everything", double("output_item.done", nth=4)),
    "an index left out": ("output_index counts", alter("output_item.added", put("output_index", value=3), nth=2)),
    "another item's index": ("item_id is the id", alter("custom_tool_call_input.delta", put("output_index", value=5))),
    "another item's id": ("item_id is the id", alter("output_text.delta", put("item_id", value="msg_other"))),
    "an id that changes": ("keeps its id", alter("output_item.done", put("item", "id", value="msg_other"), nth=4)),
    "an item done while in progress": (
        "an item that is done is over",
        alter("output_item.done", put("item", "status", value="in_progress"), nth=4),
    ),
    "an item that begins completed": (
        "begins in progress",
        alter("output_item.added", put("item", "status", value="completed"), nth=4),
    ),
    "a call that begins with arguments": (
        "begins without arguments",
        alter("output_item.added", put("item", "arguments", value="{}"), nth=5),
    ),
    "a call that changes its name": (
        "keeps its name",
        alter("output_item.done", put("item", "name", value="climate"), nth=6),
    ),
    "an incomplete item in a completed response": (
        "no incomplete item",
        both(
            alter("output_item.done", put("item", "status", value="incomplete"), nth=6),
            _in_the_end(put("output", 5, "status", value="incomplete")),
        ),
    ),
    "something begins after a cut": (
        "nothing begins after",
        alter("output_item.done", put("item", "status", value="incomplete"), nth=3),
    ),
    # Parts and text
    "a part that was never added": ("a part is added before", drop("content_part.added", nth=1)),
    "a part added twice": ("one part at a time", double("content_part.added", nth=1)),
    "a part that is never done": ("one part at a time", drop("content_part.done", nth=1)),
    "a part done before its text": ("a text is done before its part", swap("output_text.done")),
    "text that is never done": ("a text is done before its part", drop("output_text.done")),
    "a lost delta": ("deltas joined", drop("output_text.delta")),
    "a doubled delta": ("deltas joined", double("output_text.delta", nth=1)),
    "deltas in another order": ("deltas joined|logprobs", swap("output_text.delta")),
    "another text at the end": ("deltas joined", alter("output_text.done", put("text", value="Adeus"))),
    "other logprobs at the end": ("logprobs are those", alter("output_text.done", put("logprobs", value=[]))),
    "a part that says otherwise": (
        "a done part is what",
        alter("content_part.done", put("part", "text", value="Adeus"), nth=1),
    ),
    "a part at another place": ("content_index is", alter("refusal.delta", put("content_index", value=0))),
    "a part that begins full": (
        "a part begins empty",
        alter("content_part.added", put("part", "text", value="O"), nth=1),
    ),
    "a delta of another kind": (
        "the events of a refusal",
        alter("refusal.delta", lambda event: event.update(type="response.output_text.delta", logprobs=[])),
    ),
    "a lost annotation": ("annotation_index counts", drop("output_text.annotation.added")),
    "the last annotation lost": ("a done part is what", drop("output_text.annotation.added", nth=1)),
    "an annotation after the text": ("between a text's done", swap("output_text.annotation.added", nth=1)),
    "an annotation of nothing": (
        "an annotation is there",
        alter("output_text.annotation.added", put("annotation", value=None)),
    ),
    "a refusal cut": ("deltas joined", drop("refusal.delta", nth=1)),
    # Reasoning
    "a summary part at another place": (
        "summary_index is",
        alter("reasoning_summary_part.added", put("summary_index", value=0), nth=1),
    ),
    "a summary never done": ("one part at a time", drop("reasoning_summary_part.done")),
    "a summary that says otherwise": ("deltas joined", alter("reasoning_summary_text.done", put("text", value="?"))),
    "a lost thought": ("deltas joined", drop("reasoning_text.delta")),
    "a done summary that lost a part": (
        "summary is its done parts",
        alter("output_item.done", remove("item", "summary", 0), nth=3),
    ),
    # Calls
    "lost arguments": ("deltas joined", drop("function_call_arguments.delta")),
    "arguments never done": ("are done before their item", drop("function_call_arguments.done")),
    "arguments done twice": ("nothing of a call's text", double("function_call_arguments.done")),
    "arguments after their done": (
        "nothing of a call's text|deltas joined",
        swap("custom_tool_call_input.delta", nth=1),
    ),
    "other arguments at the end": (
        "are those of its events",
        alter("output_item.done", put("item", "arguments", value="{}"), nth=6),
    ),
    # Tools that run on the server
    "remote arguments that lost a delta": ("deltas joined", drop("mcp_call_arguments.delta")),
    "a remote call never in progress": ("in progress before its text", drop("mcp_call.in_progress")),
    "a remote call that never ends": ("ends before its item", drop("mcp_call.completed")),
    "a remote call that ends twice": ("nothing of a tool's call", double("mcp_call.completed")),
    "lost remote arguments": ("done for each delta", drop("mcp_call_arguments.done")),
    "a failure told as success": (
        "says how its call ended",
        alter("output_item.done", put("item", "status", value="failed"), nth=1),
    ),
    "a list of tools never in progress": ("in progress before it ends", drop("mcp_list_tools.in_progress")),
    # The response in the end
    "an output that lost an item": ("the output is the done items", _in_the_end(remove("output", 0))),
    "an output that says otherwise": (
        "the output is the done items",
        _in_the_end(put("output", 4, "content", 0, "text", value="Adeus")),
    ),
    "an output in another order": ("the output is the done items", _in_the_end(lambda r: r["output"].reverse())),
    "another response": ("keeps its id", _in_the_end(put("id", value="resp_2"))),
    "another model": ("keeps its model", _in_the_end(put("model", value="gpt-5"))),
    "no usage": ("ended has usage", _in_the_end(put("usage", value=None))),
    "usage without details": ("input_tokens_details", _in_the_end(remove("usage", "input_tokens_details"))),
    "a wrong sum": ("total_tokens is the sum", _in_the_end(put("usage", "total_tokens", value=1))),
    "more reasoning than output": (
        "reasoning is among",
        _in_the_end(put("usage", "output_tokens_details", "reasoning_tokens", value=99)),
    ),
    "usage at the beginning": (
        "usage is known at the end",
        alter("created", put("response", "usage", value=told.USAGE)),
    ),
    "output at the beginning": (
        "begins without output",
        alter("created", put("response", "output", value=[told.APPROVAL])),
    ),
    "a status that is not the event's": (
        "status is its event's",
        alter("queued", put("response", "status", value="in_progress")),
    ),
    "completed at no time": ("completed_at", _in_the_end(put("completed_at", value=None))),
    "a field left out": ("missing: \\['safety_identifier'\\]", _in_the_end(remove("safety_identifier"))),
    "an error of a completed response": (
        "error is of the failed",
        _in_the_end(put("error", value={"code": "server_error", "message": "?"})),
    ),
    "no temperature": ("never null", _in_the_end(put("temperature", value=None))),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught_and_named(name: str) -> None:
    said, fault = FAULTS[name]
    events = told.everything()
    fault(events)
    with pytest.raises((AssertionError, ValueError), match=said):
        judged(told.stream_of(events))


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"data: [DONE]\n\n", "terminal event"),
        (told.stream_of(told.everything())[:-20], "whole event"),
        (told.stream_of(told.everything()).replace(b"event: response.created\n", b""), "an event line"),
        (told.stream_of(told.everything()).replace(b"event: response.created", b"event: created"), "an event line"),
        (told.stream_of(told.everything()) + b"data: [DONE]\n\ndata: [DONE]\n\n", "nothing comes after"),
    ],
)
def test_bytes_that_are_no_stream_are_caught(stream: bytes, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        judged(stream)


@pytest.mark.parametrize("index", range(len(told.everything())))
def test_no_event_can_be_left_out_unseen(index: int) -> None:
    events = told.everything()
    del events[index]
    _numbered(events)
    with pytest.raises(AssertionError):
        judged(told.stream_of(events))


# Whatever is written

WORDS = strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=6)


class Telling(RuleBasedStateMachine):
    """The writer's verbs in any order, its events seen by the judge as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.writer = OutputWriter(served=told.SERVED)
        self.judge = EventJudge()
        self.background = False
        self.over = False
        self.count = 0

    @property
    def keys(self) -> list[Any]:
        return list(self.writer._calls)

    @property
    def name(self) -> str:
        self.count += 1
        return f"it_{self.count}"

    @initialize(background=strategies.booleans())
    def begin(self, background: bool) -> None:  # noqa: FBT001 - Hypothesis calls it by name
        self.background = background
        told.begin(self.writer, background=background)

    @precondition(lambda self: not self.over)
    @rule(delta=WORDS, sure=strategies.booleans())
    def text(self, delta: str, sure: bool) -> None:  # noqa: FBT001 - as above
        self.writer.text(delta, logprobs=[told.LOGPROB] if sure else None)

    @precondition(lambda self: not self.over)
    @rule(delta=WORDS)
    def refuse(self, delta: str) -> None:
        self.writer.refuse(delta)

    @precondition(lambda self: not self.over)
    @rule()
    def annotate(self) -> None:
        self.writer.annotate(told.CITATION)

    @precondition(lambda self: not self.over)
    @rule(phase=strategies.sampled_from([None, "commentary", "final_answer"]))
    def begin_message(self, phase: str | None) -> None:
        self.writer.begin_message(phase=phase)

    @precondition(lambda self: not self.over)
    @rule()
    def end_part(self) -> None:
        self.writer.end_part()

    @precondition(lambda self: not self.over)
    @rule()
    def begin_reasoning(self) -> None:
        self.writer.begin_reasoning()

    @precondition(lambda self: not self.over)
    @rule(delta=WORDS, new_part=strategies.booleans(), shown=strategies.booleans())
    def think(self, delta: str, new_part: bool, shown: bool) -> None:  # noqa: FBT001 - as above
        (self.writer.think if shown else self.writer.summarise)(delta, new_part=new_part)

    @precondition(lambda self: not self.over)
    @rule(sealed=strategies.sampled_from([None, "sealed"]))
    def end_reasoning(self, sealed: str | None) -> None:
        self.writer.end_reasoning(encrypted_content=sealed)

    @precondition(lambda self: not self.over)
    @rule(key=strategies.integers(0, 2), custom=strategies.booleans(), namespace=strategies.sampled_from([None, "crm"]))
    def begin_call(self, key: int, custom: bool, namespace: str | None) -> None:  # noqa: FBT001 - as above
        kind: Any = "custom_tool_call" if custom else "function_call"
        self.writer.begin_call(key, kind=kind, call_id=self.name, name="weather", namespace=namespace)

    @precondition(lambda self: not self.over)
    @rule(key=strategies.integers(0, 2), function=strategies.sampled_from(sorted(told.SERVED)))
    def begin_served_call(self, key: int, function: str) -> None:
        self.writer.begin_call(key, kind="function_call", call_id=self.name, name=function)

    @precondition(lambda self: not self.over)
    @rule(fails=strategies.booleans())
    def run_served_calls(self, fails: bool) -> None:  # noqa: FBT001 - as above
        self.writer.end_all()
        told.run_served_calls(self.writer, fails=fails)

    @precondition(lambda self: not self.over and self.keys)
    @rule(data=strategies.data(), delta=WORDS)
    def arguments(self, data: strategies.DataObject, delta: str) -> None:
        self.writer.arguments(data.draw(strategies.sampled_from(self.keys)), delta)

    @precondition(lambda self: not self.over and self.keys)
    @rule(data=strategies.data())
    def end_call(self, data: strategies.DataObject) -> None:
        self.writer.end_call(data.draw(strategies.sampled_from(self.keys)))

    @precondition(lambda self: not self.over)
    @rule()
    def ask_for_approval(self) -> None:
        self.writer.whole({**told.APPROVAL, "id": self.name})

    @precondition(lambda self: not self.over)
    @rule()
    def list_server_tools(self) -> None:
        told.list_server_tools(self.writer, self.name)

    @precondition(lambda self: not self.over)
    @rule(fails=strategies.booleans())
    def call_server_tool(self, fails: bool) -> None:  # noqa: FBT001 - as above
        told.call_server_tool(self.writer, self.name, fails=fails)

    @precondition(lambda self: not self.over)
    @rule()
    def end_turn(self) -> None:
        self.writer.end_all()

    @precondition(lambda self: not self.over)
    @rule(status=strategies.sampled_from(["completed", "incomplete", "failed", "error"]))
    def end(self, status: str) -> None:
        self.over = True
        if status == "error":
            self.writer.event("error", code="server_error", message="Try again.", param=None)
            return
        self.writer.end_all(status="completed" if status == "completed" else "incomplete")
        told.run_served_calls(self.writer)
        assert self.writer.snapshot() == self.writer.output
        told.end(self.writer, status, background=self.background)

    @precondition(lambda self: self.over)
    @rule()
    def rest(self) -> None:
        """Nothing follows the end."""

    @invariant()
    def judge_what_came(self) -> None:
        for event in told.events_of(self.writer.take()):
            self.judge.see(event)

    def teardown(self) -> None:
        if not self.over and self.writer.next_number:
            self.end("completed")
            self.judge_what_came()
        if self.writer.next_number:
            self.judge.end()


TestTelling = Telling.TestCase
TestTelling.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
