"""Vector stores as OpenAI's SDK uses them: made, listed, changed, deleted; files added to them, and taken out."""

from collections.abc import AsyncIterator

import openai
import psycopg
import pytest

from ali.features.knowledge.naming import MOST_FIRST_FILES
from tests.fixtures.service import Serve, Service
from tests.tenancy.wire import Request, ask


@pytest.fixture
async def knowledge(serve: Serve) -> AsyncIterator[Service]:
    """The service; a worker, which is not there, would read the files."""
    async with serve(drain_s=1, background="worker", max_store_files=8) as service:
        yield service


async def file_of(client: openai.AsyncOpenAI, content: bytes = b"Some text.", purpose: str = "assistants") -> str:
    return (await client.files.create(file=("a.txt", content), purpose=purpose)).id  # type: ignore[arg-type]  # any word


async def test_a_store_is_created_listed_retrieved_changed_and_deleted(client: openai.AsyncOpenAI) -> None:
    made = await client.vector_stores.create(
        name="Atos normativos",
        description="Leis e decretos",
        metadata={"area": "trabalho"},
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    assert made.id.startswith("vs_")
    assert (made.object, made.name, made.status, made.usage_bytes) == (
        "vector_store",
        "Atos normativos",
        "completed",
        0,
    )
    assert made.metadata == {"area": "trabalho"}
    assert made.to_dict()["description"] == "Leis e decretos"
    assert made.expires_at is not None
    assert abs(made.expires_at - made.created_at - 7 * 86_400) <= 1
    assert made.file_counts.to_dict() == {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0}
    assert await client.vector_stores.retrieve(made.id) == made
    changed = await client.vector_stores.update(made.id, name="Leis", metadata={"a": "b"})
    assert (changed.name, changed.metadata, changed.expires_at) == ("Leis", {"a": "b"}, made.expires_at)
    forever = await client.vector_stores.update(made.id, expires_after=None, metadata=None)
    assert (forever.name, forever.metadata, forever.expires_after, forever.expires_at) == ("Leis", {}, None, None)
    assert [each.id async for each in client.vector_stores.list()] == [made.id]
    gone = await client.vector_stores.delete(made.id)
    assert gone.to_dict() == {"object": "vector_store.deleted", "id": made.id, "deleted": True}
    stores = client.vector_stores
    for call in (stores.retrieve(made.id), stores.delete(made.id), stores.update(made.id, name="x")):
        with pytest.raises(openai.NotFoundError) as refusal:
            await call
        assert (refusal.value.code, refusal.value.param) == ("vector_store_not_found", "vector_store_id")
    assert [each.id async for each in client.vector_stores.list()] == []


async def test_stores_are_listed_in_pages_forwards_and_backwards(client: openai.AsyncOpenAI) -> None:
    made = [(await client.vector_stores.create(name=str(n))).id for n in range(5)]
    assert [each.id async for each in client.vector_stores.list(limit=2)] == made[::-1]
    assert [each.id async for each in client.vector_stores.list(limit=2, order="asc")] == made
    before = await client.vector_stores.list(before=made[3], order="asc", limit=2)
    assert [each.id for each in before.data] == made[1:3]


async def test_files_are_added_listed_changed_and_taken_out(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create(file_ids=[await file_of(client)])
    assert (store.status, store.file_counts.in_progress, store.file_counts.total) == ("in_progress", 1, 1)
    file = await file_of(client, purpose="user_data")
    added = await client.vector_stores.files.create(
        store.id,
        file_id=file,
        attributes={"year": 2024, "area": "trabalho", "open": True, "share": 0.5},
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100}},
    )
    assert (added.id, added.vector_store_id, added.status, added.last_error) == (file, store.id, "in_progress", None)
    assert added.attributes == {"year": 2024, "area": "trabalho", "open": True, "share": 0.5}
    assert added.chunking_strategy is not None
    assert added.chunking_strategy.to_dict() == {
        "type": "static",
        "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100},
    }
    assert added.to_dict()["progress"] == {"pages_done": 0, "pages": None}
    assert await client.vector_stores.files.retrieve(file, vector_store_id=store.id) == added
    changed = await client.vector_stores.files.update(file, vector_store_id=store.id, attributes={"year": "2024"})
    assert changed.attributes == {"year": "2024"}
    assert len([each async for each in client.vector_stores.files.list(store.id)]) == 2
    with pytest.raises(openai.ConflictError) as refusal:
        await client.vector_stores.files.content(file, vector_store_id=store.id)
    assert refusal.value.code == "vector_store_file_not_ready"
    gone = await client.vector_stores.files.delete(file, vector_store_id=store.id)
    assert gone.to_dict() == {"object": "vector_store.file.deleted", "id": file, "deleted": True}
    with pytest.raises(openai.NotFoundError) as refusal_2:
        await client.vector_stores.files.retrieve(file, vector_store_id=store.id)
    assert refusal_2.value.code == "vector_store_file_not_found"
    assert (await client.files.retrieve(file)).id == file


