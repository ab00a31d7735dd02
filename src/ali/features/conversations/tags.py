"""`metadata`: the few words that callers attach to what they keep."""

import re
from collections.abc import Callable
from typing import Final, TypeVar

from ali.features.conversations.refusals import too_long, wrong_type, wrong_value
from ali.kernel.errors import InvalidRequest

MOST_PAIRS: Final = 16
LONGEST_KEY: Final = 64
LONGEST_VALUE: Final = 512

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


Value = TypeVar("Value")


def read_metadata(raw: object, *, param: str = "metadata") -> dict[str, str]:
    """What a caller sent as `param`; null is none. Raises `InvalidRequest` with OpenAI's codes.

    What comes back can be kept as `jsonb`, which takes neither U+0000 nor lone surrogates.
    """
    return read_pairs(raw, param=param, read_value=read_text)


def read_pairs(raw: object, *, param: str, read_value: Callable[..., Value]) -> dict[str, Value]:
    """As `read_metadata`, of values that `read_value(value, param=…)` reads."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise wrong_type(param, raw, expected="an object")
    if len(raw) > MOST_PAIRS:
        raise InvalidRequest(
            f"Invalid '{param}': too many properties. Expected an object with at most {MOST_PAIRS} properties, but got "
            f"an object with {len(raw)} properties instead.",
            param=param,
            code="object_above_max_properties",
        )
    for key in raw:
        check_key(key, param=param)
    return {key: read_value(value, param=f"{param}.{key}") for key, value in raw.items()}


def check_key(key: str, *, param: str) -> None:
    """A property's name. Raises `InvalidRequest`."""
    if len(key) > LONGEST_KEY:
        raise InvalidRequest(
            f"Invalid '{param}': a property's name is too long. Expected at most {LONGEST_KEY} characters.",
            param=param,
            code="property_name_above_max_length",
        )
    _check_storable(key, param=param)


def read_text(value: object, *, param: str) -> str:
    """A property's text. Raises `InvalidRequest`."""
    if not isinstance(value, str):
        raise wrong_type(param, value, expected="a string")
    if len(value) > LONGEST_VALUE:
        raise too_long(param, most=LONGEST_VALUE, length=len(value))
    _check_storable(value, param=param)
    return value


def _check_storable(text: str, *, param: str) -> None:
    if _UNSTORABLE.search(text):
        raise wrong_value(param, expected="Leave out U+0000 and lone surrogates.")
