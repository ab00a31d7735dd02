"""The response object, and the lifecycle events that carry it. Source: OpenAI API reference, "The response object"."""

from typing import Any

import orjson

from ali.features.identity.naming import Kind, named
from ali.features.responses.request import ResponseRequest
from ali.features.responses.tools import echoed
from ali.providers.contract import Usage

Json = dict[str, Any]


def head_of(request: ResponseRequest, *, name: str, created_at: int, tools: list[Json] | None = None) -> Json:
    """The response object as it begins, without its output. `tools`: as they are echoed, where not as they came."""
    document = request.document
    text = document.get("text") or {}
    reasoning = document.get("reasoning") or {}
    conversation = request.conversation_id
    head: Json = {
        "id": name,
        "object": "response",
        "created_at": created_at,
        "status": "in_progress",
        "background": request.background,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": document.get("instructions"),
        "max_output_tokens": document.get("max_output_tokens"),
        "max_tool_calls": request.max_tool_calls,
        "model": request.model,
        "parallel_tool_calls": document.get("parallel_tool_calls") is not False,
        "previous_response_id": named(Kind.RESPONSE, request.previous_id) if request.previous_id else None,
        "presence_penalty": document.get("presence_penalty") or 0.0,
        "frequency_penalty": document.get("frequency_penalty") or 0.0,
        "prompt_cache_key": document.get("prompt_cache_key"),
        "prompt_cache_retention": document.get("prompt_cache_retention"),
        "reasoning": {"effort": None, "summary": None, **reasoning},
        "safety_identifier": document.get("safety_identifier"),
        "service_tier": document.get("service_tier") or "auto",
        "store": request.store,
        "temperature": _or(document.get("temperature"), 1.0),
        "text": {"verbosity": "medium", **text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": document.get("tool_choice") or "auto",
        "tools": [echoed(tool) for tool in (tools if tools is not None else document.get("tools") or ())],
        "top_logprobs": document.get("top_logprobs") or 0,
        "top_p": _or(document.get("top_p"), 1.0),
        "truncation": document.get("truncation") or "disabled",
        "usage": None,
        "user": document.get("user"),
        "metadata": request.metadata,
    }
    if conversation is not None:
        head["conversation"] = {"id": named(Kind.CONVERSATION, conversation)}
    if document.get("prompt") is not None:
        head["prompt"] = document["prompt"]
    return head


def _or(value: Any, default: float) -> Any:  # noqa: ANN401 - a number as it was sent
    return default if value is None else value


def usage_object(usage: Usage) -> Json:
    """A usage as the Responses API says it, all details included."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def with_output(head: Json, output: list[Json]) -> Json:
    """The whole response object."""
    return {**head, "output": output}


def lifecycle_event(kind: str, response: Json, *, number: int) -> bytes:
    """`response.<kind>` as a server-sent event."""
    name = b"response." + kind.encode()
    return b'event: %b\ndata: {"type":"%b","response":%b,"sequence_number":%d}\n\n' % (
        name,
        name,
        orjson.dumps(response),
        number,
    )


def queued_events(head: Json) -> bytes:
    """The first two events of a response in the background."""
    shown = with_output({**head, "status": "queued"}, [])
    return lifecycle_event("created", shown, number=0) + lifecycle_event("queued", shown, number=1)


def error_event(message: str, *, code: str, number: int) -> bytes:
    """The `error` event: the stream, not the response, has failed."""
    body = {"type": "error", "code": code, "message": message, "param": None, "sequence_number": number}
    return b"event: error\ndata: %b\n\n" % orjson.dumps(body)
