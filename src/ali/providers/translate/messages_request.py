"""A Chat Completions request said as a Messages request.

Sources: OpenAI API reference, "Create chat completion"; Anthropic API reference, "Create a message", and
"Migrating to API version 2026-10-21". What is carried, dropped and refused stands in `docs/reference/dialects.md`.
"""

from collections.abc import Callable
from typing import Any

from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Translated
from ali.providers.translate.messages_turns import messages_turns, shortest
from ali.providers.translate.shapes import caller_count, caller_name, caller_number, caller_object, caller_text
from ali.providers.translate.tools import messages_tools

WITH_SAMPLING = "2023-06-01"
WITHOUT_SAMPLING = "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")

_CARRIED = frozenset(
    (
        *("max_completion_tokens", "max_tokens", "messages", "model", "parallel_tool_calls", "reasoning_effort"),
        *("response_format", "safety_identifier", "service_tier", "stop", "stream", "stream_options", "temperature"),
        *("thinking", "tool_choice", "tools", "top_k", "top_p", "user"),
    )
)

_NOT_FOR_MESSAGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "audio": (bool, "this model cannot answer in audio; ask for text only."),
    "function_call": (lambda _: True, "function_call is OpenAI's old form; use tool_choice."),
    "functions": (lambda _: True, "functions is OpenAI's old form; use tools."),
    "logprobs": (bool, "this model's provider gives no log probabilities; leave logprobs out."),
    "modalities": (lambda value: value != ["text"], "this model answers in text only."),
    "moderation": (bool, "moderated completions are OpenAI's own; call /v1/moderations yourself."),
    "n": (lambda value: value != 1, "this model gives one answer a request; send the request n times."),
    "prediction": (bool, "this model's provider takes no predicted output; leave prediction out."),
    "top_logprobs": (bool, "this model's provider gives no log probabilities; leave top_logprobs out."),
    "web_search_options": (lambda _: True, "web search is not carried to this model's provider."),
}

_DEFAULTS = {
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "metadata": {},
    "presence_penalty": 0,
    "prompt_cache_options": {},
    "store": False,
    "top_logprobs": 0,
    "verbosity": "medium",
}

_EFFORT = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_TIER = {"auto": "auto", "default": "standard_only"}
JSON_ONLY = "Answer with one valid JSON object and nothing else: no prose and no code fence around it."


def chat_to_messages(
    request: dict[str, Any], *, model: str, default_max_tokens: int, anthropic_version: str
) -> Translated[dict[str, Any]]:
    """`request`, a Chat Completions request, as a Messages request to `model`.

    `default_max_tokens` stands in where the caller set no limit, for Anthropic requires one. Under version 2026-10-21
    sampling parameters are dropped, for they are a 400 there. Raises `InvalidRequest` for what Messages cannot say.
    """
    dropped = without_counterpart(request, carried=_CARRIED, refused=_NOT_FOR_MESSAGES)
    turns = messages_turns(request.get("messages"), dropped=dropped)
    body: dict[str, Any] = {"model": model, "max_tokens": _max_tokens(request, default_max_tokens)}
    system = turns.system
    if _wants_any_json(request):
        system = [*system, {"type": "text", "text": JSON_ONLY}]
        dropped.add("response_format")
    if system:
        body["system"] = shortest(system)
    body["messages"] = turns.messages
    tools, choice = messages_tools(request)
    if tools:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    body.update(_reasoning(request, forced=is_forced(choice)))
    if (schema := _answer_schema(request, dropped)) is not None:
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
    body.update(sampling(request, dropped, kept=anthropic_version < WITHOUT_SAMPLING))
    body.update(_rest(request, dropped))
    return Translated(body=body, dropped=tuple(sorted(dropped)))


def anthropic_version_for(request: dict[str, Any]) -> str:
    """The `anthropic-version` to send with `request`, a translated Messages request: the newest, except where sampling
    parameters, which it refuses, are in the request. Translate for 2023-06-01 first, and ask this of the result.
    """
    return WITH_SAMPLING if any(name in request for name in _SAMPLING) else WITHOUT_SAMPLING


def without_counterpart(
    request: dict[str, Any], *, carried: frozenset[str], refused: dict[str, tuple[Callable[[Any], bool], str]]
) -> set[str]:
    """Names of parameters that are left out; raises for those without which the answer is not what was asked for.

    `refused`: by name, whether a value asks for anything, and what the caller is told.
    """
    dropped: set[str] = set()
    for name, value in request.items():
        if name in carried or value is None:
            continue
        refusal = refused.get(name)
        if refusal is not None:
            asked, why = refusal
            if asked(value):
                raise InvalidRequest(f"{name}: {why}", param=name)
        elif value != _DEFAULTS.get(name):
            dropped.add(name)
    return dropped


