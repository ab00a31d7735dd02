"""Days and months in UTC, which is when a budget renews."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

Period = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class Span:
    """One day or month: from `start`, which is in it, to `end`, which is not."""

    start: datetime
    end: datetime

    @property
    def day(self) -> date:
        """As rows are named by it."""
        return self.start.date()


def span_of(period: str, moment: datetime) -> Span:
    """The day or month in which `moment` (with its time zone) lies."""
    start = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return Span(start, start + timedelta(days=1))
    start = start.replace(day=1)
    return Span(start, (start + timedelta(days=32)).replace(day=1))
