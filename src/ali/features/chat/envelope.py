"""The envelope of a request: what the gateway itself must know of it. What is inside is the provider's to judge.

Only the named fields are decoded; the messages stay bytes unless they must be translated. Cost: about 3 µs.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import orjson

from ali.features.chat.operations import Operation
from ali.features.chat.stored.completion import Asked
from ali.features.conversations.tags import read_metadata
from ali.kernel.errors import InvalidRequest, NotFound

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
_MODEL_VALUE = re.compile(rb'("model"\s*:\s*)"[^"\\]*"')
_ONCE = {
    field: tuple(f'"{key}"'.encode() for key in ("model", "stream", "stream_options", field))
    for field in ("messages", "input")
}
"""Keys that must not stand twice, by the field that holds the content."""
_KEPT_HERE = ("store", "metadata")
_FILE_ID = b'"file_id"'
_FILE_ID_HIDDEN = (b"\\u006", b"\\u005")
"""How a letter of it begins that is escaped, which no program does that has nothing to hide."""
_WHITESPACE = b" \t\r\n"
_ABSENT = msgspec.Raw(b"")
_MOST = 10**12
"""More than any limit allows and any model gives: a larger number says nothing more."""


class ModelUnknown(NotFound):
    """404: no model of that name is served here."""

    code = "model_not_found"


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Chat(msgspec.Struct):
    model: str
    messages: msgspec.Raw
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    store: bool | None = None
    # Not decoded where nobody asks, and the provider's to judge.
    max_completion_tokens: msgspec.Raw = _ABSENT
    max_tokens: msgspec.Raw = _ABSENT
    n: msgspec.Raw = _ABSENT
    metadata: msgspec.Raw = _ABSENT


class _Messages(msgspec.Struct):
    model: str
    messages: msgspec.Raw
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    stream: bool | None = None


class _CountTokens(msgspec.Struct):
    model: str
    messages: msgspec.Raw


class _Embeddings(msgspec.Struct):
    model: str
    input: msgspec.Raw


class _Moderations(msgspec.Struct):
    input: msgspec.Raw
    model: str = "omni-moderation-latest"


_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "chat.completions": msgspec.json.Decoder(_Chat),
    "messages": msgspec.json.Decoder(_Messages),
    "messages.count_tokens": msgspec.json.Decoder(_CountTokens),
    "embeddings": msgspec.json.Decoder(_Embeddings),
    "moderations": msgspec.json.Decoder(_Moderations),
}


CitedFiles = tuple[tuple[str, str] | None, ...]


@dataclass(slots=True)
class RequestEnvelope:
    """A request's body and what was read of it."""

    operation: Operation
    body: bytes
    model: str
    stream: bool = False
    include_usage: bool | None = None
    """As the caller said; None where it said nothing."""
    names_model: bool = True
    asked: Asked | None = None
    """What is to be kept of the request, for `store: true`. Such a completion is kept here, and by no provider."""
    names_files: bool = False
    """Whether it may name files by identifier: what it is to send of them is not in the body yet."""
    cited_files: CitedFiles = ()
    """Of each of its documents, in their order, the file that it was and its title; None for one that was none."""
    most_tokens: int = 0
    """The most that one answer may have, for a request that was not decoded here; 0: nothing was said."""
    _seen: object = None
    _document: dict[str, Any] | None = field(default=None)

    def stated_output(self) -> tuple[int, int]:
        """The most tokens that the caller lets one answer have (0: nothing was said), and how many answers it wants.

        Neither is above 10^12. 1 µs.
        """
        seen = self._seen
        if isinstance(seen, _Messages):
            return seen.max_tokens, 1
        if not isinstance(seen, _Chat):
            return min(self.most_tokens, _MOST), 1
        return max(_count(seen.max_completion_tokens), _count(seen.max_tokens)), _count(seen.n) or 1

    def document(self) -> dict[str, Any]:
        """The body decoded, once, as a provider is to have it: without `store` and `metadata` where the completion is
        kept here. Raises `InvalidRequest` for what the envelope's decoder skipped over.
        """
        if self._document is None:
            try:
                self._document = orjson.loads(self.body)
            except orjson.JSONDecodeError as error:
                raise _not_json(error) from error
            if self.asked is not None:
                self._document = {name: value for name, value in self._document.items() if name not in _KEPT_HERE}
        return self._document

    def body_for(self, *, model: str) -> bytes:
        """The body for a provider of the caller's dialect: the same bytes, but for the model's name where an alias or
        prefix stood there, for the request for usage that the bill needs, and for what is kept here (`document`).
        """
        body = self.body
        asks_usage = self.stream and self.operation.name == "chat.completions" and self.include_usage is not True
        if self.asked is not None:
            return self._rewritten(model=model, asks_usage=asks_usage)
        if model != self.model or not self.names_model:
            spliced = _spliced_model(body, model) if self.names_model else None
            if spliced is None or (asks_usage and self.include_usage is not None):
                return self._rewritten(model=model, asks_usage=asks_usage)
            body = spliced
        if asks_usage:
            if self.include_usage is not None or b'"stream_options"' in body:
                return self._rewritten(model=model, asks_usage=True)
            return body.rstrip(_WHITESPACE)[:-1] + b',"stream_options":{"include_usage":true}}'
        return body

    def _rewritten(self, *, model: str, asks_usage: bool) -> bytes:
        document = {**self.document(), "model": model}
        if asks_usage:
            options = document.get("stream_options")
            document["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        try:
            return orjson.dumps(document)
        except orjson.JSONEncodeError as error:
            raise InvalidRequest("The request is nested too deeply, or holds a number beyond 64 bits.") from error


def read_envelope(operation: Operation, body: bytes) -> RequestEnvelope:
    """Read a body. Raises `InvalidRequest` with the offending field, or `ModelUnknown` for an impossible name."""
    if not body.strip(_WHITESPACE):
        raise InvalidRequest("The request has no body. Send a JSON object with content-type application/json.")
    try:
        seen = _DECODERS[operation.name].decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_shape(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_json(error) from error
    except RecursionError as error:
        raise InvalidRequest("The JSON body is nested too deeply.") from error
    content_field = "input" if operation.needs in ("embeddings", "moderations") else "messages"
    escaped = b"\\u00" in body
    if escaped or any(body.count(key) > 1 for key in _ONCE[content_field]):
        refuse_repeated_keys(body)
    if not MODEL_NAME.fullmatch(seen.model):
        raise ModelUnknown(
            "The model's name is empty, too long, or holds characters that no model's name has. "
            "GET /v1/models lists the models served here.",
            param="model",
        )
    _check_content(bytes(getattr(seen, content_field)), field_name=content_field)
    options = getattr(seen, "stream_options", None)
    return RequestEnvelope(
        operation=operation,
        body=body,
        model=seen.model,
        stream=bool(getattr(seen, "stream", None)),
        include_usage=options.include_usage if options is not None else None,
        names_model=operation.name != "moderations" or b'"model"' in body,
        asked=_asked(seen) if getattr(seen, "store", None) else None,
        names_files=_FILE_ID in body or (escaped and any(mark in body for mark in _FILE_ID_HIDDEN)),
        _seen=seen,
    )


def _asked(seen: _Chat) -> Asked:
    """What is kept of a request with `store: true`. Raises `InvalidRequest` for its metadata."""
    given = bytes(seen.metadata)
    try:
        metadata = read_metadata(orjson.loads(given) if given else None)
    except orjson.JSONDecodeError as error:
        raise _not_json(error) from error
    return Asked(model=seen.model, messages=bytes(seen.messages), metadata=metadata)


def _count(raw: msgspec.Raw) -> int:
    """A whole number as it was sent; 0 for anything else, which the provider refuses."""
    digits = bytes(raw)
    if not digits.isdigit():
        return 0
    return min(int(digits), _MOST) if len(digits) <= len(str(_MOST)) else _MOST


def _check_content(raw: bytes, *, field_name: str) -> None:
    if field_name == "messages":
        if not raw.startswith(b"[") or not raw[1:-1].strip(_WHITESPACE):
            raise InvalidRequest("`messages` must be an array with at least one message.", param="messages")
    elif raw[:1] not in (b'"', b"["):
        raise InvalidRequest("`input` must be a string or an array.", param="input")


def _wrong_shape(error: msgspec.ValidationError) -> InvalidRequest:
    """Msgspec says `Expected `str`, got `int` - at `$.model``; the path becomes `param`."""
    text, _, path = str(error).partition(" - at `$")
    param = path.rstrip("`").lstrip(".") or None
    if text.startswith("Object missing required field `"):
        param = text.removeprefix("Object missing required field `").rstrip("`")
        return InvalidRequest(f"The field `{param}` is missing.", param=param, code="missing_required_parameter")
    where = f"`{param}`" if param else "the body"
    return InvalidRequest(f"Wrong type in {where}: {text[:1].lower()}{text[1:]}.", param=param, code="invalid_type")


def _not_json(error: Exception) -> InvalidRequest:
    return InvalidRequest(f"The body is not valid JSON ({str(error)[:200]}). Send a JSON object in UTF-8.")


def refuse_repeated_keys(body: bytes) -> None:
    """A body that names a key twice may mean one model here and another at the provider: refused as `InvalidRequest`.

    Called only where the bytes leave a doubt (the key's text occurs more than once, or letters may be escaped).
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) != len(pairs):
            raise InvalidRequest("A key stands twice in one object of the body. Send each once.")
        return document

    try:
        json.loads(body, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _not_json(error) from error


def _spliced_model(body: bytes, model: str) -> bytes | None:
    """`body` with only the model's name exchanged; None where its place is not beyond doubt."""
    if body.count(b'"model"') != 1 or b"\\u00" in body:
        return None
    spliced, count = _MODEL_VALUE.subn(lambda match: match[1] + orjson.dumps(model), body, count=1)
    return spliced if count else None
