"""What to search for where no model says it: the question, in the words of whoever asks."""

from collections.abc import Sequence
from typing import Any

from ali.features.responses.file_search.searches import LONGEST_QUERY
from ali.providers.extractive.request import question_span

Json = dict[str, Any]


def queries_for(items: Sequence[Json]) -> list[str]:
    """The question in the user's last message; and it again behind the question before, which it may go on from
    ("And for judges?"). Empty where the user says nothing.
    """
    asked = [question for item in items if item.get("role") == "user" and (question := _question(item))]
    if not asked:
        return []
    last = asked[-1]
    before = f"{asked[-2]} {last}" if len(asked) > 1 else ""
    return [query[-LONGEST_QUERY:] for query in (last, before) if query]


def _question(item: Json) -> str:
    """The part of a message that asks, on one line."""
    content = item.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
    text = "\n\n".join(texts)
    start, end = question_span(text, alone=False)
    return " ".join(text[start:end].split())
