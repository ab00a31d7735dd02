"""Filters by attributes of files, in OpenAI's form, as conditions of SQL.

    {"type": "and", "filters": [{"type": "eq", "key": "year", "value": 2024}, {"type": "or", "filters": […]}]}

A value is compared with values of its own type alone: the number 1, the text "1" and `true` are three. What a file has
no attribute for is equal to nothing, so `ne` and `nin`, which are `eq` and `in` denied, hold for it, and no order does.
Texts are ordered by code point, so that dates written as ISO 8601 are ordered by time. Source: OpenAI's API reference,
"Vector stores", `ComparisonFilter` and `CompoundFilter`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, LiteralString, cast

from psycopg import sql
from psycopg.types.json import Jsonb

from ali.features.conversations.refusals import missing, not_among, too_many, wrong_type, wrong_value
from ali.features.conversations.tags import check_key
from ali.features.knowledge.attributes import Scalar, read_scalar
from ali.kernel.errors import InvalidRequest

DEEPEST: Final = 8
MOST_PARTS: Final = 100
"""Comparisons and compounds of one filter, together."""
MOST_VALUES: Final = 1000
"""Values of one `in` or `nin`."""

Operator = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]

_ORDERS: Final[dict[str, sql.SQL]] = {
    "gt": sql.SQL(">"),
    "gte": sql.SQL(">="),
    "lt": sql.SQL("<"),
    "lte": sql.SQL("<="),
}
_COMPARISONS: Final = ("eq", "ne", *_ORDERS, "in", "nin")
_ORDER_OF_NUMBERS: Final = sql.SQL("coalesce(jsonb_typeof({0} -> %s) = 'number' and {0} -> %s {1} %s, false)")
# Not as `jsonb`, which orders texts by the database's collation.
_ORDER_OF_TEXTS: Final = sql.SQL(
    "coalesce(jsonb_typeof({0} -> %s) = 'string' and ({0} ->> %s) collate \"C\" {1} %s::text, false)"
)
_JOINTS: Final[dict[str, sql.SQL]] = {"and": sql.SQL(" and "), "or": sql.SQL(" or ")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An attribute and what it is compared with: for `in` and `nin` several values, else one."""

    type: Operator
    key: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compound:
    """Filters of which all must hold, or one. At least one there is."""

    type: Literal["and", "or"]
    filters: "tuple[Filter, ...]"


