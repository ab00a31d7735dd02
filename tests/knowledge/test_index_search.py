"""Searching from end to end: texts in, passages out, of the files that are there and that a filter admits."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from ali.features.knowledge.analysis import index_terms
from ali.features.knowledge.chunk import Chunk, Found, Prepared, Span
from ali.features.knowledge.filters import read_filter
from ali.features.knowledge.index import Document, index_key, write
from ali.features.knowledge.retrieval import Searcher
from ali.kernel.db import Pool, make_pool
from ali.kernel.ids import uuid7
from ali.kernel.telemetry import Metrics
from bench.responses.wire import Counts, counted
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant
from tests.knowledge.shelf import Shelf

SECRET = HMAC_SECRET.encode()


@pytest.fixture
def shelf(tenant: Tenant) -> Shelf:
    return Shelf(tenant=tenant).make()


@pytest.fixture
async def pool(shelf: Shelf) -> AsyncIterator[Pool]:
    opened = make_pool(shelf.dsn, size=2)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def searcher(pool: Pool) -> Searcher:
    return Searcher(pool, hmac_secret=SECRET, metrics=Metrics())


def passage(text: str, **fields: Any) -> Chunk:  # noqa: ANN401 - the fields of a chunk
    return Chunk(text=text, spans=(Span(at=0, page=2, start=10, end=10 + len(text)),), language="pt", **fields)


async def add_file(shelf: Shelf, *passages: Chunk, name: str = "lei.pdf", **attributes: str | float | bool) -> UUID:
    """Put a file of `passages` into the store, as ingestion does."""
    key = index_key(SECRET, project_id=shelf.tenant.project_id)
    content = hashlib.sha256("\n".join(each.text for each in passages).encode()).digest()
    file_id = uuid7()
    async with shelf.entered() as connection:
        written = await write(
            connection,
            store=shelf.id,
            document=Document(id=uuid7(), digest=content, chunking="auto", pages=3),
            prepared=[Prepared(chunk=each, analysed=index_terms(each, key=key)) for each in passages],
        )
        tenant = (shelf.tenant.organization_id, shelf.tenant.project_id)
        await connection.execute(
            "insert into ali.file (id, organization_id, project_id, purpose, name, object_name, state)"
            " values (%s, %s, %s, 'assistants', %s, %s, 'ready')",
            (file_id, *tenant, name.encode(), file_id.hex),
        )
        await connection.execute(
            "insert into ali.store_file (id, vector_store_id, file_id, organization_id, project_id, document_id,"
            " attributes, chunking, status) values (%s, %s, %s, %s, %s, %s, %s, 'auto', 'completed')",
            (uuid7(), shelf.id, file_id, *tenant, written.document_id, Jsonb(attributes)),
        )
    return file_id


async def search(
    searcher: Searcher,
    shelf: Shelf,
    *queries: str,
    also: Sequence[Shelf] = (),
    **how: Any,  # noqa: ANN401 - as `Searcher.search` takes it
) -> list[Found]:
    return await searcher.search(
        organization_id=shelf.tenant.organization_id,
        project_id=shelf.tenant.project_id,
        vector_store_ids=[shelf.id, *(each.id for each in also)],
        queries=queries,
        **how,
    )


async def test_a_question_finds_the_passage_with_all_that_is_known_of_it(searcher: Searcher, shelf: Shelf) -> None:
    chunk = passage(
        "O servidor público fará jus a trinta dias de férias.",
        headings=("Das Férias",),
        law=("Título III", "Art. 77"),
        articles=((3, ("Título III", "Art. 77", "§ 1º")),),
        table=True,
    )
    other = passage("A licença para tratar de interesses particulares não é remunerada.")
    file_id = await add_file(shelf, other, chunk, name="lei 8.112.pdf", year=1990)
    found = await search(searcher, shelf, "Quantos dias de férias tem o servidor?")
    assert [each.chunk for each in found] == [chunk], "the other has no word of the question"
    best = found[0]
    assert (best.vector_store_id, best.file_id, best.filename) == (shelf.id, file_id, "lei 8.112.pdf")
    assert (best.attributes, best.number, best.position) == ({"year": 1990}, 1, 1)
    assert 0 < best.score <= 1
    assert max(best.scores.values()) > 0


async def test_one_word_of_the_question_is_enough_and_nothing_is_found_for_none(
    searcher: Searcher, shelf: Shelf
) -> None:
    await add_file(shelf, passage("O contrato será rescindido por acordo."))
    assert len(await search(searcher, shelf, "multas de trânsito no contrato de aluguel")) == 1
    assert await search(searcher, shelf, "multas de trânsito") == []
    assert await search(searcher, shelf, "o que é?") == []
    assert await search(searcher, shelf) == []


async def test_of_several_queries_each_finds_its_own_and_a_chunk_is_found_once(
    searcher: Searcher, shelf: Shelf
) -> None:
    await add_file(shelf, passage("Férias de trinta dias."), passage("Licença sem remuneração."))
    found = await search(searcher, shelf, "férias", "licença", "férias de trinta dias")
    assert sorted(each.chunk.text for each in found) == ["Férias de trinta dias.", "Licença sem remuneração."]


async def test_results_are_as_many_as_asked_for_and_score_what_was_asked_for(searcher: Searcher, shelf: Shelf) -> None:
    await add_file(shelf, *(passage(f"Contrato número {number}, {'prazo ' * (number % 3)}") for number in range(20)))
    found = await search(searcher, shelf, "prazo do contrato", limit=5)
    assert len(found) == 5
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    everything = await search(searcher, shelf, "prazo do contrato", limit=50)
    assert len(everything) == 20
    threshold = everything[9].score
    admitted = await search(searcher, shelf, "prazo do contrato", limit=50, score_threshold=threshold)
    assert admitted == [each for each in everything if each.score >= threshold]


async def test_a_filter_never_makes_results_short_however_well_others_match(searcher: Searcher, shelf: Shelf) -> None:
    for number in range(150):
        await add_file(shelf, passage(f"prazo prazo do contrato {number}"), group="many")
    wanted = await add_file(
        shelf, *(passage(f"Um contrato de texto longo {place}" * 5) for place in range(3)), group="few"
    )
    few = read_filter({"type": "eq", "key": "group", "value": "few"})
    found = await search(searcher, shelf, "prazo do contrato", filters=few, limit=3)
    assert [each.file_id for each in found] == [wanted] * 3
    none = read_filter({"type": "eq", "key": "group", "value": "none"})
    assert await search(searcher, shelf, "prazo do contrato", filters=none) == []


async def test_of_files_of_equal_content_the_one_that_the_filter_admits_is_named(
    searcher: Searcher, shelf: Shelf
) -> None:
    first = await add_file(shelf, passage("férias"), name="a.txt", year=2023)
    second = await add_file(shelf, passage("férias"), name="b.txt", year=2024)
    assert [each.file_id for each in await search(searcher, shelf, "férias")] == [first]
    of_2024 = read_filter({"type": "gte", "key": "year", "value": 2024})
    found = await search(searcher, shelf, "férias", filters=of_2024)
    assert [(each.file_id, each.filename, each.attributes) for each in found] == [(second, "b.txt", {"year": 2024})]


@pytest.mark.parametrize(
    "change",
    [
        "update ali.file set state = 'gone' where id = any(%(gone)s)",
        "update ali.file set expires_at = now() - interval '1 s' where id = any(%(gone)s)",
    ],
)
async def test_files_that_are_gone_are_not_found_and_take_nobodys_place(
    searcher: Searcher, shelf: Shelf, change: LiteralString
) -> None:
    gone = [await add_file(shelf, passage(f"prazo do contrato {number}")) for number in range(120)]
    left = await add_file(shelf, passage("Um contrato de texto longo. " * 9))
    assert left not in {each.file_id for each in await search(searcher, shelf, "prazo do contrato", limit=50)}
    await shelf.rows(change, gone=gone)
    found = await search(searcher, shelf, "prazo do contrato", limit=50)
    assert [each.file_id for each in found] == [left]
    anything = read_filter({"type": "ne", "key": "year", "value": 1})
    assert await search(searcher, shelf, "prazo do contrato", limit=50, filters=anything) == found


async def test_a_file_whose_row_is_no_more_gives_way_to_the_next(searcher: Searcher, shelf: Shelf) -> None:
    gone = await add_file(shelf, passage("prazo do contrato"))
    left = await add_file(shelf, passage("contrato de texto longo"))
    await shelf.rows("delete from ali.file where id = %(gone)s", gone=gone)
    assert [each.file_id for each in await search(searcher, shelf, "prazo do contrato", limit=1)] == [left]


async def test_an_expired_file_that_is_held_is_found(searcher: Searcher, shelf: Shelf) -> None:
    file_id = await add_file(shelf, passage("férias"))
    expired = datetime.now(UTC) - timedelta(days=1)
    await shelf.rows(
        "update ali.file set expires_at = %(expired)s, holds = 1 where id = %(file)s", expired=expired, file=file_id
    )
    assert [each.file_id for each in await search(searcher, shelf, "férias")] == [file_id]


async def test_several_stores_are_searched_at_once_and_others_tenants_never(
    searcher: Searcher, shelf: Shelf, worker_dsn: str
) -> None:
    other = Shelf(tenant=shelf.tenant).make()
    stranger = Shelf(tenant=make_tenant(worker_dsn)).make()
    for each in (shelf, other, stranger):
        await add_file(each, passage("férias de trinta dias"))
    found = await search(searcher, shelf, "férias", also=[other, stranger])
    assert {each.vector_store_id for each in found} == {shelf.id, other.id}
    assert await search(searcher, stranger, "férias", also=[shelf]) != []
    theirs = await search(searcher, stranger, "férias", also=[shelf, other])
    assert {each.vector_store_id for each in theirs} == {stranger.id}


async def test_a_search_is_two_round_trips(shelf: Shelf) -> None:
    await add_file(shelf, passage("férias de trinta dias"))
    counts = Counts()
    with counted(shelf.dsn, counts) as dsn:
        pool = make_pool(dsn, size=1)
        await pool.open(wait=True)
        searcher = Searcher(pool, hmac_secret=SECRET, metrics=Metrics())
        assert len(await search(searcher, shelf, "férias", "trinta dias")) == 1
        counts.reset()
        assert len(await search(searcher, shelf, "férias", "trinta dias")) == 1
        trips = counts.trips
        await pool.close()
    assert trips == 2
