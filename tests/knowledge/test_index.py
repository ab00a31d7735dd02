"""The lexical index: what is found is what BM25's formula says, at every moment."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection

from ali.features.knowledge.analysis import TermGroup
from ali.features.knowledge.index import Candidates, Document, Merger, StoreGone, write
from ali.features.knowledge.index.writing import SEGMENT_CHUNKS
from ali.kernel.db import make_pool
from ali.kernel.ids import uuid7
from ali.kernel.telemetry import Metrics
from tests.fixtures.database import Tenant, make_tenant
from tests.knowledge.shelf import Oracle, Shelf, Words, find, one, prepared

QUERIES = (
    (one(3), one(17), one(-5, weight=0.25)),
    (one(1),),
    (TermGroup(terms=(2, 4), weight=1.0), TermGroup(terms=(1, 9999), weight=1.6), one(8)),
    (one(10**12),),
)
SEGMENTS = "select id from ali.segment where vector_store_id = %(store)s"
POSTED = """
select distinct unnest(p.numbers) from ali.posting p join ali.segment s on s.id = p.segment_id
where s.vector_store_id = %(store)s
"""
POSTED_TERMS = """
select p.segment_id, p.term, p.numbers, p.weights from ali.posting p join ali.segment s on s.id = p.segment_id
where s.vector_store_id = %(store)s order by 1, 2
"""
GONE = "update ali.vector_store set state = 'gone' where id = %(store)s"
KILL = "select pg_terminate_backend(%(process)s)"
DOCUMENTS = "select id, first_number from ali.store_document where vector_store_id = %s and state = 'ready'"


@pytest.fixture
def shelf(tenant: Tenant) -> Shelf:
    return Shelf(tenant=tenant).make()


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a test that fails must fail again


def some_chunks(rng: random.Random, count: int, *, vocabulary: int = 60) -> list[Words]:
    """Chunks whose terms are some common and most rare, with negative ones as hashes are."""
    return [
        {
            int(vocabulary ** rng.random()) * (1 if rng.random() < 0.8 else -1): min(15, int(rng.expovariate(0.7)) + 1)
            for _ in range(rng.randint(1, 30))
        }
        for _ in range(count)
    ]


def agrees(found: Candidates, oracle: Oracle, groups: Sequence[TermGroup], *, most: int = 100) -> None:
    """The candidates are the best there are, with the right scores, and so are the statistics."""
    expected = oracle.scores(*groups)
    assert len(found.found) == min(most, len(expected))
    scores = [each.bm25 for each in found.found]
    assert scores == pytest.approx(sorted(expected.values(), reverse=True)[:most])
    for candidate, (_, number) in zip(found.found, found.chunks, strict=True):
        assert candidate.bm25 == pytest.approx(expected[number])
        assert candidate.words == oracle.chunks[number][1]
    if expected:
        assert found.statistics.chunks == len(oracle.chunks)
        assert found.statistics.words == sum(length for _, length in oracle.chunks.values())
        assert found.statistics.frequencies == tuple(map(oracle.frequency, groups))


async def test_candidates_are_those_that_score_highest_by_the_formula(shelf: Shelf) -> None:
    rng, oracle = seeded(1), Oracle()
    for _ in range(12):
        chunks = some_chunks(rng, rng.randint(1, 20))
        oracle.add((await shelf.add(chunks)).first_number, chunks)
    for groups in QUERIES:
        agrees(await shelf.candidates(*groups), oracle, groups)
        agrees(await shelf.candidates(*groups, most=7), oracle, groups, most=7)


async def test_what_has_no_term_of_a_query_is_not_found_and_an_empty_store_finds_nothing(shelf: Shelf) -> None:
    assert (await shelf.candidates(one(1))).found == ()
    await shelf.add([{1: 1}, {2: 1}])
    assert [number for _, number in (await shelf.candidates(one(2))).chunks] == [1]
    assert (await shelf.candidates(one(3))).found == ()


async def test_removed_documents_leave_frequencies_and_the_mean_length_exact_before_and_after_merges(
    shelf: Shelf,
) -> None:
    rng, oracle = seeded(2), Oracle()
    written = []
    for _ in range(30):
        chunks = some_chunks(rng, rng.randint(1, 12))
        written.append(await shelf.add(chunks))
        oracle.add(written[-1].first_number, chunks)
    for each in rng.sample(written, 9):
        assert await shelf.remove(each.document_id)
        assert not await shelf.remove(each.document_id)
        oracle.remove(each.first_number, each.chunks)
        for groups in QUERIES:
            agrees(await shelf.candidates(*groups), oracle, groups)
    assert await shelf.merge()
    for groups in QUERIES:
        agrees(await shelf.candidates(*groups), oracle, groups)
    living = {
        number for (number,) in await shelf.rows("select number from ali.store_chunk where vector_store_id = %(store)s")
    }
    assert living == oracle.chunks.keys()


async def test_merges_leave_few_segments_and_nothing_of_what_is_gone(shelf: Shelf) -> None:
    rng, oracle = seeded(3), Oracle()
    written = []
    for _ in range(100):
        chunks = some_chunks(rng, rng.randint(1, 3))
        written.append(await shelf.add(chunks))
        oracle.add(written[-1].first_number, chunks)
    await shelf.merge()
    assert len(await shelf.rows(SEGMENTS)) < 20
    for each in written[::2]:
        await shelf.remove(each.document_id)
        oracle.remove(each.first_number, each.chunks)
    await shelf.merge()
    assert await shelf.rows(
        "select count(*) from ali.store_document where vector_store_id = %(store)s and state = 'gone'"
    ) == [(0,)]
    assert {number for (number,) in await shelf.rows(POSTED)} == oracle.chunks.keys()
    for groups in QUERIES:
        agrees(await shelf.candidates(*groups), oracle, groups)
    for each in written[1::2]:
        await shelf.remove(each.document_id)
    await shelf.merge()
    assert [await shelf.rows(SEGMENTS), await shelf.rows(POSTED)] == [[], []]
    assert await shelf.rows("select chunks, words, merge_due from ali.vector_store where id = %(store)s") == [
        (0, 0, False)
    ]


async def test_what_was_removed_is_out_of_the_postings_a_day_later(shelf: Shelf) -> None:
    written = [await shelf.add([{1: 1}] * (1 if number == 3 else 6)) for number in range(8)]
    assert await shelf.merge() == 1
    await shelf.remove(written[3].document_id)
    assert await shelf.merge() == 0, "so little is not worth writing a segment anew"
    assert len(await shelf.rows(POSTED)) == 43
    await shelf.rows(
        "update ali.store_document set gone_at = gone_at - interval '25 hours' where vector_store_id = %(store)s"
    )
    assert await shelf.rows(
        "select %(store)s in (select ali.stores_to_merge(%(nobody)s, 1000))", nobody=UUID(int=0)
    ) == [(True,)]
    assert await shelf.merge() == 1
    assert len(await shelf.rows(POSTED)) == 42


async def test_additions_removals_merges_and_searches_at_once_are_exact_at_every_moment(shelf: Shelf) -> None:
    """Each search compares itself with the formula over the documents that its own snapshot shows."""
    rng = seeded(4)
    contents: dict[UUID, list[Words]] = {}
    living: list[UUID] = []
    searches = 0

    async def add() -> None:
        for _ in range(25):
            document, chunks = uuid7(), some_chunks(rng, rng.randint(1, 15))
            contents[document] = chunks
            await shelf.add(chunks, document_id=document)
            living.append(document)

    async def take_away() -> None:
        for _ in range(40):
            await asyncio.sleep(rng.random() / 20)
            if living:
                assert await shelf.remove(living.pop(rng.randrange(len(living))))

    async def merge() -> None:
        while not done.is_set():
            await shelf.merge()
            await asyncio.sleep(rng.random() / 50)

    async def search() -> None:
        nonlocal searches
        while not done.is_set():
            groups = rng.choice(QUERIES)
            async with shelf.entered(snapshot=True) as connection:
                found = await find(connection, [shelf.id], groups)
                documents = await (await connection.execute(DOCUMENTS, (shelf.id,))).fetchall()
            oracle = Oracle()
            for document, first_number in documents:
                oracle.add(first_number, contents[document])
            agrees(found, oracle, groups)
            searches += 1

    done = asyncio.Event()
    background = [asyncio.create_task(each()) for each in (merge, merge, search, search)]
    await asyncio.gather(add(), add(), add(), take_away())
    done.set()
    await asyncio.gather(*background)
    assert searches > 20
    await shelf.merge()
    oracle = Oracle()
    for document, first_number in await shelf.rows(
        "select id, first_number from ali.store_document where vector_store_id = %(store)s and state = 'ready'"
    ):
        oracle.add(first_number, contents[document])
    for groups in QUERIES:
        agrees(await shelf.candidates(*groups), oracle, groups)


async def test_a_search_during_a_merge_sees_what_it_saw_before_and_a_merge_that_dies_changes_nothing(
    shelf: Shelf,
) -> None:
    rng, oracle = seeded(6), Oracle()
    for _ in range(8):
        chunks = some_chunks(rng, 5)
        oracle.add((await shelf.add(chunks)).first_number, chunks)
    before = await shelf.rows(POSTED_TERMS)
    async with await AsyncConnection.connect(shelf.dsn) as merging:
        assert await (await merging.execute("select ali.merge_segments(%s)", (shelf.id,))).fetchone() == (8,)
        for groups in QUERIES:
            agrees(await shelf.candidates(*groups), oracle, groups)
        assert await shelf.merge() == 0, "another merge leaves the segments to the one that has them"
        chunks = some_chunks(rng, 2)
        oracle.add((await asyncio.wait_for(shelf.add(chunks), 5)).first_number, chunks)
        await shelf.rows(KILL, process=merging.info.backend_pid)  # the process is no more
        with pytest.raises(psycopg.OperationalError):
            await merging.execute("select 1")
    after = await shelf.rows(POSTED_TERMS)
    assert all(row in after for row in before)
    assert len(await shelf.rows(SEGMENTS)) == 9
    assert await shelf.merge() == 1
    for groups in QUERIES:
        agrees(await shelf.candidates(*groups), oracle, groups)


async def test_a_document_whose_writer_is_killed_is_not_there_and_can_be_written_again(shelf: Shelf) -> None:
    content: list[Words] = [{1: 2}, {2: 1}]
    connection = await AsyncConnection.connect(shelf.dsn)
    await shelf.enter(connection)
    await write(
        connection,
        store=shelf.id,
        document=Document(id=uuid7(), digest=b"d" * 32, chunking="auto"),
        prepared=[prepared(each) for each in content],
    )
    await shelf.rows(KILL, process=connection.info.backend_pid)
    with pytest.raises(psycopg.OperationalError):
        await connection.commit()
    await connection.close()
    assert [await shelf.rows(SEGMENTS), await shelf.rows(POSTED)] == [[], []]
    written = await shelf.add(content)
    assert (written.first_number, written.fresh) == (0, True)
    assert len((await shelf.candidates(one(1), one(2))).found) == 2


async def test_equal_content_cut_the_same_way_is_indexed_once_even_when_it_arrives_twice_at_once(shelf: Shelf) -> None:
    written = await asyncio.gather(*(shelf.add([{1: 1}, {2: 2}], content="the same") for _ in range(5)))
    assert sorted(each.fresh for each in written) == [False] * 4 + [True]
    assert len({each.document_id for each in written}) == 1
    assert {(each.first_number, each.chunks, each.words) for each in written} == {(0, 2, 3)}
    assert len((await shelf.candidates(one(1))).found) == 1
    await shelf.remove(written[0].document_id)
    assert (await shelf.add([{1: 1}, {2: 2}], content="the same")).fresh


async def test_documents_of_many_segments_and_of_no_chunks_are_written_and_removed(shelf: Shelf) -> None:
    past_16_bits = "update ali.vector_store set next_number = 32000 where id = %(store)s"
    await shelf.rows(past_16_bits)
    large = await shelf.add([{1: 1, 5 + number: 1} for number in range(2 * SEGMENT_CHUNKS + 5)])
    empty = await shelf.add([])
    small = await shelf.add([{1: 3}])
    assert len(await shelf.rows(SEGMENTS)) == 4
    assert (empty.chunks, small.first_number) == (0, 32_000 + large.chunks)
    assert [number for _, number in (await shelf.candidates(one(5 + 2 * SEGMENT_CHUNKS))).chunks] == [
        32_000 + 2 * SEGMENT_CHUNKS
    ]
    assert await shelf.remove(empty.document_id)
    assert await shelf.remove(large.document_id)
    await shelf.merge()
    assert await shelf.rows(POSTED) == [(small.first_number,)]


async def test_counts_and_lengths_are_capped_and_not_wrapped(shelf: Shelf) -> None:
    async with shelf.entered() as connection:
        await write(
            connection,
            store=shelf.id,
            document=Document(id=uuid7(), digest=b"d" * 32, chunking="auto"),
            prepared=[prepared({1: 15}, length=9_000), prepared({1: 99}, length=2047)],
        )
    found = await shelf.candidates(one(1))
    assert found.found[0].bm25 == found.found[1].bm25
    assert {each.words for each in found.found} == {9_000, 2047}


async def test_common_terms_alone_are_not_unpacked_where_rarer_ones_find_enough(shelf: Shelf) -> None:
    """Beyond the budget the common terms still add to the score of what the rare ones find."""
    chunks: list[Words] = [{1: 1 + number % 3, **({2: 1} if number % 3 == 0 else {})} for number in range(1500)]
    oracle = Oracle()
    oracle.add((await shelf.add(chunks)).first_number, chunks)
    groups = [one(1), one(2)]
    agrees(await shelf.candidates(*groups, most=20, exact_postings=500), oracle, groups, most=20)
    alone = await shelf.candidates(one(1), one(10**6), most=20, exact_postings=1)
    assert len(alone.found) == 20, "however common, when there is nothing else it is looked for"


async def test_other_tenants_stores_are_not_searched_and_not_written_into(shelf: Shelf, worker_dsn: str) -> None:
    await shelf.add([{1: 1}])
    stranger = Shelf(tenant=make_tenant(worker_dsn)).make()
    async with stranger.entered() as connection:
        assert (await find(connection, [shelf.id], [one(1)])).found == ()
        with pytest.raises(StoreGone):
            await write(
                connection,
                store=shelf.id,
                document=Document(id=uuid7(), digest=b"d" * 32, chunking="auto"),
                prepared=[prepared({1: 1})],
            )
    assert len((await shelf.candidates(one(1), also=[stranger])).found) == 1


async def test_several_stores_are_one_collection(shelf: Shelf) -> None:
    rng, oracle = seeded(7), Oracle()
    other = Shelf(tenant=shelf.tenant).make()
    for each, base in ((shelf, 0), (other, 1_000_000)):
        for _ in range(3):
            chunks = some_chunks(rng, 9)
            oracle.add(base + (await each.add(chunks)).first_number, chunks)
    for groups in QUERIES:
        found = await shelf.candidates(*groups, also=[other])
        as_one = [(shelf.id, number + (1_000_000 if store == other.id else 0)) for store, number in found.chunks]
        agrees(replace(found, chunks=tuple(as_one)), oracle, groups)


async def test_a_store_that_is_gone_is_cleared_in_steps(shelf: Shelf) -> None:
    await shelf.add([{number: 1, 1: 1} for number in range(2, 30)])
    assert await shelf.rows("select ali.clear_index(%(store)s, 10)") == [(0,)], "it is not gone yet"
    await shelf.rows(GONE)
    steps = [1]
    while steps[-1]:
        steps += [each for (each,) in await shelf.rows("select ali.clear_index(%(store)s, 10)")]
    assert max(steps) <= 10
    assert await shelf.rows(SEGMENTS) == []
    with pytest.raises(StoreGone):
        await shelf.add([{1: 1}])


async def test_the_chore_merges_every_store_that_is_due(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(9):
        await shelf.add([{number: 1}])
    pool, metrics = make_pool(shelf.dsn, size=1), Metrics()
    await pool.open()
    assert await Merger(pool, metrics=metrics).sweep() >= 1
    await pool.close()
    assert len(await shelf.rows(SEGMENTS)) == 2
    assert await shelf.rows("select merge_due from ali.vector_store where id = %(store)s") == [(False,)]
