"""What of an item is shown only to whoever asks for it with `include`, as OpenAI's API has it."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from ali.features.conversations.refusals import not_among

Json = dict[str, Any]

INCLUDABLE: Final = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "message.output_text.logprobs",
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)


def read_include(words: Iterable[str], *, param: str = "include") -> frozenset[str]:
    """The words of an `include`. Raises `InvalidRequest` for one that is none."""
    found = frozenset(words)
    if not found <= INCLUDABLE:
        raise not_among(param, sorted(INCLUDABLE))
    return found


def shown(item: Json, *, include: frozenset[str]) -> Json:
    """`item` without what was not asked for: null where its kind always has the field, left out elsewhere.

    `item` itself is not changed.
    """
    hide = _HIDING.get(item["type"])
    return item if hide is None else hide(item, include)


def _nulled(field: str, word: str) -> Callable[[Json, frozenset[str]], Json]:
    def hide(item: Json, include: frozenset[str]) -> Json:
        return item if word in include or item.get(field) is None else {**item, field: None}

    return hide


def _message(item: Json, include: frozenset[str]) -> Json:
    content = [_part(part, include) for part in item["content"]]
    return {**item, "content": content}


def _part(part: Json, include: frozenset[str]) -> Json:
    match part["type"]:
        case "input_image" if part.get("image_url") is not None and "message.input_image.image_url" not in include:
            return {**part, "image_url": None}
        case "output_text" if part.get("logprobs") and "message.output_text.logprobs" not in include:
            return {**part, "logprobs": []}
        case _:
            return part


def _reasoning(item: Json, include: frozenset[str]) -> Json:
    if "reasoning.encrypted_content" in include or "encrypted_content" not in item:
        return item
    return {name: value for name, value in item.items() if name != "encrypted_content"}


def _screenshot(item: Json, include: frozenset[str]) -> Json:
    output = item["output"]
    if "computer_call_output.output.image_url" in include or output.get("image_url") is None:
        return item
    return {**item, "output": {**output, "image_url": None}}


def _web_search(item: Json, include: frozenset[str]) -> Json:
    if "web_search_call.results" not in include:
        item = {name: value for name, value in item.items() if name != "results"}
    action = item["action"]
    if "web_search_call.action.sources" in include or "sources" not in action:
        return item
    return {**item, "action": {name: value for name, value in action.items() if name != "sources"}}


_HIDING: Final[dict[str, Callable[[Json, frozenset[str]], Json]]] = {
    "message": _message,
    "reasoning": _reasoning,
    "computer_call_output": _screenshot,
    "web_search_call": _web_search,
    "file_search_call": _nulled("results", "file_search_call.results"),
    "code_interpreter_call": _nulled("outputs", "code_interpreter_call.outputs"),
}
