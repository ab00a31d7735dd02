"""Usage and costs: the sums over buckets and pages are the sums over the records, for whatever time is asked."""

import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import openai
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from ali.features.metering.usage import WIDTHS_S, Span, Width
from ali.kernel.db import QueryTooBroad, time_limited
from ali.kernel.ids import uuid7
from tests.administration.callers import MISSING, add_key, add_person, add_project, another_tenant, call, code_of, sdk
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service

DAY = 86_400
START = 1_760_000_000 // DAY * DAY
MODELS = ("gpt-5", "claude-x", "text-embedding-3-small")
OPERATIONS = ("chat.completions", "messages", "embeddings", "moderations")


@pytest.fixture
async def running(serve: Serve) -> AsyncIterator[Service]:
    async with serve(drain_s=1) as service:
        yield service


def seeded(seed: int) -> random.Random:
    """The same numbers each time."""
    return random.Random(seed)  # noqa: S311 - test data


def record(
    tenant: Tenant, project: UUID, at_s: float, *, rng: random.Random, user: UUID | None = None, key: UUID | None = None
) -> dict[str, Any]:
    """A settled call; some are still open, and count for nothing."""
    tokens = rng.randrange(1, 2**31 - 1)
    return {
        "id": uuid7(),
        "organization_id": tenant.organization_id,
        "project_id": project,
        "api_key_id": key,
        "user_id": user,
        "instance_id": MISSING,
        "operation": rng.choice(OPERATIONS),
        "model": rng.choice(MODELS),
        "upstream_model": rng.choice([None, "gpt-5-2026"]),
        "outcome": rng.choice(["ok", "ok", "ok", "cancelled", "error", "open"]),
        "input_tokens": tokens,
        "cached_input_tokens": tokens // 3,
        "cache_write_tokens": tokens // 5,
        "output_tokens": rng.randrange(1000),
        "cost_microusd": rng.randrange(10**7),
        "started_at": datetime.fromtimestamp(at_s, UTC),
    }


def keep(dsn: str, records: list[dict[str, Any]]) -> None:
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        # Alive, so that nobody closes what it has open.
        cursor.execute("insert into ali.service_instance (id) values (%s) on conflict do nothing", (MISSING,))
        cursor.executemany(
            "insert into ali.usage_record (id, organization_id, project_id, api_key_id, user_id, instance_id,"
            " operation, model, upstream_model, outcome, streamed, cached, attempts, usage_reported, input_tokens,"
            " cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_microusd, started_at)"
            " values (%(id)s, %(organization_id)s, %(project_id)s, %(api_key_id)s, %(user_id)s, %(instance_id)s,"
            " %(operation)s, %(model)s, %(upstream_model)s, %(outcome)s, false, false, 1, true, %(input_tokens)s,"
            " %(cached_input_tokens)s, %(cache_write_tokens)s, %(output_tokens)s, 0, %(cost_microusd)s,"
            " %(started_at)s)",
            records,
        )


@given(
    start=st.integers(0, 10**10),
    length=st.integers(1, 4 * DAY),
    width=st.sampled_from(sorted(WIDTHS_S)),
    limit=st.integers(1, 1440),
)
def test_buckets_tile_the_time_asked_for_over_all_pages(start: int, length: int, width: Width, limit: int) -> None:
    span: Span | None = Span(start_s=start, end_s=start + length, width=width, limit=limit, from_s=start)
    tiles: list[tuple[int, int]] = []
    while span is not None:
        assert 1 <= len(span.buckets) <= limit
        tiles += span.buckets
        following = span.next_s
        span = None if following is None else Span(
            start_s=start, end_s=start + length, width=width, limit=limit, from_s=following
        )  # fmt: skip
    assert (tiles[0][0], tiles[-1][1]) == (start, start + length)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(tiles))
    assert all(bound % WIDTHS_S[width] == 0 for bound, _ in tiles[1:])


