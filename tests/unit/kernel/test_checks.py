"""Checks: results, never exceptions."""

from collections.abc import Iterator

import pytest

from ali.kernel.checks import Check, CheckResult, CheckStatus, failed, passed, run_checks, warned, worst
from ali.kernel.errors import Unavailable

OK = passed("one", "good")
WARN = warned("two", "so so", hint="look at it")
FAIL = failed("three", "bad", hint="mend it")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], CheckStatus.OK),
        ([OK], CheckStatus.OK),
        ([OK, WARN], CheckStatus.WARN),
        ([FAIL, WARN, OK], CheckStatus.FAIL),
    ],
)
def test_the_gravest_status_wins(results: list[CheckResult], expected: CheckStatus) -> None:
    assert worst(results) is expected


@pytest.mark.parametrize("error", [Unavailable("the thing is away"), PermissionError(13, "the thing is away")])
def test_a_check_that_breaks_is_a_failed_check_and_the_next_is_run(error: Exception) -> None:
    def breaking() -> Iterator[CheckResult]:
        yield OK
        raise error

    found = list(run_checks([Check(name="broken", run=breaking), Check(name="two", run=lambda: [WARN])]))

    assert found[0] is OK
    assert (found[1].name, found[1].status) == ("broken", CheckStatus.FAIL)
    assert "the thing is away" in found[1].detail
    assert found[2] is WARN


def test_a_bug_in_a_check_is_not_hidden() -> None:
    def wrong() -> list[CheckResult]:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        list(run_checks([Check(name="wrong", run=wrong)]))
