"""Token counts as OpenAI's wire has them, read into the normal form.

Source: OpenAI API reference, "The chat completion object" and "The response object", `usage`.
"""

from typing import Any

from ali.providers.contract import UpstreamMalformed, Usage

_PLAUSIBLE = 2**31 - 1  # what a bill and an integer column hold; more is a broken or hostile provider


def usage_from_completion(usage: dict[str, Any]) -> Usage:
    """The `usage` of a chat completion, a chunk or an embeddings answer.

    OpenAI's `prompt_tokens` include cached ones already. DeepSeek's name for cached tokens is understood.
    Raises `UpstreamMalformed` where a count is not a plausible number.
    """
    prompt = _details(usage, "prompt_tokens_details")
    completion = _details(usage, "completion_tokens_details")
    return Usage(
        input_tokens=token_count(usage, "prompt_tokens"),
        cached_input_tokens=token_count(prompt, "cached_tokens") or token_count(usage, "prompt_cache_hit_tokens"),
        cache_write_tokens=token_count(prompt, "cache_write_tokens"),
        output_tokens=token_count(usage, "completion_tokens"),
        reasoning_tokens=token_count(completion, "reasoning_tokens"),
        reported=usage.get("prompt_tokens") is not None or usage.get("completion_tokens") is not None,
    )


def usage_from_response(usage: dict[str, Any]) -> Usage:
    """The `usage` of a response of the Responses API; cached tokens are within `input_tokens` already.

    Raises `UpstreamMalformed` where a count is not a plausible number.
    """
    prompt = _details(usage, "input_tokens_details")
    output = _details(usage, "output_tokens_details")
    return Usage(
        input_tokens=token_count(usage, "input_tokens"),
        cached_input_tokens=token_count(prompt, "cached_tokens"),
        cache_write_tokens=token_count(prompt, "cache_write_tokens"),
        output_tokens=token_count(usage, "output_tokens"),
        reasoning_tokens=token_count(output, "reasoning_tokens"),
        reported=usage.get("input_tokens") is not None or usage.get("output_tokens") is not None,
    )


def token_count(counts: dict[str, Any], name: str) -> int:
    """The count called `name`, 0 where it is absent or null; a whole float (`12.0`) counts.

    Raises `UpstreamMalformed` for anything else: a wrong bill is worse than a failed call.
    """
    value = counts.get(name)
    if value is None:
        return 0
    whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _PLAUSIBLE
    if not whole or value != int(value):
        raise UpstreamMalformed(f"The provider reported a token count ({name}) that is not a plausible number.")
    return int(value)


def _details(usage: dict[str, Any], name: str) -> dict[str, Any]:
    value = usage.get(name)
    return value if isinstance(value, dict) else {}
