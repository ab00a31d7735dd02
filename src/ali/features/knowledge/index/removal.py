"""Taking documents out of a store's index."""

from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection

_REMOVE: Final = "select ali.remove_document(%s)"


async def remove(connection: AsyncConnection[Any], *, document: UUID) -> bool:
    """Take a document out of its store: no search finds it once the caller commits, and its chunks are deleted.

    Within the caller's transaction, which has entered the tenant. Locks the store's row. Frequencies and the mean
    length are exact at once; its postings go with the next merge, and with them its row in `store_document`, unless a
    `store_file` leads to it still. False where it is gone already, or was never there. Cost: about 10 µs a chunk.
    """
    row = await (await connection.execute(_REMOVE, (document,))).fetchone()
    return row is not None and bool(row[0])
