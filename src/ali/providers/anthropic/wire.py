"""What is read from Anthropic's answers: usage, why they stopped, and what an error says."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from ali.providers.anthropic.usage import usage_from_message
from ali.providers.contract import UpstreamError, Usage
from ali.providers.openai.wire import error_for, malformed
from ali.providers.retry import retry_after_s


class _Message(msgspec.Struct):
    content: list[msgspec.Raw]
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None


class _Count(msgspec.Struct):
    input_tokens: int


class ErrorDetail(msgspec.Struct):
    """The inside of Anthropic's error envelope."""

    type: str = "api_error"
    message: str | None = None


class _Error(msgspec.Struct):
    error: ErrorDetail | None = None


_message = msgspec.json.Decoder(_Message)
_count = msgspec.json.Decoder(_Count)
_error = msgspec.json.Decoder(_Error)

STATUS_OF_KIND = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def message_facts(body: bytes, *, provider: str) -> tuple[Usage, str | None]:
    """Usage and stop reason of a whole message. Raises `UpstreamMalformed` for anything else."""
    try:
        body.decode()
        answer = _message.decode(body)
        usage = usage_from_message(answer.usage) if answer.usage else Usage()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(provider) from error
    return usage, answer.stop_reason


def count_facts(body: bytes, *, provider: str) -> tuple[Usage, None]:
    """Counting tokens is free: nothing is used. Raises `UpstreamMalformed` for anything else."""
    try:
        _count.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(provider) from error
    return Usage(reported=True), None


def refused(status: int, headers: Mapping[str, str], body: bytes, *, provider: str) -> UpstreamError:
    """An error answer of status ≥ 400 (its body perhaps cut, HTML or empty) as this service's error."""
    detail = ErrorDetail(type="invalid_request_error" if status < 500 else "api_error")
    with suppress(msgspec.DecodeError, RecursionError):  # HTML of a proxy, or nothing: the status alone is told
        detail = _error.decode(body).error or detail
    return error_for(status, provider=provider, said=detail.message, kind=detail.type, wait_s=retry_after_s(headers))
