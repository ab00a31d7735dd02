"""When a provider says to come back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_S = 3600.0


def retry_after_s(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds to wait by `retry-after-ms` or `retry-after` (a number or an HTTP date), at most an hour.

    None where neither is there or makes sense. Source: RFC 9110, 10.2.3.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit_s
        except ValueError:
            try:
                seconds = (parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds()
            except (ValueError, TypeError):
                continue
        if seconds >= 0:  # NaN is not
            return min(seconds, _LONGEST_S)
    return None
