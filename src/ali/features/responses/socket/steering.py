"""Steering: what the user says while a response still runs, and how the next one takes it up.

What a model has begun to say is said to its end; a response that runs tools here ends before its next turn, as
`incomplete` with the reason `steered`. Either way a successor follows by itself, unless the caller owes answers.
Source: OpenAI API reference, "WebSocket events", `response.steer` and what answers it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ali.features.conversations import read_items
from ali.features.responses.request import ResponseRequest
from ali.kernel.errors import InvalidRequest

Json = dict[str, Any]

MOST_STEERS: Final = 16
"""For one response."""
_MESSAGE_MEMBERS: Final = frozenset({"type", "role", "content"})
_PARTS: Final = frozenset({"input_text", "input_image", "input_file"})
_OWED: Final = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "computer_call": "computer_call_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
}
"""Calls that the caller answers, and by what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """Input that was accepted for a response. `given` is as it came; `items` as the next request takes it."""

    steer_id: str
    response: str
    given: str | list[Any]
    items: list[Json]
    size_bytes: int

    def named(self) -> Json:
        """As the events name it."""
        return {"id": self.steer_id, "previous_response_id": self.response}


class SteerRefused(Exception):
    """Why input cannot be taken. `code` is one of OpenAI's steering error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def failure(code: str, message: str) -> Json:
    """The `error` of `response.steer.failed`."""
    return {"code": code, "message": message, "type": "invalid_request_error"}


def steering_items(given: str | list[Any]) -> list[Json]:
    """The user's messages in `given`. Raises `SteerRefused`."""
    if not given:
        raise SteerRefused("invalid_input", "input is empty. Send a text, or the user's messages.")
    for place, item in enumerate(given if isinstance(given, list) else ()):
        if not (
            isinstance(item, dict) and item.keys() <= _MESSAGE_MEMBERS and item.get("type", "message") == "message"
        ):
            raise SteerRefused("invalid_input", f"input[{place}] must be a message with role and content alone.")
        if item.get("role") != "user":
            raise SteerRefused("invalid_input", f"input[{place}].role must be user.")
        content = item.get("content")
        parts = content if isinstance(content, list) else ()
        if any(not isinstance(part, dict) or part.get("type") not in _PARTS for part in parts):
            raise SteerRefused("invalid_input", f"input[{place}].content holds a part that is no text, image or file.")
    try:
        return read_items(given)
    except InvalidRequest as error:
        raise SteerRefused("invalid_input", error.message) from error


def can_be_steered(request: ResponseRequest) -> bool:
    """Whether what goes on from the response by itself would be right."""
    return request.conversation_id is None and not request.document.get("context_management")


def owed(output: Sequence[Json]) -> list[Json]:
    """What the caller must send before anything can go on from `output`: stubs of answers to calls and approvals."""
    answered = {item.get("call_id") for item in output if str(item.get("type")).endswith("_output")}
    stubs: list[Json] = []
    for item in output:
        kind = item.get("type")
        if kind == "mcp_approval_request":
            stubs.append({"type": "mcp_approval_response", "approval_request_id": item["id"]})
        elif kind in _OWED and item.get("status") != "incomplete" and item.get("call_id") not in answered:
            stub = {"type": _OWED[kind], "call_id": item["call_id"]}
            stubs.append({**stub, "name": item["name"]} if kind == "function_call" else stub)
    return stubs


def successor(request: Mapping[str, Any], *, name: str, steers: Sequence[Steering]) -> Json:
    """The request that goes on from the response `name` with its settings and the queued input."""
    return {**request, "previous_response_id": name, "input": [item for steer in steers for item in steer.items]}


def continued(request: Mapping[str, Any], steers: Sequence[Steering]) -> Json:
    """The caller's own request to go on, with the queued input before its own.

    Answers to calls and approvals stay first: a model reads them right behind what they answer.
    """
    own = request.get("input")
    items = [{"role": "user", "content": own}] if isinstance(own, str) else own
    if not isinstance(items, list):
        return dict(request)
    answers = 0
    while answers < len(items) and _is_answer(items[answers]):
        answers += 1
    queued = [item for steer in steers for item in steer.items]
    return {**request, "input": [*items[:answers], *queued, *items[answers:]]}


def _is_answer(item: object) -> bool:
    kind = item.get("type") if isinstance(item, dict) else None
    return kind == "mcp_approval_response" or str(kind).endswith("_output")
