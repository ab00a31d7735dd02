"""What tests of batches share: lines of input, and waiting for an end."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import openai
from openai.types import Batch

from tests.fixtures.service import Service

MODEL: Final = "gpt-4.1"
CHAT: Final = "/v1/chat/completions"
_DEADLINE_S: Final = 30.0
_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})


def line(custom_id: str, text: str = "Hello", *, url: str = CHAT, **body: object) -> dict[str, Any]:
    """One line of input."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": text}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}


def jsonl(*lines: object) -> bytes:
    """Lines of a file; a text is taken as it is."""
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in lines)


def client_of(service: Service, *, key: str | None = None) -> openai.AsyncOpenAI:
    """OpenAI's SDK against the service."""
    return openai.AsyncOpenAI(base_url=service.openai_base_url, api_key=key or service.tenant.secret, max_retries=0)


async def handed_in(client: openai.AsyncOpenAI, content: bytes, *, endpoint: Any = CHAT, **more: Any) -> Batch:  # noqa: ANN401 - as the SDK takes it
    """A new batch of these lines."""
    file = await client.files.create(file=("input.jsonl", content), purpose="batch")
    return await client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)


async def ended(client: openai.AsyncOpenAI, batch_id: str) -> Batch:
    """The batch at its end."""
    return await until(client, batch_id, _ENDED)


async def until(client: openai.AsyncOpenAI, batch_id: str, statuses: frozenset[str]) -> Batch:
    """The batch once it has one of these statuses."""

    async def reached() -> bool:
        return (await client.batches.retrieve(batch_id)).status in statuses

    await eventually(reached)
    return await client.batches.retrieve(batch_id)


async def completed(client: openai.AsyncOpenAI, batch_id: str, at_least: int) -> None:
    """Return once so many lines have run well."""

    async def reached() -> bool:
        counts = (await client.batches.retrieve(batch_id)).request_counts
        return counts is not None and counts.completed >= at_least

    await eventually(reached)


async def eventually(reached: Callable[[], Awaitable[bool]]) -> None:
    """Return once it is so."""
    async with asyncio.timeout(_DEADLINE_S):
        while not await reached():  # noqa: ASYNC110 - the service tells nobody
            await asyncio.sleep(0.05)


async def lines_of(client: openai.AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of a file of output; none where there is no file."""
    if file_id is None:
        return []
    content = await (await client.files.content(file_id)).aread()
    return [json.loads(each) for each in content.splitlines()]
