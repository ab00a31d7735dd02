"""A whole answer said in the other dialect."""

from typing import Any

import orjson

from ali.kernel.ids import new_id
from ali.providers.anthropic.usage import usage_from_message
from ali.providers.openai.usage import usage_from_completion
from ali.providers.translate.citations import cited_span, url_annotations, web_citations
from ali.providers.translate.endings import (
    completion_usage,
    finish_reason,
    message_usage,
    refusal_details,
    stop_reason,
)
from ali.providers.translate.shapes import (
    malformed,
    provider_dump,
    provider_object,
    provider_objects,
    provider_text,
)


def completion_from_message(message: dict[str, Any], *, completion_id: str, created: int, model: str) -> dict[str, Any]:
    """`message`, Anthropic's, as a chat completion; `created` is in Unix seconds.

    The assistant's message has three fields beyond OpenAI's: `reasoning_content` (the thinking's text),
    `thinking_blocks` (the blocks as they came, to be sent back with the history) and `citations` (each with the span
    that it supports). Blocks of Anthropic's server tools are left out. Raises `UpstreamMalformed`.
    """
    if not isinstance(message.get("content"), list):
        raise malformed("a message with content")
    texts: list[str] = []
    thinking: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    citations: list[dict[str, Any]] = []
    length = 0
    for block in provider_objects(message["content"], what="content blocks"):
        match block.get("type"):
            case "text":
                text = provider_text(block.get("text"), what="text")
                texts.append(text)
                start, length = length, length + len(text)
                cited = provider_objects(block.get("citations"), what="citations")
                citations += [cited_span(citation, start=start, end=length) for citation in cited]
            case "thinking" | "redacted_thinking":
                thinking.append(block)
            case "tool_use":
                calls.append(_tool_call(block))
    ended = provider_text(message.get("stop_reason"), what="a stop reason")
    details = provider_object(message.get("stop_details"), what="stop details")
    refusal = provider_text(details.get("explanation"), what="an explanation") if ended == "refusal" else ""
    said: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) or (None if calls or ended == "refusal" else ""),
        "refusal": refusal or None,
        "annotations": url_annotations(citations),
    }
    if calls:
        said["tool_calls"] = calls
    if thinking:
        said["reasoning_content"] = "".join(provider_text(block.get("thinking"), what="thinking") for block in thinking)
        said["thinking_blocks"] = thinking
    if citations:
        said["citations"] = citations
    usage = usage_from_message(provider_object(message.get("usage"), what="usage"))
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish_reason(ended)}],
        "usage": completion_usage(usage),
    }


def message_from_completion(completion: dict[str, Any], *, message_id: str, model: str) -> dict[str, Any]:
    """`completion`, a chat completion, as Anthropic's message, from its first choice.

    Reasoning becomes a thinking block with an empty signature, a refusal a text and the stop reason `refusal`. A tool
    call that the token limit cut short is left out. Raises `UpstreamMalformed`, also where the model wrote arguments
    that are not a JSON object: Anthropic's dialect has no way to hand those on.
    """
    choices = provider_objects(completion.get("choices"), what="choices")
    if not choices:
        raise malformed("a choice")
    said = provider_object(choices[0].get("message"), what="a message")
    finish = provider_text(choices[0].get("finish_reason"), what="a finish reason")
    content: list[dict[str, Any]] = []
    if reasoning := reasoning_text(said):
        content.append({"type": "thinking", "thinking": reasoning, "signature": ""})
    text = provider_text(said.get("content"), what="content")
    refusal = provider_text(said.get("refusal"), what="a refusal")
    if text:
        content.append({"type": "text", "text": text})
        if citations := web_citations(provider_objects(said.get("annotations"), what="annotations"), content=text):
            content[-1]["citations"] = citations
    if refusal:
        content.append({"type": "text", "text": refusal})
    calls = provider_objects(said.get("tool_calls"), what="tool calls")
    uses = [use for call in calls if (use := _tool_use(call, cut=finish == "length")) is not None]
    usage = usage_from_completion(provider_object(completion.get("usage"), what="usage"))
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content + uses,
        "stop_reason": stop_reason(finish, called_tools=bool(calls), refused=bool(refusal)),
        "stop_sequence": None,
        "stop_details": refusal_details(refusal),
        "usage": message_usage(usage),
    }


def _tool_call(block: dict[str, Any]) -> dict[str, Any]:
    given = provider_object(block.get("input"), what="a tool's input")
    return {
        "id": provider_text(block.get("id"), what="a tool call's id"),
        "type": "function",
        "function": {
            "name": provider_text(block.get("name"), what="a tool's name"),
            "arguments": provider_dump(given, what="a tool's input"),
        },
    }


def _tool_use(call: dict[str, Any], *, cut: bool) -> dict[str, Any] | None:
    function = provider_object(call.get("function"), what="a function")
    name = provider_text(function.get("name"), what="a function's name")
    written = function.get("arguments")
    if not name:
        raise malformed("a function's name")
    if not isinstance(written, dict):  # some compatible servers send the object itself
        try:
            written = orjson.loads(provider_text(written, what="arguments").strip() or "{}")
        except orjson.JSONDecodeError as error:
            if cut:
                return None
            raise malformed("arguments in JSON") from error
    use_id = provider_text(call.get("id"), what="a tool call's id") or new_id("toolu")
    return {"type": "tool_use", "id": use_id, "name": name, "input": provider_object(written, what="arguments")}


def reasoning_text(said: dict[str, Any]) -> str:
    """The reasoning that compatible servers show, as `reasoning_content` or, newer, `reasoning`."""
    shown = provider_text(said.get("reasoning_content"), what="reasoning")
    newer = said.get("reasoning")
    return shown or (newer if isinstance(newer, str) else "")
