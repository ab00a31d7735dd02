"""Attributes: the few texts, numbers and truth values that callers attach to a file of a store, and filter by."""

from typing import Final

from ali.features.conversations.refusals import wrong_type, wrong_value
from ali.features.conversations.tags import read_pairs, read_text

MOST_EXACT: Final = 2**53
"""Whole numbers up to here are the same for every reader of JSON."""
_LARGEST: Final = 1e300

Scalar = str | int | float | bool


def read_attributes(raw: object, *, param: str = "attributes") -> dict[str, Scalar]:
    """What a caller sent as `param`; null is none. Raises `InvalidRequest` with OpenAI's codes.

    What comes back can be kept as `jsonb`, and compares as it was sent.
    """
    return read_pairs(raw, param=param, read_value=read_scalar)


def read_scalar(value: object, *, param: str) -> Scalar:
    """A text, a number or a truth value. Raises `InvalidRequest`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if not abs(value) <= (MOST_EXACT if isinstance(value, int) else _LARGEST):  # NaN is not, either
            raise wrong_value(param, expected="The number is too large to be kept exactly. Send it as a string.")
        return value
    if not isinstance(value, str):
        raise wrong_type(param, value, expected="a string, a number or a boolean")
    return read_text(value, param=param)
