"""Calls of tools and their outputs: each output follows its call, and no call is left without an answer."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from ali.kernel.errors import InvalidRequest

_CALLED: Final = {
    "function_call_output": "function call",
    "custom_tool_call_output": "custom tool call",
    "computer_call_output": "computer call",
    "apply_patch_call_output": "apply patch call",
}
"""What the caller answers, by the kind of the answer."""
_CALLS: Final = {kind.removesuffix("_output"): words for kind, words in _CALLED.items()}


def check_outputs(items: Sequence[dict[str, Any]], *, known_calls: Collection[str] = ()) -> None:
    """That every output among `items`, which `read_items` has read, follows its call, and every call has its output.

    `items` is all that a model is to see, in order. `known_calls`: call ids, and ids of requests for approval, from
    before it, which may be answered in `items` but need not be. Calls that a provider runs itself are not looked at,
    nor are requests for approval that nobody answers. Raises `InvalidRequest`, as OpenAI's API does.
    """
    waiting: dict[str, str] = {}
    known = set(known_calls)
    calls: set[tuple[str, str]] = set()
    for item in items:
        kind = item["type"]
        if kind in _CALLS:
            call_id = item["call_id"]
            calls.add((kind, call_id))
            waiting[call_id] = _CALLS[kind]
        elif kind in _CALLED:
            call_id = item["call_id"]
            if (kind.removesuffix("_output"), call_id) not in calls and call_id not in known:
                raise _unpaired(f"No tool call found for {_CALLED[kind]} output with call_id {call_id}.")
            waiting.pop(call_id, None)
        elif kind == "mcp_approval_request":
            known.add(item["id"])
        elif kind == "mcp_approval_response" and item["approval_request_id"] not in known:
            raise _unpaired(f"No approval request found with id {item['approval_request_id']}.")
    for call_id, words in waiting.items():
        raise _unpaired(f"No tool output found for {words} {call_id}.")


def _unpaired(message: str) -> InvalidRequest:
    return InvalidRequest(
        f"{message} Send the model's calls and their outputs together, each output after its call.",
        param="input",
        code="unpaired_tool_call",
    )
