"""Events come out whole and the same, however the network cuts their bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.providers.contract import UpstreamTooLarge
from ali.providers.sse import EventSplitter, anthropic_event, event_data, openai_event

_EVENTS = st.lists(
    st.one_of(
        st.text(min_size=1).map(lambda text: openai_event(text.replace("\n", " ").replace("\r", " ").encode())),
        st.just(b": keep-alive\n\n"),
        st.just(anthropic_event(b"ping", b'{"type":"ping"}')),
    ),
    max_size=8,
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(events=_EVENTS, places=st.lists(st.integers(min_value=0)), newline=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_events_are_the_same_wherever_the_stream_is_cut(events: list[bytes], places: list[int], newline: bytes) -> None:
    stream = b"".join(events).replace(b"\n", newline)
    splitter = EventSplitter(limit_bytes=10_000)
    found = [event for chunk in cut(stream, places) for event in splitter.feed(chunk)]
    if newline == b"\r" and stream:
        found += splitter.feed(b": the last CR could have been half of a CRLF\n\n")[: len(events) - len(found)]
    assert [event_data(event) for event in found] == [event_data(event) for event in events]
    assert b"".join(found).rstrip(b"\r\n") == stream.rstrip(b"\r\n")


@given(places=st.lists(st.integers(min_value=0)))
def test_a_byte_order_mark_is_no_part_of_the_first_event(places: list[int]) -> None:
    splitter = EventSplitter(limit_bytes=100)
    found = [event for chunk in cut(b"\xef\xbb\xbfdata: a\n\n", places) for event in splitter.feed(chunk)]
    assert found == [b"data: a\n\n"]


def test_a_line_without_end_is_refused_and_not_kept() -> None:
    splitter = EventSplitter(limit_bytes=1000)
    for _ in range(10):
        splitter.feed(b"x" * 100)
    with pytest.raises(UpstreamTooLarge):
        splitter.feed(b"x")
    assert splitter.rest == b""


def test_several_data_lines_are_one_text() -> None:
    assert event_data(b"event: x\ndata: a\ndata:b\nid: 1\n\n") == b"a\nb"
