"""What the OpenAPI document says of idempotency keys, on each POST of an authenticated caller."""

from typing import Any, Final

from ali.features.idempotency.request import LONGEST_KEY

_PARAMETER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": r"^[\x20-\x7E]+$"},
    "description": "Carries this request out once, however often it is sent with the same key: repetitions get the "
    "first one's answer, with `idempotent-replayed: true`. Another request under the same key is refused (422); one "
    "whose first is not done yet waits, and is then refused (409).",
}


def describe_keys(paths: dict[str, Any]) -> None:
    """Add the header to every POST in the document's `paths` that wants a credential; elsewhere it has no effect."""
    for item in paths.values():
        operation = item.get("post")
        if operation is not None and operation.get("security"):
            operation["parameters"] = [*operation.get("parameters", []), _PARAMETER]
