"""The search of a vector store as OpenAI's SDK asks for it."""

from typing import Any

import openai
import psycopg
import pytest
from openai.types import VectorStore

from ali.features.knowledge.rewriting import rewritten
from tests.fixtures.database import make_tenant
from tests.fixtures.service import Service

FILES = {
    "ferias.txt": ("O empregado tem direito a trinta dias de férias por ano.", {"area": "trabalho", "year": 1943}),
    "aviso.txt": ("O aviso prévio é de trinta dias, no mínimo.", {"area": "trabalho", "year": 2011}),
    "leave.txt": ("Employees are entitled to thirty days of paid leave a year.", {"area": "labour", "year": 2020}),
    "iptu.txt": ("O imposto predial vence em março de cada ano.", {"area": "tributos", "year": 2024}),
}


@pytest.fixture
async def store(client: openai.AsyncOpenAI) -> VectorStore:
    made = await client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 3})
    files: list[Any] = []
    for name, (text, attributes) in FILES.items():
        file = await client.files.create(file=(name, text.encode()), purpose="assistants")
        files.append({"file_id": file.id, "attributes": attributes})
    batch = await client.vector_stores.file_batches.create(made.id, files=files)
    await client.vector_stores.file_batches.poll(batch.id, vector_store_id=made.id, poll_interval_ms=100)
    return made


async def names(client: openai.AsyncOpenAI, store: VectorStore, query: Any, **more: Any) -> list[str]:  # noqa: ANN401 - fields of the SDK
    page = await client.vector_stores.search(store.id, query=query, **more)
    return [each.filename for each in page.data]


async def test_a_search_finds_passages_with_their_file_and_why(client: openai.AsyncOpenAI, store: VectorStore) -> None:
    page = await client.vector_stores.search(store.id, query="Quantos dias de férias tem o empregado?")
    best = page.data[0]
    assert (page.object, best.filename) == ("vector_store.search_results.page", "ferias.txt")
    assert [part.text for part in best.content] == [FILES["ferias.txt"][0]]
    assert best.attributes == {"area": "trabalho", "year": 1943}
    assert 0 < best.score <= 1
    passage = best.to_dict()["passage"]
    assert isinstance(passage, dict)
    assert passage["position"] == 0
    assert passage["scores"]
    assert [each.score for each in page.data] == sorted((each.score for each in page.data), reverse=True)
    assert not page.has_next_page()


async def test_filters_narrow_and_never_shorten(client: openai.AsyncOpenAI, store: VectorStore) -> None:
    days = "trinta dias"
    assert set(await names(client, store, days)) == {"ferias.txt", "aviso.txt"}
    recent: dict[str, Any] = {"type": "gte", "key": "year", "value": 2000}
    labour: dict[str, Any] = {"type": "in", "key": "area", "value": ["trabalho", "labour"]}
    assert await names(client, store, days, filters=recent) == ["aviso.txt"]
    both = {"type": "and", "filters": [recent, labour]}
    assert set(await names(client, store, ["dias", "days of leave"], filters=both)) == {"leave.txt", "aviso.txt"}
    nothing = {"type": "eq", "key": "area", "value": 7}
    assert await names(client, store, days, filters=nothing) == []
    with pytest.raises(openai.BadRequestError) as refusal:
        await names(client, store, days, filters={"type": "and", "filters": [{"type": "eq", "key": "a"}]})
    assert refusal.value.param == "filters.filters[0].value"


async def test_options_bound_what_is_found(client: openai.AsyncOpenAI, store: VectorStore) -> None:
    assert len(await names(client, store, ["dias", "imposto", "leave"], max_num_results=2)) == 2
    ranked = await client.vector_stores.search(store.id, query="férias do empregado")
    threshold = ranked.data[0].score
    only = await names(
        client, store, "férias do empregado", ranking_options={"ranker": "auto", "score_threshold": threshold}
    )
    assert only == ["ferias.txt"]
    wrongs: tuple[dict[str, Any], ...] = (
        {"max_num_results": 0},
        {"max_num_results": 51},
        {"query": ""},
        {"query": []},
        {"query": 7},
        {"ranking_options": {"score_threshold": 2}},
        {"ranking_options": {"ranker": "best"}},
    )
    for wrong in wrongs:
        body = {"query": "x"} | wrong
        with pytest.raises(openai.BadRequestError):
            await client.post(f"/vector_stores/{store.id}/search", body=body, cast_to=object)


