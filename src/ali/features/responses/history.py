"""From what was said to what a model is shown: references resolved, compactions opened, the whole cut to fit."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from ali.features.responses.sealing import Unseal
from ali.kernel.errors import NotFound

Json = dict[str, Any]

ANY_MODEL: Final = "*"
"""Under which name compactions are sealed: any model may read a summary."""
BYTES_A_TOKEN: Final = 3
"""Of JSON; few texts have fewer. What is cut to fit a window must fit it."""
_UNSHOWN: Final = frozenset({"mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "compaction_trigger"})
_OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_DENIED: Final = "The person who was asked did not approve this call."


def referenced(items: Sequence[Json]) -> list[str]:
    """The ids that `items` only refer to."""
    return [item["id"] for item in items if item.get("type") == "item_reference"]


def resolved(items: Sequence[Json], known: Mapping[str, Json]) -> list[Json]:
    """`items` with each `item_reference` replaced by the item itself. Raises `NotFound`."""
    return [_found(item, known) if item.get("type") == "item_reference" else item for item in items]


def _found(reference: Json, known: Mapping[str, Json]) -> Json:
    item = known.get(reference["id"])
    if item is None:
        raise NotFound(
            f"Item with id '{reference['id'][:100]}' not found. Items are kept with the response that made them, "
            "unless it had store: false; send the item itself.",
            param="input",
        )
    return item


def shown(items: Sequence[Json], *, unseal: Unseal) -> list[Json]:
    """What of `items` a model is shown. `unseal` opens compactions.

    What comes before the last compaction is told by it. Calls of MCP tools that were refused are shown as refused.
    """
    last = max((at for at, item in enumerate(items) if item.get("type") == "compaction"), default=-1)
    asked = {item["id"]: item for item in items if item.get("type") == "mcp_approval_request"}
    visible: list[Json] = []
    for item in items[max(last, 0) :]:
        kind = item.get("type")
        if kind == "compaction":
            opened = unseal(item.get("encrypted_content") or "")
            if opened is not None:
                visible.append(_told(str(opened.get("summary", ""))))
        elif kind == "mcp_approval_response" and item.get("approve") is not True:
            request = asked.get(item.get("approval_request_id", ""))
            if request is not None:
                visible.append(refused_call(request, reason=item.get("reason")))
        elif kind not in _UNSHOWN:
            visible.append(item)
    return visible


def refused_call(request: Json, *, reason: object) -> Json:
    """A call that was not approved, as the model is told of it."""
    said = f"{_DENIED} They said: {reason}" if isinstance(reason, str) and reason else _DENIED
    return {
        "id": request["id"],
        "type": "mcp_call",
        "status": "failed",
        "server_label": request.get("server_label"),
        "name": request.get("name"),
        "arguments": request.get("arguments") or "{}",
        "approval_request_id": request["id"],
        "output": None,
        "error": {"type": "mcp_protocol_error", "code": 403, "message": said},
    }


def _told(summary: str) -> Json:
    text = f"What was said before, in short:\n{summary}"
    return {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": text}]}


def fitted(items: list[Json], *, window_tokens: int, output_tokens: int) -> list[Json]:
    """The newest of `items` that fit the window beside an answer of `output_tokens`; at least the last one.

    An answer to a call that was cut away goes with it.
    """
    room = max(window_tokens - output_tokens, window_tokens // 4) * BYTES_A_TOKEN
    kept = 0
    for item in reversed(items):
        room -= len(orjson.dumps(item))
        if room < 0 and kept:
            break
        kept += 1
    newest = items[len(items) - kept :]
    calls = {item.get("call_id") for item in newest if item.get("type") in ("function_call", "custom_tool_call")}
    return [item for item in newest if item.get("type") not in _OUTPUTS or item.get("call_id") in calls]
