"""An error in the caller's dialect: as a response body, and as an event of a stream that has begun.

OpenAI's: `{"error": {"message", "type", "param", "code"}}`. Anthropic's:
`{"type": "error", "error": {"type", "message"}, "request_id"}`. Sources: both providers' API references, "Errors".
"""

import math
from typing import Literal

import orjson

from ali.kernel.errors import AliError, RateLimited

Envelope = Literal["openai", "anthropic"]

_OPENAI_TYPES = {429: "rate_limit_error", 403: "permission_error", 401: "authentication_error"}

_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def openai_type(status: int) -> str:
    """OpenAI's error type for a status."""
    return _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def anthropic_type(status: int) -> str:
    """Anthropic's error type for a status."""
    return _ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def envelope_of(path: str, *, anthropic_version: bool) -> Envelope:
    """In which dialect a caller of `path` expects errors: Anthropic's SDK says its version with every request."""
    return "anthropic" if anthropic_version or path.startswith("/v1/messages") else "openai"


def error_body(error: AliError, *, envelope: Envelope, request_id: str) -> bytes:
    """The JSON body of an error response."""
    if envelope == "anthropic":
        details = {"details": {"error_code": error.anthropic_code}} if error.anthropic_code else {}
        return orjson.dumps(
            {
                "type": "error",
                "error": {"type": anthropic_type(error.http_status), "message": error.message, **details},
                "request_id": request_id,
            }
        )
    return orjson.dumps(
        {
            "error": {
                "message": error.message,
                "type": error.openai_type or openai_type(error.http_status),
                "param": error.param,
                "code": error.error_code,
            }
        }
    )


def error_event(error: AliError, *, envelope: Envelope, request_id: str) -> bytes:
    """What ends a stream that had begun: the error in-band, and the dialect's terminal where there is one.

    The OpenAI SDK takes a stream that merely stops as complete; only `data: {"error": …}` makes it raise.
    """
    body = error_body(error, envelope=envelope, request_id=request_id)
    if envelope == "anthropic":
        return b"event: error\ndata: " + body + b"\n\n"
    return b"data: " + body + b"\n\ndata: [DONE]\n\n"


def is_error_event(event: bytes) -> bool:
    """Whether a stream's last piece is what `error_event` makes."""
    return event.startswith((b'data: {"error":', b"event: error\n"))


def error_headers(error: AliError) -> list[tuple[bytes, bytes]]:
    """Response headers that an error brings: its own, its stable code, and `retry-after` in whole seconds."""
    headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in error.headers]
    headers.append((b"x-ali-error-code", error.error_code.encode("latin-1", "replace")))
    retry_after_s = error.retry_after_s if isinstance(error, RateLimited) else getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(retry_after_s))).encode()))
    return headers
