"""Searches with vectors, as OpenAI's SDK asks: what they add, and that without them nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import psycopg
import pytest
from openai.types import VectorStore

from ali.features.knowledge.embedding import EmbeddingModel
from ali.ops.simulator import Answer, Simulator
from tests.fixtures.service import Serve, Service, providers

MODEL = "openai/text-embedding-words"
FILES = {
    "ferias.txt": "O empregado tem direito a trinta dias de férias por ano.",
    "aviso.txt": "O aviso prévio é de trinta dias, no mínimo.",
    "tributos.txt": "O tributário explica como se recolhe cada imposto.",
    **{
        f"outro{number}.txt": f"Texto número {number} sobre assuntos diversos da casa {number}." for number in range(20)
    },
}
BY_WORDS = {"embedding_weight": 0, "text_weight": 1}


def settings(simulator: Simulator, **more: object) -> dict[str, Any]:
    return {
        **providers(simulator),
        "embedding_model": MODEL,
        "embedding_dimensions": 256,
        "model_prices": {"text-embedding-words": {"input": 1, "output": 0, "max_output_tokens": 1}},
        "drain_s": 1,
        **more,
    }


@pytest.fixture
async def service(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    async with serve(**settings(simulator)) as running:
        yield running


def client_of(service: Service) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=service.openai_base_url, api_key=service.tenant.secret, max_retries=0)


async def filled(client: openai.AsyncOpenAI) -> VectorStore:
    made = await client.vector_stores.create()
    files = [
        await client.files.create(file=(name, text.encode()), purpose="assistants") for name, text in FILES.items()
    ]
    batch = await client.vector_stores.file_batches.create(made.id, file_ids=[file.id for file in files])
    done = await client.vector_stores.file_batches.poll(batch.id, vector_store_id=made.id, poll_interval_ms=50)
    assert done.file_counts.completed == len(FILES)
    return made


async def found(client: openai.AsyncOpenAI, store: VectorStore, query: Any, **more: Any) -> list[Any]:  # noqa: ANN401 - as the SDK takes it
    return (await client.vector_stores.search(store.id, query=query, **more)).data


async def until_there_are(service: Service, wanted: int) -> None:
    """Wait for so many vectors; what was put off is tried at once."""
    for _ in range(300):
        if vectors(service) == wanted:
            return
        with psycopg.connect(service.tenant.dsn) as owner:
            owner.execute("update ali.embedding_task set resume_at = null where instance_id is null")
        await asyncio.sleep(0.1)
    assert vectors(service) == wanted


def vectors(service: Service) -> int:
    with psycopg.connect(service.tenant.dsn) as owner:
        row = owner.execute(
            "select count(*) from ali.chunk_vector where project_id = %s", (service.tenant.project_id,)
        ).fetchone()
    return int(row[0]) if row else 0


async def test_vectors_find_what_has_no_word_of_the_question(service: Service) -> None:
    async with client_of(service) as client:
        store = await filled(client)
        assert vectors(service) == len(FILES)
        best, *_ = await found(client, store, "tributação")
        assert best.filename == "tributos.txt"
        assert best.to_dict()["passage"]["scores"]["vector"] > 0.2
        first, *_ = await found(client, store, "Quantos dias de férias tem o empregado?")
        assert first.filename == "ferias.txt"
        assert 0 < first.score <= 1
    records = await service.records()
    assert {record["operation"] for record in records} == {"embeddings"}
    assert all(record["cost_microusd"] > 0 for record in records)


async def test_a_question_of_stop_words_is_searched_by_its_vector_alone(service: Service) -> None:
    async with client_of(service) as client:
        store = await filled(client)
        assert len(await found(client, store, "de que nos")) == 10
        both = await found(client, store, ["de que nos", "aviso prévio"], max_num_results=30)
        assert "aviso.txt" in [each.filename for each in both]
        assert await found(client, store, "não são nos", ranking_options={"hybrid_search": BY_WORDS}) == []


async def test_the_caller_may_say_what_meaning_and_words_weigh(service: Service) -> None:
    async with client_of(service) as client:
        store = await filled(client)

        async def by(embedding: float, text: float) -> list[str]:
            options = {"hybrid_search": {"embedding_weight": embedding, "text_weight": text}}
            data = await found(client, store, "tributação de férias", ranking_options=options)
            assert all(0 <= each.score <= 1 for each in data)
            return [each.filename for each in data]

        assert (await by(0, 1))[0] == "ferias.txt"
        assert "tributos.txt" not in await by(0, 1)
        assert set((await by(1, 0))[:2]) == {"ferias.txt", "tributos.txt"}
        with pytest.raises(openai.BadRequestError) as refusal:
            await by(0, 0)
        assert refusal.value.param == "ranking_options.hybrid_search"


async def test_while_the_model_is_away_files_are_read_and_found_and_get_their_vectors_later(
    service: Service, simulator: Simulator
) -> None:
    simulator.default = Answer(status=401)
    async with client_of(service) as client:
        store = await filled(client)
        assert vectors(service) == 0
        data = await found(client, store, "trinta dias de férias")
        assert [each.filename for each in data][:2] == ["ferias.txt", "aviso.txt"]
        simulator.default = Answer()
        await until_there_are(service, len(FILES))
        with psycopg.connect(service.tenant.dsn) as owner:
            assert owner.execute(
                "select count(*) from ali.embedding_task where project_id = %s", (service.tenant.project_id,)
            ).fetchone() == (0,)


async def test_a_store_from_before_the_model_was_set_is_searched_whole_and_embedded_by_and_by(
    serve: Serve, simulator: Simulator
) -> None:
    async with serve(**settings(simulator, embedding_model=None)) as service, client_of(service) as client:
        store = await filled(client)
        assert vectors(service) == 0
    async with serve(**settings(simulator)) as service, client_of(service) as client:
        data = await found(client, store, "trinta dias de férias", max_num_results=20)
        assert [each.filename for each in data][:2] == ["ferias.txt", "aviso.txt"]
        await until_there_are(service, len(FILES))
        assert (await found(client, store, "tributação"))[0].filename == "tributos.txt"


async def test_another_model_takes_the_place_of_the_first(serve: Serve, simulator: Simulator) -> None:
    async with serve(**settings(simulator)) as service, client_of(service) as client:
        store = await filled(client)
    async with serve(**settings(simulator, embedding_dimensions=64)) as service, client_of(service) as client:
        await until_there_are(service, 2 * len(FILES))
        assert (await found(client, store, "tributação"))[0].filename == "tributos.txt"
        backfill_space = EmbeddingModel(name=MODEL, dimensions=64).identity
        with psycopg.connect(service.tenant.dsn) as owner:
            (space,) = owner.execute(
                "select id from ali.vector_space where model = %s", (backfill_space,)
            ).fetchone() or (0,)
            while (owner.execute("select ali.forget_stale_vectors(%s, 1000)", (space,)).fetchone() or (None,))[
                0
            ] is not None:
                pass
        assert vectors(service) == len(FILES)
        assert (await found(client, store, "tributação"))[0].filename == "tributos.txt"


async def test_what_is_deleted_is_not_found_by_its_vector(service: Service) -> None:
    async with client_of(service) as client:
        store = await filled(client)
        best, *_ = await found(client, store, "tributação")
        await client.vector_stores.files.delete(best.file_id, vector_store_id=store.id)
        assert "tributos.txt" not in [each.filename for each in await found(client, store, "tributação")]
        await until_there_are(service, len(FILES) - 1)
        await client.vector_stores.delete(store.id)
        await until_there_are(service, 0)
