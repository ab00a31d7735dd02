"""OpenAI's wire as a server writes it: Chat Completions, plain and streamed, headers and errors.

Source: OpenAI API reference, "Chat Completions" and "Streaming"; shapes checked against recorded answers.
"""

from collections.abc import Sequence
from functools import lru_cache

import orjson

from ali.ops.simulator.answers import Completion
from ali.ops.simulator.reply import Events
from ali.providers.contract import Usage
from ali.providers.sse import openai_event

DONE = openai_event(b"[DONE]")
FINGERPRINT = "fp_simulated0"

_ARGUMENTS_PIECE = 12
_RATE_LIMITS = (
    b"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 2000000\r\n"
    b"x-ratelimit-remaining-requests: %d\r\nx-ratelimit-remaining-tokens: %d\r\n"
    b"x-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 1ms\r\n"
)
_PLENTY = _RATE_LIMITS % (9999, 1999900)
_EXHAUSTED = _RATE_LIMITS % (0, 0)
_STANDING = b"openai-organization: org-simulated\r\nopenai-version: 2020-10-01\r\n"

# type, code and message of each status, where the request says no more of it
_ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request was refused by the simulated provider."),
    401: (
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    403: ("invalid_request_error", "permission_denied", "You do not have access to this resource."),
    404: ("invalid_request_error", None, "Not found."),
    408: ("timeout", None, "The request timed out."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests. Please try again later."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
    529: ("server_error", None, "The engine is currently overloaded, please try again later."),
}
_SERVER_ERROR = ("server_error", None, "The server had an error while processing your request. Sorry about that!")


def header_lines(serial: int, *, processing_ms: int, status: int) -> bytes:
    """The headers of every answer, as whole lines."""
    return b"x-request-id: req_%032x\r\nopenai-processing-ms: %d\r\n%b%b" % (
        serial,
        processing_ms,
        _STANDING,
        _EXHAUSTED if status == 429 else _PLENTY,
    )


def error_body(status: int, message: str | None = None, *, code: str | None = None, param: str | None = None) -> bytes:
    """The error envelope for `status`."""
    kind, usual_code, usual_message = _ERRORS.get(status, _SERVER_ERROR)
    error = {"message": message or usual_message, "type": kind, "param": param, "code": code or usual_code}
    return orjson.dumps({"error": error})


def completion(said: Completion, *, choices: int, tier: str) -> bytes:
    """A `chat.completion` object."""
    silent = said.answer.refusal is not None or (not said.words and bool(said.answer.tool_calls))
    message: dict[str, object] = {
        "role": "assistant",
        "content": None if silent else said.text,
        "refusal": said.answer.refusal,
        "annotations": [],
    }
    if said.answer.tool_calls:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in _calls(said)
        ]
    body = {
        "id": _id(said),
        "object": "chat.completion",
        "created": said.created_s,
        "model": said.model,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": _finish_reason(said)}
            for index in range(choices)
        ],
    }
    if said.usage is not None:
        body["usage"] = usage_object(said.usage)
    body["service_tier"] = tier
    body["system_fingerprint"] = FINGERPRINT
    return orjson.dumps(body)


def completion_events(said: Completion, *, choices: int, tier: str, include_usage: bool) -> Events:
    """The chunks of a streamed completion, `[DONE]` last.

    `usage` stands in every chunk as null, and in one more chunk without choices, exactly where `include_usage` asks.
    """
    shell = {
        "id": _id(said),
        "object": "chat.completion.chunk",
        "created": said.created_s,
        "model": said.model,
        "service_tier": tier,
        "system_fingerprint": FINGERPRINT,
    }
    head = b"data: " + orjson.dumps(shell)[:-1] + b',"choices":['
    tail = b'],"usage":null}\n\n' if include_usage else b"]}\n\n"
    starts = [b'%b{"index":%d,"delta":' % (head, index) for index in range(choices)]
    end = b',"logprobs":null,"finish_reason":null}' + tail
    finish = b'{},"logprobs":null,"finish_reason":%b}%b' % (orjson.dumps(_finish_reason(said)), tail)
    opening, *deltas = _deltas(said)
    usage = b""
    if include_usage and said.usage is not None:
        usage = head + b'],"usage":' + orjson.dumps(usage_object(said.usage)) + b"}\n\n"
    return Events(
        opening=tuple([start + opening + end for start in starts]),
        deltas=tuple([start + delta + end for delta in deltas for start in starts]),
        closing=(*[start + finish for start in starts], *([usage] if usage else []), DONE),
    )


def usage_object(usage: Usage) -> dict[str, object]:
    """`usage` as Chat Completions counts it: the prompt's tokens include the cached ones."""
    prompt = {"cached_tokens": usage.cached_input_tokens, "audio_tokens": 0}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def pieces(arguments: str) -> Sequence[str]:
    """A tool's arguments in the pieces of a stream."""
    return [arguments[start : start + _ARGUMENTS_PIECE] for start in range(0, len(arguments), _ARGUMENTS_PIECE)]


def _deltas(said: Completion) -> list[bytes]:
    """Every delta object in order, the one with the role first."""
    if said.answer.refusal is not None:
        words = said.answer.refusal.split(" ")
        spaced = [words[0], *[" " + word for word in words[1:]]]
        return [
            b'{"role":"assistant","content":null,"refusal":""}',
            *[b'{"refusal":%b}' % orjson.dumps(word) for word in spaced],
        ]
    calls = _call_deltas(said)
    if calls and not said.words:  # the first call travels with the role
        return [b'{"role":"assistant","content":null,%b,"refusal":null}' % calls[0][1:-1], *calls[1:]]
    return [b'{"role":"assistant","content":"","refusal":null}', *_text_deltas(said.words), *calls]


@lru_cache(maxsize=64)
def _text_deltas(words: tuple[str, ...]) -> list[bytes]:
    """The deltas of a text; remembered, for under load the same text is said again and again."""
    return [b'{"content":%b}' % orjson.dumps(word) for word in words]


def _call_deltas(said: Completion) -> list[bytes]:
    """The deltas of all tool calls: one call after the other, or their arguments by turns."""
    starts: list[bytes] = []
    rests: list[list[bytes]] = []
    for index, (call_id, name, arguments) in enumerate(_calls(said)):
        function = {"name": name, "arguments": ""}
        start = {"index": index, "id": call_id, "type": "function", "function": function}
        starts.append(orjson.dumps({"tool_calls": [start]}))
        rests.append(
            [
                orjson.dumps({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
                for piece in pieces(arguments)
            ]
        )
    if not said.answer.interleaved:
        return [delta for start, rest in zip(starts, rests, strict=True) for delta in (start, *rest)]
    longest = max(map(len, rests), default=0)
    return starts + [rest[turn] for turn in range(longest) for rest in rests if turn < len(rest)]


def _calls(said: Completion) -> list[tuple[str, str, str]]:
    """Identifier, name and arguments of each tool call."""
    return [
        (call.id or f"call_sim{said.serial:014d}{index:03d}", call.name, call.arguments_json)
        for index, call in enumerate(said.answer.tool_calls)
    ]


def _id(said: Completion) -> str:
    return f"chatcmpl-sim{said.serial:026d}"


def _finish_reason(said: Completion) -> str:
    if said.answer.finish_reason is not None:
        return said.answer.finish_reason
    if said.answer.tool_calls:
        return "tool_calls"
    return "length" if said.truncated else "stop"
