"""What is read from OpenAI's answers: usage, why they stopped, and what an error says."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ali.providers.contract import (
    UpstreamCredentialRefused,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRefused,
    Usage,
)
from ali.providers.openai.usage import usage_from_completion
from ali.providers.retry import retry_after_s


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: dict[str, Any] | None = None


class _Embeddings(msgspec.Struct):
    data: list[msgspec.Raw]
    usage: dict[str, Any] | None = None


class _Moderations(msgspec.Struct):
    results: list[msgspec.Raw]


class _ErrorDetail(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Error(msgspec.Struct):
    error: _ErrorDetail | str | None = None


_completion = msgspec.json.Decoder(_Completion)
_embeddings = msgspec.json.Decoder(_Embeddings)
_moderations = msgspec.json.Decoder(_Moderations)
_error = msgspec.json.Decoder(_Error)

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


def completion_facts(body: bytes, *, provider: str) -> tuple[Usage, str | None]:
    """Usage and finish reason of a whole chat completion. Raises `UpstreamMalformed` for anything else."""
    try:
        body.decode()
        answer = _completion.decode(body)
        usage = usage_from_completion(answer.usage) if answer.usage else Usage()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(provider) from error
    return usage, answer.choices[0].finish_reason if answer.choices else None


def embeddings_facts(body: bytes, *, provider: str) -> tuple[Usage, None]:
    """Usage of an embeddings answer. Raises `UpstreamMalformed` for anything else."""
    try:
        answer = _embeddings.decode(body)
        usage = usage_from_completion(answer.usage) if answer.usage else Usage()
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(provider) from error
    return usage, None


def moderations_facts(body: bytes, *, provider: str) -> tuple[Usage, None]:
    """Moderations are free and report no usage. Raises `UpstreamMalformed` for anything else."""
    try:
        _moderations.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(provider) from error
    return Usage(reported=True), None


def malformed(provider: str) -> UpstreamMalformed:
    """The answer is not what the protocol says."""
    return UpstreamMalformed(
        f"Provider {provider} sent an answer that is not its protocol. Trying again may help; "
        "if it lasts, the provider's base URL is wrong or the provider is broken.",
        provider=provider,
    )


def refused(status: int, headers: Mapping[str, str], body: bytes, *, provider: str) -> UpstreamError:
    """An error answer of status ≥ 400 (its body perhaps cut, HTML or empty) as this service's error."""
    detail = _ErrorDetail()
    try:
        said = _error.decode(body)
        if isinstance(said.error, _ErrorDetail):
            detail = said.error
        elif isinstance(said.error, str):
            detail = _ErrorDetail(message=said.error)
    except (msgspec.DecodeError, RecursionError):
        pass  # HTML of a proxy, or nothing at all: the status alone is told
    return error_for(
        status,
        provider=provider,
        said=detail.message,
        code=str(detail.code) if detail.code is not None else None,
        param=detail.param,
        kind=_KINDS.get(status, "invalid_request_error" if status < 500 else "api_error"),
        wait_s=retry_after_s(headers),
    )


def error_for(
    status: int,
    *,
    provider: str,
    said: str | None,
    kind: str,
    code: str | None = None,
    param: str | None = None,
    wait_s: float | None = None,
) -> UpstreamError:
    """The error for a provider's own `status` and words: whose fault it is, and what to do."""
    quoted = f" It said: {said[:1000]}" if said else ""
    if status in (401, 403):
        return UpstreamCredentialRefused(
            f"Provider {provider} does not take the key that this service has for it ({status}). "
            "Your own API key is fine; the operator must set the provider's key.",
            provider=provider,
        )
    if status == 429:
        message = f"Provider {provider} is limiting this service's requests (429). Try again later.{quoted}"
    elif status >= 500 or status == 408:
        message = f"Provider {provider} failed ({status}). Try again shortly.{quoted}"
    else:
        message = said[:4000] if said else f"Provider {provider} refused the request ({status})."
    error = UpstreamRefused(
        message,
        upstream_status=status,
        kind=kind,
        provider=provider,
        code=code or ("rate_limit_exceeded" if status == 429 else None),
        param=param,
        retry_after_s=wait_s,
    )
    error.retryable = status in (408, 409, 429) or status >= 500
    return error
