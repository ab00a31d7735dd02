"""Metadata of what is kept: a few short texts by name, which callers set and search by.

Source: OpenAI API reference, "Create chat completion", `metadata`.
"""

from typing import Final

from ali.kernel.errors import InvalidRequest

MOST_PAIRS: Final = 16
LONGEST_KEY: Final = 64
LONGEST_VALUE: Final = 512


def read_metadata(value: object, *, param: str = "metadata") -> dict[str, str]:
    """Metadata as a request has it; null is none. Raises `InvalidRequest` with `param`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"`{param}` must be an object of texts by name, or null.", param=param)
    if len(value) > MOST_PAIRS:
        raise InvalidRequest(f"`{param}` has more than {MOST_PAIRS} pairs. Leave some out.", param=param)
    for name, text in value.items():
        if not _is_text(name, most=LONGEST_KEY) or not name:
            raise InvalidRequest(
                f"Each name in `{param}` must be a text of 1 to {LONGEST_KEY} characters.", param=param
            )
        if not _is_text(text, most=LONGEST_VALUE):
            raise InvalidRequest(
                f"Each value in `{param}` must be a text of at most {LONGEST_VALUE} characters.", param=param
            )
    return value


def _is_text(value: object, *, most: int) -> bool:
    """Whether `value` is a text that the database takes: no NUL, and no half of a surrogate pair."""
    return (
        isinstance(value, str)
        and len(value) <= most
        and not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)
    )
