"""Lock-out by backing off: each failure makes the next try wait longer, and none is ever denied for good.

After n failures the next try is allowed 2^(n-3) seconds later, at most 15 minutes. Failures are counted by the caller
(`turnstile`), who keeps one `Failures` for each account at each address, so that nobody keeps an account's wait up for
its owner, who is elsewhere; and one for each address, behind which many people may be: it has an allowance, and eases.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ali.kernel.errors import RateLimited

LONGEST_WAIT: Final = timedelta(minutes=15)
FORGOTTEN_AFTER: Final = timedelta(days=1)
"""A count without a failure for so long starts anew."""
ADDRESS_ALLOWANCE: Final = 20
"""Failures of an address that cost nothing."""
ADDRESS_EASES_EVERY: Final = timedelta(minutes=1)
"""An address's count loses one in each such span."""


class TooManyAttempts(RateLimited):
    """429: the last tries to sign in have failed, and the next one comes too soon."""

    code = "too_many_attempts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Failures in a row, and when the last one was."""

    count: int
    last_at: datetime


def wait_after(count: int) -> timedelta:
    """How long the next try waits after `count` failures in a row."""
    if count <= 0:
        return timedelta(0)
    if count > 13:  # 2^10 s are more than the longest wait; and 2^n for a large n is no number for a timedelta
        return LONGEST_WAIT
    return min(timedelta(seconds=2.0 ** (count - 3)), LONGEST_WAIT)


def require_turn(*counts: Failures | None, now: datetime) -> None:
    """Raises `TooManyAttempts`, with the true wait, while any of `counts` forbids a try. Refused tries do not count."""
    waits = [(failures.last_at + wait_after(failures.count)) - now for failures in counts if failures is not None]
    longest = max(waits, default=timedelta(0))
    if longest > timedelta(0):
        seconds = longest.total_seconds()
        raise TooManyAttempts(
            f"Too many attempts have failed. Try again in {max(1, round(seconds))} s.", retry_after_s=seconds
        )


def after_failure(failures: Failures | None, *, now: datetime) -> Failures:
    """The count with one failure more. After a success the account's count is dropped; the address's is kept."""
    before = failures.count if failures is not None and now - failures.last_at < FORGOTTEN_AFTER else 0
    return Failures(count=before + 1, last_at=now)


def beyond_allowance(failures: Failures | None, *, now: datetime) -> Failures | None:
    """What of an address's count makes it wait now, for `require_turn`."""
    eased = _eased(failures, now=now)
    return None if eased is None else Failures(count=max(0, eased.count - ADDRESS_ALLOWANCE), last_at=eased.last_at)


def after_failure_at_address(failures: Failures | None, *, now: datetime) -> Failures:
    """An address's count with one failure more."""
    return after_failure(_eased(failures, now=now), now=now)


def _eased(failures: Failures | None, *, now: datetime) -> Failures | None:
    if failures is None:
        return None
    return Failures(
        count=max(0, failures.count - max(0, (now - failures.last_at) // ADDRESS_EASES_EVERY)),
        last_at=failures.last_at,
    )