async def test_a_file_that_is_added_again_stays_one_and_takes_new_attributes(client: openai.AsyncOpenAI) -> None:
    file = await file_of(client)
    store = await client.vector_stores.create(file_ids=[file, file])
    again = await client.vector_stores.files.create(store.id, file_id=file, attributes={"a": 1})
    assert again.attributes == {"a": 1}
    kept = await client.vector_stores.files.create(store.id, file_id=file)
    assert kept.attributes == {"a": 1}
    assert (await client.vector_stores.retrieve(store.id)).file_counts.total == 1


async def test_files_are_listed_by_status_and_in_pages(knowledge: Service, client: openai.AsyncOpenAI) -> None:
    files = [await file_of(client, str(n).encode()) for n in range(5)]
    store = await client.vector_stores.create()
    for file in files:
        await client.vector_stores.files.create(store.id, file_id=file)
    with psycopg.connect(knowledge.tenant.dsn, autocommit=True) as connection:
        connection.execute(
            "update ali.store_file set status = 'failed', error_code = 'invalid_file', error_message = 'Odd.'"
            " where file_id = any(%s)",
            ([each.removeprefix("file-") for each in files[1:3]],),
        )
    listing = client.vector_stores.files
    assert [each.id async for each in listing.list(store.id, limit=2, order="asc")] == files
    assert [each.id async for each in listing.list(store.id, limit=2)] == files[::-1]
    assert [each.id async for each in listing.list(store.id, filter="failed")] == files[1:3][::-1]
    assert [each.id async for each in listing.list(store.id, after=files[2], order="asc")] == files[3:]
    failed = (await listing.list(store.id, filter="failed")).data[0]
    assert failed.last_error is not None
    assert failed.last_error.to_dict() == {"code": "invalid_file", "message": "Odd."}
    shown = await client.vector_stores.retrieve(store.id)
    assert (shown.file_counts.failed, shown.file_counts.in_progress, shown.file_counts.total) == (2, 3, 5)
    again = await listing.create(store.id, file_id=files[1])
    assert (again.status, again.last_error) == ("in_progress", None)


async def test_batches_share_or_have_their_own_attributes_and_are_cancelled(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create()
    files = [await file_of(client, str(n).encode()) for n in range(4)]
    shared = await client.vector_stores.file_batches.create(store.id, file_ids=files[:2], attributes={"a": 1})
    assert shared.id.startswith("vsfb_")
    assert (shared.object, shared.status, shared.file_counts.total) == ("vector_store.files_batch", "in_progress", 2)
    own = await client.vector_stores.file_batches.create(
        store.id,
        files=[
            {"file_id": files[2], "attributes": {"b": "x"}},
            {
                "file_id": files[3],
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
                },
            },
        ],
    )
    listed = [each async for each in client.vector_stores.file_batches.list_files(own.id, vector_store_id=store.id)]
    assert {each.id: each.attributes for each in listed} == {files[2]: {"b": "x"}, files[3]: {}}
    assert await client.vector_stores.file_batches.retrieve(own.id, vector_store_id=store.id) == own
    cancelled = await client.vector_stores.file_batches.cancel(shared.id, vector_store_id=store.id)
    assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 2)
    first = await client.vector_stores.files.retrieve(files[0], vector_store_id=store.id)
    assert first.status == "cancelled"
    with pytest.raises(openai.NotFoundError) as refusal:
        await client.vector_stores.file_batches.retrieve("vsfb_" + "0" * 32, vector_store_id=store.id)
    assert refusal.value.code == "vector_store_file_batch_not_found"


async def test_a_file_that_is_deleted_leaves_its_stores_at_once(client: openai.AsyncOpenAI) -> None:
    file = await file_of(client)
    stores = [await client.vector_stores.create(file_ids=[file]) for _ in range(2)]
    await client.files.delete(file)
    for store in stores:
        assert [each async for each in client.vector_stores.files.list(store.id)] == []
        assert (await client.vector_stores.retrieve(store.id)).file_counts.total == 0


