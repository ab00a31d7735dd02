import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.gateway.figures import Spread, differences, growth_per, percentile, ratios, slope

_values = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50)


@given(_values)
def test_a_spread_lies_between_the_least_and_the_most(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.low == min(values) <= spread.median <= max(values) == spread.high


def test_a_spread_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Spread.of([])


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.505, 51), (0.99, 99), (0.995, 100), (1.0, 100)]
)
def test_a_percentile_is_the_value_of_the_nearest_rank(fraction: float, expected: int) -> None:
    assert percentile(range(1, 101), fraction) == expected


@given(_values, st.floats(0, 1))
def test_a_percentile_is_one_of_the_values(values: list[float], fraction: float) -> None:
    assert percentile(sorted(values), fraction) in values


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 0.5)


def test_ratios_are_taken_round_by_round() -> None:
    # In the second round the whole machine was twice as slow: the ratio does not show it.
    assert ratios([4000, 2000], [100, 50]) == [40, 40]


def test_a_round_that_only_one_side_has_and_a_division_by_zero_are_left_out() -> None:
    assert ratios([1, 2, 3], [2, 0]) == [0.5]
    assert differences([5, 6], [1]) == [4]


def test_growth_is_the_slope_after_the_warm_up() -> None:
    warming = [(served, 100.0 - 90.0 * (served == 0)) for served in range(0, 20_000, 5_000)]
    steady = [(served, 100.0 + served / 50_000) for served in range(20_000, 100_001, 5_000)]
    assert growth_per(100_000, warming + steady, warm_up=20_000) == pytest.approx(2.0)


def test_a_slope_needs_two_places() -> None:
    with pytest.raises(statistics.StatisticsError):
        slope([(1, 1)])
    with pytest.raises(statistics.StatisticsError):
        slope([])
