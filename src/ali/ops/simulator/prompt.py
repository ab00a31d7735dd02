"""What can be read from a request's body, read once.

Requests of a load test repeat: the newest bodies are remembered with all that was read from them, so that a repeated
one costs a look-up.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import orjson

_CHARACTERS_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 3
_MOST_REMEMBERED_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompt:
    """A body that is a JSON object.

    `asked` is what the user says in the last message (system messages aside), "" where that is a tool's result;
    `asked_before` what the user said last, be it before a tool's result; `heard` the last text that a
    user or a tool sent; `tokens` a deterministic count of all that was sent. `accepted` notes under which path and
    version the body has passed the provider's checks.
    """

    body: Mapping[str, object]
    model: str | None
    asked: str
    asked_before: str
    heard: str
    tokens: int
    accepted: set[tuple[str, bytes | None]] = field(default_factory=set)


def read(body: bytes) -> Prompt:
    """The prompt in `body`. Raises `ValueError` where it is no JSON object."""
    return _remembered(body) if len(body) <= _MOST_REMEMBERED_BYTES else _read(body)


def _read(data: bytes) -> Prompt:
    body = orjson.loads(data)
    if type(body) is not dict:
        raise ValueError("The body is no JSON object.")
    messages = spoken(body)
    model = body.get("model")
    return Prompt(
        body=body,
        model=model if isinstance(model, str) and model else None,
        asked=_asked(messages),
        asked_before=_asked_before(messages),
        heard=_heard(messages),
        tokens=_tokens(body, messages),
    )


_remembered = lru_cache(maxsize=256)(_read)


def messages_of(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The messages that are objects."""
    messages = body.get("messages")
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def spoken(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    """All that was said, as messages: those of a chat, or the items of a Responses request put as such."""
    if "messages" in body:
        return messages_of(body)
    given = body.get("input")
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [_as_message(item) for item in given if isinstance(item, dict)] if isinstance(given, list) else []


def _as_message(item: Mapping[str, object]) -> Mapping[str, object]:
    kind = item.get("type", "message")
    if kind == "message":
        return item
    if isinstance(kind, str) and kind.endswith("_output"):
        return {"role": "tool", "content": item.get("output")}
    return {"role": "assistant", "content": item.get("arguments") or item.get("input") or item.get("summary")}


def blocks_of(message: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The content blocks of a message that are objects."""
    content = message.get("content")
    if isinstance(content, list):
        yield from (block for block in content if isinstance(block, dict))


def text_of(content: object) -> str:
    """The text of a content string or of its text blocks, those inside tool results included."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [text_of(block.get("text") or block.get("content")) for block in content if isinstance(block, dict)]
    return " ".join(part for part in parts if part)


def _asked(messages: list[Mapping[str, object]]) -> str:
    """What the user says in the last message (system messages aside); "" where that is not a user's own words."""
    spoken = [message for message in messages[-2:] if message.get("role") not in ("system", "developer")]
    if not spoken or spoken[-1].get("role") != "user":
        return ""
    return _own_words(spoken[-1])


def _asked_before(messages: list[Mapping[str, object]]) -> str:
    """What the user says in the last message that has their own words."""
    words = (_own_words(message) for message in reversed(messages) if message.get("role") == "user")
    return next(filter(None, words), "")


def _own_words(message: Mapping[str, object]) -> str:
    """A user's text, without the results of tools."""
    content = message.get("content")
    if isinstance(content, list):
        content = [block for block in content if isinstance(block, dict) and block.get("type") != "tool_result"]
    return text_of(content)


def _heard(messages: list[Mapping[str, object]]) -> str:
    """The last text that a user or a tool sent."""
    for message in reversed(messages):
        if message.get("role") in ("user", "tool") and (text := text_of(message.get("content"))):
            return text
    return ""


def _tokens(body: Mapping[str, object], messages: list[Mapping[str, object]]) -> int:
    """A deterministic count: a quarter of the characters of all texts and tool definitions, and three a message."""
    characters = len(text_of(body.get("system"))) + len(text_of(body.get("instructions")))
    for message in messages:
        characters += len(text_of(message.get("content")))
    if tools := body.get("tools"):
        with contextlib.suppress(orjson.JSONEncodeError):  # read at a depth that cannot be written
            characters += len(orjson.dumps(tools))
    return characters // _CHARACTERS_PER_TOKEN + _TOKENS_PER_MESSAGE * len(messages) + 1
