"""A process that uploads, deletes and sweeps without end, for a test that kills it: `python -m tests.files.churn`.

Arguments: the database, the objects' URL, organization, project, a seed. It prints a line for each thing done.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy.ext.asyncio import async_sessionmaker

from ali.features.files import queries
from ali.features.files.queries import FileMissing
from ali.features.files.store import FileStore
from ali.features.files.wishes import Wishes
from ali.features.identity.paging import Place
from ali.kernel.db import enter_tenant, make_engine, make_pool
from ali.kernel.objects import Objects

CONTENTS = (b"", b"a few bytes", b"b" * 1_500_000, b"c" * 6_000_000)
"""Less than is written at once, more than that, and so much that the object is written in parts."""


async def pieces_of(content: bytes) -> AsyncIterator[bytes]:
    """In pieces as the network gives them."""
    for start in range(0, len(content), 65_536):
        yield content[start : start + 65_536]


async def churn(dsn: str, url: str, organization_id: UUID, project_id: UUID, rng: random.Random) -> None:
    """Until killed."""
    pool = make_pool(dsn, size=2)
    await pool.open()
    sessions = async_sessionmaker(make_engine(dsn, size=4), expire_on_commit=False)
    store = FileStore(sessions, pool, Objects(url), max_bytes=10_000_000)

    async def one() -> None:
        act = rng.random()
        if act < 0.6:
            content = rng.choice(CONTENTS)
            draft = await store.begin(organization_id=organization_id, project_id=project_id)
            written = await store.write(draft, pieces_of(content))
            await store.finish(draft, Wishes(name="x", purpose="user_data", ttl_s=None), written)
        elif act < 0.9:
            async with sessions() as session, session.begin():
                await enter_tenant(session, organization_id=organization_id, project_id=project_id)
                page = await queries.listed(session, project_id, purpose=None, place=Place(limit=20))
                chosen = rng.choice(page.rows).id if page.rows else None
                await queries.give_up(session, project_id, chosen)
        else:
            await store.sweep()

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
