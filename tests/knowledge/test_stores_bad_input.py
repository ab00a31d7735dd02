"""What can be wrong with a store, a file or what is asked of them: a clear error in OpenAI's envelope, nothing lost."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from tests.fixtures.database import make_tenant
from tests.fixtures.service import Serve, Service
from tests.unit.extractive.pdf_bytes import make_pdf

MOST_BYTES = 200_000
TEXT = b"Something is said here, and it can be found."
WRONG_FILES = {
    "empty": ("empty.pdf", b"", "invalid_file"),
    "encrypted": ("encrypted.pdf", make_pdf([["Nobody knows the password."]], encrypted=True), "invalid_file"),
    "truncated": ("truncated.pdf", make_pdf([["It breaks off."]])[:150], "invalid_file"),
    "unsupported": ("program.exe", b"MZ\x90\x00\x03" + bytes(2000), "unsupported_file"),
}
NOBODYS = "0" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A client with a store that has one good file, and names of what is another tenant's."""

    client: openai.AsyncOpenAI
    store: str
    good: str
    others_store: str
    others_file: str


@pytest.fixture
async def knowledge(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1, max_file_bytes=MOST_BYTES) as service:
        yield service


@pytest.fixture
async def ground(knowledge: Service) -> AsyncIterator[Ground]:
    other = make_tenant(knowledge.tenant.dsn)
    url = knowledge.openai_base_url
    async with (
        openai.AsyncOpenAI(base_url=url, api_key=knowledge.tenant.secret, max_retries=0) as client,
        openai.AsyncOpenAI(base_url=url, api_key=other.secret) as stranger,
    ):
        store = await client.vector_stores.create()
        good = await client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("good.txt", TEXT))
        assert good.status == "completed"
        theirs = await stranger.files.create(file=("theirs.txt", TEXT), purpose="assistants")
        others = await stranger.vector_stores.create(file_ids=[theirs.id])
        yield Ground(client=client, store=store.id, good=good.id, others_store=others.id, others_file=theirs.id)


async def require_unharmed(ground: Ground) -> None:
    """The good file is there, and found."""
    page = await ground.client.vector_stores.search(ground.store, query="said here")
    assert [each.file_id for each in page.data] == [ground.good]
    assert (await ground.client.vector_stores.retrieve(ground.store)).file_counts.completed == 1


@pytest.mark.parametrize("wrong", WRONG_FILES)
async def test_a_file_that_cannot_be_read_says_why_and_stays(ground: Ground, wrong: str) -> None:
    name, content, code = WRONG_FILES[wrong]
    client = ground.client
    added = await client.vector_stores.files.upload_and_poll(vector_store_id=ground.store, file=(name, content))
    assert added.status == "failed"
    assert added.last_error is not None
    assert (added.last_error.code, name in added.last_error.message) == (code, True)
    assert await (await client.files.content(added.id)).aread() == content
    await require_unharmed(ground)


@pytest.mark.parametrize(
    ("wrong", "status", "code", "param"),
    [
        ("purpose of a batch", 400, "file_purpose_wrong", "file_id"),
        ("another tenant's file", 404, "file_not_found", "file_id"),
        ("unknown file", 404, "file_not_found", "file_id"),
        ("no identifier", 404, "file_not_found", "file_id"),
        ("another tenant's store", 404, "vector_store_not_found", "vector_store_id"),
        ("unknown store", 404, "vector_store_not_found", "vector_store_id"),
        ("a file that is not in the store", 404, "vector_store_file_not_found", "file_id"),
        ("unknown batch", 404, "vector_store_file_batch_not_found", "batch_id"),
        ("attributes of a wrong type", 400, "invalid_type", "attributes.a"),
        ("too many attributes", 400, "object_above_max_properties", "attributes"),
        ("a filter of a wrong type", 400, "invalid_value", "filters.type"),
        ("a cursor of another list", 400, "invalid_request", "after"),
        ("a file over the limit", 413, "request_too_large", None),
    ],
)
async def test_a_wrong_request_is_refused_and_changes_nothing(
    ground: Ground, wrong: str, status: int, code: str, param: str | None
) -> None:
    with pytest.raises(openai.APIStatusError) as refusal:
        await ask_wrongly(ground, wrong)
    error = refusal.value
    assert (error.status_code, error.code, error.param) == (status, code, param)
    assert error.body is not None
    assert len(error.message) > 20
    await require_unharmed(ground)


async def ask_wrongly(ground: Ground, wrong: str) -> None:
    client, files = ground.client, ground.client.vector_stores.files
    attributes: Any
    match wrong:
        case "purpose of a batch":
            batch = await client.files.create(file=("batch.jsonl", TEXT), purpose="batch")
            await files.create(ground.store, file_id=batch.id)
        case "another tenant's file":
            await files.create(ground.store, file_id=ground.others_file)
        case "unknown file":
            await files.create(ground.store, file_id=f"file-{NOBODYS}")
        case "no identifier":
            await files.create(ground.store, file_id="; drop table ali.file; --")
        case "another tenant's store":
            await files.create(ground.others_store, file_id=ground.good)
        case "unknown store":
            await client.vector_stores.search(f"vs_{NOBODYS}", query="said")
        case "a file that is not in the store":
            other = await client.files.create(file=("other.txt", TEXT), purpose="assistants")
            await files.retrieve(other.id, vector_store_id=ground.store)
        case "unknown batch":
            await client.vector_stores.file_batches.cancel(f"vsfb_{NOBODYS}", vector_store_id=ground.store)
        case "attributes of a wrong type":
            attributes = {"a": [1]}
            await files.update(ground.good, vector_store_id=ground.store, attributes=attributes)
        case "too many attributes":
            attributes = {str(n): n for n in range(17)}
            await files.update(ground.good, vector_store_id=ground.store, attributes=attributes)
        case "a filter of a wrong type":
            attributes = {"type": "like", "key": "a", "value": "b"}
            await client.vector_stores.search(ground.store, query="said", filters=attributes)
        case "a cursor of another list":
            await files.list(ground.store, after=ground.others_file)
        case "a file over the limit":
            await files.upload(vector_store_id=ground.store, file=("large.txt", b"x" * (MOST_BYTES + 100_000)))
        case _:
            raise ValueError(wrong)
