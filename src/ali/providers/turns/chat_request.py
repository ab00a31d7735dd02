"""A Responses request said as a Chat Completions request.

Sources: OpenAI API reference, "Create a model response" and "Create chat completion". What is carried, dropped and
refused stands in `docs/reference/responses-upstreams.md`.
"""

from typing import Any, Final

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Translated
from ali.providers.translate.shapes import caller_count, caller_name, caller_number, caller_object, caller_text
from ali.providers.turns.chat_items import chat_messages
from ali.providers.turns.chat_tools import chat_tools

_CARRIED: Final = frozenset(
    (
        *("input", "instructions", "max_output_tokens", "model", "parallel_tool_calls", "reasoning", "temperature"),
        *("text", "tool_choice", "tools", "top_logprobs", "top_p"),
    )
)
_AS_THEY_ARE: Final = ("prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "user")
_THE_ENGINES: Final = frozenset(
    (
        *("background", "background_options", "context_management", "conversation", "include", "max_tool_calls"),
        *("metadata", "previous_response_id", "prompt", "store", "stream", "stream_options", "truncation"),
    )
)
"""What this service does itself, whatever the upstream: neither sent nor lost."""

_LOGPROBS: Final = "message.output_text.logprobs"
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_VERBOSITIES: Final = ("low", "medium", "high")
_MOST_LOGPROBS: Final = 20


def turn_to_chat(request: dict[str, Any], *, model: str) -> Translated[dict[str, Any]]:
    """`request`, a Responses request with all of its context in `input`, as a streamed chat request to `model`.

    Raises `InvalidRequest`, its `param` in the words of Responses, for what cannot be said in Chat Completions.
    """
    dropped = {
        name if name.isidentifier() else "other"
        for name, value in request.items()
        if value is not None and name not in _CARRIED and name not in _AS_THEY_ARE and name not in _THE_ENGINES
    }
    body: dict[str, Any] = {
        "model": model,
        "messages": chat_messages(request.get("instructions"), request.get("input"), dropped=dropped),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body.update(chat_tools(request, dropped=dropped))
    body.update(_text(request, dropped=dropped))
    body.update(_reasoning(request, dropped=dropped))
    body.update(_sampling(request))
    for name in _AS_THEY_ARE:
        if request.get(name) is not None:
            body[name] = caller_text(request[name], param=name)
    return Translated(body=body, dropped=tuple(sorted(dropped)))


def _sampling(request: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if request.get("max_output_tokens") is not None:
        said["max_completion_tokens"] = caller_count(request["max_output_tokens"], param="max_output_tokens")
    for name, most in (("temperature", 2), ("top_p", 1)):
        if request.get(name) is not None:
            said[name] = caller_number(request[name], param=name, most=most)
    wanted = request.get("top_logprobs") or 0
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 0 <= wanted <= _MOST_LOGPROBS:
        raise InvalidRequest("top_logprobs must be a whole number from 0 to 20.", param="top_logprobs")
    included = request.get("include")
    if wanted:
        said |= {"logprobs": True, "top_logprobs": wanted}
    elif isinstance(included, list) and _LOGPROBS in included:
        said["logprobs"] = True
    return said


def _reasoning(request: dict[str, Any], *, dropped: set[str]) -> dict[str, Any]:
    reasoning = caller_object(request.get("reasoning") or {}, param="reasoning")
    dropped |= {
        f"reasoning.{name}" if name.isidentifier() else "reasoning.other"
        for name, value in reasoning.items()
        if name != "effort" and value is not None
    }
    effort = reasoning.get("effort")
    if effort is None:
        return {}
    if effort not in _EFFORTS:
        raise InvalidRequest(f"reasoning.effort must be one of {', '.join(_EFFORTS)}.", param="reasoning.effort")
    return {"reasoning_effort": effort}


def _text(request: dict[str, Any], *, dropped: set[str]) -> dict[str, Any]:
    """`text.format` as `response_format`, and `text.verbosity`."""
    text = caller_object(request.get("text") or {}, param="text")
    dropped |= {
        f"text.{name}" if name.isidentifier() else "text.other"
        for name, value in text.items()
        if name not in ("format", "verbosity") and value is not None
    }
    said: dict[str, Any] = {}
    wanted = caller_object(text.get("format") or {"type": "text"}, param="text.format")
    match wanted.get("type"):
        case "text":
            pass
        case "json_object":
            said["response_format"] = {"type": "json_object"}
        case "json_schema":
            said["response_format"] = {"type": "json_schema", "json_schema": _schema(wanted)}
        case _:
            raise InvalidRequest(
                "text.format.type must be text, json_object or json_schema for this model.", param="text.format.type"
            )
    verbosity = text.get("verbosity")
    if verbosity is not None:
        if verbosity not in _VERBOSITIES:
            raise InvalidRequest("text.verbosity must be low, medium or high.", param="text.verbosity")
        said["verbosity"] = verbosity
    return said


def _schema(wanted: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "name": caller_name(wanted.get("name"), param="text.format.name"),
        "schema": caller_object(wanted.get("schema"), param="text.format.schema"),
    }
    if wanted.get("description"):
        said["description"] = caller_text(wanted["description"], param="text.format.description")
    if isinstance(wanted.get("strict"), bool):
        said["strict"] = wanted["strict"]
    return said
