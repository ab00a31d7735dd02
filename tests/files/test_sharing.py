"""The same bytes twice are stored once, and nothing that happens leaves an object without a row or the reverse."""

import asyncio
import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import psycopg
import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker

from ali.features.files.store import FileStore
from ali.kernel.db import make_engine, make_pool
from ali.kernel.objects import Objects
from ali.kernel.service_role import SERVICE_ROLE, with_role
from tests.files.churn import CONTENTS
from tests.files.ground import objects_in, rows_of
from tests.fixtures.database import Tenant, make_tenant
from tests.fixtures.service import Serve, Service


async def test_a_files_digest_is_that_of_its_bytes(files: Service, client: openai.AsyncOpenAI) -> None:
    content = b"something" * 100_000
    await client.files.create(file=content, purpose="user_data")
    assert [(digest, size) for _, _, digest, size in rows_of(files.tenant)] == [
        (hashlib.sha256(content).digest(), len(content))
    ]


async def test_the_same_bytes_twice_are_stored_once_until_the_last_file_of_them_is_deleted(
    files: Service, client: openai.AsyncOpenAI, tmp_path: Path
) -> None:
    content = b"the same" * 1000
    first = await client.files.create(file=("a.txt", content), purpose="user_data")
    second = await client.files.create(file=("b.txt", content), purpose="assistants")
    other = await client.files.create(file=b"another", purpose="user_data")
    assert len(objects_in(tmp_path)) == 2
    assert first.id != second.id
    assert (second.filename, second.bytes) == ("b.txt", len(content))
    store: FileStore = files.app.api.state.files
    await client.files.delete(first.id)
    await store.sweep()
    assert len(objects_in(tmp_path)) == 2
    assert await (await client.files.content(second.id)).aread() == content
    await client.files.delete(second.id)
    await store.sweep()
    assert len(objects_in(tmp_path)) == 1
    assert await (await client.files.content(other.id)).aread() == b"another"
    assert len(rows_of(files.tenant)) == 1


async def test_two_projects_share_nothing(files: Service, client: openai.AsyncOpenAI, tmp_path: Path) -> None:
    stranger = make_tenant(files.tenant.dsn)
    await client.files.create(file=b"x", purpose="user_data")
    async with openai.AsyncOpenAI(base_url=files.openai_base_url, api_key=stranger.secret) as other:
        await other.files.create(file=b"x", purpose="user_data")
    assert len(objects_in(tmp_path)) == 2


async def test_an_expired_file_is_shared_by_nobody(files: Service, client: openai.AsyncOpenAI, tmp_path: Path) -> None:
    made = await client.files.create(file=b"x", purpose="user_data")
    with psycopg.connect(files.tenant.dsn, autocommit=True) as connection:
        connection.execute("update ali.file set expires_at = now() where id = %s", (made.id[-32:],))
    again = await client.files.create(file=b"x", purpose="user_data")
    await files.app.api.state.files.sweep()
    assert await (await client.files.content(again.id)).aread() == b"x"
    assert len(objects_in(tmp_path)) == 1


async def test_files_sent_and_deleted_at_once_share_what_is_there_and_lose_nothing(
    files: Service, client: openai.AsyncOpenAI, tmp_path: Path
) -> None:
    contents = [b"one" * 1000, b"two" * 100_000]
    store: FileStore = files.app.api.state.files
    kept: list[tuple[str, bytes]] = []
    rng = random.Random(5)  # noqa: S311 - a test's

    async def come_and_go(content: bytes) -> None:
        for _ in range(6):
            made = await client.files.create(file=content, purpose="user_data")
            if rng.random() < 0.6:
                await client.files.delete(made.id)
            else:
                kept.append((made.id, content))

    async def sweep() -> None:
        while True:
            await store.sweep()
            await asyncio.sleep(0)

    sweeping = asyncio.create_task(sweep())
    await asyncio.gather(*(come_and_go(content) for content in contents * 6))
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    assert len({content for _, content in kept}) == 2
    for name, content in kept:
        assert await (await client.files.content(name)).aread() == content
    while await store.sweep():
        pass
    rows = rows_of(files.tenant)
    assert len(rows) == len(kept)
    assert len({name for name, *_ in rows}) == len(objects_in(tmp_path)) == 2


