"""The kinds of items that the Responses API knows, as data: what each must hold, and which states it can be in.

Kinds of tools that a provider hosts are checked as far as the table says, and otherwise kept as they came: their
provider made them, and reads them again. Source: OpenAI API reference, "Create a response", `input`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ali.features.conversations.refusals import too_long, wrong_type, wrong_value

Shape = Literal["name", "text", "flag", "object", "objects", "texts", "anything"]
"""`name`: a string of 1 to `LONGEST_NAME` characters. `texts`, `objects`: lists of them."""

LONGEST_NAME: Final = 512

Status = Literal[
    "in_progress", "completed", "incomplete", "searching", "generating", "interpreting", "calling", "failed"
]

_WORK: Final[tuple[Status, ...]] = ("in_progress", "completed", "incomplete")
_SEARCH: Final[tuple[Status, ...]] = (*_WORK, "searching", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemKind:
    """What an item of one `type` holds.

    `needs`: fields that must be there. `may`: fields that are checked where they are there and not null. `defaults`:
    what stands in for a field that is missing. `statuses`: what `status` can be; empty for a kind without one, else
    a missing one becomes `completed`. `kept`: whether it is a part of what was said, which a conversation can hold.
    """

    needs: Mapping[str, Shape]
    may: Mapping[str, Shape] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    statuses: tuple[Status, ...] = ()
    kept: bool = True


KINDS: Final[Mapping[str, ItemKind]] = {
    "message": ItemKind(needs={"role": "name", "content": "anything"}, statuses=_WORK),
    "reasoning": ItemKind(needs={}, may={"encrypted_content": "text"}, defaults={"summary": []}, statuses=_WORK),
    "function_call": ItemKind(
        needs={"call_id": "name", "name": "name", "arguments": "text"}, may={"namespace": "name"}, statuses=_WORK
    ),
    "function_call_output": ItemKind(needs={"call_id": "name", "output": "anything"}, statuses=_WORK),
    "custom_tool_call": ItemKind(
        needs={"call_id": "name", "name": "name", "input": "text"}, may={"namespace": "name"}, statuses=_WORK
    ),
    "custom_tool_call_output": ItemKind(needs={"call_id": "name", "output": "anything"}, statuses=_WORK),
    "item_reference": ItemKind(needs={"id": "name"}, kept=False),
    "mcp_list_tools": ItemKind(needs={"server_label": "name", "tools": "objects"}, may={"error": "text"}),
    "mcp_approval_request": ItemKind(needs={"server_label": "name", "name": "name", "arguments": "text"}),
    "mcp_approval_response": ItemKind(needs={"approval_request_id": "name", "approve": "flag"}, may={"reason": "text"}),
    "mcp_call": ItemKind(
        needs={"server_label": "name", "name": "name", "arguments": "text"},
        may={"output": "text", "approval_request_id": "name"},
        statuses=(*_WORK, "calling", "failed"),
    ),
    "file_search_call": ItemKind(needs={"queries": "texts"}, may={"results": "objects"}, statuses=_SEARCH),
    "web_search_call": ItemKind(needs={"action": "object"}, statuses=_SEARCH),
    "code_interpreter_call": ItemKind(
        needs={"container_id": "name"},
        may={"code": "text", "outputs": "objects"},
        statuses=(*_WORK, "interpreting", "failed"),
    ),
    "image_generation_call": ItemKind(
        needs={}, may={"result": "text"}, statuses=("in_progress", "completed", "generating", "failed")
    ),
    "computer_call": ItemKind(
        needs={"call_id": "name"},
        may={"action": "object", "actions": "objects", "pending_safety_checks": "objects"},
        defaults={"pending_safety_checks": []},
        statuses=_WORK,
    ),
    "computer_call_output": ItemKind(
        needs={"call_id": "name", "output": "object"},
        may={"acknowledged_safety_checks": "objects"},
        statuses=(*_WORK, "failed"),
    ),
    "local_shell_call": ItemKind(needs={"call_id": "name", "action": "object"}, statuses=_WORK),
    "local_shell_call_output": ItemKind(needs={"id": "name", "output": "text"}, statuses=_WORK),
    "shell_call": ItemKind(needs={"call_id": "name", "action": "object"}, statuses=_WORK),
    "shell_call_output": ItemKind(needs={"call_id": "name", "output": "objects"}, statuses=_WORK),
    "apply_patch_call": ItemKind(
        needs={"call_id": "name", "operation": "object"}, statuses=("in_progress", "completed")
    ),
    "apply_patch_call_output": ItemKind(
        needs={"call_id": "name"}, may={"output": "text"}, statuses=("completed", "failed")
    ),
    "tool_search_call": ItemKind(
        needs={"arguments": "anything"}, may={"call_id": "name"}, defaults={"execution": "server"}, statuses=_WORK
    ),
    "tool_search_output": ItemKind(
        needs={"tools": "objects"}, may={"call_id": "name"}, defaults={"execution": "server"}, statuses=_WORK
    ),
    "additional_tools": ItemKind(needs={"role": "name", "tools": "objects"}),
    "configuration_update": ItemKind(needs={}, may={"reasoning": "object", "text": "object"}),
    "program": ItemKind(needs={"call_id": "name", "code": "text", "fingerprint": "text"}),
    "program_output": ItemKind(needs={"call_id": "name", "result": "text"}, statuses=("completed", "incomplete")),
    "compaction": ItemKind(needs={"encrypted_content": "text"}),
    "compaction_trigger": ItemKind(needs={}, kept=False),
}
"""By `type`."""


def check_shape(value: object, shape: Shape, *, param: str) -> None:
    """That `value`, found at `param`, has `shape`. Raises `InvalidRequest`."""
    fits, expected = _FITS[shape]
    if not fits(value):
        raise wrong_type(param, value, expected=expected)
    if shape == "name" and isinstance(value, str):
        if not value:
            raise wrong_value(param, expected="Give a string that is not empty.")
        if len(value) > LONGEST_NAME:
            raise too_long(param, most=LONGEST_NAME, length=len(value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_FITS: Final[Mapping[Shape, tuple[Callable[[object], bool], str]]] = {
    "name": (_is_text, "a string"),
    "text": (_is_text, "a string"),
    "flag": (lambda value: isinstance(value, bool), "a boolean"),
    "object": (lambda value: isinstance(value, dict), "an object"),
    "objects": (_are_objects, "an array of objects"),
    "texts": (_are_texts, "an array of strings"),
    "anything": (lambda _: True, "anything"),
}
