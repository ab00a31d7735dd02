"""Which vector stores there are to be searched, for requests that name them before they search."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from ali.kernel.db import Pool, enter_project

_PRESENT: Final = """
select id, state = 'ready' and (expires_at is null or expires_at > now()) from ali.vector_store
where project_id = %s and id = any(%s) and state <> 'gone'
"""


async def present(pool: Pool, *, organization_id: UUID, project_id: UUID, stores: Sequence[UUID]) -> dict[UUID, bool]:
    """Those of `stores` that the project has; False for one whose time is over. One round trip."""
    async with pool.connection() as connection, connection.pipeline(), connection.transaction():
        await enter_project(connection, organization_id=organization_id, project_id=project_id)
        cursor = await connection.execute(_PRESENT, (project_id, list(stores)))
        return dict(await cursor.fetchall())
