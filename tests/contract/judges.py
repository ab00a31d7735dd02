"""The official SDKs pointed at the service, and their types as strict judges of what it sends.

The SDKs build their objects without validation, so that a missing or invented field goes unnoticed; `held_to` validates
in strict mode, and names every field that the SDK's types do not know.
"""

import base64
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import aiohttp
import anthropic
import openai
import orjson
from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel, TypeAdapter

from ali.providers.sse import EventSplitter, event_data
from tests.fixtures.service import Service

GPT: Final = "gpt-4.1"
CLAUDE: Final = "claude-sonnet-5-5"
EXTRACTIVE: Final = "ali-extractive"
DEFAULT: Final = "ali-default"

PIXEL: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A picture."""

EXTENSIONS: Final = frozenset({"reasoning_content", "thinking_blocks", "citations", "annotations"})
"""What a chat message and its deltas have beyond the SDK's types, as docs/reference/dialects.md says it; `annotations`
is OpenAI's own, which its type for deltas forgets."""

_EVENT: Final[TypeAdapter[Any]] = TypeAdapter(RawMessageStreamEvent)
_EVENT_BYTES: Final = 1 << 24


def openai_client(service: Service, **options: Any) -> openai.AsyncOpenAI:  # noqa: ANN401 - the SDK's own options
    """OpenAI's SDK, which validates what it gets and tries once."""
    return openai.AsyncOpenAI(
        **{
            "base_url": service.openai_base_url,
            "api_key": service.tenant.secret,
            "max_retries": 0,
            "_strict_response_validation": True,
            **options,
        }
    )


def blocking_openai_client(service: Service, **options: Any) -> openai.OpenAI:  # noqa: ANN401 - as above
    """The same for threads."""
    return openai.OpenAI(
        **{
            "base_url": service.openai_base_url,
            "api_key": service.tenant.secret,
            "max_retries": 0,
            "_strict_response_validation": True,
            **options,
        }
    )


def anthropic_client(service: Service, **options: Any) -> anthropic.AsyncAnthropic:  # noqa: ANN401 - as above
    """Anthropic's SDK, which validates what it gets and tries once."""
    return anthropic.AsyncAnthropic(
        **{
            "base_url": service.url,
            "api_key": service.tenant.secret,
            "max_retries": 0,
            "_strict_response_validation": True,
            **options,
        }
    )


def blocking_anthropic_client(service: Service, **options: Any) -> anthropic.Anthropic:  # noqa: ANN401 - as above
    """The same for threads."""
    return anthropic.Anthropic(
        **{
            "base_url": service.url,
            "api_key": service.tenant.secret,
            "max_retries": 0,
            "_strict_response_validation": True,
            **options,
        }
    )


def held_to(kind: Any, document: bytes, *, extensions: frozenset[str] = EXTENSIONS) -> Any:  # noqa: ANN401 - any SDK type
    """`document` as `kind`, an SDK type, in strict mode. Fails for missing, mistyped and unknown fields."""
    value = _adapter(kind).validate_json(document, strict=True)
    unknown = [path for path in _unknown(value, "$") if path.rpartition(".")[2] not in extensions]
    assert not unknown, f"fields that {kind} does not have: {unknown}"
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - any SDK type
    """Its validator, which takes longer to build than a stream to judge."""
    return TypeAdapter(kind)


def _unknown(value: object, path: str) -> Iterator[str]:
    """The paths of fields that their model does not define."""
    if isinstance(value, BaseModel):
        for name in value.model_extra or {}:
            yield f"{path}.{name}"
        for name in value.model_fields_set & set(type(value).model_fields):
            yield from _unknown(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, f"{path}[{index}]")


def chunks_in(stream: bytes) -> list[dict[str, Any]]:
    """The chunks of a chat stream, each held to the SDK's type; the stream ends in one `[DONE]`, and nothing else is
    in it.
    """
    splitter = EventSplitter(limit_bytes=_EVENT_BYTES)
    events = splitter.feed(stream)
    assert splitter.rest == b""
    assert all(event.startswith(b"data: ") and event.count(b"\n") == 2 for event in events), "data lines alone"
    datas = [event_data(event) or b"" for event in events]
    assert datas.pop() == b"[DONE]"
    for data in datas:
        held_to(ChatCompletionChunk, data)
    return [orjson.loads(data) for data in datas]


def events_in(stream: bytes) -> list[dict[str, Any]]:
    """The events of a Messages stream, pings left out, each held to the SDK's type and named by an `event:` line."""
    splitter = EventSplitter(limit_bytes=_EVENT_BYTES)
    bodies: list[dict[str, Any]] = []
    for event in splitter.feed(stream):
        data = event_data(event) or b""
        body = orjson.loads(data)
        assert event.startswith(b"event: " + body["type"].encode() + b"\ndata: ")
        if body["type"] != "ping":
            held_to(_EVENT._type, data)
            bodies.append(body)
    assert splitter.rest == b""
    return bodies


async def post(
    service: Service, path: str, body: object, *, headers: dict[str, str] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and bytes of a POST: what no SDK shows. `body` is sent as JSON, or as it is where it is bytes."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    sent = {"content-type": "application/json", **(service.headers if headers is None else headers)}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{service.url}{path}", data=data, headers=sent) as response,
    ):
        return response.status, response.headers, await response.read()
