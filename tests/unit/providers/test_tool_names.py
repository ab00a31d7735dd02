"""What a model calls the tools of MCP servers: names that every provider takes, and that stay apart."""

import re

from hypothesis import given
from hypothesis import strategies as st

from ali.providers.turns.tool_names import mcp_function_name


def test_a_plain_name_stays_readable() -> None:
    assert mcp_function_name("dice", "roll") == "mcp__dice__roll"
    assert mcp_function_name("a" * 28, "b" * 29) == f"mcp__{'a' * 28}__{'b' * 29}"


def test_names_that_become_alike_are_told_apart() -> None:
    names = {mcp_function_name("dice", name) for name in ("a.b", "a b", "a_b", "a/b", "a" * 80, "a" * 81)}
    assert len(names) == 6
    assert mcp_function_name("a", "b__c") != mcp_function_name("a__b", "c")
    assert mcp_function_name("a_", "b") != mcp_function_name("a", "_b")


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), st.text(min_size=1, max_size=128))
def test_every_name_is_one_that_every_provider_takes(label: str, name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", mcp_function_name(label, name))