async def pages(service: Service, secret: str, path: str, **query: object) -> list[dict[str, Any]]:
    """All buckets of all pages."""
    buckets: list[dict[str, Any]] = []
    given = {name: value if isinstance(value, list) else [value] for name, value in query.items()}
    params = [(name, str(one)) for name, values in given.items() for one in values]
    page: list[tuple[str, str]] = []
    while True:
        status, body = await call(service, secret, "GET", path, params=[*params, *page])
        assert status == 200, body
        buckets += body["data"]
        if not body["has_more"]:
            return buckets
        page = [("page", body["next_page"])]


async def test_the_sums_over_buckets_are_the_sums_over_records(running: Service, tenant: Tenant) -> None:
    rng = seeded(7)
    second = add_project(tenant)
    users, keys = [uuid7(), None], [uuid7(), uuid7()]
    records = [
        record(
            tenant,
            rng.choice([tenant.project_id, second]),
            START + rng.choice([rng.uniform(0, 3 * DAY), 3600 * rng.randrange(72), 60 * rng.randrange(600)]),
            rng=rng,
            user=rng.choice(users),
            key=rng.choice(keys),
        )
        for _ in range(400)
    ]
    keep(tenant.dsn, records)
    stranger = another_tenant(tenant)
    keep(tenant.dsn, [record(stranger, stranger.project_id, START + n, rng=rng) for n in range(50)])
    owner = add_key(tenant)
    for width, limit, start, end in (
        ("1d", 31, START, START + 3 * DAY),
        ("1d", 1, START + 5_000, START + 2 * DAY + 7),
        ("1h", 7, START + 1, START + DAY + 1),
        ("1m", 1440, START + 61, START + 9 * 3600),
    ):
        within = [
            each for each in records if start <= each["started_at"].timestamp() < end and each["outcome"] != "open"
        ]
        completions = [each for each in within if each["operation"] in {"chat.completions", "messages"}]
        query = {"start_time": start, "end_time": end, "bucket_width": width, "limit": limit}
        found = await pages(running, owner, "/usage/completions", **query)
        results = [result for bucket in found for result in bucket["results"]]
        assert all(len(bucket["results"]) <= 1 for bucket in found)
        for field, column in (
            ("input_tokens", "input_tokens"),
            ("output_tokens", "output_tokens"),
            ("input_cached_tokens", "cached_input_tokens"),
            ("input_cache_write_tokens", "cache_write_tokens"),
        ):
            assert sum(result[field] for result in results) == sum(each[column] for each in completions)
        assert sum(result["num_model_requests"] for result in results) == len(completions)
        grouped = await pages(
            running, owner, "/usage/completions", **query, group_by=["model", "user_id", "project_id"]
        )
        counted: Counter[tuple[str, ...]] = Counter()
        for bucket in grouped:
            for result in bucket["results"]:
                counted[result["model"], result["user_id"], result["project_id"]] += result["num_model_requests"]
        assert counted == Counter(
            (each["model"], each["user_id"] and f"user-{each['user_id'].hex}", f"proj_{each['project_id'].hex}")
            for each in completions
        )
        embedded = await pages(running, owner, "/usage/embeddings", **query)
        assert sum(result["input_tokens"] for bucket in embedded for result in bucket["results"]) == sum(
            each["input_tokens"] for each in within if each["operation"] == "embeddings"
        )
        costs = await pages(
            running, owner, "/costs", start_time=start, end_time=end, limit=2, **{"group_by[]": "line_item"}
        )
        spent: Counter[str] = Counter()
        for bucket in costs:
            for result in bucket["results"]:
                spent[result["line_item"]] += round(result["amount"]["value"] * 1_000_000)
        expected: Counter[str] = Counter()
        for each in within:
            expected[each["upstream_model"] or each["model"]] += each["cost_microusd"]
        assert spent == expected


