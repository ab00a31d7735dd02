"""How an item or its metadata is refused: the codes of OpenAI's API, and what to do instead."""

from collections.abc import Iterable
from typing import Any

from ali.kernel.errors import InvalidRequest

_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer", float: "a number"}


def missing(param: str) -> InvalidRequest:
    """A field that must be there is not."""
    return InvalidRequest(
        f"Missing required parameter: '{param}'. Send it.", param=param, code="missing_required_parameter"
    )


def wrong_type(param: str, value: Any, *, expected: str) -> InvalidRequest:  # noqa: ANN401 - any JSON
    """A value of another JSON type than `expected`, which is said with its article: "a string"."""
    got = "null" if value is None else _NAMES.get(type(value), "something else")
    return InvalidRequest(
        f"Invalid type for '{param}': expected {expected}, but got {got} instead.", param=param, code="invalid_type"
    )


def wrong_value(param: str, *, expected: str) -> InvalidRequest:
    """A value of the right type that is not among those taken; `expected` says, as a sentence, which are."""
    return InvalidRequest(f"Invalid value for '{param}'. {expected}", param=param, code="invalid_value")


def not_among(param: str, supported: Iterable[str]) -> InvalidRequest:
    """As `wrong_value`, for a value out of a short list."""
    return wrong_value(param, expected=f"Supported values are: {', '.join(repr(each) for each in supported)}.")


def too_long(param: str, *, most: int, length: int) -> InvalidRequest:
    """A string of more than `most` characters."""
    return InvalidRequest(
        f"Invalid '{param}': string too long. Expected a string with maximum length {most}, but got a string with "
        f"length {length} instead.",
        param=param,
        code="string_above_max_length",
    )


def too_many(param: str, *, most: int, count: int) -> InvalidRequest:
    """A list of more than `most` entries."""
    return InvalidRequest(
        f"Invalid '{param}': array too long. Expected an array with maximum length {most}, but got an array with "
        f"length {count} instead.",
        param=param,
        code="array_above_max_length",
    )
