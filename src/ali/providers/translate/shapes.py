"""JSON that others wrote, read with the right failure: the caller's raises `InvalidRequest` and names the field, a
provider's raises `UpstreamMalformed`. Nothing here raises a KeyError or TypeError whatever comes.
"""

from typing import Any

import orjson

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import UpstreamMalformed


def caller_object(value: object, *, param: str) -> dict[str, Any]:
    """`value` as a JSON object."""
    if not isinstance(value, dict):
        raise InvalidRequest(f"{param} must be an object.", param=param)
    return value


def caller_objects(value: object, *, param: str) -> list[dict[str, Any]]:
    """`value` as a list of JSON objects."""
    if not isinstance(value, list):
        raise InvalidRequest(f"{param} must be a list.", param=param)
    for position, item in enumerate(value):
        if not isinstance(item, dict):
            raise InvalidRequest(f"{param}[{position}] must be an object.", param=f"{param}[{position}]")
    return value


def caller_text(value: object, *, param: str) -> str:
    """`value` as a string."""
    if not isinstance(value, str):
        raise InvalidRequest(f"{param} must be a string.", param=param)
    return value


def caller_name(value: object, *, param: str) -> str:
    """`value` as a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{param} is missing: it must be a string that is not empty.", param=param)
    return value


def caller_count(value: object, *, param: str) -> int:
    """`value` as a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(f"{param} must be a whole number of at least 1.", param=param)
    return value


def caller_number(value: object, *, param: str, most: float) -> float:
    """`value` as a number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InvalidRequest(f"{param} must be a number from 0 to {most:g} for the model's provider.", param=param)
    return value


def caller_json(value: object, *, param: str) -> str:
    """`value`, JSON that the caller sent, as text; nesting deeper than 254 levels is refused."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"{param} is nested too deeply.", param=param) from error


def provider_json(data: bytes) -> dict[str, Any]:
    """The JSON object that a provider sent."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise malformed("JSON") from error
    if not isinstance(value, dict):
        raise malformed("a JSON object")
    return value


def provider_object(value: object, *, what: str) -> dict[str, Any]:
    """`value` as a JSON object; null counts as an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed(what)
    return value


def provider_objects(value: object, *, what: str) -> list[dict[str, Any]]:
    """`value` as a list of JSON objects; null counts as an empty one."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise malformed(what)
    return value


def provider_text(value: object, *, what: str) -> str:
    """`value` as a string; null counts as an empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(what)
    return value


def provider_dump(value: object, *, what: str) -> str:
    """`value`, JSON that a provider sent, as text."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise malformed(what) from error


def malformed(what: str) -> UpstreamMalformed:
    """The provider's answer has not `what` where its protocol wants it."""
    return UpstreamMalformed(
        f"The provider sent an answer that is not its protocol (expected {what}). Trying again may help; "
        "if it lasts, the provider's base URL is wrong or the provider is broken."
    )
