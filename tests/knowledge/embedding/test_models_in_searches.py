"""Chat models that reorder what a search found and rewrite what is asked: bounded, checked, and never in the way."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import orjson
import pytest
from openai.types import VectorStore

from ali.features.knowledge.retrieval.asking import read_queries
from ali.features.knowledge.retrieval.reranking import read_order
from ali.ops.simulator import Answer, Fault, Simulator
from tests.fixtures.service import Serve, Service, providers
from tests.knowledge.embedding.test_search_by_meaning import client_of, filled, found

QUESTION = "Quais textos são sobre assuntos diversos da casa?"


@pytest.fixture
async def service(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    models = {"rerank_model": "gpt-4.1", "rewrite_model": "gpt-4.1", "search_model_s": 0.5}
    async with serve(**providers(simulator), **models, drain_s=1) as running:
        yield running


@pytest.fixture
async def client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(service) as client:
        yield client


@pytest.fixture
async def store(client: openai.AsyncOpenAI) -> VectorStore:
    return await filled(client)


def names(data: list[Any]) -> list[str]:
    return [each.filename for each in data]


async def test_the_model_puts_the_best_in_order_and_is_metered(
    service: Service, simulator: Simulator, client: openai.AsyncOpenAI, store: VectorStore
) -> None:
    simulator.answer("Best first: [3, 1]")
    before = names(await found(client, store, QUESTION, ranking_options={"ranker": "none"}))
    data = await found(client, store, QUESTION)
    assert names(data) == [before[2], before[0], before[1], *before[3:]]
    assert [each.score for each in data] == sorted((each.score for each in data), reverse=True)
    asked: Any = simulator.requests[-1].json
    assert asked["max_completion_tokens"] <= 2_000
    assert QUESTION in asked["messages"][1]["content"]
    (record,) = await service.records()
    assert (record["operation"], record["outcome"]) == ("chat.completions", "ok")
    assert record["api_key_id"] == service.tenant.key_id
    assert record["cost_microusd"] > 0


@pytest.mark.parametrize(
    "answer",
    [
        Answer(text="I like passage two."),
        Answer(text="[0, 1]"),
        Answer(text="[1, 1]"),
        Answer(text="[99]"),
        Answer(text="[]"),
        Answer(status=500),
        Answer(fault=Fault.STALL_BEFORE_HEAD),
        Answer(fault=Fault.BAD_JSON),
        Answer(refusal="No."),
    ],
)
async def test_what_makes_no_sense_or_comes_late_changes_nothing(
    simulator: Simulator, service: Service, client: openai.AsyncOpenAI, store: VectorStore, answer: Answer
) -> None:
    before = names(await found(client, store, QUESTION, ranking_options={"ranker": "none"}))
    simulator.default = answer
    assert names(await found(client, store, QUESTION)) == before
    assert b'ali_search_degraded_total{part="reranking"} 1.0' in service.app.api.state.metrics.exposition()


async def test_a_question_is_rewritten_by_the_model_and_by_rules_where_it_is_away(
    simulator: Simulator, client: openai.AsyncOpenAI, store: VectorStore
) -> None:
    simulator.answer(Answer(text='["aviso prévio mínimo"]'))
    no_order: dict[str, Any] = {"rewrite_query": True, "ranking_options": {"ranker": "none"}}
    question = "Olá, qual é o prazo de trinta dias?"
    page = await client.vector_stores.search(store.id, query=question, **no_order)
    assert page.to_dict()["search_query"] == ["aviso prévio mínimo"]
    assert page.data[0].filename == "aviso.txt"
    simulator.default = Answer(status=500)
    page = await client.vector_stores.search(store.id, query=question, **no_order)
    assert page.to_dict()["search_query"] == ["prazo de trinta dias"]


def test_an_order_names_what_was_shown_and_keeps_the_rest_behind() -> None:
    assert read_order("[2,1]", count=3) == [1, 0, 2]
    assert read_order("So: [3]\n", count=3) == [2, 0, 1]
    for wrong in ("", "none", "[4]", "[0]", "[1,1]", "[1,,2]", "[]", '["1"]', "[1.5]", "[-1]"):
        assert read_order(wrong, count=3) is None, wrong


def test_queries_are_as_many_short_texts_as_there_were_questions() -> None:
    assert read_queries('```json\n["a", " b "]\n```', count=2) == ["a", "b"]
    for wrong in ("", "a", "[]", '["a"]', '["a", ""]', '["a", 1]', orjson.dumps(["a", "b" * 501]).decode(), "[["):
        assert read_queries(wrong, count=2) is None, wrong
