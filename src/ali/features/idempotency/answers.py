"""What becomes of an execution's answer: whether it is kept, and how it is sent again. Pure."""

from typing import Final

from ali.features.idempotency.sealing import Answer, RawHeaders
from ali.kernel.envelopes import is_error_event

REPLAYED: Final = b"idempotent-replayed"
ORIGINAL_REQUEST: Final = b"x-ali-original-request-id"

_PASSING: Final = frozenset({401, 402, 403, 408, 409, 425, 429})
"""Refusals of the moment: the same request may succeed once something else has changed."""
_REQUEST_IDS: Final = frozenset({b"x-request-id", b"request-id"})
_STALE: Final = (b"x-ratelimit-", b"anthropic-ratelimit-", b"openai-processing-ms")
"""Of the moment too; a replay that repeated them would misinform."""


def is_final(status: int, *, last: bytes) -> bool:
    """Whether the same request would get the same again: a success, or a refusal for what it says.

    `last`: the answer's last piece, where a stream that has begun says in-band that it failed.
    """
    if 200 <= status < 300:
        return not is_error_event(last)
    return 400 <= status < 500 and status not in _PASSING


def replayed_headers(answer: Answer, *, request_name: str) -> tuple[RawHeaders, str]:
    """The headers of a replay, and the identifier of the request that was executed (empty where it had none).

    The replay is a request of its own, findable in the log under its own `x-request-id`.
    """
    headers: RawHeaders = []
    original = b""
    for name, value in answer.headers:
        if name in _REQUEST_IDS:
            original = value
            headers.append((name, request_name.encode()))
        elif not name.startswith(_STALE):
            headers.append((name, value))
    headers.append((REPLAYED, b"true"))
    if original:
        headers.append((ORIGINAL_REQUEST, original))
    return headers, original.decode("latin-1")
