"""OpenAPI entries of the hot operations, which no framework writes because none carries them."""

from typing import Any

from ali.features.chat.operations import OPERATIONS, Operation
from ali.features.conversations.tags import LONGEST_KEY, LONGEST_VALUE, MOST_PAIRS
from ali.providers.contract import Dialect

_FIELDS: dict[str, dict[str, Any]] = {
    "model": {"type": "string", "description": "A model or alias of GET /v1/models."},
    "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
    "max_tokens": {"type": "integer", "minimum": 1},
    "input": {"oneOf": [{"type": "string"}, {"type": "array", "items": {}}]},
    "stream": {"type": "boolean", "default": False},
    "metadata": {
        "type": ["object", "null"],
        "maxProperties": MOST_PAIRS,
        "propertyNames": {"maxLength": LONGEST_KEY},
        "additionalProperties": {"type": "string", "maxLength": LONGEST_VALUE},
        "description": "With `store`: texts by name, by which the completion can be found.",
    },
    "previous_response_id": {"type": "string", "description": "The stored response to go on from."},
    "conversation": {"oneOf": [{"type": "string"}, {"type": "object"}]},
    "store": {"type": "boolean", "description": "Keep it; where it is left out, responses are and chats are not."},
    "background": {"type": "boolean", "default": False},
    "instructions": {"type": "string"},
    "tools": {"type": "array", "items": {"type": "object"}},
    "truncation": {"type": "string", "enum": ["auto", "disabled"], "default": "disabled"},
    "context_management": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {"const": "compaction"},
                "compact_threshold": {"type": ["integer", "null"], "minimum": 1000},
            },
        },
    },
}
_REQUIRED = {
    "chat.completions": ["model", "messages"],
    "messages": ["model", "messages", "max_tokens"],
    "messages.count_tokens": ["model", "messages"],
    "embeddings": ["model", "input"],
    "moderations": ["input"],
    "responses": ["model"],
    "responses.input_tokens": ["model"],
    "responses.compact": ["model"],
}
_OPTIONAL = {
    "chat.completions": ["stream", "store", "metadata"],
    "messages": ["stream"],
    "responses": [
        *("input", "stream", "previous_response_id", "conversation", "store", "background"),
        *("context_management", "truncation"),
    ],
    "responses.input_tokens": [
        *("input", "instructions", "previous_response_id", "conversation", "tools", "truncation"),
    ],
    "responses.compact": ["input", "instructions", "previous_response_id", "conversation"],
}
_ERRORS = {
    "400": "The request is wrong; the message names the field.",
    "401": "The API key is missing or not valid.",
    "403": "The API key's role does not carry the permission.",
    "404": "There is no such model here.",
    "413": "The body is too large.",
    "429": "Too fast, or more than a budget has left; `retry-after` says when to come back.",
    "502": "The provider failed.",
    "503": "The service or the provider cannot serve now.",
    "504": "The provider did not answer in time.",
}


def hot_paths() -> dict[str, Any]:
    """Path items by path."""
    return {operation.path: {"post": _entry(operation)} for operation in OPERATIONS}


def _entry(operation: Operation) -> dict[str, Any]:
    required = _REQUIRED[operation.name]
    names = [*required, *_OPTIONAL.get(operation.name, ())]
    schema = {
        "type": "object",
        "required": required,
        "properties": {name: _FIELDS[name] for name in names},
        "additionalProperties": True,
    }
    answer: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    if "stream" in names:
        answer["text/event-stream"] = {"schema": {"type": "string"}}
    provider = "OpenAI" if operation.dialect is Dialect.OPENAI else "Anthropic"
    return {
        "tags": ["inference"],
        "operationId": operation.name.replace(".", "_"),
        "summary": operation.summary,
        "description": f"As {provider} defines it; fields not listed here reach the provider unchanged.",
        "x-ali-permission": operation.permission.value,
        "security": [{"HTTPBearer": []}, {"APIKeyHeader": []}],
        "parameters": [
            {
                "name": "x-ali-cache-ttl",
                "in": "header",
                "required": False,
                "schema": {"type": "integer", "minimum": 0, "maximum": 86400},
                "description": "Answer exact repeats of this request from the cache for so many seconds.",
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {"description": "The answer.", "content": answer},
            **{
                status: {
                    "description": text,
                    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{provider}Error"}}},
                }
                for status, text in _ERRORS.items()
            },
        },
    }


def error_schemas() -> dict[str, Any]:
    """The two error envelopes."""
    text = {"type": "string"}
    maybe = {"type": ["string", "null"]}
    return {
        "OpenAIError": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": ["message", "type", "param", "code"],
                    "properties": {"message": text, "type": text, "param": maybe, "code": maybe},
                }
            },
        },
        "AnthropicError": {
            "type": "object",
            "required": ["type", "error"],
            "properties": {
                "type": {"const": "error"},
                "error": {
                    "type": "object",
                    "required": ["type", "message"],
                    "properties": {"type": text, "message": text},
                },
                "request_id": text,
            },
        },
    }
