"""The service's own limits in the headers of both dialects."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from ali.features.chat.limit_headers import limit_headers, openai_duration
from ali.features.metering.limiting import Claim, ProcessStore, claim
from ali.features.metering.limiting.claims import Kind
from ali.providers.contract import Dialect


def limit_of(limit: int, *, kind: Kind = "requests", amount: int = 1) -> Claim:
    return claim(scope="key", identity=uuid4().bytes, kind=kind, limit=limit, amount=amount)


CLAIMS = (
    limit_of(100),
    limit_of(5),
    limit_of(5000, kind="tokens", amount=70),
    limit_of(900, kind="tokens", amount=70),
    limit_of(9, kind="streams"),
)


def test_openais_headers_tell_the_tightest_of_requests_and_of_tokens() -> None:
    verdict = ProcessStore(lease_s=45).check(CLAIMS, now_us=60_000_000, lease=b"one")
    assert dict(limit_headers(verdict, Dialect.OPENAI)) == {
        b"x-ratelimit-limit-requests": b"5",
        b"x-ratelimit-remaining-requests": b"4",
        b"x-ratelimit-reset-requests": b"1m1s",
        b"x-ratelimit-limit-tokens": b"900",
        b"x-ratelimit-remaining-tokens": b"830",
        b"x-ratelimit-reset-tokens": b"1m1s",
    }


def test_anthropics_headers_tell_the_tightest_of_requests_and_of_tokens() -> None:
    verdict = ProcessStore(lease_s=45).check(CLAIMS, now_us=60_000_000, lease=b"one")
    headers = {name.decode(): value.decode() for name, value in limit_headers(verdict, Dialect.ANTHROPIC)}
    for kind in ("requests", "tokens"):
        reset = datetime.fromisoformat(headers.pop(f"anthropic-ratelimit-{kind}-reset"))
        assert 58 <= (reset - datetime.now(UTC)).total_seconds() <= 61
    assert headers == {
        "anthropic-ratelimit-requests-limit": "5",
        "anthropic-ratelimit-requests-remaining": "4",
        "anthropic-ratelimit-tokens-limit": "900",
        "anthropic-ratelimit-tokens-remaining": "830",
    }


def test_a_kind_without_a_limit_has_no_headers() -> None:
    verdict = ProcessStore(lease_s=45).check((limit_of(9, kind="streams"),), now_us=60_000_000, lease=b"one")
    assert limit_headers(verdict, Dialect.OPENAI) == []


@pytest.mark.parametrize(
    ("seconds", "written"), [(0.12, "120ms"), (7.66, "7.66s"), (60.5, "1m1s"), (360, "6m0s"), (-1, "0ms")]
)
def test_durations_are_written_as_openai_writes_them(seconds: float, written: str) -> None:
    assert openai_duration(seconds) == written
