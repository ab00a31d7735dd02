"""What was read of a file, as its store has it: chunk after chunk, however many there are."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson

from ali.features.conversations.lifecycle import Home
from ali.kernel.db import Pool, enter_project

_AT_ONCE: Final = 200
_CHUNKS: Final = """
select text from ali.store_chunk
where vector_store_id = %s and number >= %s and number < %s and document_id = %s order by number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Where a document's chunks are in its store."""

    vector_store_id: UUID
    document_id: UUID
    first_number: int
    chunks: int


class Contents:
    """Reads chunks for callers who may be slow: no connection is held while they are."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, stretch: Stretch, *, home: Home) -> AsyncIterator[bytes]:
        """OpenAI's `vector_store.file_content.page`, as JSON in pieces. Shorter where the document goes meanwhile."""
        yield b'{"object":"vector_store.file_content.page","data":['
        first = True
        for start in range(0, stretch.chunks, _AT_ONCE):
            texts = await self._texts(stretch, start=start, home=home)
            parts = [orjson.dumps({"type": "text", "text": text}) for text in texts]
            if parts:
                yield (b"" if first else b",") + b",".join(parts)
                first = False
        yield b'],"has_more":false,"next_page":null}'

    async def _texts(self, stretch: Stretch, *, start: int, home: Home) -> list[str]:
        low = stretch.first_number + start
        high = min(low + _AT_ONCE, stretch.first_number + stretch.chunks)
        async with self._pool.connection() as connection, connection.transaction():
            await enter_project(connection, organization_id=home.organization_id, project_id=home.project_id)
            cursor = await connection.execute(_CHUNKS, (stretch.vector_store_id, low, high, stretch.document_id))
            return [bytes(text).decode() for (text,) in await cursor.fetchall()]