async def test_a_question_is_rewritten_when_asked_for(client: openai.AsyncOpenAI, store: VectorStore) -> None:
    question = "Olá! Você poderia me dizer qual é o prazo do aviso prévio, por favor?"
    as_it_is = await client.vector_stores.search(store.id, query=question)
    rewritten_page = await client.vector_stores.search(store.id, query=question, rewrite_query=True)
    assert as_it_is.to_dict()["search_query"] == [question]
    assert rewritten_page.to_dict()["search_query"] == ["prazo do aviso prévio"]
    assert rewritten_page.data[0].filename == "aviso.txt"


@pytest.mark.parametrize(
    ("question", "query"),
    [
        ("What is the notice period?", "notice period"),
        ("Could you please tell me about paid leave? Thanks!", "paid leave"),
        ("O que diz o Art. 7º?", "Art. 7º"),
        ("Quero saber sobre férias.", "férias"),
        ("aviso prévio", "aviso prévio"),
        ("Os Lusíadas", "Os Lusíadas"),
        ("Olá!", "Olá!"),
        ("?", "?"),
    ],
)
def test_what_people_say_around_a_question_is_left_out(question: str, query: str) -> None:
    assert rewritten(question) == query


async def test_what_was_taken_out_or_deleted_is_not_found_any_more(
    client: openai.AsyncOpenAI, store: VectorStore
) -> None:
    page = await client.vector_stores.search(store.id, query="dias")
    by_name = {each.filename: each.file_id for each in page.data}
    await client.vector_stores.files.delete(by_name["ferias.txt"], vector_store_id=store.id)
    assert await names(client, store, "férias trinta dias") == ["aviso.txt"]
    await client.files.delete(by_name["aviso.txt"])
    assert await names(client, store, "férias trinta dias") == []
    await client.vector_stores.delete(store.id)
    with pytest.raises(openai.NotFoundError):
        await names(client, store, "férias")


async def test_a_search_counts_as_a_use_at_most_once_a_minute(
    knowledge: Service, client: openai.AsyncOpenAI, store: VectorStore
) -> None:
    with psycopg.connect(knowledge.tenant.dsn, autocommit=True) as connection:
        age = (
            "update ali.vector_store set last_active_at = now() - interval '2 days', expires_at = now() + %s::interval"
        )
        connection.execute(age + " where id = %s", ("1 day", store.id[3:]))
        aged = await client.vector_stores.retrieve(store.id)
        assert aged.expires_at is not None
        await names(client, store, "férias")
        used = await client.vector_stores.retrieve(store.id)
        assert used.expires_at is not None
        assert used.last_active_at is not None
        assert used.expires_at - used.last_active_at == 3 * 86_400
        assert used.expires_at > aged.expires_at + 86_400
        connection.execute(age + " where id = %s", ("1 day", store.id[3:]))
        await names(client, store, "férias")
        assert (await client.vector_stores.retrieve(store.id)).last_active_at == pytest.approx(
            aged.last_active_at, abs=120
        )
        connection.execute("update ali.vector_store set expires_at = now() where id = %s", (store.id[3:],))
    with pytest.raises(openai.ConflictError) as refusal:
        await names(client, store, "férias")
    assert refusal.value.code == "vector_store_expired"


async def test_another_projects_store_is_not_there(knowledge: Service, store: VectorStore) -> None:
    stranger = make_tenant(knowledge.tenant.dsn)
    async with openai.AsyncOpenAI(base_url=knowledge.openai_base_url, api_key=stranger.secret) as client:
        with pytest.raises(openai.NotFoundError) as refusal:
            await names(client, store, "férias")
        assert refusal.value.code == "vector_store_not_found"
