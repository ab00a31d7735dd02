"""Anthropic's wire as a server writes it: Messages, plain and streamed, headers and errors.

Source: Claude API reference, "Messages", "Streaming" and "Errors"; shapes checked against recorded answers.
"""

import time
from functools import lru_cache

import orjson

from ali.ops.simulator.answers import Completion, Thinking
from ali.ops.simulator.openai_wire import pieces
from ali.ops.simulator.reply import Events
from ali.providers.contract import Usage
from ali.providers.sse import anthropic_event

PING = anthropic_event(b"ping", b'{"type": "ping"}')
_STOP = anthropic_event(b"message_stop", b'{"type":"message_stop"}')
_ORGANIZATION = b"anthropic-organization-id: 5e1f0a7e-0000-4000-8000-000000000000\r\n"
_LIMITS = ((b"requests", 4000), (b"tokens", 4800000), (b"input-tokens", 4000000), (b"output-tokens", 800000))

_ERRORS: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "The request was refused by the simulated provider."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the API."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found"),
    408: ("timeout_error", "Request timed out"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit of requests per minute."),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
_API_ERROR = ("api_error", "Internal server error")


def request_id(serial: int) -> str:
    """The identifier in the `request-id` header and in error envelopes."""
    return f"req_sim{serial:021d}"


def header_lines(serial: int, *, now_s: int, status: int) -> bytes:
    """The headers of every answer, as whole lines."""
    limits = _limit_lines(now_s, exhausted=status == 429)
    return b"request-id: req_sim%021d\r\n%b%b" % (serial, _ORGANIZATION, limits)


@lru_cache(maxsize=8)
def _limit_lines(now_s: int, *, exhausted: bool) -> bytes:
    """The rate limit lines of one second; formatting dates for each answer would cost more than the answer."""
    reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s + exhausted)).encode()
    return b"".join(
        b"anthropic-ratelimit-%b-limit: %d\r\nanthropic-ratelimit-%b-remaining: %d\r\n"
        b"anthropic-ratelimit-%b-reset: %b\r\n" % (name, limit, name, 0 if exhausted else limit - 1, name, reset)
        for name, limit in _LIMITS
    )


def error_body(status: int, message: str | None = None, *, serial: int = 0) -> bytes:
    """The error envelope for `status`."""
    kind, usual_message = _ERRORS.get(status, _API_ERROR)
    error = {"type": kind, "message": message or usual_message}
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id(serial)})


def message(said: Completion) -> bytes:
    """A `message` object."""
    body = _message(said)
    body["content"] = [orjson.Fragment(block) for block in _blocks(said)]
    body["stop_reason"] = _stop_reason(said)
    body["stop_details"] = _stop_details(said)
    if said.usage is not None:
        body["usage"] = usage_object(said.usage)
    return orjson.dumps(body)


def message_events(said: Completion) -> Events:
    """The events of a streamed message: strictly one block after the other, `message_stop` last."""
    start = _message(said)
    if said.usage is not None:
        start["usage"] = usage_object(said.usage) | {"output_tokens": 1}
    opening = anthropic_event(b"message_start", orjson.dumps({"type": "message_start", "message": start}))
    blocks: list[bytes] = []
    for index, (shell, deltas) in enumerate(_streamed_blocks(said)):
        started = b'{"type":"content_block_start","index":%d,"content_block":%b}' % (index, shell)
        blocks.append(anthropic_event(b"content_block_start", started))
        if index == 0:
            blocks.append(PING)
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % index
        blocks += [head + delta + b"}\n\n" for delta in deltas]
        blocks.append(anthropic_event(b"content_block_stop", b'{"type":"content_block_stop","index":%d}' % index))
    delta: dict[str, object] = {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(said), "stop_sequence": None, "stop_details": _stop_details(said)},
    }
    if said.usage is not None:
        usage = usage_object(said.usage)
        delta["usage"] = {name: count for name, count in usage.items() if name.endswith(("_tokens", "_details"))}
    # The first block's start and the ping go out with the head, its stop with the end.
    return Events(
        opening=(opening, *blocks[:2]),
        deltas=tuple(blocks[2:-1]),
        closing=(*blocks[2:][-1:], anthropic_event(b"message_delta", orjson.dumps(delta)), _STOP),
    )


def usage_object(usage: Usage) -> dict[str, object]:
    """`usage` as Messages counts it: `input_tokens` are those neither read from the cache nor written to it."""
    counted: dict[str, object] = {
        "input_tokens": usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }
    if usage.reasoning_tokens:
        counted["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return counted


def _message(said: Completion) -> dict[str, object]:
    """The message before it says anything."""
    return {
        "model": said.model,
        "id": f"msg_sim{said.serial:021d}",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
    }


def _blocks(said: Completion) -> list[bytes]:
    """Every content block whole, as JSON."""
    blocks = [
        orjson.dumps({"type": "thinking", "thinking": block.text, "signature": block.signature})
        if isinstance(block, Thinking)
        else orjson.dumps({"type": "redacted_thinking", "data": block.data})
        for block in said.answer.thinking
    ]
    if said.words:
        blocks.append(orjson.dumps({"type": "text", "text": said.text}))
    return blocks + [
        orjson.dumps({"type": "tool_use", "id": call_id, "name": name, "input": orjson.Fragment(arguments)})
        for call_id, name, arguments in _calls(said)
    ]


def _streamed_blocks(said: Completion) -> list[tuple[bytes, list[bytes]]]:
    """Every content block as the JSON of its empty shell and of its deltas."""
    blocks: list[tuple[bytes, list[bytes]]] = []
    for block in said.answer.thinking:
        if isinstance(block, Thinking):
            deltas = [b'{"type":"thinking_delta","thinking":%b}' % orjson.dumps(block.text)] if block.text else []
            signature = b'{"type":"signature_delta","signature":%b}' % orjson.dumps(block.signature)
            blocks.append((b'{"type":"thinking","thinking":"","signature":""}', [*deltas, signature]))
        else:
            blocks.append((orjson.dumps({"type": "redacted_thinking", "data": block.data}), []))
    if said.words:
        texts = [b'{"type":"text_delta","text":%b}' % orjson.dumps(word) for word in said.words]
        blocks.append((b'{"type":"text","text":""}', texts))
    for call_id, name, arguments in _calls(said):
        shell = orjson.dumps({"type": "tool_use", "id": call_id, "name": name, "input": {}})
        # Without arguments an empty delta stands alone, as on the real wire.
        parts = ["", *(pieces(arguments) if arguments != "{}" else [])]
        inputs = [b'{"type":"input_json_delta","partial_json":%b}' % orjson.dumps(part) for part in parts]
        blocks.append((shell, inputs))
    return blocks


def _calls(said: Completion) -> list[tuple[str, str, str]]:
    return [
        (call.id or f"toolu_sim{said.serial:016d}{index:03d}", call.name, call.arguments_json)
        for index, call in enumerate(said.answer.tool_calls)
    ]


def _stop_reason(said: Completion) -> str:
    if said.answer.finish_reason is not None:
        return said.answer.finish_reason
    if said.answer.refusal is not None:
        return "refusal"
    if said.answer.tool_calls:
        return "tool_use"
    return "max_tokens" if said.truncated else "end_turn"


def _stop_details(said: Completion) -> dict[str, object] | None:
    if said.answer.refusal is None:
        return None
    return {"type": "refusal", "category": None, "explanation": said.answer.refusal}
