"""What follows from settings together."""

import pytest
from pydantic import ValidationError

from ali.kernel.settings import Settings

REDIS = {"redis_url": "redis://cache"}
DATABASE = {"database_url": "postgresql://ali@db/ali"}


@pytest.mark.parametrize(
    ("given", "counted_in"),
    [
        ({}, "process"),
        ({"workers": 2}, "postgres"),
        (DATABASE, "postgres"),
        (REDIS, "redis"),
        ({**REDIS, **DATABASE, "workers": 4}, "redis"),
        ({**DATABASE, "limiter_store": "process"}, "process"),
        ({**REDIS, "limiter_store": "postgres"}, "postgres"),
    ],
)
def test_limits_never_multiply_unless_the_operator_says_so(given: dict[str, object], counted_in: str) -> None:
    assert Settings.model_validate(given).limits_counted_in == counted_in


def test_limits_in_redis_need_one() -> None:
    with pytest.raises(ValidationError, match="REDIS_URL"):
        Settings.model_validate({"limiter_store": "redis"})
