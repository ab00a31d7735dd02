"""`./run bench knowledge --vectors`: what a filtered search by vectors finds, and how fast.

Several tenants share a table. Vectors are made with the standard library: clusters, as topics are, and noise around
their centres; questions are made likewise. The truth is computed here, in 64-bit floats.
"""

import random
from array import array
from dataclasses import dataclass
from operator import mul
from statistics import mean, quantiles
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.types.multirange import Int4Multirange
from psycopg.types.range import Range

from ali.features.knowledge.embedding.shelving import Shelving
from ali.features.knowledge.embedding.store import EXACT_UP_TO, VectorStorage, read_similar
from ali.features.knowledge.embedding.vector import Vector, packed, unpacked
from ali.kernel.db import Pool, make_pool
from ali.kernel.ids import uuid7

TENANTS: Final = (20, 7_000, 40_000, 60_000)
"""Chunks; the last is above `EXACT_UP_TO`, and gets an index."""
DIMENSIONS: Final = 384
_TOPICS: Final = 300
_QUESTIONS: Final = 20
_DOCUMENT: Final = 10
"""Chunks of a document: what a filter admits are whole ones."""
_FILTERS: Final = {"all": 1, "every second document": 2, "every tenth document": 10}
_RECALL: Final = 0.99
_WRITTEN_AT_ONCE: Final = 1_000
_SCOPE: Final = sql.SQL(
    "scope as (select array[%s]::uuid[] as stores, array[%s::int4multirange] as allowed,"
    " array[null::int4multirange] as barred)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Searches of one tenant under one filter. `fewest`: results of the search that had the fewest, of ten wanted."""

    chunks: int
    admitted: str
    by_index: bool
    p50_ms: float
    p95_ms: float
    recall: float
    fewest: int

    @property
    def is_goal(self) -> bool:
        """Whether the issue names it."""
        return self.chunks in TENANTS[:3]

    @property
    def reached(self) -> bool:
        """Whether it is good enough."""
        return self.recall >= _RECALL


@dataclass(frozen=True, slots=True)
class _Tenant:
    organization_id: UUID
    project_id: UUID
    store: UUID
    vectors: list[Vector]


class _Topics:
    """Makes vectors. Noise is cut from a long strip of random numbers: drawing each anew would take minutes."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a corpus
        self._noise = array("f", [self._chance.gauss(0, 1) for _ in range(500_000)])
        self._centres = [self._strip() for _ in range(_TOPICS)]

    def _strip(self) -> "array[float]":
        at = self._chance.randrange(len(self._noise) - DIMENSIONS)
        return self._noise[at : at + DIMENSIONS]

    def vector(self) -> Vector:
        """One about a random topic: as near to its centre as two passages on one topic are to each other."""
        centre = self._chance.choice(self._centres)
        return packed([about + own for about, own in zip(centre, self._strip(), strict=True)])


async def measure(owner_dsn: str, service_dsn: str) -> list[Found]:
    """Fill stores of all sizes, have the largest indexed, and search in each."""
    topics = _Topics(seed=5)
    pool = make_pool(service_dsn, size=2)
    await pool.open()
    storage = VectorStorage(pool, model="of the benchmark")
    tenants = [await _fill(owner_dsn, pool, storage, [topics.vector() for _ in range(size)]) for size in TENANTS]
    await Shelving(pool).sweep()
    with psycopg.connect(owner_dsn, autocommit=True) as owner:
        owner.execute("vacuum analyze ali.chunk_vector")
    questions = [topics.vector() for _ in range(_QUESTIONS)]
    found = [each for tenant in tenants for each in await _searched(pool, storage, tenant, questions)]
    await pool.close()
    return found


async def _fill(owner_dsn: str, pool: Pool, storage: VectorStorage, vectors: list[Vector]) -> _Tenant:
    tenant = _Tenant(uuid7(), uuid7(), uuid7(), vectors)
    document, size = uuid7(), len(vectors)
    tenancy = (tenant.organization_id, tenant.project_id)
    with psycopg.connect(owner_dsn) as owner:
        owner.execute(
            "insert into ali.vector_store (id, organization_id, project_id, name, next_number)"
            " values (%s, %s, %s, 'Bench', %s)",
            (tenant.store, *tenancy, size),
        )
        owner.execute(
            "insert into ali.store_document (id, vector_store_id, organization_id, project_id, digest, chunking,"
            " first_number, chunks, words, size_bytes) values (%s, %s, %s, %s, '', 'auto', 0, %s, 0, 0)",
            (document, tenant.store, *tenancy, size),
        )
        owner.execute(
            "insert into ali.store_chunk (vector_store_id, number, organization_id, project_id, document_id, position,"
            " text, place, words, signature)"
            " select %s, n, %s, %s, %s, n, '', '', 150, decode(repeat('0', 1500), 'hex')"
            " from generate_series(0, %s) n",
            (tenant.store, *tenancy, document, size - 1),
        )
    space = await storage.space()
    for first in range(0, size, _WRITTEN_AT_ONCE):
        some = list(enumerate(vectors[first : first + _WRITTEN_AT_ONCE], first))
        async with pool.connection() as connection, connection.transaction():
            await _enter(connection, tenant)
            await storage.add(
                connection,
                store=tenant.store,
                document=document,
                vectors=some,
                space=space,
                whole=first + len(some) == size,
            )
    return tenant


async def _searched(pool: Pool, storage: VectorStorage, tenant: _Tenant, questions: list[Vector]) -> list[Found]:
    size = len(tenant.vectors)
    numbers = [unpacked(vector) for vector in tenant.vectors]
    truths = [
        sorted(range(size), key=[-sum(map(mul, asked, each)) for each in numbers].__getitem__)
        for asked in map(unpacked, questions)
    ]
    found = []
    for admitted, step in _FILTERS.items():
        times, recalls, fewest = [], [], size
        for question, truth in zip(questions, truths, strict=True):
            began = perf_counter()
            got = await _nearest(pool, storage, tenant, question, step)
            times.append((perf_counter() - began) * 1000)
            right = [number for number in truth if number // _DOCUMENT % step == 0][:10]
            recalls.append(len(set(got[:10]) & set(right)) / len(right))
            fewest = min(fewest, len(got[:10]))
        cuts = quantiles(times, n=20)
        found.append(
            Found(
                chunks=size,
                admitted=admitted,
                by_index=size > EXACT_UP_TO and size // step > EXACT_UP_TO,
                p50_ms=cuts[9],
                p95_ms=cuts[18],
                recall=mean(recalls),
                fewest=fewest,
            )
        )
    return found


async def _nearest(pool: Pool, storage: VectorStorage, tenant: _Tenant, question: Vector, step: int) -> list[int]:
    """The numbers that a search finds, the nearest first; a hundred are asked for, as a search does."""
    allowed = None
    if step > 1:
        starts = range(0, len(tenant.vectors), _DOCUMENT * step)
        allowed = Int4Multirange([Range(start, start + _DOCUMENT) for start in starts])
    async with pool.connection() as connection, connection.transaction():
        await _enter(connection, tenant)
        cursor = await storage.similar(
            *(connection, question),
            scope=(sql.Composed([_SCOPE]), [tenant.store, allowed]),
            wanted=(),
            space=await storage.space(),
            at_most=100,
        )
        similar = await read_similar(cursor)
    return [each.number for each in sorted(similar, key=lambda each: -each.similarity)]


async def _enter(connection: AsyncConnection[Any], tenant: _Tenant) -> None:
    await connection.execute(
        "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true)",
        (str(tenant.organization_id), str(tenant.project_id)),
    )


def render(found: list[Found]) -> str:
    """The figures as Markdown."""
    lines = [
        (
            f"Vectors of {DIMENSIONS} dimensions; the stores of {len(TENANTS)} tenants in one table. Recall of the ten"
            f" nearest against 64-bit floats, {_QUESTIONS} questions each; goal: {_RECALL:.2f} for"
            f" {', '.join(f'{size:,}' for size in TENANTS[:3])} chunks."
        ),
        "",
        "| chunks of the tenant | may be found | how | p50 ms | p95 ms | recall@10 | fewest of ten | reached |",
        "|---:|---|---|---:|---:|---:|---:|---|",
    ]
    for each in found:
        how = "index" if each.by_index else "exact"
        reached = ("yes" if each.reached else "no") if each.is_goal else ""
        lines.append(
            f"| {each.chunks:,} | {each.admitted} | {how} | {each.p50_ms:.1f} | {each.p95_ms:.1f}"
            f" | {each.recall:.3f} | {each.fewest} | {reached} |"
        )
    return "\n".join(lines)
