"""How a file is to be cut, as callers say it and as it is kept: `auto`, or `SIZE/OVERLAP` in tokens.

Source: OpenAI's API reference, "Vector stores", `chunking_strategy`.
"""

from typing import Any, Final

from ali.features.conversations.refusals import missing, not_among, wrong_type, wrong_value

AUTO: Final = "auto"
SMALLEST_TOKENS: Final = 100
LARGEST_TOKENS: Final = 4096


def read_chunking(raw: object, *, param: str = "chunking_strategy") -> str:
    """What a caller sent as `param`; null is `auto`. Raises `InvalidRequest`."""
    if raw is None:
        return AUTO
    if not isinstance(raw, dict):
        raise wrong_type(param, raw, expected="an object")
    if "type" not in raw:
        raise missing(f"{param}.type")
    if raw["type"] not in ("auto", "static"):
        raise not_among(f"{param}.type", ("auto", "static"))
    allowed = {"type"} if raw["type"] == "auto" else {"type", "static"}
    if not allowed >= raw.keys():
        raise wrong_value(param, expected=f"It has {' and '.join(sorted(allowed))} alone.")
    return AUTO if raw["type"] == "auto" else _read_static(raw.get("static"), param=f"{param}.static")


def _read_static(raw: object, *, param: str) -> str:
    if not isinstance(raw, dict):
        raise wrong_type(param, raw, expected="an object")
    names = ("max_chunk_size_tokens", "chunk_overlap_tokens")
    if not set(names) >= raw.keys():
        raise wrong_value(param, expected=f"It has {' and '.join(names)} alone.")
    size, overlap = (_read_number(raw, name, param=param) for name in names)
    if not SMALLEST_TOKENS <= size <= LARGEST_TOKENS:
        raise wrong_value(f"{param}.{names[0]}", expected=f"It is from {SMALLEST_TOKENS} to {LARGEST_TOKENS}.")
    if not 0 <= overlap <= size // 2:
        raise wrong_value(f"{param}.{names[1]}", expected=f"It is from 0 to half of {names[0]}.")
    return f"{size}/{overlap}"


def _read_number(raw: dict[str, Any], name: str, *, param: str) -> int:
    if name not in raw:
        raise missing(f"{param}.{name}")
    value = raw[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(f"{param}.{name}", value, expected="an integer")
    return value


def shown_chunking(chunking: str) -> dict[str, Any]:
    """`chunking_strategy` of a store's file. `auto` is OpenAI's `other`: their `static` has but sizes to say."""
    if chunking == AUTO:
        return {"type": "other"}
    size, overlap = map(int, chunking.split("/"))
    return {"type": "static", "static": {"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}}