async def test_usage_is_narrowed_by_what_is_named_and_by_who_asks(running: Service, tenant: Tenant) -> None:
    rng = seeded(3)
    second, key = add_project(tenant), uuid7()
    person = add_person(tenant, role="developer", projects={second: "member"})
    records = [record(tenant, tenant.project_id, START + n, rng=rng, key=key) for n in range(40)]
    records += [record(tenant, second, START + n, rng=rng, user=person.id) for n in range(40)]
    keep(tenant.dsn, records)
    owner = add_key(tenant)

    async def requests(secret: str, **query: object) -> int:
        found = await pages(running, secret, "/usage/completions", start_time=START, end_time=START + DAY, **query)
        return sum(result["num_model_requests"] for bucket in found for result in bucket["results"])

    def counted(**wanted: object) -> int:
        return sum(
            each["outcome"] != "open"
            and each["operation"] in {"chat.completions", "messages"}
            and all(each[name] == value for name, value in wanted.items())
            for each in records
        )

    first = f"proj_{tenant.project_id.hex}"
    assert await requests(owner) == counted()
    assert await requests(owner, project_ids=[first]) == counted(project_id=tenant.project_id)
    assert await requests(owner, **{"project_ids[]": [first, f"proj_{second.hex}"]}) == counted()
    assert await requests(owner, user_ids=[person.name]) == counted(user_id=person.id)
    assert await requests(owner, api_key_ids=[f"key_{key.hex}"]) == counted(api_key_id=key)
    assert await requests(owner, models=["gpt-5"]) == counted(model="gpt-5")
    assert await requests(owner, batch="false") == counted()
    for nothing in ({"batch": "true"}, {"project_ids": ["nonsense"]}, {"user_ids": [f"user-{MISSING.hex}"]}):
        assert await requests(owner, **nothing) == 0
    assert await requests(tenant.secret) == counted(project_id=tenant.project_id), "a key of a project sees its own"
    assert await requests(person.secret) == counted(project_id=second), "a developer sees their projects'"
    assert await requests(another_tenant(tenant).secret) == 0
    refused = await call(
        running, add_key(tenant, role="member"), "GET", "/usage/completions", params=[("start_time", START)]
    )
    assert code_of(refused) == (403, "permission_denied")


async def test_openais_sdk_takes_usage_and_costs(running: Service, tenant: Tenant) -> None:
    keep(tenant.dsn, [record(tenant, tenant.project_id, START + n, rng=seeded(n)) for n in range(30)])
    async with sdk(running, add_key(tenant)) as client:
        usage = client.admin.organization.usage
        found = await usage.completions(
            start_time=START, end_time=START + 2 * DAY, group_by=["model", "batch"], models=["gpt-5"], limit=1
        )
        assert (found.object, found.has_more, len(found.data)) == ("page", True, 1)
        result = found.data[0].results[0]
        assert result.object == "organization.usage.completions.result"
        assert (result.model, result.batch) == ("gpt-5", False)
        assert found.next_page is not None
        rest = await usage.completions(start_time=START, end_time=START + 2 * DAY, limit=1, page=found.next_page)
        assert (rest.data[0].results, rest.has_more) == ([], False)
        embedded = await usage.embeddings(start_time=START, end_time=START + DAY, bucket_width="1h")
        assert embedded.data[0].results[0].object == "organization.usage.embeddings.result"
        costs = await usage.costs(start_time=START, group_by=["project_id"], end_time=START + DAY)
        spent = costs.data[0].results[0]
        assert spent.object == "organization.costs.result"
        assert spent.project_id == f"proj_{tenant.project_id.hex}"
        assert spent.amount is not None
        assert (spent.amount.currency, (spent.amount.value or 0) > 0) == ("usd", True)
        with pytest.raises(openai.BadRequestError) as refused:
            await usage.completions(start_time=START, group_by=["service_tier"])
        assert refused.value.param == "group_by"


async def test_what_takes_too_long_to_read_is_refused_and_says_what_to_do(running: Service) -> None:
    async def read_for_long() -> None:
        async with running.app.api.state.sessions() as session, session.begin(), time_limited(session):
            await session.execute(text("set local statement_timeout = '20ms'"))
            await session.execute(text("select pg_sleep(5)"))

    with pytest.raises(QueryTooBroad, match="shorter time"):
        await read_for_long()
