"""A Messages request said as a Chat Completions request.

Sources as for `messages_request`. What is carried, dropped and refused stands in `docs/reference/dialects.md`.
"""

import hashlib
from typing import Any

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Translated
from ali.providers.translate.chat_turns import chat_turns
from ali.providers.translate.shapes import (
    caller_count,
    caller_name,
    caller_number,
    caller_object,
    caller_text,
)
from ali.providers.translate.tools import chat_tools

_CARRIED = frozenset(
    (
        *("max_tokens", "messages", "metadata", "model", "output_config", "output_format", "service_tier"),
        *("stop_sequences", "stream", "system", "temperature", "thinking", "tool_choice", "tools", "top_p"),
    )
)

_NOT_FOR_CHAT = {
    "container": "containers only run with Anthropic's models.",
    "inference_geo": "the region of inference cannot be promised for this model; leave inference_geo out.",
    "mcp_servers": "MCP servers only run with Anthropic's models; call them yourself and offer their tools.",
}

_TIER = {"auto": "auto", "standard_only": "default"}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_MEDIUM_FROM_TOKENS, _HIGH_FROM_TOKENS = 4_096, 16_384
_USER_CHARACTERS = 64
_SCHEMA_DEPTH = 64


def messages_to_chat(request: dict[str, Any], *, model: str) -> Translated[dict[str, Any]]:
    """`request`, a Messages request, as a Chat Completions request to `model`; a stream always asks for its usage.

    Raises `InvalidRequest` for what cannot be said in Chat Completions. Thinking never goes along: only the model that
    thought it may read it.
    """
    dropped = _without_counterpart(request)
    body: dict[str, Any] = {
        "model": model,
        "messages": chat_turns(request.get("system"), request.get("messages"), dropped=dropped),
        "max_completion_tokens": caller_count(request.get("max_tokens"), param="max_tokens"),
    }
    body.update(chat_tools(request, dropped=dropped))
    body.update(_output(request, dropped))
    for name in ("temperature", "top_p"):
        if request.get(name) is not None:
            caller_number(request[name], param=name, most=1)
            body[name] = request[name]
    if stops := request.get("stop_sequences"):
        if not isinstance(stops, list):
            raise InvalidRequest("stop_sequences must be a list of strings.", param="stop_sequences")
        body["stop"] = [caller_name(stop, param=f"stop_sequences[{at}]") for at, stop in enumerate(stops)]
    metadata = caller_object(request.get("metadata") or {}, param="metadata")
    if metadata.get("user_id"):
        body["user"] = _short_user(caller_text(metadata["user_id"], param="metadata.user_id"))
    tier = request.get("service_tier")
    if isinstance(tier, str) and tier in _TIER:
        body["service_tier"] = _TIER[tier]
    elif tier is not None:
        dropped.add("service_tier")
    if request.get("stream") is True:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return Translated(body=body, dropped=tuple(sorted(dropped)))


def _without_counterpart(request: dict[str, Any]) -> set[str]:
    dropped: set[str] = set()
    for name, value in request.items():
        if name in _CARRIED or value is None or (name == "speed" and value == "standard"):
            continue
        if name in _NOT_FOR_CHAT and value:
            raise InvalidRequest(f"{name}: {_NOT_FOR_CHAT[name]}", param=name)
        if name not in _NOT_FOR_CHAT:
            dropped.add(name)
    return dropped


def _output(request: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    """`output_config` and `thinking` as `response_format` and `reasoning_effort`."""
    said: dict[str, Any] = {}
    config = caller_object(request.get("output_config") or {}, param="output_config")
    where = "output_config.format" if config.get("format") else "output_format"
    wanted = caller_object(config.get("format") or request.get("output_format") or {}, param=where)
    if wanted:
        schema = caller_object(wanted.get("schema"), param=f"{where}.schema")
        strict = _is_strict(schema, depth=_SCHEMA_DEPTH)
        if not strict:
            dropped.add(f"{where}.strict")
        described = {"name": "answer", "schema": schema, "strict": strict}
        said["response_format"] = {"type": "json_schema", "json_schema": described}
    effort = config.get("effort")
    if effort is not None and effort not in _EFFORTS:
        raise InvalidRequest(
            f"output_config.effort must be one of {', '.join(_EFFORTS)}.", param="output_config.effort"
        )
    thinking = caller_object(request.get("thinking") or {}, param="thinking")
    match thinking.get("type"):
        case "disabled" | "between_tools":
            dropped.add("thinking")
        case "enabled" if effort is None:
            effort = _effort_of(caller_count(thinking.get("budget_tokens"), param="thinking.budget_tokens"))
    if effort is not None:
        said["reasoning_effort"] = effort
    return said


def _effort_of(budget_tokens: int) -> str:
    if budget_tokens < _MEDIUM_FROM_TOKENS:
        return "low"
    return "medium" if budget_tokens < _HIGH_FROM_TOKENS else "high"


def _is_strict(schema: object, *, depth: int) -> bool:
    """Whether OpenAI's strict mode takes `schema`: every object closed, and every property of it required."""
    if depth == 0:
        return False
    if isinstance(schema, list):
        return all(_is_strict(item, depth=depth - 1) for item in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        required = schema.get("required")
        names = set(properties) if isinstance(properties, dict) else set()
        if schema.get("additionalProperties") is not False or not isinstance(required, list):
            return False
        if not all(isinstance(name, str) for name in required) or names != set(required):
            return False
    return all(_is_strict(item, depth=depth - 1) for item in schema.values())


def _short_user(user: str) -> str:
    """OpenAI takes 64 characters; a longer id becomes its SHA-256, which stays the same for the same person."""
    return user if len(user) <= _USER_CHARACTERS else hashlib.sha256(user.encode()).hexdigest()
