"""What a moving window promises, in the plainest words; every store is held to it."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from hypothesis import strategies as st

from ali.features.metering.limiting import Claim, Verdict, claim
from ali.features.metering.limiting.claims import BUCKETS

Check = Callable[[Claim, int], Awaitable[Verdict]]
"""Count a claim at a time in µs."""

History = tuple[int, int, list[tuple[int, int]]]
"""A limit, a window in seconds, and what is asked: µs since the one before, and an amount.

A negative wait is for the edge: so many thousandths of a bucket before what passed last leaves an exact window.
"""

START_US = 1_700_000_000_000_000


def histories() -> st.SearchStrategy[History]:
    """Small limits, so that many requests are at the edge; waits from none to longer than any window."""
    waits = st.one_of(
        st.just(0),
        st.integers(0, 300_000),
        st.integers(0, 8_000_000),
        st.integers(0, 200_000_000),
        st.integers(-1_000, -1),
    )
    asked = st.lists(st.tuples(waits, st.integers(0, 7)), min_size=1, max_size=60)
    return st.tuples(st.integers(0, 12), st.sampled_from([1, 7, 60]), asked)


async def hold_to_the_model(check: Check, history: History) -> None:
    """Ask as `history` has it, and compare each verdict with a count over everything that has passed."""
    limit, window_s, asked = history
    made = claim(scope="key", identity=uuid4().bytes, kind="tokens", limit=limit, window_s=window_s)
    passed: list[tuple[int, int]] = []
    now_us = START_US
    for wait_us, amount in asked:
        if wait_us >= 0:
            now_us += wait_us
        elif passed:
            now_us = max(now_us, passed[-1][0] + window_s * 1_000_000 + wait_us * made.width_us // 1000)
        verdict = await check(_of(made, amount), now_us)
        in_window = sum(a for at, a in passed if at > now_us - window_s * 1_000_000)
        # A window longer by the bucket that its beginning cuts.
        at_most = sum(a for at, a in passed if at > now_us - made.width_us * (BUCKETS + 1))
        if verdict.allowed:
            assert in_window + amount <= limit, "never more than the limit in any window"
            passed.append((now_us, amount))
        else:
            assert at_most + amount > limit, "refused only if a window one bucket longer is full"
            assert verdict.retry_after_s > 0
            if amount <= limit:
                again_us = now_us + round(verdict.retry_after_s * 1e6)
                still = sum(a for at, a in passed if at // made.width_us >= again_us // made.width_us - BUCKETS)
                assert still + amount <= limit, "after the wait the same request passes"
                just_before = sum(
                    a for at, a in passed if at // made.width_us >= (again_us - 1) // made.width_us - BUCKETS
                )
                assert again_us - now_us <= 1000 or just_before + amount > limit, "and not sooner"
            else:
                assert verdict.too_large
        [standing] = verdict.standings
        left = sum(a for at, a in passed if at // made.width_us >= now_us // made.width_us - BUCKETS)
        assert standing.remaining == max(limit - left, 0)


def _of(made: Claim, amount: int) -> Claim:
    return Claim(
        *(made.key, made.scope, made.kind, made.limit, made.window_s, made.width_us), amount=amount, model=made.model
    )
