"""The plain parameters of a response: what each may be, and what the response object says where none was sent.

Source: OpenAI API reference, "Create a model response".
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ali.features.conversations.includes import INCLUDABLE
from ali.features.conversations.refusals import missing
from ali.kernel.errors import InvalidRequest

Check = Callable[[Any, str], None]

_MOST_TOKENS: Final = 10**9


def _refused(param: str, wanted: str, value: object) -> InvalidRequest:
    code = "invalid_type" if isinstance(value, (dict, list, bool)) else "invalid_value"
    return InvalidRequest(f"Invalid value for '{param}': expected {wanted}.", param=param, code=code)


def boolean(value: object, param: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise _refused(param, "true or false", value)


def number(least: float, most: float) -> Check:
    """A number within bounds."""

    def check(value: object, param: str) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise _refused(param, f"a number from {least:g} to {most:g}", value)

    return check


def whole(least: int, most: int) -> Check:
    """A whole number within bounds."""

    def check(value: object, param: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _refused(param, f"a whole number from {least} to {most}", value)

    return check


def text(most: int) -> Check:
    """A string of at most so many characters."""

    def check(value: object, param: str) -> None:
        if not isinstance(value, str):
            raise _refused(param, "a string", value)
        if len(value) > most:
            raise InvalidRequest(
                f"Invalid '{param}': string too long. Send at most {most} characters.",
                param=param,
                code="string_above_max_length",
            )

    return check


def one_of(*words: str) -> Check:
    """One of some words."""

    def check(value: object, param: str) -> None:
        if value not in words:
            raise _refused(param, "one of " + ", ".join(words), value)

    return check


def structure(members: Mapping[str, Check]) -> Check:
    """An object; its known members are checked, others are the provider's to judge."""

    def check(value: object, param: str) -> None:
        if not isinstance(value, dict):
            raise _refused(param, "an object", value)
        for name, member in members.items():
            if value.get(name) is not None:
                member(value[name], f"{param}.{name}")

    return check


def _format(value: object, param: str) -> None:
    structure({})(value, param)
    assert isinstance(value, dict)  # noqa: S101 - checked just above
    one_of("text", "json_object", "json_schema")(value.get("type"), f"{param}.type")
    if value["type"] != "json_schema":
        return
    for name, member in (("name", text(64)), ("schema", structure({}))):
        if value.get(name) is None:
            raise missing(f"{param}.{name}")
        member(value[name], f"{param}.{name}")


def _prompt(value: object, param: str) -> None:
    structure({"id": text(200), "version": text(200), "variables": structure({})})(value, param)
    assert isinstance(value, dict)  # noqa: S101 - checked just above
    if value.get("id") is None:
        raise missing(f"{param}.id")


def _management(value: object, param: str) -> None:
    if not isinstance(value, list):
        raise _refused(param, "a list", value)
    for at, entry in enumerate(value):
        where = f"{param}[{at}]"
        structure({"compact_threshold": whole(LEAST_THRESHOLD, _MOST_TOKENS)})(entry, where)
        one_of("compaction")(entry.get("type"), f"{where}.type")


LEAST_THRESHOLD: Final = 1000
"""Of tokens, at which to compact: below it a summary saves nothing. As at OpenAI."""

_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

CHECKS: Final[dict[str, Check]] = {
    "background": boolean,
    "background_options": structure({}),
    "context_management": _management,
    "frequency_penalty": number(-2, 2),
    "instructions": text(10 * 1024 * 1024),
    "max_output_tokens": whole(1, _MOST_TOKENS),
    "max_tool_calls": whole(1, _MOST_TOKENS),
    "parallel_tool_calls": boolean,
    "moderation": structure({}),
    "presence_penalty": number(-2, 2),
    "prompt": _prompt,
    "prompt_cache_options": structure({}),
    "prompt_cache_key": text(1024),
    "prompt_cache_retention": one_of("in_memory", "24h"),
    "reasoning": structure({"effort": one_of(*_EFFORTS), "summary": one_of("auto", "concise", "detailed")}),
    "safety_identifier": text(128),
    "service_tier": one_of("auto", "default", "flex", "fast", "priority", "scale", "ultrafast"),
    "store": boolean,
    "stream": boolean,
    "stream_options": structure({"include_obfuscation": boolean}),
    "temperature": number(0, 2),
    "text": structure({"format": _format, "verbosity": one_of("low", "medium", "high")}),
    "top_logprobs": whole(0, 20),
    "top_p": number(0, 1),
    "truncation": one_of("auto", "disabled"),
    "user": text(512),
}
"""Each parameter that this service itself looks at, but for those with a module of their own."""


def check_fields(document: Mapping[str, Any]) -> None:
    """Raises `InvalidRequest` for the first parameter that is not what it may be; null is as if it were not there."""
    for name, check in CHECKS.items():
        value = document.get(name)
        if value is not None:
            check(value, name)
    include = document.get("include")
    if include is None:
        return
    if not isinstance(include, list):
        raise _refused("include", "a list", include)
    for at, word in enumerate(include):
        if not isinstance(word, str) or word not in INCLUDABLE:
            raise _refused(f"include[{at}]", "one of " + ", ".join(sorted(INCLUDABLE)), word)