def _max_tokens(request: dict[str, Any], default: int) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        if request.get(name) is not None:
            return caller_count(request[name], param=name)
    return default


def _wants_any_json(request: dict[str, Any]) -> bool:
    wanted = request.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") == "json_object"


def _answer_schema(request: dict[str, Any], dropped: set[str]) -> dict[str, Any] | None:
    wanted = caller_object(request.get("response_format") or {"type": "text"}, param="response_format")
    if wanted.get("type") in ("text", "json_object"):
        return None
    if wanted.get("type") != "json_schema":
        raise InvalidRequest(
            "response_format.type must be text, json_object or json_schema.", param="response_format.type"
        )
    described = caller_object(wanted.get("json_schema"), param="response_format.json_schema")
    return described_schema(described, param="response_format.json_schema", dropped=dropped)


def described_schema(described: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    """The schema out of OpenAI's description of it; Anthropic is always strict and takes no name."""
    if described.get("description"):
        dropped.add(f"{param}.description")
    return caller_object(described.get("schema"), param=f"{param}.schema")


def _reasoning(request: dict[str, Any], *, forced: bool) -> dict[str, Any]:
    """`reasoning_effort`, and Anthropic's own `thinking`, sent by a chat client, as it is."""
    said = effort_and_thinking(request.get("reasoning_effort"), param="reasoning_effort", forced=forced)
    if request.get("thinking") is not None:
        said["thinking"] = caller_object(request["thinking"], param="thinking")
    return said


def is_forced(choice: dict[str, Any] | None) -> bool:
    """Whether Anthropic's `tool_choice` leaves the model no answer but a call."""
    return choice is not None and choice["type"] in ("any", "tool")


def effort_and_thinking(effort: object, *, param: str, forced: bool) -> dict[str, Any]:
    """OpenAI's reasoning effort as Anthropic's effort and adaptive thinking.

    A forced tool call excludes thinking at Anthropic, so that only the effort is said then. Adaptive thinking, other
    than thinking with a budget, takes a history whose calls have no thinking before them.
    """
    if effort is None:
        return {}
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    if not isinstance(effort, str) or effort not in _EFFORT:
        raise InvalidRequest(f"{param} must be none, {', '.join(_EFFORT)}.", param=param)
    said: dict[str, Any] = {"output_config": {"effort": _EFFORT[effort]}}
    if effort != "minimal" and not forced:
        said["thinking"] = {"type": "adaptive"}
    return said


def sampling(request: dict[str, Any], dropped: set[str], *, kept: bool) -> dict[str, Any]:
    """Temperature and its kin, never rescaled; a value that is the default in both dialects is left out."""
    said: dict[str, Any] = {}
    for name in ("temperature", "top_p"):
        value = request.get(name)
        if value is not None and caller_number(value, param=name, most=1) != 1:
            said[name] = value
    if request.get("top_k") is not None:
        said["top_k"] = caller_count(request["top_k"], param="top_k")
    if kept:
        return said
    dropped.update(said)
    return {}


def _rest(request: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if stops := _stop_sequences(request.get("stop")):
        said["stop_sequences"] = stops
    said.update(person_and_tier(request, dropped))
    if request.get("stream") is True:
        said["stream"] = True
    return said


def person_and_tier(request: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    """Who asks and how urgently: `user`, else `safety_identifier`, and `service_tier`. Obfuscation is dropped."""
    said: dict[str, Any] = {}
    user = request.get("user") or request.get("safety_identifier")
    if user:
        said["metadata"] = {"user_id": caller_text(user, param="user")}
    tier = request.get("service_tier")
    if isinstance(tier, str) and tier in _TIER:
        said["service_tier"] = _TIER[tier]
    elif tier is not None:
        dropped.add("service_tier")
    options = request.get("stream_options")
    if isinstance(options, dict) and options.get("include_obfuscation") is True:
        dropped.add("stream_options.include_obfuscation")
    return said


def _stop_sequences(stop: object) -> list[str]:
    if stop is None:
        return []
    named = [(f"stop[{at}]", one) for at, one in enumerate(stop)] if isinstance(stop, list) else [("stop", stop)]
    sequences = [caller_name(one, param=where) for where, one in named]
    for (where, _), sequence in zip(named, sequences, strict=True):
        if not sequence.strip():
            raise InvalidRequest(
                f"{where}: this model's provider takes no stop sequence of whitespace alone.", param=where
            )
    return sequences
