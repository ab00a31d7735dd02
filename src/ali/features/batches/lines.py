"""One line of a batch's input: what it asks for, and what may be wrong with it. Pure.

Source: OpenAI's guide "Batch API"; Anthropic's API reference, "Create a Message Batch".
"""

import re
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from ali.kernel.errors import InvalidRequest

LONGEST_ID: Final = 512
Shape = TypeVar("Shape")
_MESSAGE_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class LineFault(InvalidRequest):
    """400: a request of the batch is not one; `line` counts from 1, where it is known."""

    code = "invalid_batch_line"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message, code=code, param=param)
        self.line: int | None = None

    def shown(self) -> dict[str, object]:
        """As OpenAI's `errors.data` has it."""
        return {"code": self.error_code, "message": self.message, "param": self.param, "line": self.line}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a line asks for: the body of a request, under the caller's own name for it."""

    custom_id: str
    body: bytes
    model: str | None


class _Hint(msgspec.Struct):
    """What is looked at in a body; all else is the endpoint's to judge, when the line runs."""

    model: str | None = None
    stream: bool | None = None


class _Line(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class _Message(msgspec.Struct):
    custom_id: str
    params: msgspec.Raw


_LINE: Final = msgspec.json.Decoder(_Line)
_MESSAGE: Final = msgspec.json.Decoder(_Message)
_HINT: Final = msgspec.json.Decoder(_Hint)


def read_line(line: bytes, *, endpoint: str) -> Asked:
    """A line in OpenAI's form. Raises `LineFault`."""
    seen = _decoded(_LINE, line)
    if not seen.custom_id or len(seen.custom_id) > LONGEST_ID:
        raise LineFault(f"custom_id has 1 to {LONGEST_ID} characters.", code="invalid_custom_id", param="custom_id")
    if seen.method != "POST":
        raise LineFault("method is POST.", code="invalid_method", param="method")
    if seen.url != endpoint:
        raise LineFault(f"url is the batch's endpoint, {endpoint}.", code="mismatched_endpoint", param="url")
    return _asked(seen.custom_id, bytes(seen.body), param="body")


def read_message(line: bytes) -> Asked:
    """A request in Anthropic's form. Raises `LineFault`."""
    seen = _decoded(_MESSAGE, line)
    if not _MESSAGE_ID.fullmatch(seen.custom_id):
        raise LineFault("custom_id has 1 to 64 letters, digits, - or _.", code="invalid_custom_id", param="custom_id")
    return _asked(seen.custom_id, bytes(seen.params), param="params")


def _asked(custom_id: str, body: bytes, *, param: str) -> Asked:
    if not body.startswith(b"{"):
        raise LineFault(f"{param} is an object: the body of a request.", code="invalid_type", param=param)
    hint = _decoded(_HINT, body, under=f"{param}.")
    if hint.stream:
        raise LineFault(
            "A request in a batch cannot be streamed.", code="stream_not_supported", param=f"{param}.stream"
        )
    return Asked(custom_id=custom_id, body=body, model=hint.model)


def _decoded(decoder: msgspec.json.Decoder[Shape], line: bytes, *, under: str = "") -> Shape:
    try:
        return decoder.decode(line)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        name = path.rstrip("`").lstrip(".")
        if text.startswith("Object missing required field `"):
            name = text.removeprefix("Object missing required field `").rstrip("`")
            raise LineFault(
                f"The field {under}{name} is missing.", code="missing_required_parameter", param=under + name
            ) from error
        raise LineFault(f"{text}.", code="invalid_type", param=(under + name).rstrip(".") or None) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LineFault("The line is no JSON object in UTF-8.", code="invalid_json_line") from error
