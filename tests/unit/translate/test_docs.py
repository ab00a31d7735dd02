"""The page about dialects speaks of every field that the code carries, drops or refuses by name."""

from pathlib import Path

import pytest

from ali.providers.translate import chat_request, messages_request

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "dialects.md"
CHAT = {*messages_request._CARRIED, *messages_request._NOT_FOR_MESSAGES, *messages_request._DEFAULTS}
MESSAGES = {*chat_request._CARRIED, *chat_request._NOT_FOR_CHAT}


@pytest.mark.parametrize(
    ("section", "names"), [("## A chat request", CHAT), ("## A Messages request", MESSAGES)], ids=["chat", "messages"]
)
def test_the_page_names_every_parameter(section: str, names: set[str]) -> None:
    text = PAGE.read_text().split(section)[1].split("\n## ")[0]
    assert [name for name in sorted(names) if f"`{name}" not in text and f"`{name}." not in text] == []
