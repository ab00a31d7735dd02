"""This service's own rate limits, said in the caller's dialect: of requests and of tokens, the tightest of each.

Sources: OpenAI's "Rate limits in headers"; Anthropic's "Rate limits, response headers".
"""

import math
from datetime import UTC, datetime, timedelta

from ali.features.metering.limiting import Standing, Verdict
from ali.providers.contract import Dialect

RawHeaders = list[tuple[bytes, bytes]]


def limit_headers(verdict: Verdict, dialect: Dialect) -> RawHeaders:
    """Limit, what remains of it, and when it is whole again. Nothing of a kind that has no limit.

    A limit of tokens counts input and output together, so Anthropic's headers of each alone are not sent.
    """
    headers: RawHeaders = []
    if requests := verdict.tightest("requests"):
        headers += _headers(b"requests", requests, dialect)
    if tokens := verdict.tightest("tokens"):
        headers += _headers(b"tokens", tokens, dialect)
    return headers


def _headers(kind: bytes, standing: Standing, dialect: Dialect) -> RawHeaders:
    limit, remaining = b"%d" % standing.claim.limit, b"%d" % standing.remaining
    if dialect is Dialect.OPENAI:
        return [
            (b"x-ratelimit-limit-" + kind, limit),
            (b"x-ratelimit-remaining-" + kind, remaining),
            (b"x-ratelimit-reset-" + kind, openai_duration(standing.reset_s).encode()),
        ]
    # Rounded up: a caller who waits until then must find it whole.
    reset = datetime.now(UTC) + timedelta(seconds=math.ceil(standing.reset_s))
    name = b"anthropic-ratelimit-" + kind
    return [
        (name + b"-limit", limit),
        (name + b"-remaining", remaining),
        (name + b"-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
    ]


def openai_duration(seconds: float) -> str:
    """A duration as OpenAI writes it: `120ms`, `7.66s`, `6m0s`."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s"
