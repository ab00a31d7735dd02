"""A string inside a JSON object that arrives in pieces, decoded as it comes: what a custom tool is called with."""

import json
import re
from typing import Final

_HIGH: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_WHOLE: Final = re.compile(r'(?:[^"\\]+|\\["\\/bfnrt]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|' + _HIGH + _LOW + ")*")
"""As much of a string's inside as can be decoded by itself: no half escape, no half pair of surrogates."""
_LONGEST_OPENING: Final = 256


class PartialString:
    """The string called `name`, the first and only property of the object that `feed` is given in pieces.

    What a model writes instead (the string not first, another object, no JSON) is known at the end alone: `end` gives
    the string where it stands elsewhere, or else all that was written, as it is.
    """

    __slots__ = ("_inside", "_name", "_opening", "_over", "_pieces", "_said", "_waiting")

    def __init__(self, name: str) -> None:
        self._name = name
        self._opening = re.compile(r'\s*\{\s*"' + re.escape(name) + r'"\s*:\s*"')
        self._pieces: list[str] = []
        self._said: list[str] = []
        self._waiting = ""
        self._inside = False
        self._over = False

    def feed(self, piece: str) -> str:
        """What can be said of the string now; perhaps nothing."""
        self._pieces.append(piece)
        if self._over:
            return ""
        self._waiting += piece
        if not self._inside:
            opening = self._opening.match(self._waiting)
            if opening is None:
                self._over = len(self._waiting) > _LONGEST_OPENING
                return ""
            self._inside = True
            self._waiting = self._waiting[opening.end() :]
        end = _WHOLE.match(self._waiting).end()  # type: ignore[union-attr] # it matches nothing, too
        text = _decoded(f'"{self._waiting[:end]}"')
        self._waiting = self._waiting[end:]
        self._over = self._waiting.startswith('"')
        if text:
            self._said.append(text)
        return text

    def end(self, *, cut: bool) -> str:
        """What is left to say. `cut`: the model was stopped, so that half an object is no surprise."""
        written = "".join(self._pieces)
        said = "".join(self._said)
        try:
            given = json.loads(written, strict=False)
        except (ValueError, RecursionError):
            return "" if cut or self._inside else written
        text = given.get(self._name) if isinstance(given, dict) else None
        whole = _encodable(text) if isinstance(text, str) else written
        return whole[len(said) :] if whole.startswith(said) else ""


def _decoded(literal: str) -> str:
    text: str = json.loads(literal, strict=False)  # models write line feeds as they are, which orjson refuses
    return _encodable(text)


def _encodable(text: str) -> str:
    """`text` with a replacement character where half a pair of surrogates stands, which UTF-8 cannot say."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
