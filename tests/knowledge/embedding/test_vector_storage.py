"""Vectors in PostgreSQL: filters and tenants never shorten or leak, and a large store gets an index unseen."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from ali.features.knowledge.embedding.shelving import Shelving
from ali.features.knowledge.embedding.store import Similar, VectorStorage, read_similar
from ali.features.knowledge.embedding.vector import Vector, packed, unpacked
from ali.kernel.db import Pool, make_pool
from ali.kernel.ids import uuid7
from ali.kernel.service_role import SERVICE_ROLE, with_role
from tests.fixtures.database import Tenant, make_tenant

DIMENSIONS = 16


def some_vectors(count: int, seed: int = 1) -> list[Vector]:
    chance = random.Random(seed)  # noqa: S311 - test data
    return [packed([chance.gauss(0, 1) for _ in range(DIMENSIONS)]) for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Ground:
    """A tenant's way to vectors, as the service's role."""

    tenant: Tenant
    pool: Pool
    storage: VectorStorage

    async def store(self, vectors: list[Vector | None], *, documents: int = 1) -> tuple[UUID, list[UUID]]:
        """A store with as many chunks in so many documents, and the documents."""
        store, size = uuid7(), len(vectors) // documents
        made = [uuid7() for _ in range(documents)]
        with psycopg.connect(self.tenant.dsn) as owner:
            tenancy = (self.tenant.organization_id, self.tenant.project_id)
            owner.execute(
                "insert into ali.vector_store (id, organization_id, project_id, name, next_number)"
                " values (%s, %s, %s, 'V', %s)",
                (store, *tenancy, len(vectors)),
            )
            for place, document in enumerate(made):
                owner.execute(
                    "insert into ali.store_document (id, vector_store_id, organization_id, project_id, digest,"
                    " chunking, first_number, chunks, words, size_bytes)"
                    " values (%s, %s, %s, %s, %s, 'auto', %s, %s, 0, 0)",
                    (document, store, *tenancy, document.bytes, place * size, size),
                )
                owner.execute(
                    "insert into ali.store_chunk (vector_store_id, number, organization_id, project_id, document_id,"
                    " position, text, place, words, signature)"
                    " select %s, %s + n, %s, %s, %s, n, '', '', 1, '' from generate_series(0, %s) n",
                    (store, place * size, *tenancy, document, size - 1),
                )
        for place, document in enumerate(made):
            async with self.pool.connection() as connection, connection.transaction():
                await self.enter(connection)
                await self.storage.write(
                    connection,
                    store=store,
                    document=document,
                    vectors=vectors[place * size : (place + 1) * size],
                    space=await self.storage.space(),
                )
        return store, made

    async def enter(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        await connection.execute(
            "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true)",
            (str(self.tenant.organization_id), str(self.tenant.project_id)),
        )

    async def similar(
        self,
        query: Vector,
        *stores: UUID,
        allowed: str | None = None,
        barred: str = "{}",
        wanted: tuple[int, ...] = (),
        at_most: int = 10,
        exact_up_to: int = 50_000,
    ) -> list[Similar]:
        scope = sql.SQL(
            "scope as (select %s::uuid[] as stores, array_fill(%s::int4multirange, %s) as allowed,"
            " array_fill(%s::int4multirange, %s) as barred)"
        )
        values = [list(stores), allowed, [len(stores)], barred, [len(stores)]]
        async with self.pool.connection() as connection, connection.transaction():
            await self.enter(connection)
            cursor = await self.storage.similar(
                *(connection, query),
                scope=(sql.Composed([scope]), values),
                wanted=[(stores[0], number) for number in wanted],
                space=await self.storage.space(),
                at_most=at_most,
                exact_up_to=exact_up_to,
            )
            return await read_similar(cursor)

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.tenant.dsn) as owner:
            return owner.execute(statement.encode()).fetchall()


@pytest.fixture
async def ground(database_dsn: str) -> AsyncIterator[Ground]:
    tenant = make_tenant(database_dsn)
    pool = make_pool(with_role(database_dsn, SERVICE_ROLE), size=2)
    await pool.open()
    yield Ground(tenant, pool, VectorStorage(pool, model="a model"))
    await pool.close()


def nearest(vectors: list[Vector], query: Vector, numbers: list[int], count: int = 10) -> list[int]:
    asked = unpacked(query)

    def likeness(number: int) -> float:
        return sum(one * other for one, other in zip(asked, unpacked(vectors[number]), strict=True))

    return sorted(numbers, key=likeness, reverse=True)[:count]


def numbers(found: list[Similar]) -> list[int]:
    return [each.number for each in sorted(found, key=lambda each: -each.similarity)]


async def test_the_nearest_are_found_within_whatever_may_be_found(ground: Ground) -> None:
    vectors = some_vectors(300)
    store, _ = await ground.store([*vectors], documents=3)
    (query,) = some_vectors(1, seed=2)
    for allowed, barred, may in (
        (None, "{}", range(300)),
        (None, "{[0,250)}", range(250, 300)),
        ("{[10,20),[100,130),[295,300)}", "{}", [*range(10, 20), *range(100, 130), *range(295, 300)]),
        ("{[10,20),[100,130)}", "{[105,200)}", [*range(10, 20), *range(100, 105)]),
        ("{[7,10)}", "{}", [7, 8, 9]),
        ("{}", "{}", []),
        (None, "{(,)}", []),
    ):
        found = await ground.similar(query, store, allowed=allowed, barred=barred)
        assert numbers(found) == nearest(vectors, query, list(may)), (allowed, barred)


async def test_wanted_chunks_are_told_of_too_and_the_store_on_the_whole(ground: Ground) -> None:
    vectors = some_vectors(200)
    store, _ = await ground.store([*vectors])
    (query,) = some_vectors(1, seed=3)
    best = nearest(vectors, query, list(range(200)), 200)
    far = best[-1]
    found = await ground.similar(query, store, wanted=(far, best[0], 7_000), at_most=5)
    assert {each.number for each in found} == {*best[:5], far}
    assert len(found) == 6
    assert {(each.mean, each.deviation) for each in found} == {(found[0].mean, found[0].deviation)}
    assert abs(found[0].mean) < 0.15
    assert found[0].deviation == pytest.approx(DIMENSIONS**-0.5, rel=0.4)


async def test_another_tenants_store_and_another_models_vectors_have_nothing(ground: Ground) -> None:
    vectors = some_vectors(20)
    store, _ = await ground.store([*vectors])
    other = Ground(make_tenant(ground.tenant.dsn), ground.pool, ground.storage)
    assert await other.similar(vectors[0], store, wanted=(0,)) == []
    elsewhere = Ground(ground.tenant, ground.pool, VectorStorage(ground.pool, model="another"))
    assert await elsewhere.similar(vectors[0], store) == []
    assert await ground.similar(packed([1.0, 2.0]), store) == []


async def test_vectors_of_other_dimensions_are_not_mixed_in_and_leave_a_task(ground: Ground) -> None:
    store, _ = await ground.store([*some_vectors(5)])
    await ground.store([packed([1.0, 2.0])])
    (query,) = some_vectors(1)
    assert len(await ground.similar(query, store)) == 5
    assert ground.rows("select count(*) from ali.embedding_task") == [(1,)]


async def test_a_store_whose_chunks_lack_vectors_leaves_a_task_for_each_document(ground: Ground) -> None:
    vectors: list[Vector | None] = [*some_vectors(10)]
    vectors[3] = None
    store, documents = await ground.store(vectors, documents=2)
    assert ground.rows("select document_id from ali.embedding_task") == [(documents[0],)]
    assert ground.rows("select count(*) from ali.store_document where embedded_by is not null") == [(1,)]
    assert len(await ground.similar(some_vectors(1)[0], store)) == 9


async def test_a_large_store_gets_an_index_and_is_searched_whole_on_the_way_there(ground: Ground) -> None:
    vectors, small = some_vectors(600), some_vectors(40, seed=5)
    beside, _ = await ground.store([*small])
    store, documents = await ground.store([*vectors], documents=3)
    (query,) = some_vectors(1, seed=2)
    best = nearest(vectors, query, list(range(600)))
    shelving = Shelving(ground.pool, exact_up_to=500)
    for _ in range(2):  # the shelf is taken, then 200 vectors go there
        async with ground.pool.connection() as connection:
            await connection.execute("select ali.shelve_vectors(500, 200)")
    assert ground.rows("select state from ali.store_vectors order by state") == [("moving",), ("shared",)]
    assert numbers(await ground.similar(query, store, exact_up_to=0)) == best
    assert await shelving.sweep() == 400
    assert ground.rows("select state, shelf > 0 from ali.store_vectors order by state") == [
        ("own", True),
        ("shared", False),
    ]
    assert await shelving.sweep() == 0
    by_index = await ground.similar(query, store, exact_up_to=500)
    assert len(set(numbers(by_index)) & set(best)) >= 9
    assert numbers(await ground.similar(small[0], beside)) == nearest(small, small[0], list(range(40)))
    few = await ground.similar(query, store, allowed="{[0,3),[597,600)}", exact_up_to=2)
    assert numbers(few) == nearest(vectors, query, [0, 1, 2, 597, 598, 599]), "a filter shortens nothing"
    filtered = await ground.similar(query, store, allowed="{[0,100),[300,400)}", exact_up_to=2)
    right = nearest(vectors, query, [*range(100), *range(300, 400)])
    assert len(filtered) == 10
    assert len(set(numbers(filtered)) & set(right)) >= 9
    with psycopg.connect(ground.tenant.dsn) as owner:
        owner.execute("update ali.store_document set state = 'gone' where id = %s", (documents[0],))
    assert min(numbers(await ground.similar(query, store, exact_up_to=500, at_most=50))) >= 200
    assert ground.rows("select count(*) from ali.chunk_vector where shelf > 0") == [(400,)]


async def test_a_shelf_is_closed_to_the_service_and_goes_to_the_next_store(ground: Ground) -> None:
    store, _ = await ground.store([*some_vectors(30)])
    shelving = Shelving(ground.pool, exact_up_to=20)
    await shelving.sweep()
    ((shelf,),) = ground.rows("select shelf from ali.store_vectors")
    async with ground.pool.connection() as connection:
        table = sql.Identifier("ali", f"chunk_vector_{shelf}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(sql.SQL("select * from {}").format(table))
    walled = "select bool_and(relrowsecurity and relforcerowsecurity) from pg_class where relname like 'chunk_vector_%'"
    assert ground.rows(f"{walled} and relkind = 'r'") == [(True,)]
    with psycopg.connect(ground.tenant.dsn) as owner:
        owner.execute("delete from ali.store_chunk where vector_store_id = %s", (store,))
        owner.execute("delete from ali.store_document where vector_store_id = %s", (store,))
        owner.execute("delete from ali.vector_store where id = %s", (store,))
    assert ground.rows("select count(*) from ali.chunk_vector") == [(0,)]
    assert ground.rows("select free from ali.vector_shelf") == [(True,)]
    vectors = some_vectors(30, seed=9)
    second, _ = await ground.store([*vectors])
    await shelving.sweep()
    assert ground.rows("select shelf from ali.store_vectors") == [(shelf,)]
    found = await ground.similar(vectors[0], second, exact_up_to=0)
    assert numbers(found)[0] == 0
