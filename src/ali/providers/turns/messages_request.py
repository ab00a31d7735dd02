"""One turn of a model said as a Messages request: the parameters of a response, its tools and its items.

Sources: OpenAI API reference, "Create a response"; Anthropic API reference, "Create a message". What is carried,
dropped and refused stands in `docs/reference/responses-upstreams.md`.
"""

from collections.abc import Callable
from typing import Any, Final

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Translated
from ali.providers.translate.media import text_part
from ali.providers.translate.messages_request import (
    JSON_ONLY,
    WITHOUT_SAMPLING,
    described_schema,
    effort_and_thinking,
    is_forced,
    person_and_tier,
    sampling,
    without_counterpart,
)
from ali.providers.translate.messages_turns import shortest
from ali.providers.translate.shapes import caller_count, caller_object, caller_text
from ali.providers.turns.messages_items import messages_of_items
from ali.providers.turns.messages_tools import choice_of_response, tools_of_response

_CARRIED: Final = frozenset(
    (
        *("input", "instructions", "max_output_tokens", "model", "parallel_tool_calls", "reasoning"),
        *("safety_identifier", "service_tier", "stream_options", "temperature", "text", "tool_choice", "tools"),
        *("top_k", "top_p", "user"),
        "max_tool_calls",  # counts tools that run on the server: whoever runs them counts
    )
)

_NOT_FOR_MESSAGES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "moderation": (bool, "moderated responses are OpenAI's own; call /v1/moderations yourself."),
    "top_logprobs": (bool, "this model's provider gives no log probabilities; leave top_logprobs out."),
}

_REASONING_UNDERSTOOD: Final = ("effort", "summary", "generate_summary")


def turn_to_messages(
    request: dict[str, Any],
    *,
    model: str,
    default_max_tokens: int,
    anthropic_version: str,
    unseal: Callable[[str], dict[str, Any] | None],
) -> Translated[dict[str, Any]]:
    """`request`, the body of a response whose `input` is the whole list of items, as a streamed Messages request.

    `default_max_tokens` stands in where the caller set no limit, for Anthropic requires one. `unseal` opens the
    `encrypted_content` of a reasoning item: `{"blocks": […]}`, or None where it is not this model's. Under version
    2026-10-21 sampling parameters are dropped, for they are a 400 there. Raises `InvalidRequest` for what Messages
    cannot say, `param` in the terms of the Responses API.
    """
    dropped = without_counterpart(request, carried=_CARRIED, refused=_NOT_FOR_MESSAGES)
    said = messages_of_items(request.get("input"), unseal=unseal, dropped=dropped)
    answer = caller_object(request.get("text") or {}, param="text")
    system = [*_instructions(request), *said.system, *_wish_for_json(answer, dropped)]
    body: dict[str, Any] = {"model": model, "max_tokens": _max_tokens(request, default_max_tokens), "stream": True}
    if system:
        body["system"] = shortest(system)
    body["messages"] = said.messages
    tools = tools_of_response(request.get("tools"), dropped=dropped)
    tools, choice = choice_of_response(request, tools=tools)
    if tools:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    body.update(_reasoning(request, dropped, forced=is_forced(choice)))
    if (schema := _answer_schema(answer, dropped)) is not None:
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
    body.update(sampling(request, dropped, kept=anthropic_version < WITHOUT_SAMPLING))
    body.update(person_and_tier(request, dropped))
    return Translated(body=body, dropped=tuple(sorted(dropped)))


def _instructions(request: dict[str, Any]) -> list[dict[str, Any]]:
    if request.get("instructions") is None:
        return []
    text = caller_text(request["instructions"], param="instructions")
    return [text_part(text)] if text.strip() else []


def _max_tokens(request: dict[str, Any], default: int) -> int:
    if request.get("max_output_tokens") is None:
        return default
    return caller_count(request["max_output_tokens"], param="max_output_tokens")


def _reasoning(request: dict[str, Any], dropped: set[str], *, forced: bool) -> dict[str, Any]:
    """Effort and thinking. Anthropic's thinking is the summary; some models show it only where it is asked for."""
    wanted = caller_object(request.get("reasoning") or {}, param="reasoning")
    dropped.update(
        f"reasoning.{name}" for name, value in wanted.items() if name not in _REASONING_UNDERSTOOD and value is not None
    )
    said = effort_and_thinking(wanted.get("effort"), param="reasoning.effort", forced=forced)
    thinking = said.get("thinking", {})
    if thinking.get("type") == "adaptive" and (wanted.get("summary") or wanted.get("generate_summary")):
        thinking["display"] = "summarized"
    return said


def _wish_for_json(answer: dict[str, Any], dropped: set[str]) -> list[dict[str, Any]]:
    """JSON mode has no counterpart: it is asked for in words, and named, for nothing enforces it."""
    wanted = answer.get("format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_object":
        return []
    dropped.add("text.format")
    return [text_part(JSON_ONLY)]


def _answer_schema(answer: dict[str, Any], dropped: set[str]) -> dict[str, Any] | None:
    if answer.get("verbosity") not in (None, "medium"):
        dropped.add("text.verbosity")
    wanted = caller_object(answer.get("format") or {"type": "text"}, param="text.format")
    if wanted.get("type") in ("text", "json_object"):
        return None
    if wanted.get("type") != "json_schema":
        raise InvalidRequest("text.format.type must be text, json_object or json_schema.", param="text.format.type")
    return described_schema(wanted, param="text.format", dropped=dropped)
