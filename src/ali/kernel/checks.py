"""Checks as results: what was looked at, how it stands, and what to do about it.

The shape is barman's `check`: a check never raises and never prints; whoever asked decides what to do with the results.
Checks are listed by their caller: nothing registers itself on import.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ali.kernel.errors import AliError


class CheckStatus(StrEnum):
    """How a check came out: good; good enough, and worth knowing; or in the way of service."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One finding. `detail` is what was found, without secrets; `hint` is how to mend it, empty where all is well."""

    name: str
    status: CheckStatus
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check by its name; `run` gives one result or several."""

    name: str
    run: Callable[[], Iterable[CheckResult]]


def passed(name: str, detail: str) -> CheckResult:
    """A finding with nothing to do."""
    return CheckResult(name=name, status=CheckStatus.OK, detail=detail)


def warned(name: str, detail: str, *, hint: str) -> CheckResult:
    """A finding that leaves the service working."""
    return CheckResult(name=name, status=CheckStatus.WARN, detail=detail, hint=hint)


def failed(name: str, detail: str, *, hint: str) -> CheckResult:
    """A finding that keeps the service from working, or from being safe."""
    return CheckResult(name=name, status=CheckStatus.FAIL, detail=detail, hint=hint)


def run_checks(checks: Iterable[Check]) -> Iterator[CheckResult]:
    """Run one after the other. A check that breaks is a failed check, so that the others are still run."""
    for check in checks:
        try:
            yield from check.run()
        except (AliError, OSError) as error:
            yield failed(check.name, str(error) or type(error).__name__, hint="Mend this, then run the checks again.")


def worst(results: Iterable[CheckResult]) -> CheckStatus:
    """The gravest status among `results`; OK where there is none."""
    gravity = list(CheckStatus)
    return max((result.status for result in results), key=gravity.index, default=CheckStatus.OK)
