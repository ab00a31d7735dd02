"""A process that uploads, in parts too, deletes and sweeps without end: `python -m tests.files.churn`, to be killed.

Arguments: the database, the objects' URL, organization, project, a seed. It prints a line for each thing done.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy.ext.asyncio import async_sessionmaker

from ali.features.files import queries
from ali.features.files.form import FileForm
from ali.features.files.queries import FileMissing
from ali.features.files.store import FileStore
from ali.features.files.uploads import Uploads
from ali.features.files.wishes import Wishes
from ali.features.identity.paging import Place
from ali.kernel.db import enter_tenant, make_engine, make_pool
from ali.kernel.objects import Objects

CONTENTS = (b"", b"a few bytes", b"b" * 1_500_000, b"c" * 6_000_000)
"""Less than is written at once, more than that, and so much that the object is written in parts."""
WISHES = Wishes(name="x", purpose="user_data", ttl_s=None)


async def pieces_of(content: bytes) -> AsyncIterator[bytes]:
    """In pieces as the network gives them."""
    for start in range(0, len(content), 65_536):
        yield content[start : start + 65_536]


def form_of(content: bytes) -> FileForm:
    """A part of an upload, as it is sent."""
    head = b'--b\r\ncontent-disposition: form-data; name="data"; filename="x"\r\n\r\n'
    body = head + content + b"\r\n--b--\r\n"
    return FileForm("multipart/form-data; boundary=b", pieces_of(body), field_name="data")


async def churn(dsn: str, url: str, organization_id: UUID, project_id: UUID, rng: random.Random) -> None:
    """Until killed."""
    pool = make_pool(dsn, size=2)
    await pool.open()
    sessions = async_sessionmaker(make_engine(dsn, size=4), expire_on_commit=False)
    store = FileStore(sessions, pool, Objects(url), max_bytes=10_000_000)
    uploads = Uploads(sessions, store, max_bytes=10_000_000)
    tenant = {"organization_id": organization_id, "project_id": project_id}

    async def whole() -> None:
        draft = await store.begin(organization_id=organization_id, project_id=project_id)
        written = await store.write(draft, pieces_of(rng.choice(CONTENTS)))
        await store.finish(draft, WISHES, written)

    async def in_parts() -> None:
        content = rng.choice(CONTENTS)
        halves = (content[: len(content) // 2], content[len(content) // 2 :])
        async with sessions() as session, session.begin():
            await enter_tenant(session, **tenant)
            upload = await uploads.begin(session, WISHES, **tenant, size_bytes=len(content))
        parts = [(await uploads.take(form_of(half), **tenant, upload_id=upload.id)).id for half in halves]
        if rng.random() < 0.8:
            await uploads.complete(**tenant, upload_id=upload.id, part_ids=parts, md5=None)
        else:
            async with sessions() as session, session.begin():
                await enter_tenant(session, **tenant)
                await uploads.cancel(session, project_id, upload.id)

    async def delete() -> None:
        async with sessions() as session, session.begin():
            await enter_tenant(session, **tenant)
            page = await queries.listed(session, project_id, purpose=None, place=Place(limit=20))
            await queries.give_up(session, project_id, rng.choice(page.rows).id if page.rows else None)

    async def sweep() -> None:
        await store.sweep()

    async def one() -> None:
        await rng.choice((whole, whole, in_parts, in_parts, delete, sweep))()

    async def again_and_again() -> None:
        while True:
            try:
                await one()
            except FileMissing:
                continue
            sys.stdout.write("\n")
            sys.stdout.flush()

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(again_and_again())


if __name__ == "__main__":
    database, objects, organization, project, seed = sys.argv[1:]
    rng = random.Random(int(seed))  # noqa: S311 - a test's
    asyncio.run(churn(database, objects, UUID(organization), UUID(project), rng))
