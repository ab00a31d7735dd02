"""OpenAI's Responses API as a server writes it: the response object, its items, and the answers beside it.

Source: OpenAI API reference, "Responses"; shapes checked against recorded answers. The events are in
`responses_events`.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ali.ops.simulator.answers import Completion, RedactedThinking
from ali.ops.simulator.prompt import Prompt, spoken, text_of
from ali.providers.contract import Usage

ENCRYPTED: Final = "gAAAAAsim."
"""How everything begins that this provider has encrypted, and takes back."""
LOGPROBS: Final = "message.output_text.logprobs"
ENCRYPTED_REASONING: Final = "reasoning.encrypted_content"

_FAILURES: Final = {
    "server_error": "The server had an error while processing your request. Sorry about that!",
    "rate_limit_exceeded": "Rate limit reached for requests. Please try again later.",
    "invalid_prompt": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
}
_INCOMPLETE: Final = {
    "length": "max_output_tokens",
    "max_output_tokens": "max_output_tokens",
    "content_filter": "content_filter",
}
_ECHOED: Final[dict[str, Any]] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt": None,
    "prompt_cache_key": None,
    "prompt_cache_options": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what stands there where the request says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a response ends: its status, why it is incomplete, why it failed."""

    status: str
    reason: str | None = None
    error: Mapping[str, object] | None = None


def ending(said: Completion) -> Ending:
    """`finish_reason` may be why a response is incomplete, `failed`, or the code of a failure."""
    finish = said.answer.finish_reason
    if finish is None:
        return Ending(status="incomplete", reason="max_output_tokens") if said.truncated else Ending(status="completed")
    if finish in _INCOMPLETE:
        return Ending(status="incomplete", reason=_INCOMPLETE[finish])
    code = "server_error" if finish == "failed" else finish
    if code not in _FAILURES:
        return Ending(status="completed")
    return Ending(status="failed", error={"code": code, "message": said.answer.message or _FAILURES[code]})


def response(said: Completion, body: Mapping[str, object], *, tier: str) -> bytes:
    """A `response` object, whole."""
    end = ending(said)
    items = [] if end.error else output(said, body)
    return orjson.dumps(response_object(said, body, tier=tier, end=end, items=items))


def response_object(
    said: Completion, body: Mapping[str, object], *, tier: str, end: Ending | None, items: list[dict[str, Any]]
) -> dict[str, Any]:
    """A response that holds `items`; without an `end` it is in progress."""
    over = end is not None and end.status == "completed"
    usage = None if end is None or end.error or said.usage is None else usage_object(said.usage)
    return {
        "id": f"resp_sim{said.serial:045d}",
        "object": "response",
        "created_at": said.created_s,
        "status": "in_progress" if end is None else end.status,
        **{name: usual if body.get(name) is None else body[name] for name, usual in _ECHOED.items()},
        "access_programs": None,
        "completed_at": said.created_s if over else None,
        "conversation": None,
        "error": None if end is None else end.error,
        "image": None,
        "incomplete_details": {"reason": end.reason} if end is not None and end.reason else None,
        "input_transformations": None,
        "model": said.model,
        "moderation": None,
        "output": items,
        "prompt_cache_diagnostics": None,
        "reasoning": {"effort": None, "summary": None} | _object(body.get("reasoning")),
        "service_tier": "auto" if end is None else tier,
        "text": {"format": {"type": "text"}, "verbosity": "medium"} | _object(body.get("text")),
        "tool_usage": None,
        "tools": [_tool(tool) for tool in tools_of(body)],
        "usage": usage,
    }


