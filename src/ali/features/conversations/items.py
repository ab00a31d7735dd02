"""Items as callers send them, checked and brought into one form: what responses run on and conversations keep.

"Hi"  →  [{"id": "msg_…", "type": "message", "role": "user", "status": "completed",
           "content": [{"type": "input_text", "text": "Hi"}]}]
"""

import re
from copy import copy
from typing import Any, Final

import orjson

from ali.features.conversations.content import read_content, read_output, read_thoughts
from ali.features.conversations.kinds import KINDS, ItemKind, check_shape
from ali.features.conversations.refusals import missing, not_among, too_many, wrong_type, wrong_value
from ali.kernel.errors import InvalidRequest
from ali.providers.turns import new_item_id

Json = dict[str, Any]

MOST_ITEMS: Final = 5_000
"""How many items one request can bring."""
MOST_ITEM_BYTES: Final = 32 * 1024 * 1024
"""How large one item can be, as JSON."""
MOST_DEPTH: Final = 100
"""How deep an item's JSON can be nested; it must still fit into a response within an event."""

ROLES: Final = ("user", "assistant", "system", "developer")
PHASES: Final = ("commentary", "final_answer")

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})


def read_items(raw: object, *, param: str = "input", most: int = MOST_ITEMS) -> list[Json]:
    """The items that a caller sent as `param`, in order and in their full form.

    A string is one message of the user. Contents of messages become lists of parts, every item has an `id` (its own or
    a fresh one; no two are equal) and, where its kind has one, a `status`. Kinds of hosted tools and fields that are
    not known are kept as they are; `item_reference` and `compaction_trigger` stay for whoever runs them. `raw` itself
    is not changed, but parts of it are shared.

    Raises `InvalidRequest` with the path of the field (`input[2].content[0].type`) and OpenAI's code. Costs about 4 µs
    a plain message (measured); pure.
    """
    if isinstance(raw, str):
        raw = [{"role": "user", "content": raw}]
    if raw is None:
        raise missing(param)
    if not isinstance(raw, list):
        raise wrong_type(param, raw, expected="one of a string or an array of objects")
    if len(raw) > most:
        raise too_many(param, most=most, count=len(raw))
    items = [_read_item(each, where=f"{param}[{place}]") for place, each in enumerate(raw)]
    if len({item["id"] for item in items}) != len(items):
        raise _twice(items, param=param)
    return items


def _read_item(raw: object, *, where: str) -> Json:
    if not isinstance(raw, dict):
        raise wrong_type(where, raw, expected="an object")
    _check_extent(raw, where=where)
    kind, form = _kind_of(raw, where=where)
    item = {**raw, "type": kind, "id": _id_of(raw, kind, where=where)}
    for name, default in form.defaults.items():
        if item.get(name) is None:
            item[name] = copy(default)
    for name, shape in form.needs.items():
        value = item.get(name)
        if value is None:
            raise missing(f"{where}.{name}")
        check_shape(value, shape, param=f"{where}.{name}")
    for name, shape in form.may.items():
        value = item.get(name)
        if value is not None:
            check_shape(value, shape, param=f"{where}.{name}")
    _read_inside(item, kind, where=where)
    _read_status(item, form, where=where)
    return item


def _read_inside(item: Json, kind: str, *, where: str) -> None:
    """The contents that this service reads itself, whichever provider is asked."""
    if kind == "message":
        role = item["role"]
        if role not in ROLES:
            raise not_among(f"{where}.role", ROLES)
        item["content"] = read_content(item["content"], assistant=role == "assistant", where=f"{where}.content")
        if item.get("phase") not in (None, *PHASES):
            raise not_among(f"{where}.phase", PHASES)
    elif kind in _OUTPUTS:
        item["output"] = read_output(item["output"], where=f"{where}.output")
    elif kind == "reasoning":
        item["summary"] = read_thoughts(item["summary"], kind="summary_text", where=f"{where}.summary")
        if "content" in item:
            item["content"] = read_thoughts(item["content"], kind="reasoning_text", where=f"{where}.content")


def _read_status(item: Json, form: ItemKind, *, where: str) -> None:
    status = item.get("status")
    if not form.statuses:
        item.pop("status", None)
    elif status is None:
        item["status"] = "completed"
    elif status not in form.statuses:
        raise not_among(f"{where}.status", form.statuses)


def _kind_of(raw: Json, *, where: str) -> tuple[str, ItemKind]:
    """The item's type, which a message and a reference may leave out, and its form."""
    kind = raw.get("type")
    if kind is None:
        if "role" in raw or "content" in raw:
            kind = "message"
        elif raw.get("id") is not None:
            kind = "item_reference"
        else:
            raise missing(f"{where}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{where}.type", kind, expected="a string")
    form = KINDS.get(kind)
    if form is None:
        raise not_among(f"{where}.type", KINDS)
    return kind, form


def _id_of(raw: Json, kind: str, *, where: str) -> str | None:
    """The item's own identifier, or a fresh one; None where its kind must bring one, and it has none."""
    given = raw.get("id")
    if given is None:
        return None if "id" in KINDS[kind].needs else new_item_id(kind)
    if not isinstance(given, str):
        raise wrong_type(f"{where}.id", given, expected="a string")
    if not _ID.fullmatch(given):
        raise wrong_value(
            f"{where}.id",
            expected="Give the id that the item had when it was answered, or leave it out: 1 to 128 characters of "
            "letters, digits, '_' and '-'.",
        )
    return given


def _check_extent(raw: Json, *, where: str) -> None:
    """That the item is JSON that can be kept and sent on: not too large, not too deep, and Unicode."""
    content = raw.get("content")
    if isinstance(content, str) and len(content) > MOST_ITEM_BYTES:  # plain to see, without writing it all out
        raise _too_large(where)
    try:
        text = orjson.dumps(raw)
    except orjson.JSONEncodeError as error:
        raise wrong_value(
            where,
            expected=f"Send JSON of at most {MOST_DEPTH} levels, whose strings are Unicode without lone surrogates and "
            "whose whole numbers fit 64 bits.",
        ) from error
    if len(text) > MOST_ITEM_BYTES:
        raise _too_large(where)
    # Brackets within strings count too, so this says only that it cannot be too deep.
    if text.count(b"{") + text.count(b"[") > MOST_DEPTH and _deeper(raw, MOST_DEPTH):
        raise wrong_value(where, expected=f"Nest at most {MOST_DEPTH} levels deep.")


def _too_large(where: str) -> InvalidRequest:
    return InvalidRequest(
        f"'{where}' is larger than {MOST_ITEM_BYTES // 1024 // 1024} MiB. Upload large files and name them by file_id "
        "instead.",
        param=where,
        code="item_too_large",
    )


def _deeper(value: object, most: int) -> bool:
    """Whether `value`'s containers stand more than `most` in each other."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _twice(items: list[Json], *, param: str) -> InvalidRequest:
    seen: set[str] = set()
    for place, item in enumerate(items):
        if item["id"] in seen:
            return InvalidRequest(
                f"Duplicate item found with id {item['id']}. Remove duplicate items from '{param}' and try again.",
                param=f"{param}[{place}].id",
                code="duplicate_item",
            )
        seen.add(item["id"])
    raise AssertionError("no item is there twice")
