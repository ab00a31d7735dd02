"""A message batch's body is cut into the same requests however it arrives; and how a batch paces itself."""

import asyncio
import json
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.features.batches.elements import Elements
from ali.features.batches.lane import Lane
from ali.kernel.errors import InvalidRequest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
OBJECTS = st.lists(st.dictionaries(st.text(), JSON), max_size=5)


def cut(body: bytes, cuts: list[int]) -> list[bytes]:
    """`body` in pieces, as it might arrive."""
    places = sorted({min(place, len(body)) for place in cuts} | {0, len(body)})
    return [body[start:end] for start, end in pairwise(places)]


@given(requests=OBJECTS, cuts=st.lists(st.integers(0, 400)), indent=st.sampled_from([None, 1]), ascii_=st.booleans())
def test_requests_are_found_wherever_the_body_is_cut(
    requests: list[Any], cuts: list[int], indent: int | None, *, ascii_: bool
) -> None:
    body = json.dumps({"requests": requests}, indent=indent, ensure_ascii=ascii_).encode()
    elements = Elements(most_bytes=10**6)
    found = [each for piece in cut(body, cuts) for each in elements.feed(piece)]
    elements.finish()
    assert [json.loads(each) for each in found] == requests
    assert not any(b"\n" in each for each in found)


@given(body=st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ requests', max_size=60).map(str.encode))
def test_whatever_is_no_batch_is_refused_and_nothing_worse(body: bytes) -> None:
    elements = Elements(most_bytes=1000)
    try:
        found = elements.feed(b'{"requests": [' + body)
        elements.finish()
    except InvalidRequest:
        return
    assert all(each.startswith(b"{") for each in found)


def test_a_request_that_is_too_long_is_refused_before_its_end() -> None:
    elements = Elements(most_bytes=1000)
    with pytest.raises(InvalidRequest):
        elements.feed(b'{"requests": [{"a": "' + b"x" * 2000)


async def waits(lane: Lane) -> bool:
    """Whether the lane is closed now."""
    try:
        async with asyncio.timeout(0.01):
            await lane.wait(asyncio.Event())
    except TimeoutError:
        return True
    return False


async def test_a_lane_closes_once_more_than_half_of_a_limit_is_used_and_at_a_refusal() -> None:
    def left(remaining: int, *, form: str = "x-ratelimit-{}-requests") -> dict[bytes, bytes]:
        return {form.format("limit").encode(): b"100", form.format("remaining").encode(): b"%d" % remaining}

    for status, headers, closed in (
        (200, {}, False),
        (200, left(50), False),
        (200, left(49), True),
        (200, left(49, form="anthropic-ratelimit-tokens-{}"), True),
        (200, {b"x-ratelimit-limit-requests": b"many", b"x-ratelimit-remaining-requests": b"0"}, False),
        (429, {}, True),
        (429, {b"retry-after": b"3"}, True),
        (503, {}, False),
    ):
        lane = Lane(random.Random(1))  # noqa: S311 - a test's own pace
        assert not await waits(lane)
        lane.heard(status, headers)
        assert await waits(lane) == closed, (status, headers)


async def test_a_closed_lane_lets_go_of_whoever_waits_when_it_is_to_stop() -> None:
    lane, stop = Lane(random.Random(1)), asyncio.Event()  # noqa: S311 - as above
    lane.heard(429, {b"retry-after": b"60"})
    waiting = asyncio.create_task(lane.wait(stop))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    stop.set()
    await waiting
