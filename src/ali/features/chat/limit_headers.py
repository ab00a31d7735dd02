"""This service's own request limit, said in the caller's dialect.

Sources: OpenAI's "Rate limits in headers"; Anthropic's "Rate limits, response headers".
"""

from datetime import UTC, datetime, timedelta

from ali.features.metering import Verdict
from ali.providers.contract import Dialect

RawHeaders = list[tuple[bytes, bytes]]


def request_limit_headers(verdict: Verdict, dialect: Dialect) -> RawHeaders:
    """Limit, what remains of it, and when it is whole again."""
    limit, remaining = b"%d" % verdict.limit, b"%d" % verdict.remaining
    if dialect is Dialect.OPENAI:
        return [
            (b"x-ratelimit-limit-requests", limit),
            (b"x-ratelimit-remaining-requests", remaining),
            (b"x-ratelimit-reset-requests", openai_duration(verdict.reset_s).encode()),
        ]
    reset = datetime.now(UTC) + timedelta(seconds=verdict.reset_s)
    return [
        (b"anthropic-ratelimit-requests-limit", limit),
        (b"anthropic-ratelimit-requests-remaining", remaining),
        (b"anthropic-ratelimit-requests-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
    ]


def openai_duration(seconds: float) -> str:
    """A duration as OpenAI writes it: `120ms`, `7.66s`, `6m0s`."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s"