def output(said: Completion, body: Mapping[str, object]) -> list[dict[str, Any]]:
    """The items of the answer, whole: reasoning, the message, calls of tools."""
    answer = said.answer
    items: list[dict[str, Any]] = []
    for block in answer.thinking:
        text = "" if isinstance(block, RedactedThinking) else block.text
        item: dict[str, Any] = {"id": _id("rs", said, len(items)), "type": "reasoning"}
        item["summary"] = [{"type": "summary_text", "text": text}] if text else []
        if includes(body, ENCRYPTED_REASONING):
            item["encrypted_content"] = encrypted(block.data if isinstance(block, RedactedThinking) else text)
        items.append(item)
    if answer.refusal is not None:
        items.append(_message(said, len(items), {"type": "refusal", "refusal": answer.refusal}))
    elif said.words or not answer.tool_calls:
        logprobs = [_logprob(word, body) for word in said.words] if includes(body, LOGPROBS) else []
        part = {"type": "output_text", "annotations": [], "logprobs": logprobs, "text": said.text}
        items.append(_message(said, len(items), part))
    custom = {tool.get("name") for tool in tools_of(body) if tool.get("type") == "custom"}
    for number, call in enumerate(answer.tool_calls):
        kind, prefix, written = ("custom_tool_call", "ctc", "input") if call.name in custom else _FUNCTION
        items.append(
            {
                "id": _id(prefix, said, len(items)),
                "type": kind,
                "status": "completed",
                written: call.arguments_json,
                "call_id": call.id or f"call_sim{said.serial:014d}{number:03d}",
                "name": call.name,
            }
        )
    if ending(said).status == "incomplete" and "status" in items[-1]:
        items[-1]["status"] = "incomplete"
    return items


_FUNCTION = ("function_call", "fc", "arguments")


def usage_object(usage: Usage) -> dict[str, object]:
    """`usage` as the Responses API counts it: the input's tokens include the cached ones."""
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


def counted(prompt: Prompt) -> bytes:
    """The answer of `POST /v1/responses/input_tokens`."""
    return b'{"object":"response.input_tokens","input_tokens":%d}' % prompt.tokens


def compacted(prompt: Prompt, *, serial: int, now_s: int) -> bytes:
    """The answer of `POST /v1/responses/compact`: the user's messages, and one item for everything else."""
    kept: list[dict[str, Any]] = []
    rest: list[str] = []
    for message in spoken(prompt.body):
        text = text_of(message.get("content"))
        if message.get("role") != "user":
            rest.append(text)
            continue
        part = {"type": "input_text", "text": text}
        identifier = f"msg_sim{serial}x{len(kept)}"
        kept.append({"id": identifier, "type": "message", "role": "user", "status": "completed", "content": [part]})
    hidden = encrypted("\n".join(rest))
    usage = Usage(input_tokens=prompt.tokens, output_tokens=len(hidden) // 4, reported=True)
    return orjson.dumps(
        {
            "id": f"resp_sim{serial:045d}",
            "object": "response.compaction",
            "created_at": now_s,
            "output": [
                *kept,
                {"id": f"cmp_sim{serial:045d}", "type": "compaction", "encrypted_content": hidden},
            ],
            "usage": usage_object(usage),
        }
    )


def encrypted(text: str) -> str:
    """`text` as only this provider can read it, by its own word."""
    return ENCRYPTED + base64.urlsafe_b64encode(text.encode()).decode()


def includes(body: Mapping[str, object], name: str) -> bool:
    """Whether the request asks for `name` in its `include`."""
    asked = body.get("include")
    return isinstance(asked, list) and name in asked


def tools_of(body: Mapping[str, object]) -> list[dict[str, Any]]:
    """The tools that are objects."""
    tools = body.get("tools")
    return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []


def _id(prefix: str, said: Completion, index: int) -> str:
    return f"{prefix}_sim{said.serial}x{index}"


def _message(said: Completion, index: int, part: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _id("msg", said, index),
        "type": "message",
        "status": "completed",
        "content": [part],
        "role": "assistant",
    }


def _logprob(word: str, body: Mapping[str, object]) -> dict[str, Any]:
    most = body.get("top_logprobs")
    token = {"token": word, "bytes": list(word.encode()), "logprob": -0.25}
    others = [token | {"logprob": -0.25 - rank} for rank in range(most if isinstance(most, int) else 0)]
    return token | {"top_logprobs": others}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"description": None, "parameters": None, "strict": True} | tool if tool.get("type") == "function" else tool


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
