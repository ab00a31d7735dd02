"""`tool_choice` over MCP servers in terms of functions, turn by turn."""

from typing import Any

import pytest

from ali.features.responses.choice import choice_for_turn
from ali.features.responses.errors import ToolNotOffered

ADD, ROLL = "mcp__dice__add", "mcp__dice__roll"
SEARCH = {"type": "file_search"}
OFFERED = {"dice": {"add": ADD, "roll": ROLL}}


def choice(label: str = "dice", **members: Any) -> Any:  # noqa: ANN401 - a request's members
    return {"type": "mcp", "server_label": label, **members}


def among(mode: str, *tools: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
    return {"type": "allowed_tools", "mode": mode, "tools": list(tools)}


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "name": name}


ONE, BOTH = function(ADD), (function(ADD), function(ROLL))


@pytest.mark.parametrize(
    ("asked", "first", "later"),
    [
        (None, None, None),
        ("auto", "auto", "auto"),
        ("none", "none", "none"),
        ("required", "required", None),
        (function("ask"), function("ask"), None),
        (choice(name="add"), ONE, None),
        (choice(), among("required", *BOTH), None),
        (among("auto", choice()), among("auto", *BOTH), among("auto", *BOTH)),
        (among("required", choice(name="add"), function("ask")), among("required", ONE, function("ask")), None),
        (among("auto", choice(name="juggle"), function("ask")), among("auto", function("ask")), None),
        (among("auto", choice(name="juggle")), "none", "none"),
        ({"type": "web_search"}, {"type": "web_search"}, None),
        (SEARCH, function("file_search"), None),
        (among("required", SEARCH, choice(name="add")), among("required", function("file_search"), ONE), None),
        (among("auto", SEARCH), among("auto", function("file_search")), among("auto", function("file_search"))),
    ],
)
def test_a_choice_is_said_in_functions_and_demands_nothing_twice(asked: Any, first: Any, later: Any) -> None:  # noqa: ANN401 - as in the API
    assert choice_for_turn(asked, OFFERED, first=True, searches=True) == first
    if isinstance(asked, dict) and asked["type"] == "allowed_tools" and later is None:
        later = {**first, "mode": "auto"}
    assert choice_for_turn(asked, OFFERED, first=False, searches=True) == later


@pytest.mark.parametrize("asked", [choice(name="juggle"), choice("x"), among("required", choice(name="x")), SEARCH])
def test_what_is_demanded_and_not_offered_is_refused(asked: Any) -> None:  # noqa: ANN401 - as above
    with pytest.raises(ToolNotOffered) as refused:
        choice_for_turn(asked, OFFERED, first=True)
    assert refused.value.param == "tool_choice"
