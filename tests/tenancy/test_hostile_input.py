"""No input of any operation makes the service fail, tells of its database, or reaches anything but its own place."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

import pytest
import pytest_asyncio

from tests.tenancy import hostile
from tests.tenancy.matrix import Cell, request_of
from tests.tenancy.registry import REGISTRY
from tests.tenancy.stage import Stage, staged
from tests.tenancy.standing import OWNER
from tests.tenancy.wire import Answer, Request

pytestmark = pytest.mark.asyncio(loop_scope="module")

TELLTALE: Final = (
    *(b"psycopg", b"sqlalchemy", b"asyncpg", b"Traceback", b"syntax error", b"relation ", b"invalid input syntax"),
    *(b"select ", b"SELECT ", b"insert into", b"pg_catalog", b"DETAIL:", b"[SQL", b"constraint", b'File "'),
)
"""What an answer would hold that speaks of the inside."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(worker_dsn, tmp_path_factory.mktemp("hostile"), drain_s=1) as stage:
        yield stage


@pytest.mark.parametrize("operation", REGISTRY)
async def test_hostile_input_is_refused_or_taken_as_text_and_no_more(stage: Stage, operation: str) -> None:
    foreign = stage.lands.foreign.organization_id
    theirs = stage.ground.contents(foreign)
    acts = REGISTRY[operation][0].over == "acting"  # a provider's refusal leaves a usage record
    requests = [request for request in _hostile(stage, operation) if not _waits_for_a_worker(request)]
    answers = await asyncio.gather(*(_sent(stage, request) for request in requests))
    refused = []
    for request, answer in zip(requests, answers, strict=True):
        told = [word for word in TELLTALE if word in answer.body and word not in _sent_text(request)]
        assert answer.status < 500, (request, answer)
        assert not told, (told, request, answer)
        if answer.status >= 400 and not operation.startswith("GET ") and not acts:
            refused.append(request)
    assert stage.ground.contents(foreign) == theirs
    before = await stage.contents()
    again = await asyncio.gather(*(_sent(stage, request) for request in refused))
    if all(answer.status >= 400 for answer in again):
        assert await stage.contents() == before, "what is refused changes nothing"


def _hostile(stage: Stage, operation: str) -> Iterator[Request]:
    _, _, template = operation.partition(" ")
    described = stage.operations()[operation]
    for call in REGISTRY[operation]:
        cell = Cell(operation=operation, call=call, standing=OWNER)
        request = request_of(cell, stage.lands, own=stage.fresh(call))
        yield from hostile.in_headers(request)
        yield from hostile.in_the_path(request, template=template)
        yield from hostile.in_the_query(request, operation=described)
        if "requestBody" in described:
            content = described["requestBody"]["content"]
            if "application/json" not in content:
                yield from hostile.in_a_form(request)
                continue
            schema = content["application/json"]["schema"]
            yield from hostile.in_the_body(request, schema=schema, document=stage.document)


def _waits_for_a_worker(request: Request) -> bool:
    """Whether it asks for the stream of a response in the background, which nobody runs on this stage."""
    try:
        body = json.loads(request.body or b"null")
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("background") is True and body.get("stream") is True


async def _sent(stage: Stage, request: Request) -> Answer:
    named = {name for name, _ in request.headers}
    if named & {"authorization", "x-api-key"}:
        return await stage.ask(request, secret=None)
    return await stage.as_owner(request)


def _sent_text(request: Request) -> bytes:
    return b"".join(
        [unquote_to_bytes(request.target), request.body or b"", *(value.encode() for _, value in request.headers)]
    )
