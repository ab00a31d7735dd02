"""Files sent in parts, as OpenAI's SDK sends them, and what is no upload."""

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Any

import openai
import psycopg
import pytest
from openai.types import FileObject, Upload

from tests.contract.judges import held_to, openai_client, post
from tests.files.ground import objects_in, rows_of
from tests.fixtures.database import make_tenant
from tests.fixtures.service import Serve, Service
from tests.tenancy.wire import Request, ask

CONTENT = random.Random(3).randbytes(3_000_000)  # noqa: S311 - test data


async def begun(client: openai.AsyncOpenAI, size: int = len(CONTENT), **more: Any) -> str:  # noqa: ANN401 - as the SDK takes it
    """A new upload's id."""
    asked = {"bytes": size, "filename": "law.txt", "mime_type": "text/plain", "purpose": "assistants", **more}
    return (await client.uploads.create(**asked)).id


def pieces_of(content: bytes, count: int) -> list[bytes]:
    size = -(-len(content) // count)
    return [content[start : start + size] for start in range(0, len(content), size)]


async def test_parts_become_one_file_in_the_order_that_is_named(
    files: Service, client: openai.AsyncOpenAI, tmp_path: Path
) -> None:
    upload = await client.uploads.create(
        bytes=len(CONTENT), filename="Constituição.txt", mime_type="text/plain", purpose="assistants"
    )
    assert (upload.object, upload.status, upload.bytes) == ("upload", "pending", len(CONTENT))
    assert upload.expires_at - upload.created_at == 3600
    assert upload.file is None
    parts = await asyncio.gather(
        *(client.uploads.parts.create(upload.id, data=piece) for piece in reversed(pieces_of(CONTENT, 5)))
    )
    assert all((part.object, part.upload_id) == ("upload.part", upload.id) for part in parts)
    assert [each async for each in client.files.list()] == []
    done = await client.uploads.complete(
        upload.id,
        part_ids=[part.id for part in reversed(parts)],
        md5=hashlib.md5(CONTENT).hexdigest(),  # noqa: S324 - as the API has it
    )
    assert (done.id, done.status, done.filename) == (upload.id, "completed", "Constituição.txt")
    assert done.file is not None
    assert (done.file.bytes, done.file.filename, done.file.purpose) == (
        len(CONTENT),
        "Constituição.txt",
        "assistants",
    )
    assert [each.id async for each in client.files.list()] == [done.file.id]
    assert await (await client.files.content(done.file.id)).aread() == CONTENT
    while await files.app.api.state.files.sweep():
        pass
    assert [digest for _, _, digest, _ in rows_of(files.tenant)] == [hashlib.sha256(CONTENT).digest()]
    assert len(objects_in(tmp_path)) == 1


@pytest.mark.parametrize("part_size", [1_000_000, None])
async def test_the_sdk_sends_a_file_in_chunks(
    client: openai.AsyncOpenAI, tmp_path: Path, part_size: int | None
) -> None:
    path = tmp_path / "a book.txt"
    path.write_bytes(CONTENT)
    done = await client.uploads.upload_file_chunked(
        file=path, mime_type="text/plain", purpose="user_data", part_size=part_size
    )
    assert done.file is not None
    assert await (await client.files.content(done.file.id)).aread() == CONTENT
    expiring = await client.uploads.create(
        bytes=1,
        filename="x",
        mime_type="text/plain",
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    part = await client.uploads.parts.create(expiring.id, data=b"x")
    done = await client.uploads.complete(expiring.id, part_ids=[part.id])
    assert done.file is not None
    assert done.file.expires_at is not None
    assert abs(done.file.expires_at - done.file.created_at - 3600) <= 2


async def test_an_upload_of_nothing_becomes_an_empty_file(client: openai.AsyncOpenAI) -> None:
    done = await client.uploads.complete(await begun(client, 0), part_ids=[])
    assert done.file is not None
    assert done.file.bytes == 0


async def test_the_same_bytes_in_parts_share_the_object_of_a_file_that_is_there(
    files: Service, client: openai.AsyncOpenAI, tmp_path: Path
) -> None:
    await client.files.create(file=CONTENT, purpose="user_data")
    upload = await begun(client)
    part = await client.uploads.parts.create(upload, data=CONTENT)
    done = await client.uploads.complete(upload, part_ids=[part.id])
    assert done.file is not None
    while await files.app.api.state.files.sweep():
        pass
    assert len(objects_in(tmp_path)) == 1
    assert await (await client.files.content(done.file.id)).aread() == CONTENT


async def test_parts_that_are_not_the_announced_file_are_refused_and_may_be_mended(client: openai.AsyncOpenAI) -> None:
    upload = await begun(client)
    first, second = [(await client.uploads.parts.create(upload, data=each)).id for each in pieces_of(CONTENT, 2)]
    other = await client.uploads.parts.create(await begun(client), data=b"x")
    wrong: list[tuple[list[str], str | None, str]] = [
        ([first], None, "part_ids"),
        ([first, first], None, "part_ids"),
        ([first, second, other.id], None, "part_ids"),
        ([first, "part_x"], None, "part_ids"),
        ([], None, "part_ids"),
        ([second, first], hashlib.md5(CONTENT).hexdigest(), "md5"),  # noqa: S324 - as the API has it
        ([first, second], "no md5", "md5"),
    ]
    for part_ids, md5, param in wrong:
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.uploads.complete(upload, part_ids=part_ids, md5=md5 or openai.omit)
        assert (refusal.value.code, refusal.value.param) == ("upload_incomplete", param)
    assert (await client.uploads.complete(upload, part_ids=[first, second])).status == "completed"


async def test_a_completed_or_cancelled_upload_takes_no_more_and_says_what_became_of_it(
    files: Service, client: openai.AsyncOpenAI, tmp_path: Path
) -> None:
    upload = await begun(client)
    part = await client.uploads.parts.create(upload, data=CONTENT)
    cancelled = await client.uploads.cancel(upload)
    assert (cancelled.id, cancelled.status) == (upload, "cancelled")
    while await files.app.api.state.files.sweep():
        pass
    assert objects_in(tmp_path) == []
    done_id = await begun(client, 1)
    one = await client.uploads.parts.create(done_id, data=b"1")
    done = await client.uploads.complete(done_id, part_ids=[one.id])
    assert done.file is not None
    for name, parts, said in ((upload, [part.id], "cancelled"), (done_id, [one.id], done.file.id)):
        calls = (
            client.uploads.parts.create(name, data=b"x"),
            client.uploads.complete(name, part_ids=parts),
            client.uploads.cancel(name),
        )
        for call in calls:
            with pytest.raises(openai.BadRequestError, match=said) as refusal:
                await call
            assert refusal.value.code == "upload_not_pending"


async def test_an_upload_expires_after_an_hour_and_leaves_nothing(
    files: Service, client: openai.AsyncOpenAI, tmp_path: Path
) -> None:
    upload = await begun(client)
    part = await client.uploads.parts.create(upload, data=CONTENT)
    with psycopg.connect(files.tenant.dsn, autocommit=True) as connection:
        connection.execute("update ali.upload set expires_at = now() where id = %s", (upload[-32:],))
        connection.execute("update ali.file set expires_at = now() where id = %s", (part.id[-32:],))
    for call in (client.uploads.parts.create(upload, data=b"x"), client.uploads.complete(upload, part_ids=[part.id])):
        with pytest.raises(openai.BadRequestError, match="expired"):
            await call
    while await files.app.api.state.files.sweep():
        pass
    assert objects_in(tmp_path) == []
    assert rows_of(files.tenant) == []


async def test_of_two_that_complete_an_upload_at_once_one_does(
    files: Service, client: openai.AsyncOpenAI, tmp_path: Path
) -> None:
    upload = await begun(client)
    part = await client.uploads.parts.create(upload, data=CONTENT)
    answers = await asyncio.gather(
        *(client.uploads.complete(upload, part_ids=[part.id]) for _ in range(4)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in answers) == [*["BadRequestError"] * 3, "Upload"]
    while await files.app.api.state.files.sweep():
        pass
    assert len(objects_in(tmp_path)) == len(rows_of(files.tenant)) == 1


async def test_what_is_too_large_or_malformed_is_refused_and_leaves_nothing(serve: Serve, tmp_path: Path) -> None:
    async with (
        serve(drain_s=1, max_upload_bytes=2_000_000, max_project_file_bytes=1_500_000) as files,
        openai.AsyncOpenAI(base_url=files.openai_base_url, api_key=files.tenant.secret, max_retries=0) as client,
    ):
        with pytest.raises(openai.APIStatusError, match="ALI_MAX_UPLOAD_BYTES") as refusal:
            await begun(client, 2_000_001)
        assert refusal.value.status_code == 413
        with pytest.raises(openai.BadRequestError, match="ALI_MAX_PROJECT_FILE_BYTES"):
            await begun(client, 1_600_000)
        for more in ({"purpose": "batch_output"}, {"filename": ""}, {"bytes": -1}, {"bytes": 1.5}, {"unknown": 1}):
            with pytest.raises((openai.BadRequestError, TypeError)):
                await begun(client, **{"size": 5, **more} if "bytes" not in more else more)
        with pytest.raises(openai.APIStatusError):
            await begun(client, 10, expires_after={"anchor": "created_at", "seconds": 5})
        upload = await begun(client, 1_000_000)
        part = await client.uploads.parts.create(upload, data=b"x" * 1_000_000)
        with pytest.raises(openai.BadRequestError, match="ALI_MAX_PROJECT_FILE_BYTES"):
            await client.uploads.parts.create(upload, data=b"y" * 1_000_000)
        for content_type, body in (
            (
                "multipart/form-data; boundary=b",
                b'--b\r\ncontent-disposition: form-data; name="x"\r\n\r\ny\r\n--b--\r\n',
            ),
            ("multipart/form-data; boundary=b", b"--b\r\n"),
            ("application/json", b"{}"),
        ):
            answer = await ask(
                files.url,
                Request(
                    method="POST",
                    target=f"/v1/uploads/{upload}/parts",
                    headers=(("content-type", content_type),),
                    body=body,
                ),
                secret=files.tenant.secret,
            )
            assert (answer.status, answer.json()["error"]["code"]) == (400, "upload_malformed")
        done = await client.uploads.complete(upload, part_ids=[part.id])
        assert done.file is not None
        while await files.app.api.state.files.sweep():
            pass
        assert len(objects_in(tmp_path)) == 1


async def test_an_upload_does_not_take_parts_without_end(client: openai.AsyncOpenAI) -> None:
    upload = await begun(client, 10)
    for _ in range(3):
        await client.uploads.parts.create(upload, data=b"0123456789")
    with pytest.raises(openai.BadRequestError) as refusal:
        await client.uploads.parts.create(upload, data=b"0123456789")
    assert refusal.value.code == "upload_incomplete"


async def test_a_part_larger_than_64_mb_is_refused_while_it_comes(files: Service, client: openai.AsyncOpenAI) -> None:
    upload = await begun(client, 100_000_000)
    with pytest.raises(openai.APIStatusError, match="67108864") as refusal:
        await client.uploads.parts.create(upload, data=b"x" * (64 * 1024 * 1024 + 1))
    assert refusal.value.status_code == 413
    assert [state for _, state, *_ in rows_of(files.tenant) if state == "ready"] == []


async def test_another_projects_upload_is_not_there(files: Service, client: openai.AsyncOpenAI) -> None:
    upload = await begun(client, 1)
    part = await client.uploads.parts.create(upload, data=b"1")
    stranger = make_tenant(files.tenant.dsn)
    async with openai.AsyncOpenAI(base_url=files.openai_base_url, api_key=stranger.secret, max_retries=0) as other:
        for name in (upload, "upload_x"):
            for call in (
                other.uploads.parts.create(name, data=b"x"),
                other.uploads.complete(name, part_ids=[part.id]),
                other.uploads.cancel(name),
            ):
                with pytest.raises(openai.NotFoundError) as refusal:
                    await call
                assert refusal.value.code == "upload_not_found"
        own = await begun(other, 1)
        with pytest.raises(openai.BadRequestError):
            await other.uploads.complete(own, part_ids=[part.id])
    assert (await client.uploads.complete(upload, part_ids=[part.id])).status == "completed"


async def test_completing_may_be_asked_again_under_one_idempotency_key(client: openai.AsyncOpenAI) -> None:
    upload = await begun(client, 1)
    part = await client.uploads.parts.create(upload, data=b"1")
    once = {"Idempotency-Key": upload}
    done = [await client.uploads.complete(upload, part_ids=[part.id], extra_headers=once) for _ in range(2)]
    assert done[0] == done[1]


async def test_uploads_and_files_are_what_the_sdk_defines(files: Service) -> None:
    async with openai_client(files) as strict:
        made = await strict.files.create(file=b"x", purpose="user_data")
        upload = await begun(strict, 1)
        part = await strict.uploads.parts.create(upload, data=b"1")
        await strict.uploads.complete(upload, part_ids=[part.id])
    asked = Request(method="GET", target=f"/v1/files/{made.id}")
    held_to(FileObject, (await ask(files.url, asked, secret=files.tenant.secret)).body)
    new = {"bytes": 0, "filename": "a", "mime_type": "text/plain", "purpose": "user_data"}
    status, _, body = await post(files, "/v1/uploads", new)
    assert status == 200
    begun_now: Upload = held_to(Upload, body)
    _, _, body = await post(files, f"/v1/uploads/{begun_now.id}/complete", {"part_ids": []})
    held_to(Upload, body)