async def test_an_expired_store_says_so_and_takes_no_more_files(knowledge: Service, client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 1})
    with psycopg.connect(knowledge.tenant.dsn, autocommit=True) as connection:
        connection.execute("update ali.vector_store set expires_at = now() where id = %s", (store.id[3:],))
    assert (await client.vector_stores.retrieve(store.id)).status == "expired"
    file = await file_of(client)
    for attempt in (
        client.vector_stores.files.create(store.id, file_id=file),
        client.vector_stores.file_batches.create(store.id, file_ids=[file]),
        client.vector_stores.update(store.id, expires_after={"anchor": "last_active_at", "days": 9}),
    ):
        with pytest.raises(openai.ConflictError) as refusal:
            await attempt
        assert refusal.value.code == "vector_store_expired"
    assert (await client.vector_stores.update(store.id, name="Still shown")).name == "Still shown"


async def test_what_cannot_be_added_is_refused_whole(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create()
    good = [await file_of(client, str(n).encode()) for n in range(9)]
    batch = await file_of(client, purpose="batch")
    for file_ids, code, param in (
        ([good[0], batch], "file_purpose_wrong", "file_ids[1]"),
        ([good[0], "file-" + "0" * 32], "file_not_found", "file_ids[1]"),
        ([good[0], "nonsense"], "file_not_found", "file_ids[1]"),
        (good, "vector_store_full", None),
    ):
        with pytest.raises(openai.APIStatusError) as refusal:
            await client.vector_stores.file_batches.create(store.id, file_ids=file_ids)
        assert (refusal.value.code, refusal.value.param) == (code, param)
        with pytest.raises(openai.APIStatusError) as refusal:
            await client.vector_stores.create(file_ids=file_ids)
        assert refusal.value.code == code
    assert (await client.vector_stores.retrieve(store.id)).file_counts.total == 0
    assert len([each async for each in client.vector_stores.list()]) == 1
    await client.vector_stores.file_batches.create(store.id, file_ids=good[:8])
    await client.vector_stores.files.create(store.id, file_id=good[0])
    with pytest.raises(openai.BadRequestError):
        await client.vector_stores.files.create(store.id, file_id=good[8])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": 1}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"description": "x" * 513}, "description"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ({"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        ({"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after.days"),
        ({"file_ids": "file-1"}, "file_ids"),
        ({"file_ids": ["x"] * (MOST_FIRST_FILES + 1)}, "file_ids"),
        ({"chunking_strategy": {"type": "static"}}, "chunking_strategy.static"),
        ({"chunking_strategy": {"type": "other"}}, "chunking_strategy.type"),
        ({"chunking_strategy": {"type": "auto", "static": {}}}, "chunking_strategy"),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0},
                }
            },
            "chunking_strategy.static.max_chunk_size_tokens",
        ),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 801, "chunk_overlap_tokens": 401},
                }
            },
            "chunking_strategy.static.chunk_overlap_tokens",
        ),
        ({"unknown": 1}, "unknown"),
    ],
)
async def test_a_wrong_body_is_refused_with_the_field_at_fault(
    client: openai.AsyncOpenAI, body: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        await client.post("/vector_stores", body=body, cast_to=object)
    assert refusal.value.param == param


async def test_deletions_are_on_record(knowledge: Service, client: openai.AsyncOpenAI) -> None:
    file = await file_of(client)
    store = await client.vector_stores.create(file_ids=[file])
    await client.vector_stores.update(store.id, name="Another")
    await client.vector_stores.files.delete(file, vector_store_id=store.id)
    await client.vector_stores.delete(store.id)
    with psycopg.connect(knowledge.tenant.dsn) as connection:
        rows = connection.execute(
            "select action, target_id from ali.audit_event where project_id = %s order by id",
            (knowledge.tenant.project_id,),
        ).fetchall()
    assert rows == [
        ("vector_store.created", store.id),
        ("vector_store.updated", store.id),
        ("vector_store_file.deleted", file),
        ("vector_store.deleted", store.id),
    ]


async def test_lone_surrogates_are_refused_and_controls_are_kept(
    knowledge: Service, client: openai.AsyncOpenAI
) -> None:
    for field in (b'"name": "a\\ud800"', b'"description": "\\udfff"', b'"metadata": {"a\\ud800": "b"}'):
        request = Request(
            method="POST",
            target="/v1/vector_stores",
            headers=(("content-type", "application/json"),),
            body=b"{" + field + b"}",
        )
        answer = await ask(knowledge.url, request, secret=knowledge.tenant.secret)
        assert answer.status == 400
    assert (await client.vector_stores.create(name="a\0b")).name == "a\0b"