Filter = Comparison | Compound


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition, in parentheses where it needs them, and the values of its placeholders `%s` in their order."""

    statement: sql.Composed
    values: tuple[object, ...]


def read_filter(raw: object, *, param: str = "filters") -> Filter | None:
    """What a caller sent as `param`; None where it is null, or an object without anything.

    Raises `InvalidRequest`, which names the field at fault.
    """
    return None if raw is None or raw == {} else _read(raw, param=param, depth=1, budget=iter(range(MOST_PARTS)))


def condition_of(wanted: Filter, *, attributes: sql.Composable) -> Condition:
    """`wanted` as a condition on `attributes`, an expression of type `jsonb` such as `sql.SQL("f.attributes")`.

    It is true or false, never null. No text of the caller's is in the statement.
    """
    match wanted:
        case Compound(type=joint, filters=filters):
            parts = [condition_of(each, attributes=attributes) for each in filters]
            statement = sql.SQL("({})").format(_JOINTS[joint].join(part.statement for part in parts))
            return Condition(statement=statement, values=tuple(value for part in parts for value in part.values))
        case Comparison():
            return _comparison(wanted, attributes)


def _comparison(wanted: Comparison, attributes: sql.Composable) -> Condition:
    match wanted.type:
        case "eq":
            return _equal("coalesce({} -> %s = %s, false)", attributes, wanted.key, Jsonb(wanted.values[0]))
        case "ne":
            return _equal("({} -> %s is distinct from %s)", attributes, wanted.key, Jsonb(wanted.values[0]))
        case "in":
            return _equal("coalesce({} -> %s = any(%s::jsonb[]), false)", attributes, wanted.key, _list(wanted))
        case "nin":
            return _equal("(not coalesce({} -> %s = any(%s::jsonb[]), false))", attributes, wanted.key, _list(wanted))
        case "gt" | "gte" | "lt" | "lte":
            return _ordered(wanted, attributes)


def _list(wanted: Comparison) -> list[Jsonb]:
    return [Jsonb(each) for each in wanted.values]


def _equal(template: LiteralString, attributes: sql.Composable, key: str, value: object) -> Condition:
    return Condition(statement=sql.SQL(template).format(attributes), values=(key, value))


def _ordered(wanted: Comparison, attributes: sql.Composable) -> Condition:
    value = wanted.values[0]
    compared: object = value if isinstance(value, str) else Jsonb(value)
    template = _ORDER_OF_TEXTS if isinstance(value, str) else _ORDER_OF_NUMBERS
    statement = template.format(attributes, _ORDERS[wanted.type])
    return Condition(statement=statement, values=(wanted.key, wanted.key, compared))


def _read(raw: object, *, param: str, depth: int, budget: Iterator[int]) -> Filter:
    if not isinstance(raw, dict):
        raise wrong_type(param, raw, expected="an object with type, key and value, or with type and filters")
    if next(budget, None) is None:
        raise InvalidRequest(f"A filter has at most {MOST_PARTS} parts. Use `in` for many values.", param=param)
    if depth > DEEPEST:
        raise InvalidRequest(f"A filter is at most {DEEPEST} deep. Write it flatter.", param=param)
    kind = raw.get("type")
    if "type" not in raw:
        raise missing(f"{param}.type")
    if not isinstance(kind, str) or kind not in (*_COMPARISONS, *_JOINTS):
        raise not_among(f"{param}.type", (*_COMPARISONS, *_JOINTS))
    expected = {"type", "filters"} if kind in _JOINTS else {"type", "key", "value"}
    for field in expected:
        if field not in raw:
            raise missing(f"{param}.{field}")
    if not expected >= raw.keys():
        raise wrong_value(param, expected=f"A filter of type '{kind}' has {', '.join(sorted(expected))} alone.")
    if kind in _JOINTS:
        return _read_compound(raw, param=param, depth=depth, budget=budget)
    return _read_comparison(raw, param=param)


def _read_compound(raw: dict[str, object], *, param: str, depth: int, budget: Iterator[int]) -> Compound:
    filters = raw["filters"]
    if not isinstance(filters, list):
        raise wrong_type(f"{param}.filters", filters, expected="an array of filters")
    if not filters:
        raise wrong_value(f"{param}.filters", expected="Send at least one filter, or leave it out.")
    read = [
        _read(each, param=f"{param}.filters[{place}]", depth=depth + 1, budget=budget)
        for place, each in enumerate(filters)
    ]
    return Compound(type=cast(Literal["and", "or"], raw["type"]), filters=tuple(read))


def _read_comparison(raw: dict[str, object], *, param: str) -> Comparison:
    key, value, kind = raw["key"], raw["value"], cast(Operator, raw["type"])
    if not isinstance(key, str):
        raise wrong_type(f"{param}.key", key, expected="a string")
    check_key(key, param=f"{param}.key")
    if kind in ("in", "nin"):
        return Comparison(type=kind, key=key, values=_read_values(value, param=f"{param}.value"))
    read = read_scalar(value, param=f"{param}.value")
    if kind in _ORDERS and isinstance(read, bool):
        raise wrong_type(f"{param}.value", read, expected="a string or a number")
    return Comparison(type=kind, key=key, values=(read,))


def _read_values(raw: object, *, param: str) -> tuple[Scalar, ...]:
    if not isinstance(raw, list):
        raise wrong_type(param, raw, expected="an array of strings or numbers")
    if len(raw) > MOST_VALUES:
        raise too_many(param, most=MOST_VALUES, count=len(raw))
    return tuple(read_scalar(each, param=f"{param}[{place}]") for place, each in enumerate(raw))
