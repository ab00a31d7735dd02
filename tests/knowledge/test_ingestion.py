"""Files of vector stores are read in the background: once for the same content, alone in failing, stopped when told."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import psycopg
import pytest
from openai.types import VectorStore
from openai.types.vector_stores import VectorStoreFile

from ali.kernel.ids import uuid7
from tests.fixtures.database import issue_key
from tests.fixtures.service import Serve, Service
from tests.unit.extractive.pdf_bytes import make_pdf

LAW = (
    "Art. 7º São direitos dos trabalhadores urbanos e rurais: I - relação de emprego protegida contra despedida. "
    "Art. 8º É livre a associação profissional ou sindical. "
)


async def add(
    client: openai.AsyncOpenAI,
    store: VectorStore,
    name: str,
    content: bytes,
    **more: Any,  # noqa: ANN401 - fields of the SDK
) -> VectorStoreFile:
    file = await client.files.create(file=(name, content), purpose="assistants")
    return await client.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, poll_interval_ms=100, **more
    )


def rows(service: Service, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(service.tenant.dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


async def eventually(holds: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.05)


async def test_a_file_is_read_and_its_chunks_can_be_seen(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create(name="Leis")
    done = await add(client, store, "lei.txt", (LAW * 20).encode(), attributes={"year": 1988})
    assert (done.status, done.last_error, done.attributes) == ("completed", None, {"year": 1988})
    assert done.usage_bytes > 2000
    page = await client.vector_stores.files.content(done.id, vector_store_id=store.id)
    assert all(part.type == "text" for part in page.data)
    assert "livre a associação profissional" in "".join(part.text or "" for part in page.data)
    shown = await client.vector_stores.retrieve(store.id)
    assert (shown.status, shown.file_counts.completed, shown.usage_bytes) == ("completed", 1, done.usage_bytes)


async def test_a_pdf_tells_its_pages(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create()
    done = await add(client, store, "a.pdf", make_pdf([[f"Page {n} says something."] for n in range(3)]))
    assert done.status == "completed", done.last_error
    assert done.to_dict()["progress"] == {"pages_done": 3, "pages": 3}


async def test_the_same_content_is_indexed_once_in_a_store_and_stays_while_one_file_has_it(
    knowledge: Service, client: openai.AsyncOpenAI
) -> None:
    store = await client.vector_stores.create()
    first = await add(client, store, "a.txt", LAW.encode())
    second = await add(client, store, "b.txt", LAW.encode())
    other_cut = await add(
        client,
        store,
        "c.txt",
        LAW.encode(),
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}},
    )
    count = "select count(*) from ali.store_document where vector_store_id = %s and state = 'ready'"
    assert rows(knowledge, count, store.id[3:]) == [(2,)]
    assert {each.status for each in (first, second, other_cut)} == {"completed"}
    shown = await client.vector_stores.retrieve(store.id)
    assert shown.usage_bytes == first.usage_bytes + other_cut.usage_bytes
    await client.vector_stores.files.delete(first.id, vector_store_id=store.id)
    assert rows(knowledge, count, store.id[3:]) == [(2,)]
    await client.vector_stores.files.delete(second.id, vector_store_id=store.id)
    assert rows(knowledge, count, store.id[3:]) == [(1,)]
    chunks = "select count(*) from ali.store_chunk where vector_store_id = %s"
    left = rows(knowledge, chunks, store.id[3:])[0][0]
    await eventually(lambda: rows(knowledge, chunks, store.id[3:])[0][0] < left)


async def test_content_that_left_a_moment_ago_is_taken_back(knowledge: Service, client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create()
    first = await add(client, store, "a.txt", LAW.encode())
    rows(
        knowledge,
        "update ali.store_file set status = 'cancelled', document_id = null where vector_store_id = %s",
        store.id[3:],
    )
    again = await client.vector_stores.files.create_and_poll(first.id, vector_store_id=store.id, poll_interval_ms=50)
    assert again.status == "completed"
    page = await client.vector_stores.files.content(first.id, vector_store_id=store.id)
    assert page.data


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.txt", b"", "invalid_file"),
        ("empty.pdf", b"", "invalid_file"),
        ("truncated.pdf", make_pdf([["Something is said here."]])[:200], "invalid_file"),
        ("encrypted.pdf", make_pdf([["Something is said here."]], encrypted=True), "invalid_file"),
        ("program.exe", b"MZ\x90\x00\x03" + bytes(2000), "unsupported_file"),
        ("noise.bin", bytes(range(256)) * 8, "unsupported_file"),
    ],
)
async def test_a_file_that_cannot_be_read_fails_alone_with_a_reason(
    client: openai.AsyncOpenAI, name: str, content: bytes, code: str
) -> None:
    store = await client.vector_stores.create()
    good = await client.files.create(file=("good.txt", LAW.encode()), purpose="assistants")
    bad = await client.files.create(file=(name, content), purpose="assistants")
    batch = await client.vector_stores.file_batches.create_and_poll(
        store.id, file_ids=[bad.id, good.id], poll_interval_ms=100
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 1, 1)
    failed = await client.vector_stores.files.retrieve(bad.id, vector_store_id=store.id)
    assert (failed.status, failed.usage_bytes) == ("failed", 0)
    assert failed.last_error is not None
    assert failed.last_error.code == code
    assert len(failed.last_error.message) > 15
    assert (await client.files.retrieve(bad.id)).bytes == len(content)


async def test_upload_and_poll_and_batches_of_files_work_as_in_the_sdk(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create()
    one = await client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("a.txt", b"Something is said here, in so many words.")
    )
    assert one.status == "completed"
    batch = await client.vector_stores.file_batches.upload_and_poll(
        store.id, files=[(f"{n}.txt", f"Text number {n} has this to say.".encode()) for n in range(4)]
    )
    assert (batch.status, batch.file_counts.completed) == ("completed", 4)


async def test_reading_is_stopped_when_its_file_is_taken_out_cancelled_or_deleted(
    knowledge: Service, client: openai.AsyncOpenAI
) -> None:
    slow = make_pdf([[f"Line {n} of a page has some words to say." for n in range(60)]] * 400)
    ingestion = knowledge.app.api.state.ingestion
    for way in ("file taken out", "batch cancelled", "store deleted", "file deleted"):
        store = await client.vector_stores.create()
        file = await client.files.create(file=("slow.pdf", slow + way.encode()), purpose="assistants")
        batch = await client.vector_stores.file_batches.create(store.id, file_ids=[file.id])
        await eventually(lambda: ingestion.running == 1)
        match way:
            case "file taken out":
                await client.vector_stores.files.delete(file.id, vector_store_id=store.id)
            case "batch cancelled":
                await client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
            case "store deleted":
                await client.vector_stores.delete(store.id)
            case _:
                await client.files.delete(file.id)
        await eventually(lambda: ingestion.running == 0, within_s=1.5)
        assert rows(knowledge, "select from ali.store_chunk where vector_store_id = %s", store.id[3:]) == []


async def test_everything_of_a_deleted_store_goes_and_of_an_expired_one_what_it_held(
    knowledge: Service, client: openai.AsyncOpenAI
) -> None:
    deleted, expired = [await client.vector_stores.create() for _ in range(2)]
    for store in (deleted, expired):
        for n in range(3):
            await add(client, store, f"{n}.txt", f"{n} {LAW}".encode())
    await client.vector_stores.delete(deleted.id)
    rows(
        knowledge,
        "update ali.vector_store set expires_at = now(), expires_after_days = 1 where id = %s",
        expired.id[3:],
    )
    tables = ("store_file", "store_document", "store_chunk", "segment", "store_file_batch")

    def empty() -> bool:
        return all(
            not rows(knowledge, f"select 1 from ali.{table} where vector_store_id = any(%s)", ids)  # noqa: S608 - names of tables, from above
            for table in tables
        )

    ids = [deleted.id[3:], expired.id[3:]]
    await eventually(empty)
    states = "select state from ali.vector_store where id = any(%s)"
    await eventually(lambda: rows(knowledge, states, ids) == [("expired",)])
    shown = await client.vector_stores.retrieve(expired.id)
    assert (shown.status, shown.file_counts.total, shown.usage_bytes) == ("expired", 0, 0)
    assert len([each async for each in client.files.list()]) == 6


async def test_files_of_a_project_with_many_leave_room_for_those_of_another(serve: Serve, tmp_path: Path) -> None:
    async with serve(drain_s=1, readings_at_once=1, background="worker") as asleep:
        second = uuid7()
        rows(
            asleep,
            "insert into ali.project (id, organization_id, name) values (%s, %s, 'Second')",
            *(second, asleep.tenant.organization_id),
        )
        other = issue_key(asleep.tenant, role="owner", project_id=second)
        async with (
            openai.AsyncOpenAI(base_url=asleep.openai_base_url, api_key=asleep.tenant.secret) as many,
            openai.AsyncOpenAI(base_url=asleep.openai_base_url, api_key=other.secret) as one,
        ):
            of_many: list[str] = []
            of_one: list[str] = []
            for client, files, count in ((many, of_many, 12), (one, of_one, 1)):
                store = await client.vector_stores.create()
                for n in range(count):
                    file = await client.files.create(file=(f"{n}.txt", f"{n} {LAW}".encode()), purpose="assistants")
                    files.append(file.id[5:])
                await client.vector_stores.file_batches.create(store.id, file_ids=[f"file-{each}" for each in files])
    async with serve(drain_s=1, readings_at_once=1) as service:
        ended = "select ended_at from ali.store_file where file_id = any(%s) order by ended_at"
        await eventually(lambda: all(row[0] for row in rows(service, ended, [*of_many, *of_one])), within_s=30)
        (of_other,) = rows(service, ended, of_one)
        before = [row for row in rows(service, ended, of_many) if row[0] < of_other[0]]
        assert len(before) <= 2


async def test_a_file_that_is_to_be_cut_in_another_way_is_cut_anew(
    knowledge: Service, client: openai.AsyncOpenAI
) -> None:
    store = await client.vector_stores.create()
    first = await add(client, store, "a.txt", (LAW * 40).encode(), attributes={"a": 1})
    before = len((await client.vector_stores.files.content(first.id, vector_store_id=store.id)).data)
    again = await client.vector_stores.files.create_and_poll(
        first.id,
        vector_store_id=store.id,
        poll_interval_ms=50,
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}},
    )
    assert (again.status, again.attributes) == ("completed", {"a": 1})
    after = len((await client.vector_stores.files.content(first.id, vector_store_id=store.id)).data)
    assert after > before
    shown = await client.vector_stores.retrieve(store.id)
    assert (shown.file_counts.total, shown.usage_bytes) == (1, again.usage_bytes)
    ready = "select count(*) from ali.store_document where vector_store_id = %s and state = 'ready'"
    assert rows(knowledge, ready, store.id[3:]) == [(1,)]
