"""Asking a model through the running service: of given documents over Messages, of vector stores over Responses."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ali.cli.service_client import Json, Service, ServiceFailed

_MESSAGES = {"anthropic-version": "2023-06-01"}


@dataclass(slots=True)
class Answered:
    """What has come so far. `citations` are those of the dialect that was asked in."""

    model: str = ""
    text: str = ""
    citations: list[Json] = field(default_factory=list)
    results: list[Json] = field(default_factory=list)
    """What a search of the store found."""
    usage: dict[str, Any] = field(default_factory=dict)


def ask_service(request: Json, *, service: Service, answered: Answered) -> Iterator[str]:
    """Send a Messages request and yield its text as it comes; `answered` is filled on the way.

    Raises `ServiceFailed`.
    """
    done = False
    for event in service.events("/v1/messages", request, _MESSAGES):
        done = done or event.get("type") == "message_stop"
        if text := _taken(event, answered):
            answered.text += text
            yield text
    if not done:
        raise ServiceFailed("The service broke off its answer before its end.")


def _taken(event: Json, answered: Answered) -> str:
    """Note what an event of Messages says; returns the text that it adds."""
    match event:
        case {"type": "message_start", "message": {"model": str(model), "usage": dict(usage)}}:
            answered.model = model
            answered.usage.update(usage)
        case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
            return text
        case {"type": "content_block_delta", "delta": {"type": "citations_delta", "citation": dict(citation)}}:
            answered.citations.append(citation)
        case {"type": "message_delta", "usage": dict(usage)}:
            answered.usage.update(usage)
        case {"type": "error", "error": {"message": str(message)}}:
            raise ServiceFailed(f"The answer broke off: {message}")
        case _:
            pass
    return ""


def ask_store(question: str, *, model: str, stores: list[str], service: Service, answered: Answered) -> Iterator[str]:
    """Ask `model`, which searches the vector stores `stores`, and yield its text as it comes.

    Raises `ServiceFailed`.
    """
    request = {
        "model": model,
        "input": question,
        "store": False,
        "tools": [{"type": "file_search", "vector_store_ids": stores}],
        "include": ["file_search_call.results"],
    }
    done = False
    for event in service.events("/v1/responses", request):
        match event:
            case {"type": "response.output_text.delta", "delta": str(text)}:
                answered.text += text
                yield text
            case {"type": "response.output_text.annotation.added", "annotation": dict(annotation)}:
                answered.citations.append(annotation)
            case {"type": "response.output_item.done", "item": {"type": "file_search_call", "results": list(results)}}:
                answered.results += results
            case {"type": "response.completed" | "response.incomplete", "response": dict(response)}:
                done = True
                answered.model = str(response.get("model"))
                answered.usage.update(response.get("usage") or {})
            case {"type": "response.failed", "response": {"error": {"message": str(message)}}}:
                raise ServiceFailed(f"The answer broke off: {message}")
            case {"type": "error", "message": str(message)} | {"type": "error", "error": {"message": str(message)}}:
                raise ServiceFailed(f"The answer broke off: {message}")
            case _:
                pass
    if not done:
        raise ServiceFailed("The service broke off its answer before its end.")
