"""Embeddings that were made before, so that a text that comes again costs nothing. Each project has its own."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import psycopg
import psycopg_pool

from ali.features.knowledge.account import Account
from ali.features.knowledge.embedding.vector import Vector
from ali.kernel import log
from ali.kernel.db import Pool

KEPT_DAYS: Final = 30
"""How long a vector is kept that nobody asks for."""
_PAGE: Final = 500

_FIND: Final = "select digest, vector from ali.find_embeddings(%s, %s, %s)"
_KEEP: Final = "select ali.keep_embeddings(%s, %s, %s, %s)"
_TIDY: Final = "select ali.forget_embeddings(%s, make_interval(days => %s))"


class EmbeddingCache:
    """Vectors by what they are of. Without a database that answers it is empty: it never fails a caller.

    What a text says cannot be learned from it: texts are known by a keyed hash, whose key is the project's own.
    `most_per_project`: more are forgotten, those first that were asked for longest ago; 0: nothing is kept.
    """

    def __init__(self, pool: Pool, *, hmac_secret: bytes, most_per_project: int) -> None:
        self._pool = pool
        self._secret = hmac_secret
        self._most = most_per_project

    def digests(self, project_id: UUID, model: str, texts: Sequence[str]) -> list[bytes]:
        """Under what `texts` are kept, as `model` embeds them."""
        key = hmac.digest(self._secret, b"embedding-cache:" + project_id.bytes, "sha256")
        beginning = hashlib.blake2b(model.encode() + b"\0", digest_size=16, key=key)
        digests = []
        for text in texts:
            digest = beginning.copy()
            digest.update(text.encode("utf-8", "surrogatepass"))
            digests.append(digest.digest())
        return digests

    async def find(self, account: Account, digests: Sequence[bytes]) -> dict[bytes, Vector]:
        """The vectors that are there. One round trip for each 500."""
        found: dict[bytes, Vector] = {}
        if not self._most:
            return found
        try:
            async with self._pool.connection() as connection:
                for at in range(0, len(digests), _PAGE):
                    asked = (account.organization_id, account.project_id, list(digests[at : at + _PAGE]))
                    rows = await (await connection.execute(_FIND, asked, binary=True)).fetchall()
                    found.update((digest, Vector(vector)) for digest, vector in rows)
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            log.warning("embeddings.cache_away", error_type=type(error).__name__)
        return found

    async def keep(self, account: Account, vectors: Mapping[bytes, Vector]) -> None:
        """Keep vectors by their digests. One round trip for each 500."""
        if not self._most:
            return
        digests = list(vectors)
        try:
            async with self._pool.connection() as connection:
                for at in range(0, len(digests), _PAGE):
                    page = digests[at : at + _PAGE]
                    kept = (account.organization_id, account.project_id, page, [vectors[digest] for digest in page])
                    await connection.execute(_KEEP, kept)
        except (psycopg.Error, psycopg_pool.PoolTimeout) as error:
            log.warning("embeddings.cache_away", error_type=type(error).__name__)

    async def tidy(self) -> None:
        """Forget what is over the bound, or was not asked for in `KEPT_DAYS`. Raises `psycopg.Error`."""
        async with self._pool.connection() as connection:
            await connection.execute(_TIDY, (self._most, KEPT_DAYS))