async def test_a_project_is_told_when_its_files_are_too_many_and_may_go_on_once_some_are_deleted(
    serve: Serve, tmp_path: Path
) -> None:
    async with (
        serve(drain_s=1, max_project_file_bytes=100_000) as files,
        openai.AsyncOpenAI(base_url=files.openai_base_url, api_key=files.tenant.secret, max_retries=0) as client,
    ):
        made = await client.files.create(file=b"x" * 60_000, purpose="user_data")
        for size in (60_000, 200_000):
            with pytest.raises(openai.BadRequestError, match="ALI_MAX_PROJECT_FILE_BYTES") as refusal:
                await client.files.create(file=b"y" * size, purpose="user_data")
            assert refusal.value.code == "storage_quota_exceeded"
        await client.files.create(file=b"z" * 40_000, purpose="user_data")
        with pytest.raises(openai.BadRequestError):
            await client.files.create(file=b"z", purpose="user_data")
        await client.files.delete(made.id)
        answers = await asyncio.gather(
            *(client.files.create(file=bytes([each]) * 20_000, purpose="user_data") for each in range(6)),
            return_exceptions=True,
        )
        assert len([each for each in answers if not isinstance(each, openai.BadRequestError)]) == 3
        while await files.app.api.state.files.sweep():
            pass
        assert len(objects_in(tmp_path)) == 4


@contextmanager
def churning(tenant: Tenant, objects: Path, *, seed: int) -> Iterator[subprocess.Popen[bytes]]:
    """`churn` as a process, killed at the end."""
    dsn = with_role(tenant.dsn, SERVICE_ROLE)
    ids = (str(tenant.organization_id), str(tenant.project_id))
    program = (sys.executable, "-m", "tests.files.churn", dsn, objects.as_uri(), *ids, str(seed))
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own program
        try:
            yield process
        finally:
            process.kill()


def test_processes_killed_at_any_moment_leave_no_object_without_a_row_and_no_file_without_its_bytes(
    database_dsn: str, tmp_path: Path
) -> None:
    tenant = make_tenant(database_dsn)
    folder = tmp_path / "objects"
    folder.mkdir()
    rng = random.Random(7)  # noqa: S311 - a test's
    for killing in range(6):
        with churning(tenant, folder, seed=killing) as one, churning(tenant, folder, seed=100 + killing) as other:
            assert one.stdout is not None
            for _ in range(rng.randint(10, 60)):
                one.stdout.readline()
            one.kill()
            other.kill()
        rows = rows_of(tenant)
        named = {name for name, *_ in rows}
        left = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        assert {name.partition("#")[0] for name in left} <= named
        halves = {half for content in CONTENTS for half in (content[: len(content) // 2], content[len(content) // 2 :])}
        digests = {hashlib.sha256(content).digest() for content in {*CONTENTS, *halves}}
        ready = {(name, digest) for name, state, digest, _ in rows if state == "ready"}
        for name, digest in ready:
            assert digest in digests
            assert hashlib.sha256((folder / name).read_bytes()).digest() == digest
        assert len(ready) == len({digest for _, digest in ready})
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute("update ali.file set created_at = now() - interval '2 days' where state = 'writing'")
        connection.execute("update ali.file set expires_at = now() where upload_id is not null")
    asyncio.run(swept(tenant, folder))
    assert {state for _, state, *_ in rows_of(tenant)} == {"ready"}
    left = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    assert set(left) == {name for name, *_ in rows_of(tenant)}


async def swept(tenant: Tenant, folder: Path) -> None:
    """Clear away all that is to be."""
    dsn = with_role(tenant.dsn, SERVICE_ROLE)
    engine, objects = make_engine(dsn, size=1), Objects(folder.as_uri())
    async with make_pool(dsn, size=1) as pool:
        store = FileStore(async_sessionmaker(engine), pool, objects, max_bytes=1)
        while await store.sweep():
            pass
    await objects.close()
    await engine.dispose()
