"""Embeddings and moderations: deterministic numbers in OpenAI's shapes."""

import base64
import hashlib
import math
import re
import unicodedata
from array import array
from collections.abc import Mapping
from functools import lru_cache

import orjson

_DIMENSIONS = {"text-embedding-3-large": 3072}
_USUAL_DIMENSIONS = 1536
_MOST_DIMENSIONS = 3072
_CHARACTERS_PER_TOKEN = 4
_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_FLAG = "[[flag]]"
_BY_WORDS = "-words"
_WORD = re.compile(r"[a-z]{3,}")
_FIRST_LETTERS = 5


def embeddings(body: Mapping[str, object], *, model: str) -> bytes:
    """The answer of `/v1/embeddings`: unit vectors made from a digest of each input, so equal inputs are equal vectors.

    A model whose name ends in `-words` adds up vectors of the words' first letters, so that texts about the same are
    near one another, as they are to a real model.

    Raises `ValueError` where there is no input, or one of no known shape.
    """
    inputs = _inputs(body.get("input"))
    asked = body.get("dimensions")
    if isinstance(asked, int) and not 1 <= asked <= _MOST_DIMENSIONS:
        raise ValueError(f"'dimensions' must be from 1 to {_MOST_DIMENSIONS}.")
    dimensions = asked if isinstance(asked, int) else _DIMENSIONS.get(model, _USUAL_DIMENSIONS)
    as_base64 = body.get("encoding_format") == "base64"
    data = []
    for index, text in enumerate(inputs):
        vector = _of_words(text, dimensions) if model.endswith(_BY_WORDS) else _vector(text, dimensions)
        value = base64.b64encode(vector.tobytes()).decode() if as_base64 else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": value})
    tokens = sum(len(text) // _CHARACTERS_PER_TOKEN + 1 for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})


def moderations(body: Mapping[str, object], *, model: str, serial: int) -> bytes:
    """The answer of `/v1/moderations`: nothing is flagged, but violence in an input that contains `[[flag]]`.

    Raises `ValueError` as `embeddings` does.
    """
    results = []
    for text in _inputs(body.get("input")):
        flagged = _FLAG in text
        results.append(
            {
                "flagged": flagged,
                "categories": {name: flagged and name == "violence" for name in _CATEGORIES},
                "category_scores": {name: 0.97 if flagged and name == "violence" else 0.0001 for name in _CATEGORIES},
                "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
            }
        )
    return orjson.dumps({"id": f"modr-sim{serial:026d}", "model": model, "results": results})


def _inputs(value: object) -> list[str]:
    """One text an input: a string, a list of strings or objects with text, token numbers, or a list of such lists."""
    if isinstance(value, str) and value:
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(item, int) for item in value):
            return [str(value)]
        if all(isinstance(item, str | list | dict) for item in value):
            return [item if isinstance(item, str) else str(item) for item in value]
    raise ValueError("'input' must be a string or a list of strings or of token lists, and not empty.")


def _of_words(text: str, dimensions: int) -> "array[float]":
    folded = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    words = {word[:_FIRST_LETTERS] for word in _WORD.findall(folded)} or {""}
    total = [sum(numbers) for numbers in zip(*(_vector(word, dimensions) for word in sorted(words)), strict=True)]
    norm = math.sqrt(sum(number * number for number in total)) or 1.0
    return array("f", [number / norm for number in total])


@lru_cache(maxsize=4096)
def _vector(text: str, dimensions: int) -> "array[float]":
    digest = hashlib.shake_128(text.encode()).digest(2 * dimensions)
    raw = array("h", digest)
    norm = math.sqrt(sum(number * number for number in raw)) or 1.0
    return array("f", [number / norm for number in raw])
