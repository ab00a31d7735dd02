"""How an answer ended and what it cost, said in the other dialect; and a provider's error in the middle of a stream."""

from typing import Any

from ali.providers.contract import UpstreamRefused, Usage

_FINISH_OF_STOP = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

_STOP_OF_FINISH = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}

_STATUS_OF_KIND = {
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

_KIND_OF_OPENAI = {
    "rate_limit_exceeded": "rate_limit_error",
    "insufficient_quota": "rate_limit_error",
    "requests": "rate_limit_error",
    "tokens": "rate_limit_error",
    "server_error": "api_error",
    "service_unavailable": "overloaded_error",
    "timeout": "timeout_error",
}

_QUOTED_CHARACTERS = 1000


def finish_reason(stop_reason: str | None) -> str:
    """OpenAI's finish reason for Anthropic's stop reason; `stop` for one that is not known yet."""
    return _FINISH_OF_STOP.get(stop_reason or "", "stop")


def stop_reason(finish_reason: str | None, *, called_tools: bool, refused: bool) -> str:
    """Anthropic's stop reason for OpenAI's finish reason.

    OpenAI says `stop` after a tool call that the request forced, and after a refusal; Anthropic's clients go by
    `tool_use` and `refusal`, so what the answer holds decides there.
    """
    named = _STOP_OF_FINISH.get(finish_reason or "")
    if named == "tool_use" and not called_tools:
        named = None
    if named is not None:
        return named
    if refused:
        return "refusal"
    return "tool_use" if called_tools else "end_turn"


def refusal_details(explanation: str) -> dict[str, Any] | None:
    """Anthropic's `stop_details` for the text of a refusal; None where there is none."""
    return {"type": "refusal", "category": None, "explanation": explanation} if explanation else None


def completion_usage(usage: Usage) -> dict[str, Any]:
    """`usage` as OpenAI writes it: cached tokens are part of `prompt_tokens`."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def message_usage(usage: Usage) -> dict[str, Any]:
    """`usage` as Anthropic writes it: `input_tokens` without what was read from or written to the cache."""
    fresh = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    counts: dict[str, Any] = {
        "input_tokens": max(0, fresh),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return counts


def refused_by_anthropic(error: object) -> UpstreamRefused:
    """Anthropic's `error` event as this service's error."""
    detail = error if isinstance(error, dict) else {}
    kind = detail.get("type")
    kind = kind if isinstance(kind, str) and kind in _STATUS_OF_KIND else "api_error"
    return _refused(kind, said=detail.get("message"), code=None)


def refused_by_openai(error: object) -> UpstreamRefused:
    """An OpenAI `error` in a stream (an object; some compatible servers send a string) as this service's error."""
    detail = error if isinstance(error, dict) else {"message": error}
    code = detail.get("code")
    kind = "api_error"
    for word in (detail.get("type"), code):
        if isinstance(word, str) and (word in _STATUS_OF_KIND or word in _KIND_OF_OPENAI):
            kind = _KIND_OF_OPENAI.get(word, word)
            break
    else:
        for known, status in _STATUS_OF_KIND.items():
            if code == status:
                kind = known
    return _refused(kind, said=detail.get("message"), code=code if isinstance(code, str) else None)


def _refused(kind: str, *, said: object, code: str | None) -> UpstreamRefused:
    quoted = f" It said: {said[:_QUOTED_CHARACTERS]}" if isinstance(said, str) and said else ""
    status = _STATUS_OF_KIND[kind]
    error = UpstreamRefused(
        f"The provider broke off its answer ({kind}).{quoted}", upstream_status=status, kind=kind, code=code
    )
    error.retryable = status >= 429
    return error
