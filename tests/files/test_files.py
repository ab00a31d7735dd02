"""The Files API as OpenAI's SDK uses it, and what it refuses."""

import asyncio
import json
from pathlib import Path

import openai
import psycopg
import pytest

from tests.files.ground import objects_in
from tests.fixtures.database import issue_key, make_tenant
from tests.fixtures.service import Serve, Service
from tests.tenancy.wire import Answer, Request, ask

BOUNDARY = "the-boundary"


def form(*parts: tuple[str, str | None, str]) -> Request:
    """An upload of these parts: name, file name, content."""
    text = ""
    for name, file_name, content in parts:
        named = f'; filename="{file_name}"' if file_name is not None else ""
        text += f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{named}\r\n\r\n{content}\r\n'
    return Request(
        method="POST",
        target="/v1/files",
        headers=(("content-type", f"multipart/form-data; boundary={BOUNDARY}"),),
        body=f"{text}--{BOUNDARY}--\r\n".encode(),
    )


async def send(files: Service, request: Request) -> Answer:
    return await ask(files.url, request, secret=files.tenant.secret)


async def test_a_file_is_uploaded_listed_retrieved_read_and_deleted(client: openai.AsyncOpenAI, tmp_path: Path) -> None:
    content = b"line one\n" * 300_000
    made = await client.files.create(file=("Relatório final.txt", content), purpose="user_data")
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.filename) == ("file", len(content), "Relatório final.txt")
    assert (made.purpose, made.status, made.expires_at) == ("user_data", "processed", None)
    assert await client.files.retrieve(made.id) == made
    assert [each.id async for each in client.files.list()] == [made.id]
    answer = await client.files.content(made.id)
    assert await answer.aread() == content
    assert "Relat%C3%B3rio%20final.txt" in answer.response.headers["content-disposition"]
    assert (await client.files.delete(made.id)).deleted
    with pytest.raises(openai.NotFoundError) as refusal:
        await client.files.retrieve(made.id)
    assert refusal.value.code == "file_not_found"
    with pytest.raises(openai.NotFoundError):
        await client.files.content(made.id)


async def test_the_bytes_of_a_deleted_file_are_deleted_too(
    files: Service, client: openai.AsyncOpenAI, tmp_path: Path
) -> None:
    made = await client.files.create(file=b"something", purpose="batch")
    assert len(objects_in(tmp_path)) == 1
    assert all(path.stat().st_mode & 0o077 == 0 for path in objects_in(tmp_path))
    await client.files.delete(made.id)
    await files.app.api.state.files.sweep()
    assert objects_in(tmp_path) == []
    with psycopg.connect(files.tenant.dsn) as connection:
        row = connection.execute(
            "select count(*) from ali.file where project_id = %s", (files.tenant.project_id,)
        ).fetchone()
    assert row == (0,)


