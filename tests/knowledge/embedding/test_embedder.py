"""Texts become vectors through the provider as callers reach it: batched, tried again, metered, paid once."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ali.features.chat.own_calls import OwnCalls
from ali.features.knowledge.account import Account
from ali.features.knowledge.embedding import Embedder, EmbeddingCache, EmbeddingModel
from ali.features.knowledge.embedding.vector import dimensions_of, unpacked
from ali.ops.simulator import Answer, Fault, Simulator
from ali.ops.simulator.received import ReceivedRequest
from tests.budgets.ground import add_budget
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant
from tests.fixtures.service import Serve, Service, providers

MODEL = EmbeddingModel(name="text-embedding-3-small", query_s=0.4)
TEXTS = [f"Passage number {number} says something of its own." for number in range(300)]


@pytest.fixture
async def service(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    async with serve(**providers(simulator), upstream_connect_s=1.0, upstream_first_byte_s=1.0) as running:
        yield running


def embedder_of(service: Service, model: EmbeddingModel = MODEL, *, kept: int = 50_000) -> Embedder:
    state = service.app.api.state
    cache = EmbeddingCache(state.pool, hmac_secret=HMAC_SECRET.encode(), most_per_project=kept)
    return Embedder(model, OwnCalls(service.gateway), cache, metrics=state.metrics, rng=random.Random(1))  # noqa: S311 - when to try again


def account_of(tenant: Tenant) -> Account:
    return Account(organization_id=tenant.organization_id, project_id=tenant.project_id)


def asked(simulator: Simulator) -> list[list[str]]:
    """The texts of each request for embeddings."""
    bodies: list[Any] = [request.json for request in simulator.requests if request.path.endswith("/embeddings")]
    return [body["input"] for body in bodies]


async def test_passages_are_embedded_in_batches_and_metered_as_their_projects(
    service: Service, simulator: Simulator
) -> None:
    vectors = await embedder_of(service).embed(TEXTS, account=account_of(service.tenant))
    assert [dimensions_of(vector) for vector in vectors if vector is not None] == [1536] * 300
    assert sorted(map(len, asked(simulator))) == [44, 128, 128]
    records = await service.records()
    assert [(record["operation"], record["outcome"]) for record in records] == [("embeddings", "ok")] * 3
    assert all(record["cost_microusd"] > 0 and record["usage_reported"] for record in records)
    assert {record["api_key_id"] for record in records} == {None}


async def test_the_same_text_is_paid_once_and_by_each_project_for_itself(
    service: Service, simulator: Simulator
) -> None:
    embedder, account = embedder_of(service), account_of(service.tenant)
    first = await embedder.embed([*TEXTS[:5], TEXTS[0]], account=account)
    assert first[0] == first[5]
    again = await embedder.embed(TEXTS[:6], account=account)
    assert again[:5] == first[:5]
    assert again[5] not in first
    assert [len(texts) for texts in asked(simulator)] == [5, 1]
    other = account_of(make_tenant(service.tenant.dsn))
    assert await embedder.embed(TEXTS[:1], account=other) == first[:1]
    assert [len(texts) for texts in asked(simulator)] == [5, 1, 1]


async def test_another_model_prefix_or_dimension_is_another_vector(service: Service, simulator: Simulator) -> None:
    account = account_of(service.tenant)
    await embedder_of(service).embed(TEXTS[:1], account=account)
    fewer = EmbeddingModel(name=MODEL.name, dimensions=64, passage_prefix="passage: ", query_prefix="query: ")
    (vector,) = await embedder_of(service, fewer).embed(TEXTS[:1], account=account)
    assert vector is not None
    assert dimensions_of(vector) == 64
    await embedder_of(service, fewer).embed_query("What?", account=account)
    assert asked(simulator)[1:] == [[f"passage: {TEXTS[0]}"], ["query: What?"]]


async def test_a_hiccup_is_tried_again(service: Service, simulator: Simulator) -> None:
    for _ in range(3):  # the gateway tries twice, then the embedder again
        simulator.answer(Answer(status=500))
    vectors = await embedder_of(service).embed(TEXTS[:2], account=account_of(service.tenant))
    assert None not in vectors


async def test_a_provider_that_limits_is_waited_for_as_it_asks(service: Service, simulator: Simulator) -> None:
    simulator.answer(Answer(status=429, retry_after_s=1))
    began = asyncio.get_running_loop().time()
    vectors = await embedder_of(service).embed(TEXTS[:2], account=account_of(service.tenant))
    assert None not in vectors
    assert asyncio.get_running_loop().time() - began >= 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=401),
        Answer(status=429, retry_after_s=3600),
        Answer(body=b'{"object":"list","data":[],"usage":{"prompt_tokens":1}}'),
        Answer(body=b'{"object":"list","data":[{"index":0,"embedding":[null]}],"usage":{"prompt_tokens":1}}'),
        Answer(body=b'{"object":"list","data":[{"index":0,"embedding":"AAAA"}],"usage":{"prompt_tokens":1}}'),
    ],
    ids=["credential", "limited for long", "nothing", "no number", "no float"],
)
async def test_where_waiting_does_not_help_passages_have_no_vector_and_nothing_fails(
    service: Service, simulator: Simulator, answer: Answer
) -> None:
    simulator.script(answer, answer)
    assert await embedder_of(service).embed(TEXTS[:1], account=account_of(service.tenant)) == [None]


async def test_one_batch_that_gets_nothing_stops_those_after_it(service: Service, simulator: Simulator) -> None:
    simulator.default = Answer(status=401)
    texts = [f"{number} {'x' * 20_000}" for number in range(100)]
    assert await embedder_of(service).embed(texts, account=account_of(service.tenant)) == [None] * 100
    assert len(asked(simulator)) <= 4


async def test_a_text_that_is_too_long_is_cut_and_the_others_stay_whole(service: Service, simulator: Simulator) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        texts: Any = request.json["input"]
        if any(len(text) > 10_000 for text in texts):
            return Answer(status=400, message="This model's maximum context length is 8192 tokens.")
        return Answer()

    simulator.default = answer
    texts = [*TEXTS[:4], "y" * 15_000, *TEXTS[4:8]]
    vectors = await embedder_of(service).embed(texts, account=account_of(service.tenant))
    assert None not in vectors
    answered = [text for texts in asked(simulator) for text in texts if len(text) <= 10_000]
    assert set(answered) >= {*TEXTS[:8], "y" * 7_500}


async def test_a_model_that_refuses_short_texts_is_not_asked_for_each_of_them(
    service: Service, simulator: Simulator
) -> None:
    simulator.default = Answer(status=400, message="This model does not support specifying dimensions.")
    assert await embedder_of(service).embed(TEXTS[:128], account=account_of(service.tenant)) == [None] * 128
    assert len(asked(simulator)) <= 9


async def test_nothing_is_spent_beyond_a_budget(service: Service, simulator: Simulator) -> None:
    add_budget(service.tenant, limit=1)
    await service.learn()
    assert await embedder_of(service).embed(TEXTS, account=account_of(service.tenant)) == [None] * 300
    assert asked(simulator) == []


async def test_a_question_is_embedded_once_and_kept_in_memory_alone(service: Service, simulator: Simulator) -> None:
    embedder, account = embedder_of(service), account_of(service.tenant)
    vector = await embedder.embed_query("Quem paga?", account=account)
    assert vector is not None
    assert sum(number * number for number in unpacked(vector)) == pytest.approx(1.0, abs=1e-2)
    assert await embedder.embed_query("Quem paga?", account=account) == vector
    assert asked(simulator) == [["Quem paga?"]]
    async with service.app.api.state.pool.connection() as connection:
        cursor = await connection.execute(
            "select count(*) from ali.find_embeddings(%s, %s, %s)",
            (
                account.organization_id,
                account.project_id,
                EmbeddingCache(
                    service.app.api.state.pool, hmac_secret=HMAC_SECRET.encode(), most_per_project=1
                ).digests(account.project_id, MODEL.identity, ["Quem paga?"]),
            ),
        )
        assert await cursor.fetchone() == (0,)


async def test_a_question_waits_for_a_silent_model_no_longer_than_it_may_and_then_not_at_all(
    service: Service, simulator: Simulator
) -> None:
    simulator.default = Answer(fault=Fault.STALL_BEFORE_HEAD)
    embedder, account = embedder_of(service), account_of(service.tenant)
    loop = asyncio.get_running_loop()
    for number in range(3):
        began = loop.time()
        assert await embedder.embed_query(f"Question {number}?", account=account) is None
        assert loop.time() - began < 1.5
    simulator.default = Answer()
    began = loop.time()
    assert await embedder.embed_query("Question 4?", account=account) is None
    assert loop.time() - began < 0.1
    assert b'ali_search_degraded_total{part="vectors"} 4.0' in service.app.api.state.metrics.exposition()


async def test_the_cache_forgets_what_is_over_its_bound(service: Service, simulator: Simulator) -> None:
    embedder, account = embedder_of(service, kept=10), account_of(service.tenant)
    await embedder.embed(TEXTS[:30], account=account)
    await embedder.tidy()
    await embedder.embed(TEXTS[:30], account=account)
    assert [len(texts) for texts in asked(simulator)] == [30, 20]


async def test_a_cache_whose_database_is_away_is_empty_and_fails_nobody(service: Service) -> None:
    embedder, account = embedder_of(service), account_of(service.tenant)
    await service.app.api.state.pool.close()  # the ledger's connection is its own, and stays
    assert None not in await embedder.embed(TEXTS[:2], account=account)
