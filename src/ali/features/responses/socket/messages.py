"""The messages of a socket: what a client sends, read and checked; what it is sent, written.

Source: OpenAI API reference, "Responses", "WebSocket events": the client's `response.create` and `response.steer`.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from ali.features.responses.socket.errors import MessageMalformed
from ali.kernel.envelopes import error_headers, openai_type
from ali.kernel.errors import AliError, InvalidRequest

Json = dict[str, Any]

MOST_STREAM_ID: Final = 64
_DATA: Final = b"\ndata: "
_STEER_MEMBERS: Final = frozenset({"type", "previous_response_id", "input"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A response is asked for. `document` is the body of a request to create one, `generate` aside."""

    document: Json
    stream_id: str | None
    generate: bool = True
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """A running response is to be steered. `input` is as it came, for a refusal gives it back."""

    response: str
    input: str | list[Any]
    only_known_members: bool
    size_bytes: int


def read_document(data: str | bytes) -> Json:
    """A message as a JSON object. Raises `MessageMalformed`."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MessageMalformed(f"The message is not valid JSON ({str(error)[:200]}). Send a JSON object.") from error
    if not isinstance(document, dict):
        raise MessageMalformed("The message must be a JSON object with a `type`.")
    return document


def body_of(document: Json) -> bytes:
    """A request as it would come over HTTP. Raises `MessageMalformed`."""
    try:
        return orjson.dumps(document)
    except TypeError as error:  # deeper than what can be written again
        raise MessageMalformed("The message is nested too deeply.") from error


def stream_id_of(document: Json) -> str | None:
    """The lane that a message names, for its answer; None where it names none, or none that may be."""
    value = document.get("stream_id")
    return value if isinstance(value, str) and 0 < len(value) <= MOST_STREAM_ID else None


def read_event(document: Json, *, size_bytes: int) -> Create | Steer:
    """A client's event. Raises `MessageMalformed`, or `InvalidRequest` with the offending `param`."""
    match document.get("type"):
        case "response.create":
            return _read_create(document, size_bytes=size_bytes)
        case "response.steer":
            return _read_steer(document, size_bytes=size_bytes)
        case _:
            raise MessageMalformed("Send an event whose type is response.create or response.steer.", param="type")


def _read_create(document: Json, *, size_bytes: int) -> Create:
    lane = document.get("stream_id")
    if lane is not None and stream_id_of(document) is None:
        raise MessageMalformed(
            f"stream_id must be a string of 1 to {MOST_STREAM_ID} characters. Leave it out for the common lane.",
            param="stream_id",
        )
    if document.get("background"):
        raise InvalidRequest(
            "background is not supported over a WebSocket. Send the request to POST /v1/responses.",
            param="background",
            code="unsupported_parameter",
        )
    generate = document.get("generate")
    if not (generate is None or isinstance(generate, bool)):
        raise MessageMalformed("generate must be true or false.", param="generate")
    request = {name: value for name, value in document.items() if name not in ("type", "stream_id", "generate")}
    return Create(
        document={**request, "stream": True},
        stream_id=stream_id_of(document),
        generate=generate is not False,
        size_bytes=size_bytes,
    )


def _read_steer(document: Json, *, size_bytes: int) -> Steer:
    response, given = document.get("previous_response_id"), document.get("input")
    if not isinstance(response, str):
        raise MessageMalformed("Name the response to steer in previous_response_id.", param="previous_response_id")
    if not isinstance(given, (str, list)):
        raise MessageMalformed("input must be a text, or a list of the user's messages.", param="input")
    return Steer(
        response=response,
        input=given,
        only_known_members=document.keys() <= _STEER_MEMBERS,
        size_bytes=size_bytes,
    )


def texts_of(events: bytes, *, stream_id: str | None) -> list[str]:
    """Server-sent events as messages, one each, with the lane's name where it has one."""
    texts = [event[event.index(_DATA) + len(_DATA) :] for event in events.split(b"\n\n") if event]
    if stream_id is not None:
        head = b'{"stream_id":%b,' % orjson.dumps(stream_id)
        texts = [head + text.lstrip()[1:] for text in texts]
    return [text.decode() for text in texts]


def event_text(kind: str, *, stream_id: str | None, number: int, **fields: object) -> str:
    """An event that is no part of a running response's stream."""
    lane = {} if stream_id is None else {"stream_id": stream_id}
    return orjson.dumps({"type": kind, **fields, **lane, "sequence_number": number}).decode()


def error_text(error: AliError, *, request_name: str, stream_id: str | None) -> str:
    """A refusal, with the headers that it would have over HTTP."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in error_headers(error)}
    lane = {} if stream_id is None else {"stream_id": stream_id}
    return orjson.dumps(
        {
            "type": "error",
            "status": error.http_status,
            "error": {
                "type": error.openai_type or openai_type(error.http_status),
                "code": error.error_code,
                "message": error.message,
                "param": error.param,
                "headers": {**headers, "x-request-id": request_name},
            },
            **lane,
        }
    ).decode()
