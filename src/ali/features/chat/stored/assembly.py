"""The chunks of a chat stream, as the caller gets them, put together into the completion that they are pieces of.

Source: OpenAI API reference, "The chat completion chunk object" and "The chat completion object". Fields beyond it
(`reasoning_content`, `thinking_blocks`, `citations`, what a compatible server adds) grow by their kind: texts and lists
are joined, of anything else the last stays. Nothing that a provider says makes this fail but JSON that is none.
"""

from typing import Any, Final

import orjson

from ali.providers.contract import UpstreamMalformed, Usage
from ali.providers.sse import EventSplitter, event_data
from ali.providers.translate.endings import completion_usage

_GROWING: Final = frozenset({"arguments", "input", "data", "transcript"})
"""What comes in pieces inside a call or audio; all else there is said once."""


class Assembly:
    """Takes a stream's bytes as they go to the caller. Costs a few microseconds an event, and holds the answer once."""

    __slots__ = ("_choices", "_head", "_splitter", "_usage")

    def __init__(self, *, limit_bytes: int) -> None:
        self._splitter = EventSplitter(limit_bytes=limit_bytes)
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: dict[str, Any] | None = None

    def feed(self, due: bytes) -> None:
        """Take what goes to the caller. Raises `UpstreamMalformed`."""
        for event in self._splitter.feed(due):
            data = event_data(event)
            if data is None or data == b"[DONE]":
                continue
            try:
                chunk = orjson.loads(data)
            except orjson.JSONDecodeError as error:
                raise UpstreamMalformed(
                    "The provider sent a piece of its answer that is not JSON. Send the request again."
                ) from error
            if isinstance(chunk, dict):
                self._take(chunk)

    def _take(self, chunk: dict[str, Any]) -> None:
        for name, value in chunk.items():
            if name == "choices":
                for piece in _objects(value):
                    self._choices.setdefault(_index(piece) or 0, _Choice()).take(piece)
            elif name == "usage":
                self._usage = value if isinstance(value, dict) else self._usage
            elif name in ("id", "created", "model"):
                self._head.setdefault(name, value)
            elif value is not None and name != "obfuscation":
                self._head[name] = value

    def completion(self, *, usage: Usage) -> dict[str, Any]:
        """The completion. `usage` stands in it where the stream had none, unless it is but an estimate."""
        counts = self._usage or (completion_usage(usage) if usage.reported else None)
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [self._choices[index].whole(index) for index in sorted(self._choices)],
            **({"usage": counts} if counts is not None else {}),
        }


class _Choice:
    """One of the answers in the making."""

    __slots__ = ("_calls", "_finish", "_function", "_lists", "_logprobs", "_others", "_said", "_texts")

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {"content": [], "refusal": []}
        self._lists: dict[str, list[Any]] = {}
        self._said: dict[str, Any] = {}
        self._calls: dict[int, _Parts] = {}
        self._function: _Parts | None = None
        self._logprobs: dict[str, list[Any]] | None = None
        self._finish = "stop"
        self._others: dict[str, Any] = {}

    def take(self, piece: dict[str, Any]) -> None:
        for name, value in piece.items():
            match name, value:
                case "delta", dict():
                    self._delta(value)
                case "logprobs", dict():
                    self._logprobs = self._logprobs or {"content": [], "refusal": []}
                    for kind, tokens in value.items():
                        self._logprobs.setdefault(kind, []).extend(_objects(tokens))
                case "finish_reason", str():
                    self._finish = value
                case ("delta" | "logprobs" | "finish_reason" | "index", _) | (_, None):
                    pass
                case _:
                    self._others[name] = value

    def _delta(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            match name, value:
                case ("role", _) | (_, None):
                    pass
                case "tool_calls", list():
                    for call in _objects(value):
                        self._calls.setdefault(self._place(call), _Parts()).take(call)
                case "function_call", dict():
                    self._function = self._function or _Parts()
                    self._function.take(value)
                case "audio", dict():
                    self._said.setdefault("audio", _Parts()).take(value)
                case _, str():
                    self._texts.setdefault(name, []).append(value)
                case _, list():
                    self._lists.setdefault(name, []).extend(value)
                case _:
                    self._said[name] = value

    def _place(self, call: dict[str, Any]) -> int:
        """The call that a piece belongs to; some servers leave the index out, and begin each with its identifier."""
        index = _index(call)
        if index is not None:
            return index
        return len(self._calls) if call.get("id") or not self._calls else max(self._calls)

    def whole(self, index: int) -> dict[str, Any]:
        """The choice as a completion has it."""
        texts = {name: "".join(parts) for name, parts in self._texts.items()}
        content, refusal = texts.pop("content"), texts.pop("refusal")
        spoken = not (refusal or self._calls or self._function)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": content or ("" if spoken else None),
            "refusal": refusal or None,
            **{name: text for name, text in texts.items() if text},
            **{name: [_unnumbered(entry) for entry in entries] for name, entries in self._lists.items()},
            **{name: value.whole() if isinstance(value, _Parts) else value for name, value in self._said.items()},
        }
        if self._calls:
            message["tool_calls"] = [self._calls[at].whole() for at in sorted(self._calls)]
        if self._function is not None:
            message["function_call"] = self._function.whole()
        logprobs = None
        if self._logprobs is not None:
            logprobs = {kind: tokens or None for kind, tokens in self._logprobs.items()}
        return {
            **self._others,
            "index": index,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": self._finish,
        }


class _Parts:
    """An object whose texts come in pieces: a tool call, its function, audio."""

    __slots__ = ("_growing", "_inner", "_said")

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}
        self._growing: dict[str, list[str]] = {}
        self._inner: dict[str, _Parts] = {}

    def take(self, piece: dict[str, Any]) -> None:
        for name, value in piece.items():
            match value:
                case dict():
                    self._inner.setdefault(name, _Parts()).take(value)
                case str() if name in _GROWING:
                    self._growing.setdefault(name, []).append(value)
                case str():
                    self._said[name] = self._said.get(name) or value
                case None:
                    pass
                case _ if name != "index":
                    self._said[name] = value

    def whole(self) -> dict[str, Any]:
        return {
            **self._said,
            **{name: "".join(parts) for name, parts in self._growing.items()},
            **{name: inner.whole() for name, inner in self._inner.items()},
        }


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _index(piece: dict[str, Any]) -> int | None:
    index = piece.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def _unnumbered(entry: object) -> object:
    """An entry of a list without the number that only a stream needs."""
    if isinstance(entry, dict) and _index(entry) is not None:
        return {name: value for name, value in entry.items() if name != "index"}
    return entry
