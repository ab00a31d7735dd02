"""What a line came to, as a line of output. Pure. Sources: OpenAI's guide "Batch API"; Anthropic's, "Batch results"."""

import json
from dataclasses import dataclass
from typing import Any

import orjson

from ali.features.batches.call import Answer
from ali.kernel.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """Why lines were not run: an error as each dialect says it. `kind`: Anthropic's type of result."""

    kind: str
    code: str
    message: str


EXPIRED = NotRun(
    kind="expired",
    code="batch_expired",
    message="This request could not be executed before the completion window expired.",
)
CANCELLED = NotRun(
    kind="canceled", code="batch_cancelled", message="This request was not executed, because its batch was cancelled."
)


def answered(custom_id: str, answer: Answer, *, dialect: str) -> bytes:
    """The line of output of a request that was answered, well or not."""
    document = _document(answer.body)
    if dialect == "anthropic":
        if answer.succeeded:
            result: dict[str, Any] = {"type": "succeeded", "message": document}
        else:
            result = {"type": "errored", "error": document}
        return _line({"custom_id": custom_id, "result": result})
    response = {"status_code": answer.status, "request_id": answer.request_id, "body": document}
    return _line({"id": new_id("batch_req"), "custom_id": custom_id, "response": response, "error": None})


def not_run(custom_id: str, why: NotRun, *, dialect: str) -> bytes:
    """The line of output of a request that was not run."""
    if dialect == "anthropic":
        result: dict[str, Any] = {"type": why.kind}
        if why.kind == "errored":
            error = {"type": "invalid_request_error", "message": why.message}
            result["error"] = {"type": "error", "error": error, "request_id": None}
        return _line({"custom_id": custom_id, "result": result})
    error = {"code": why.code, "message": why.message}
    return _line({"id": new_id("batch_req"), "custom_id": custom_id, "response": None, "error": error})


def _document(body: bytes) -> object:
    """The answer's body within a line: its own bytes, where they are JSON; whose line breaks are white space alone."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
    return orjson.Fragment(body.replace(b"\n", b" ").replace(b"\r", b" "))


def _line(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document) + b"\n"
