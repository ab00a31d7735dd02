"""Filters by attributes: what they mean in PostgreSQL, and how a wrong one is refused."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Jsonb

from ali.features.knowledge.attributes import read_attributes
from ali.features.knowledge.filters import DEEPEST, MOST_PARTS, MOST_VALUES, Filter, condition_of, read_filter
from ali.kernel.errors import InvalidRequest

ATTRIBUTES: list[dict[str, Any]] = [
    {},
    {"year": 2023, "area": "trabalho", "open": True},
    {"year": 2024, "area": "Trabalho", "open": False},
    {"year": 2024.5, "area": "ação", "date": "2024-05-01"},
    {"year": "2024", "area": "", "open": "true", "date": "2023-12-31"},
    {"year": True, 'it\'s "a" %s; drop table x; --': "'; select 1; --", "date": "2024-10-01"},
]
HOSTILE = ("'; drop table ali.store_file; --", "%s", "%(a)s", "{}", '"', "\\", "$1", "ção", "a->>b")


@pytest.fixture
def connection(worker_dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(worker_dsn) as connection:
        connection.execute("create temporary table thing (n integer, attributes jsonb)")
        for n, each in enumerate(ATTRIBUTES):
            connection.execute("insert into thing values (%s, %s)", (n, Jsonb(read_attributes(each))))
        yield connection


def found(connection: psycopg.Connection, wanted: Filter | None) -> list[int]:
    assert wanted is not None
    condition = condition_of(wanted, attributes=sql.SQL("t.attributes"))
    statement = sql.SQL("select t.n from thing t where {} order by t.n").format(condition.statement)
    return [n for (n,) in connection.execute(statement, condition.values).fetchall()]


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ({"type": "eq", "key": "year", "value": 2024}, [2]),
        ({"type": "eq", "key": "year", "value": 2024.0}, [2]),
        ({"type": "eq", "key": "year", "value": "2024"}, [4]),
        ({"type": "eq", "key": "year", "value": True}, [5]),
        ({"type": "eq", "key": "year", "value": 1}, []),
        ({"type": "ne", "key": "year", "value": 2024}, [0, 1, 3, 4, 5]),
        ({"type": "gt", "key": "year", "value": 2023}, [2, 3]),
        ({"type": "gte", "key": "year", "value": 2023}, [1, 2, 3]),
        ({"type": "lt", "key": "year", "value": 2024.5}, [1, 2]),
        ({"type": "lte", "key": "year", "value": 2024.5}, [1, 2, 3]),
        ({"type": "gte", "key": "date", "value": "2024-01-01"}, [3, 5]),
        ({"type": "lt", "key": "date", "value": "2024-01-01"}, [4]),
        ({"type": "gt", "key": "area", "value": "Z"}, [1, 3]),
        ({"type": "eq", "key": "area", "value": "trabalho"}, [1]),
        ({"type": "eq", "key": "area", "value": ""}, [4]),
        ({"type": "eq", "key": "open", "value": False}, [2]),
        ({"type": "in", "key": "year", "value": [2023, "2024"]}, [1, 4]),
        ({"type": "nin", "key": "year", "value": [2023, "2024"]}, [0, 2, 3, 5]),
        ({"type": "in", "key": "year", "value": []}, []),
        ({"type": "nin", "key": "year", "value": []}, [0, 1, 2, 3, 4, 5]),
        ({"type": "eq", "key": "nothing", "value": "x"}, []),
        ({"type": "ne", "key": "nothing", "value": "x"}, [0, 1, 2, 3, 4, 5]),
        ({"type": "eq", "key": 'it\'s "a" %s; drop table x; --', "value": "'; select 1; --"}, [5]),
        (
            {
                "type": "and",
                "filters": [
                    {"type": "gt", "key": "year", "value": 2000},
                    {
                        "type": "or",
                        "filters": [
                            {"type": "eq", "key": "open", "value": True},
                            {"type": "eq", "key": "area", "value": "ação"},
                        ],
                    },
                ],
            },
            [1, 3],
        ),
    ],
)
def test_a_filter_finds_what_has_such_attributes_of_the_same_type(
    connection: psycopg.Connection, wanted: dict[str, Any], rows: list[int]
) -> None:
    assert found(connection, read_filter(wanted)) == rows


scalars = st.one_of(st.sampled_from(HOSTILE), st.booleans(), st.integers(-3, 3), st.floats(-2, 2), st.text(max_size=3))
orderly = scalars.filter(lambda value: not isinstance(value, bool))
keys = st.sampled_from([*HOSTILE, "a"])
comparisons = st.one_of(
    st.builds(lambda t, k, v: {"type": t, "key": k, "value": v}, st.sampled_from(["eq", "ne"]), keys, scalars),
    st.builds(
        lambda t, k, v: {"type": t, "key": k, "value": v}, st.sampled_from(["gt", "gte", "lt", "lte"]), keys, orderly
    ),
    st.builds(
        lambda t, k, v: {"type": t, "key": k, "value": v},
        st.sampled_from(["in", "nin"]),
        keys,
        st.lists(scalars, max_size=3),
    ),
)
wanteds = st.recursive(
    comparisons,
    lambda inner: st.builds(
        lambda t, f: {"type": t, "filters": f}, st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


def kind(value: object) -> str:
    return "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def same(one: object, other: object) -> bool:
    return bool(kind(one) == kind(other) and one == other)


def holds(wanted: dict[str, Any], attributes: dict[str, Any]) -> bool:
    """What a filter means, said once more, in Python."""
    word: str = wanted["type"]
    if word in ("and", "or"):
        return (all if word == "and" else any)(holds(each, attributes) for each in wanted["filters"])
    there: bool = wanted["key"] in attributes
    own: Any = attributes.get(wanted["key"])
    value: Any = wanted["value"]
    if word in ("eq", "ne"):
        return bool(there and same(own, value)) == (word == "eq")
    if word in ("in", "nin"):
        return bool(there and any(same(own, each) for each in value)) == (word == "in")
    if not there or kind(own) != kind(value) or kind(own) == "bool":
        return False
    less, equal = own < value, own == value
    return bool({"lt": less, "lte": less or equal, "gt": not (less or equal), "gte": not less}[word])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=wanteds, attributes=st.dictionaries(keys, scalars, max_size=4))
def test_postgresql_judges_as_python_does_whatever_the_texts_are(
    connection: psycopg.Connection, wanted: dict[str, Any], attributes: dict[str, Any]
) -> None:
    try:
        read, kept = read_filter(wanted), read_attributes(attributes)
    except InvalidRequest:  # U+0000 and lone surrogates
        return
    connection.execute("truncate thing")
    connection.execute("insert into thing values (1, %s)", (Jsonb(kept),))
    assert (found(connection, read) == [1]) == holds(wanted, attributes)


def nested(depth: int) -> dict[str, Any]:
    wanted: dict[str, Any] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(depth - 1):
        wanted = {"type": "and", "filters": [wanted]}
    return wanted


EQ = {"type": "eq", "key": "a", "value": 1}


@pytest.mark.parametrize(
    ("wanted", "param", "code"),
    [
        ([], "filters", "invalid_type"),
        ("x", "filters", "invalid_type"),
        ({"key": "a", "value": 1}, "filters.type", "missing_required_parameter"),
        ({"type": "like", "key": "a", "value": "b"}, "filters.type", "invalid_value"),
        ({"type": ["eq"], "key": "a", "value": "b"}, "filters.type", "invalid_value"),
        ({"type": "eq", "value": 1}, "filters.key", "missing_required_parameter"),
        ({"type": "eq", "key": "a"}, "filters.value", "missing_required_parameter"),
        ({"type": "eq", "key": 1, "value": 1}, "filters.key", "invalid_type"),
        ({"type": "eq", "key": "a" * 65, "value": 1}, "filters.key", "property_name_above_max_length"),
        ({"type": "eq", "key": "a\0", "value": 1}, "filters.key", "invalid_value"),
        ({"type": "eq", "key": "a", "value": None}, "filters.value", "invalid_type"),
        ({"type": "eq", "key": "a", "value": [1]}, "filters.value", "invalid_type"),
        ({"type": "eq", "key": "a", "value": "x" * 513}, "filters.value", "string_above_max_length"),
        ({"type": "eq", "key": "a", "value": "\ud800"}, "filters.value", "invalid_value"),
        ({"type": "eq", "key": "a", "value": 2**60}, "filters.value", "invalid_value"),
        ({"type": "eq", "key": "a", "value": float("nan")}, "filters.value", "invalid_value"),
        ({"type": "gt", "key": "a", "value": True}, "filters.value", "invalid_type"),
        ({"type": "in", "key": "a", "value": "b"}, "filters.value", "invalid_type"),
        ({"type": "in", "key": "a", "value": [1, {}]}, "filters.value[1]", "invalid_type"),
        ({"type": "in", "key": "a", "value": [1] * (MOST_VALUES + 1)}, "filters.value", "array_above_max_length"),
        ({**EQ, "filters": []}, "filters", "invalid_value"),
        ({"type": "and", "filters": []}, "filters.filters", "invalid_value"),
        ({"type": "and", "filters": EQ}, "filters.filters", "invalid_type"),
        ({"type": "or", "filters": [EQ, {"type": "and", "filters": [7]}]}, "filters.filters[1].filters[0]", None),
        ({"type": "and", "filters": [EQ] * MOST_PARTS}, f"filters.filters[{MOST_PARTS - 1}]", "invalid_request"),
        (nested(DEEPEST + 1), "filters" + ".filters[0]" * DEEPEST, "invalid_request"),
    ],
)
def test_a_wrong_filter_is_refused_with_the_field_at_fault(wanted: object, param: str, code: str | None) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read_filter(wanted)
    assert refusal.value.param == param
    assert code in (None, refusal.value.error_code)


def test_no_filter_is_none_and_the_deepest_is_one() -> None:
    assert read_filter(None) is None
    assert read_filter({}) is None
    assert read_filter(nested(DEEPEST)) is not None
