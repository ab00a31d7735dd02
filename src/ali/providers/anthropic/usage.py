"""Token counts as Anthropic's wire has them, read into the normal form.

Source: Anthropic API reference, "Messages", `usage`: the total input is the sum of `input_tokens`,
`cache_creation_input_tokens` and `cache_read_input_tokens`.
"""

from typing import Any

from ali.providers.contract import Usage
from ali.providers.openai.usage import token_count


def usage_from_message(usage: dict[str, Any]) -> Usage:
    """The `usage` of a message, or of a stream's `message_start` updated by its `message_delta`.

    Anthropic's `input_tokens` exclude cached ones; here they are added. Raises `UpstreamMalformed` where a count is not
    a plausible number.
    """
    read = token_count(usage, "cache_read_input_tokens")
    written = token_count(usage, "cache_creation_input_tokens")
    by_lifetime = usage.get("cache_creation")
    if not written and isinstance(by_lifetime, dict):
        written = token_count(by_lifetime, "ephemeral_5m_input_tokens")
        written += token_count(by_lifetime, "ephemeral_1h_input_tokens")
    details = usage.get("output_tokens_details")
    return Usage(
        input_tokens=token_count(usage, "input_tokens") + read + written,
        cached_input_tokens=read,
        cache_write_tokens=written,
        output_tokens=token_count(usage, "output_tokens"),
        reasoning_tokens=token_count(details, "thinking_tokens") if isinstance(details, dict) else 0,
        reported=usage.get("input_tokens") is not None or usage.get("output_tokens") is not None,
    )
