"""What is cut so that a model can read the rest, for any items."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ali.features.responses.compaction import unanswered_from
from ali.features.responses.history import fitted, is_answer, is_told, told
from ali.features.responses.weighing import BYTES_A_TOKEN, weight_bytes

Json = dict[str, Any]

texts = st.text(max_size=300)
names = st.sampled_from(["a", "b", "c", "d"])
messages = st.builds(
    lambda role, text: {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]},
    st.sampled_from(["user", "assistant", "developer"]),
    texts,
)
calls = st.builds(
    lambda kind, name, text: {"type": kind, "call_id": name, "name": "f", "arguments": text},
    st.sampled_from(["function_call", "custom_tool_call", "shell_call"]),
    names,
    texts,
)
answers = st.builds(
    lambda kind, name, text: {"type": kind, "call_id": name, "output": text},
    st.sampled_from(["function_call_output", "custom_tool_call_output", "shell_call_output"]),
    names,
    texts,
)
conversations = st.lists(st.one_of(messages, calls, answers, st.builds(told, texts)), max_size=30)
windows = st.integers(min_value=1, max_value=3_000)


def paired(items: list[Json]) -> bool:
    called = {item.get("call_id") for item in items if not is_answer(item)}
    return all(item["call_id"] in called for item in items if is_answer(item))


@given(items=conversations, window=windows, output=st.integers(min_value=0, max_value=4_000))
def test_what_is_kept_fits_is_in_order_and_is_the_newest(items: list[Json], window: int, output: int) -> None:
    kept = fitted(items, window_tokens=window, output_tokens=output)
    places = [at for at, item in enumerate(items) if any(item is each for each in kept)]
    assert [id(items[at]) for at in places] == [id(item) for item in kept], "in order, nothing changed"
    assert paired(kept), "no answer without its call"
    assert all(any(item is each for each in kept) for item in items if is_told(item)), "summaries stay"
    room = max(window - output, window // 4) * BYTES_A_TOKEN
    last = items[-1]["call_id"] if items and is_answer(items[-1]) else None
    free = [
        item
        for item in kept
        if not is_told(item) and item is not items[-1] and not (last is not None and item.get("call_id") == last)
    ]
    must = sum(weight_bytes(item) for item in kept if not any(item is each for each in free))
    assert sum(map(weight_bytes, free)) <= max(room - must, 0) or not free


@given(items=conversations, window=windows)
def test_the_last_item_stays_unless_its_call_was_never_there(items: list[Json], window: int) -> None:
    kept = fitted(items, window_tokens=window, output_tokens=0)
    if not items:
        assert kept == []
    elif not is_answer(items[-1]) or any(
        item.get("call_id") == items[-1]["call_id"] and not is_answer(item) for item in items
    ):
        assert kept[-1] is items[-1]


@given(items=conversations)
def test_nothing_is_cut_where_all_fits(items: list[Json]) -> None:
    kept = fitted(items, window_tokens=1_000_000, output_tokens=0)
    called = {item.get("call_id") for item in items if not is_answer(item)}
    assert kept == [item for item in items if not is_answer(item) or item["call_id"] in called]


@given(items=conversations)
def test_what_is_not_answered_yet_holds_the_calls_of_its_outputs(items: list[Json]) -> None:
    start = unanswered_from(items)
    before = {item.get("call_id") for item in items[:start] if not is_answer(item)} - {None}
    assert not before & {item["call_id"] for item in items[start:] if is_answer(item)}
    callers = [item for item in items[start:] if item.get("role") in ("user", "developer") or is_answer(item)]
    if items and (items[-1].get("role") in ("user", "developer") or is_answer(items[-1])):
        assert callers
    else:
        assert start == len(items), "the model said the last word: nothing waits"


def test_an_image_weighs_what_it_costs_and_not_its_base64() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 1_000_000}
    assert weight_bytes({"type": "message", "role": "user", "content": [image]}) < 10_000
