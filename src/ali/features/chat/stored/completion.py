"""A completion as it is kept: read from a whole answer, or from what was put together of a streamed one."""

import re
import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from ali.providers.contract import UpstreamMalformed

_PUBLIC_ID: Final = re.compile(r"[A-Za-z0-9._:~-]{1,200}")
_LONGEST_MODEL: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request with `store: true` leaves behind of itself. `messages` is a JSON array."""

    model: str
    messages: bytes
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCompletion:
    """A completion that is to be kept. `answer` is a JSON object without metadata."""

    id: UUID
    public_id: str
    asked: Asked
    answering_model: str
    answer: bytes


def is_public_id(text: str) -> bool:
    """Whether a completion can be kept, and asked for, under this identifier."""
    return _PUBLIC_ID.fullmatch(text) is not None


def kept_from_body(body: bytes, *, asked: Asked, request_id: UUID) -> KeptCompletion:
    """A whole answer, to be kept. Raises `UpstreamMalformed` for what is no JSON object."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _not_keepable() from error
    if not isinstance(document, dict):
        raise _not_keepable()
    return kept(document, asked=asked, request_id=request_id)


def kept(document: dict[str, Any], *, asked: Asked, request_id: UUID) -> KeptCompletion:
    """A chat completion, to be kept under its own identifier, or one made from `request_id` where it has none that can
    stand in a path. Raises `UpstreamMalformed` where it cannot be written as JSON again.
    """
    named, used = document.get("id"), document.get("model")
    public_id = named if isinstance(named, str) and is_public_id(named) else f"chatcmpl-{request_id.hex}"
    answering = isinstance(used, str) and 0 < len(used) <= _LONGEST_MODEL and "\0" not in used
    whole = {
        "created": int(time.time()),
        "model": asked.model,
        **{name: value for name, value in document.items() if name != "metadata"},
        "id": public_id,
        "object": "chat.completion",
    }
    try:
        answer = orjson.dumps(whole)
    except orjson.JSONEncodeError as error:
        raise _not_keepable() from error
    return KeptCompletion(
        id=request_id,
        public_id=public_id,
        asked=asked,
        answering_model=str(used) if answering else asked.model,
        answer=answer,
    )


def _not_keepable() -> UpstreamMalformed:
    return UpstreamMalformed(
        "The provider's answer cannot be kept: it is not the JSON of a chat completion. Send the request again, or "
        "without `store`."
    )
