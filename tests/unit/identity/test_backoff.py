"""Who fails waits longer each time, and is never shut out for good."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.features.identity.backoff import (
    FORGOTTEN_AFTER,
    LONGEST_WAIT,
    Failures,
    TooManyAttempts,
    after_failure,
    after_failure_at_address,
    beyond_allowance,
    require_turn,
    wait_after,
)

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "seconds"),
    [(0, 0), (1, 0.25), (2, 0.5), (3, 1), (4, 2), (10, 128), (12, 512), (13, 900), (14, 900), (10**9, 900)],
)
def test_the_wait_doubles_with_each_failure_up_to_a_quarter_of_an_hour(count: int, seconds: float) -> None:
    assert wait_after(count) == timedelta(seconds=seconds)


def test_a_try_that_comes_too_soon_is_told_when_it_may_come() -> None:
    failures = Failures(count=6, last_at=NOW)
    with pytest.raises(TooManyAttempts) as refusal:
        require_turn(failures, now=NOW + timedelta(seconds=3))
    assert refusal.value.retry_after_s == 5
    require_turn(failures, now=NOW + timedelta(seconds=8))


def test_the_longer_of_the_waits_for_account_and_address_counts() -> None:
    account, address = Failures(count=3, last_at=NOW), Failures(count=5, last_at=NOW)
    with pytest.raises(TooManyAttempts) as refusal:
        require_turn(account, address, None, now=NOW)
    assert refusal.value.retry_after_s == 4
    require_turn(None, None, now=NOW)
    require_turn(now=NOW)


@given(st.integers(0, 10**12))
def test_after_a_quarter_of_an_hour_a_try_is_always_allowed(count: int) -> None:
    require_turn(Failures(count=count, last_at=NOW), now=NOW + LONGEST_WAIT)


def test_failures_add_up_and_are_forgotten_after_a_day() -> None:
    failures: Failures | None = None
    for _ in range(5):
        failures = after_failure(failures, now=NOW)
    assert failures == Failures(count=5, last_at=NOW)
    assert after_failure(failures, now=NOW + FORGOTTEN_AFTER).count == 1
    assert after_failure(failures, now=NOW + FORGOTTEN_AFTER - timedelta(seconds=1)).count == 6


def test_an_address_has_an_allowance_and_eases_by_one_a_minute() -> None:
    for count, later_s, waits_s in ((20, 0, 0.0), (21, 0, 0.25), (25, 0, 4.0), (25, 240, 0.25), (60, 0, 900.0)):
        failures = Failures(count=count, last_at=NOW)
        weighed = beyond_allowance(failures, now=NOW + timedelta(seconds=later_s))
        assert weighed is not None
        assert wait_after(weighed.count).total_seconds() == waits_s, (count, later_s)
    assert beyond_allowance(None, now=NOW) is None
    assert after_failure_at_address(Failures(count=30, last_at=NOW), now=NOW + timedelta(minutes=10)).count == 21
    assert after_failure_at_address(Failures(count=3, last_at=NOW), now=NOW + timedelta(hours=1)).count == 1
    assert after_failure_at_address(Failures(count=3, last_at=NOW), now=NOW - timedelta(hours=1)).count == 4