async def test_a_file_expires_when_it_was_said_to(files: Service, client: openai.AsyncOpenAI, tmp_path: Path) -> None:
    made = await client.files.create(
        file=b"x", purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert made.expires_at is not None
    assert 3598 <= made.expires_at - made.created_at <= 3602
    for_batch = await client.files.create(file=b"x", purpose="batch")
    assert for_batch.expires_at is not None
    assert abs(for_batch.expires_at - for_batch.created_at - 30 * 86_400) <= 2
    with psycopg.connect(files.tenant.dsn, autocommit=True) as connection:
        connection.execute("update ali.file set expires_at = now() where id = %s", (made.id[-32:],))
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(made.id)
    await files.app.api.state.files.sweep()
    assert len(objects_in(tmp_path)) == 1


async def test_lists_have_pages_orders_and_purposes(client: openai.AsyncOpenAI) -> None:
    made = [
        (await client.files.create(file=b"x", purpose=purpose)).id for purpose in ("batch", "vision", "batch", "evals")
    ]
    assert [each.id async for each in client.files.list(limit=1)] == made[::-1]
    assert [each.id async for each in client.files.list(order="asc", limit=2)] == made
    assert [each.id async for each in client.files.list(purpose="batch", order="asc")] == [made[0], made[2]]
    assert [each.id async for each in client.files.list(purpose="nothing")] == []
    assert [each.id async for each in client.files.list(after=made[1])] == [made[0]]


async def test_fields_may_stand_after_the_file_and_an_empty_file_is_one(files: Service) -> None:
    answer = await send(files, form(("file", "a.txt", ""), ("purpose", None, "evals")))
    assert answer.status == 200
    assert answer.json() | {"id": "", "created_at": 0} == {
        "id": "", "object": "file", "bytes": 0, "created_at": 0, "expires_at": None, "filename": "a.txt",
        "purpose": "evals", "status": "processed", "status_details": None,
    }  # fmt: skip
    content = await send(files, Request(method="GET", target=f"/v1/files/{answer.json()['id']}/content"))
    assert (content.status, content.body) == (200, b"")


@pytest.mark.parametrize(
    ("request_", "status", "param"),
    [
        (form(("purpose", None, "batch")), 400, "file"),
        (form(("file", None, "x"), ("purpose", None, "batch")), 400, "file"),
        (form(("file", "a", "x")), 400, "purpose"),
        (form(("purpose", None, "fine-tune"), ("file", "a", "x")), 400, "purpose"),
        (form(("purpose", None, "batch_output"), ("file", "a", "x")), 400, "purpose"),
        (form(("purpose", None, "batch"), ("file", "a", "x"), ("file", "b", "y")), 400, "file"),
        (form(("purpose", None, "x" * 2000), ("file", "a", "x")), 400, None),
        (form(*[("purpose", None, "x")] * 20), 400, None),
        (
            form(("file", "a", "x"), ("purpose", None, "batch"), ("expires_after[seconds]", None, "5000")),
            400,
            "expires_after.anchor",
        ),
        (
            form(
                ("file", "a", "x"),
                ("purpose", None, "batch"),
                ("expires_after[anchor]", None, "created_at"),
                ("expires_after[seconds]", None, "5"),
            ),
            400,
            "expires_after.seconds",
        ),
        (Request(method="POST", target="/v1/files", body=b'{"file": "x"}'), 400, None),
        (Request(method="POST", target="/v1/files", body=b""), 400, None),
        (
            Request(
                method="POST",
                target="/v1/files",
                body=b"--x\r\nnonsense",
                headers=(("content-type", "multipart/form-data; boundary=x"),),
            ),
            400,
            None,
        ),
        (
            Request(method="POST", target="/v1/files", body=b"", headers=(("content-type", "multipart/form-data"),)),
            400,
            None,
        ),
        (Request(method="POST", target="/v1/files", body=b"x", headers=(("content-type", "text/plain"),)), 415, None),
    ],
)
async def test_what_is_no_upload_is_refused_and_leaves_nothing(
    files: Service, tmp_path: Path, request_: Request, status: int, param: str | None
) -> None:
    answer = await send(files, request_)
    assert answer.status == status, answer
    if param is not None:
        assert answer.json()["error"]["param"] == param
    assert objects_in(tmp_path) == []
    with psycopg.connect(files.tenant.dsn) as connection:
        row = connection.execute(
            "select count(*) from ali.file where project_id = %s", (files.tenant.project_id,)
        ).fetchone()
    assert row == (0,)


async def test_a_file_that_is_too_large_is_refused_while_it_comes(serve: Serve, tmp_path: Path) -> None:
    async with serve(drain_s=1, max_file_bytes=200_000) as files:
        answer = await send(files, form(("purpose", None, "batch"), ("file", "a", "x" * 200_001)))
        assert answer.status == 413, answer
        assert "ALI_MAX_FILE_BYTES" in answer.json()["error"]["message"]
        assert (await send(files, form(("purpose", None, "batch"), ("file", "a", "x" * 200_000)))).status == 200
        assert len(objects_in(tmp_path)) == 1


async def test_a_sender_who_leaves_in_the_middle_leaves_nothing(files: Service, tmp_path: Path) -> None:
    request = form(("purpose", None, "batch"), ("file", "a", "x" * 3_000_000))
    assert request.body is not None
    port = int(files.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {files.tenant.secret}\r\n"
        f"content-type: {dict(request.headers)['content-type']}\r\ncontent-length: {len(request.body)}\r\n\r\n"
    )
    writer.write(head.encode() + request.body[:2_000_000])
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.transport.abort()
    async with asyncio.timeout(5):
        while await _rows(files) or objects_in(tmp_path):  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.02)
    assert (await send(files, form(("purpose", None, "batch"), ("file", "a", "x")))).status == 200


async def _rows(files: Service) -> int:
    async with await psycopg.AsyncConnection.connect(files.tenant.dsn) as connection:
        cursor = await connection.execute(
            "select count(*) from ali.file where project_id = %s", (files.tenant.project_id,)
        )
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_a_store_that_fails_is_said_and_leaves_nothing_to_be_seen(serve: Serve, tmp_path: Path) -> None:
    place = tmp_path / "objects"
    place.write_text("in the way", encoding="utf-8")
    async with serve(drain_s=1) as files:
        answer = await send(files, form(("purpose", None, "batch"), ("file", "a", "x")))
        assert (answer.status, answer.json()["error"]["code"]) == (503, "objects_unavailable")
        place.unlink()
        assert (await send(files, form(("purpose", None, "batch"), ("file", "a", "x")))).status == 200
        for path in objects_in(tmp_path):
            path.unlink()
        listed = (await send(files, Request(method="GET", target="/v1/files"))).json()["data"]
        lost = await send(files, Request(method="GET", target=f"/v1/files/{listed[0]['id']}/content"))
        assert (lost.status, lost.json()["error"]["code"]) == (503, "object_missing")


async def test_another_projects_file_is_not_there_and_an_auditor_reads_no_content(
    files: Service, client: openai.AsyncOpenAI
) -> None:
    made = await client.files.create(file=b"x", purpose="batch")
    stranger = make_tenant(files.tenant.dsn)
    for target in (f"/v1/files/{made.id}", f"/v1/files/{made.id}/content"):
        answer = await ask(files.url, Request(method="GET", target=target), secret=stranger.secret)
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (404, "file_not_found")
    auditor = issue_key(files.tenant, role="auditor")
    answer = await ask(files.url, Request(method="GET", target=f"/v1/files/{made.id}/content"), secret=auditor.secret)
    assert answer.status == 403
