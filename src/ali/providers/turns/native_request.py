"""A Responses request for a provider that speaks the Responses API itself: nearly as it came.

This service keeps all state, so the provider is told to store nothing; what refers to stored items is left out.
Source: OpenAI API reference, "Create a model response"; "Item with id … not found. Items are not persisted when
`store` is set to false" is what OpenAI answers to identifiers of reasoning items that it does not know.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Translated
from ali.providers.translate.shapes import caller_json, caller_name, caller_objects, caller_text
from ali.providers.turns.tool_names import mcp_function_name

_ENCRYPTED: Final = "reasoning.encrypted_content"
_WITHOUT_REASONING: Final = ("gpt-4", "gpt-3.5", "chatgpt-", "gpt-5-chat")
"""Asked to include encrypted reasoning, OpenAI answers 400 for these: "Encrypted content is not supported with this
model."
"""
_NAMELESS: Final = frozenset(
    {"message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"}
)
"""Items that OpenAI takes without `id` and `status`; identifiers of ours, or of another model's, would mean nothing."""
_NOT_THE_MODELS: Final = frozenset({"mcp_list_tools", "mcp_approval_request", "mcp_approval_response"})
"""Between this service and its caller only: the model sees the tools as functions, and the calls that were made."""
_FAILED: Final = "The tool call failed: "

Unseal = Callable[[str], dict[str, Any] | None]


def turn_to_responses(
    request: dict[str, Any], *, model: str, unseal: Unseal, reasons: bool | None = None
) -> Translated[dict[str, Any]]:
    """The body of `POST /v1/responses` for one turn. Parameters that this service does not know survive.

    `request["include"]`, if there, is what the caller asked to be included. `reasons`: the model is one that reasons
    (None: the name decides), for OpenAI refuses to be asked for another's encrypted reasoning. `unseal` gives back
    what `NativeTurn` had sealed, or None: reasoning that the upstream could not read is left out.

    Raises `InvalidRequest` for a compaction item that is not this model's, for leaving it out would lose the context.
    """
    body = {**request, "model": model, "store": False, "stream": True}
    body["input"] = _items(caller_objects(request.get("input", []), param="input"), unseal)
    included = _included(request.get("include"))
    if _reasons(model) if reasons is None else reasons:
        included.add(_ENCRYPTED)
    else:
        included.discard(_ENCRYPTED)
    body.pop("include", None)
    if included:
        body["include"] = sorted(included)
    return Translated(body=body)


def _reasons(model: str) -> bool:
    """Whether OpenAI's model of that name reasons: all but the older families, and what is tuned from them."""
    return not model.removeprefix("ft:").startswith(_WITHOUT_REASONING)


def _included(asked: object) -> set[str]:
    if isinstance(asked, Iterable) and not isinstance(asked, str):
        return {name for name in asked if isinstance(name, str)}
    return set()


def _items(items: list[dict[str, Any]], unseal: Unseal) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for position, item in enumerate(items):
        param = f"input[{position}]"
        kind = caller_text(item.get("type", "message"), param=f"{param}.type")
        if kind == "reasoning":
            if (hidden := _unsealed(item, unseal)) is not None:
                said.append(_without(item, "id", "status", "content") | {"encrypted_content": hidden})
        elif kind == "compaction":
            said.append(_compaction(item, unseal, param=param))
        elif kind == "mcp_call":
            said += _function_call(item, param=param)
        elif kind == "message":
            said.append(_message(_without(item, "id", "status")))
        elif kind in _NAMELESS:
            said.append(_without(item, "id", "status"))
        elif kind not in _NOT_THE_MODELS:
            said.append(item)
    return said


def _message(item: dict[str, Any]) -> dict[str, Any]:
    """A message without the citations of files: they are of this service, which OpenAI does not know."""
    content = item.get("content")
    if item.get("role") != "assistant" or not isinstance(content, list):
        return item
    return {**item, "content": [_without_files(part) for part in content]}


def _without_files(part: Any) -> Any:  # noqa: ANN401 - the caller's JSON
    annotations = part.get("annotations") if isinstance(part, dict) else None
    if not isinstance(annotations, list) or not annotations:
        return part
    return {**part, "annotations": [one for one in annotations if not _is_of_a_file(one)]}


def _is_of_a_file(annotation: object) -> bool:
    return isinstance(annotation, dict) and ("citation" in annotation or annotation.get("type") == "file_citation")


def _unsealed(item: dict[str, Any], unseal: Unseal) -> str | None:
    """What OpenAI had encrypted, if it is there and its own."""
    sealed = item.get("encrypted_content")
    payload = unseal(sealed) if isinstance(sealed, str) else None
    hidden = None if payload is None else payload.get("encrypted_content")
    return hidden if isinstance(hidden, str) else None


def _compaction(item: dict[str, Any], unseal: Unseal, *, param: str) -> dict[str, Any]:
    hidden = _unsealed(item, unseal)
    if hidden is None:
        raise InvalidRequest(
            f"{param} was compacted by another model, or changed since; send the items that it stands for instead.",
            param=f"{param}.encrypted_content",
        )
    return _without(item, "id", "status") | {"encrypted_content": hidden}


def _function_call(item: dict[str, Any], *, param: str) -> list[dict[str, Any]]:
    """A call that this service made of a remote server's tool, as the function that the model had called; without a
    result it is left out.
    """
    output, error = item.get("output"), item.get("error")
    if output is None and error is not None:
        output = _FAILED + (error if isinstance(error, str) else caller_json(error, param=f"{param}.error"))
    if output is None:
        return []
    call_id = caller_name(item.get("id"), param=f"{param}.id")
    label = caller_name(item.get("server_label"), param=f"{param}.server_label")
    name = mcp_function_name(label, caller_name(item.get("name"), param=f"{param}.name"))
    arguments = caller_text(item.get("arguments") or "{}", param=f"{param}.arguments")
    return [
        {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments},
        {
            "type": "function_call_output",
            "call_id": call_id,
            "output": caller_text(output, param=f"{param}.output"),
        },
    ]


def _without(item: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in names}
