"""Anthropic's Message Batches, judged by Anthropic's SDK."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import anthropic
import psycopg
import pytest
from anthropic.types.messages import MessageBatch

from ali.ops.simulator import Simulator
from tests.batches.batched import eventually
from tests.fixtures.database import issue_key, make_tenant
from tests.fixtures.service import Serve, Service, providers
from tests.tenancy.wire import Request, ask

MODEL: Final = "claude-sonnet-5-5"
PATH: Final = "/v1/messages/batches"


@pytest.fixture
async def batches(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    async with serve(**providers(simulator), drain_s=1) as service:
        yield service


@pytest.fixture
async def client(batches: Service) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=batches.url, api_key=batches.tenant.secret, max_retries=0) as client:
        yield client


def asked(custom_id: str, text: str = "Hello", **params: Any) -> Any:  # noqa: ANN401 - as the SDK takes it
    """One request of a batch."""
    return {
        "custom_id": custom_id,
        "params": {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": text}], **params},
    }


def client_of(service: Service) -> anthropic.AsyncAnthropic:
    """Anthropic's SDK against the service."""
    return anthropic.AsyncAnthropic(base_url=service.url, api_key=service.tenant.secret, max_retries=0)


async def ended(client: anthropic.AsyncAnthropic, batch_id: str) -> MessageBatch:
    """The batch at its end."""

    async def reached() -> bool:
        return (await client.messages.batches.retrieve(batch_id)).processing_status == "ended"

    await eventually(reached)
    return await client.messages.batches.retrieve(batch_id)


async def results_of(client: anthropic.AsyncAnthropic, batch_id: str) -> list[Any]:
    """All results."""
    return [result async for result in await client.messages.batches.results(batch_id)]


async def test_a_batch_of_messages_runs_to_its_end(batches: Service, client: anthropic.AsyncAnthropic) -> None:
    requests = [asked("good", "Hé\nllo"), asked("refused", "[[status:400]]"), asked("unsaid", max_tokens=0)]
    made = await client.messages.batches.create(requests=requests)
    assert made.id.startswith("msgbatch_")
    assert (made.type, made.processing_status, made.results_url) == ("message_batch", "in_progress", None)
    assert made.request_counts.model_dump() == {
        "processing": 3, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0,
    }  # fmt: skip
    assert (made.expires_at - made.created_at).total_seconds() == pytest.approx(86_400, abs=5)
    batch = await ended(client, made.id)
    assert batch.request_counts.model_dump() == {
        "processing": 0, "succeeded": 1, "errored": 2, "canceled": 0, "expired": 0,
    }  # fmt: skip
    assert batch.ended_at
    assert batch.archived_at is None
    assert batch.results_url == f"{PATH}/{batch.id}/results"
    good, refused, unsaid = await results_of(client, batch.id)
    assert (good.custom_id, good.result.type, good.result.message.type) == ("good", "succeeded", "message")
    assert (refused.custom_id, refused.result.type) == ("refused", "errored")
    assert refused.result.error.error.type == "invalid_request_error"
    assert (unsaid.custom_id, unsaid.result.error.error.type) == ("unsaid", "invalid_request_error")
    assert [record["operation"] for record in await batches.records()] == ["messages", "messages"]
    assert [each.id async for each in client.messages.batches.list()] == [batch.id]


async def test_its_files_are_no_files_of_the_project(batches: Service, client: anthropic.AsyncAnthropic) -> None:
    made = await client.messages.batches.create(requests=[asked("a")])
    await ended(client, made.id)
    listed = await ask(batches.url, Request(method="GET", target="/v1/files"), secret=batches.tenant.secret)
    assert listed.json()["data"] == []
    shown = await ask(batches.url, Request(method="GET", target="/v1/batches"), secret=batches.tenant.secret)
    assert shown.json()["data"] == []


async def test_the_results_url_is_an_address_where_the_operator_has_said_it(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator), drain_s=1, public_url="https://ali.example.org") as service:
        async with anthropic.AsyncAnthropic(base_url=service.url, api_key=service.tenant.secret) as client:
            made = await client.messages.batches.create(requests=[asked("a")])
            batch = await ended(client, made.id)
        assert batch.results_url == f"https://ali.example.org{PATH}/{made.id}/results"


async def test_a_cancelled_batch_keeps_what_is_done(client: anthropic.AsyncAnthropic) -> None:
    made = await client.messages.batches.create(requests=[asked(f"q{n}", "[[latency:0.3]]") for n in range(100)])
    await asyncio.sleep(2.5)
    with pytest.raises(anthropic.ConflictError):
        await client.messages.batches.delete(made.id)
    with pytest.raises(anthropic.AnthropicError):
        await client.messages.batches.results(made.id)
    cancelling = await client.messages.batches.cancel(made.id)
    assert cancelling.processing_status == "canceling"
    assert cancelling.cancel_initiated_at
    batch = await ended(client, made.id)
    counts = batch.request_counts
    assert counts.succeeded >= 1
    assert counts.succeeded + counts.canceled == 100
    results = await results_of(client, made.id)
    assert [each.custom_id for each in results] == [f"q{n}" for n in range(100)]
    assert {each.result.type for each in results} == {"succeeded", "canceled"}


async def test_a_batch_cancelled_before_it_began_names_each_request(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator), drain_s=1, background="worker") as service, client_of(service) as client:
        made = await client.messages.batches.create(requests=[asked("a"), asked("b")])
        await client.messages.batches.cancel(made.id)
        running = asyncio.create_task(service.app.api.state.batches.run())
        await ended(client, made.id)
        assert [(each.custom_id, each.result.type) for each in await results_of(client, made.id)] == [
            ("a", "canceled"),
            ("b", "canceled"),
        ]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_expired_batch_says_so_of_each_request(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator), drain_s=1, background="worker") as service, client_of(service) as client:
        made = await client.messages.batches.create(requests=[asked("a"), asked("b")])
        with psycopg.connect(service.tenant.dsn) as connection:
            connection.execute("update ali.batch set expires_at = now() where id = %s", (made.id[-32:],))
        running = asyncio.create_task(service.app.api.state.batches.run())
        batch = await ended(client, made.id)
        assert batch.request_counts.expired == 2
        assert {each.result.type for each in await results_of(client, made.id)} == {"expired"}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_batch_that_has_ended_can_be_deleted_with_its_results(
    batches: Service, client: anthropic.AsyncAnthropic
) -> None:
    made = await client.messages.batches.create(requests=[asked("a")])
    await ended(client, made.id)
    with pytest.raises(anthropic.ConflictError):
        await client.messages.batches.cancel(made.id)
    gone = await client.messages.batches.delete(made.id)
    assert (gone.id, gone.type) == (made.id, "message_batch_deleted")
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.batches.retrieve(made.id)
    await batches.app.api.state.files.sweep()
    with psycopg.connect(batches.tenant.dsn) as connection:
        row = connection.execute(
            "select count(*) from ali.file where project_id = %s", (batches.tenant.project_id,)
        ).fetchone()
        recorded = connection.execute(
            "select target_id from ali.audit_event where project_id = %s and action = 'message_batch.deleted'",
            (batches.tenant.project_id,),
        ).fetchall()
    assert row == (0,)
    assert recorded == [(made.id,)]


async def test_lists_have_pages_in_both_directions(client: anthropic.AsyncAnthropic) -> None:
    made = [(await client.messages.batches.create(requests=[asked("a")])).id for _ in range(5)][::-1]
    assert [each.id async for each in client.messages.batches.list(limit=2)] == made
    page = await client.messages.batches.list(limit=2, after_id=made[1])
    assert ([each.id for each in page.data], page.has_more) == (made[2:4], True)
    page = await client.messages.batches.list(limit=2, before_id=made[3])
    assert ([each.id for each in page.data], page.has_more) == (made[1:3], True)
    assert (page.first_id, page.last_id) == (made[1], made[2])


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b'{"requests": []}', b'{"requests": {}}', b'{"requests": [1]}',
        b'{"requests": [{}]}', b'{"requests": [{"custom_id": "a"}]}',
        b'{"requests": [{"custom_id": "a", "params": 1}]}',
        b'{"requests": [{"custom_id": "a b", "params": {}}]}', b'{"requests": [{"custom_id": "a", "params": {}}',
        b'{"requests": [{"custom_id": "a", "params": {}}]', b'{"requests": [{"custom_id": "a", "params": {}}]}}',
        b'{"requests": [{"custom_id": "a", "params": {}}], "more": 1}',
        b'{"more": 1, "requests": [{"custom_id": "a", "params": {}}]}',
        b'{"requests": [{"custom_id": "a", "params": {}} {"custom_id": "b", "params": {}}]}',
        b'{"requests": [{"custom_id": "a", "params": {}}, {"custom_id": "a", "params": {}}]}',
        b'{"requests": [{"custom_id": "a", "params": {"stream": true}}]}',
        b'{"requests": [{"custom_id": "a", "params": {"model": 1}}]}',
        b'{"requests": [{"custom_id": "a", "params": {]}]}', b'{"requests": [{"\xff": "a"}]}',
        b'{"requests": [' + b"[" * 5000, b" " * 10_000,
        b'{"requests": [' + b'{"a":' * 20_000,
    ],
)  # fmt: skip
async def test_what_is_no_batch_is_refused_and_leaves_nothing(batches: Service, body: bytes) -> None:
    answer = await ask(batches.url, Request(method="POST", target=PATH, body=body), secret=batches.tenant.secret)
    assert answer.status == 400, answer
    assert answer.json()["error"]["type"] == "invalid_request_error"
    with psycopg.connect(batches.tenant.dsn) as connection:
        row = connection.execute(
            "select (select count(*) from ali.file f where f.project_id = %(project)s),"
            " (select count(*) from ali.batch b where b.project_id = %(project)s)",
            {"project": batches.tenant.project_id},
        ).fetchone()
    assert row == (0, 0)


async def test_a_large_batch_is_read_as_it_comes(batches: Service, client: anthropic.AsyncAnthropic) -> None:
    """Larger than any JSON body of an ordinary operation; cancelled, for it is the reading that is looked at."""
    requests = [asked(f"q{n}", f'{{"quoted \\" {n}": [' + "x" * 500) for n in range(8000)]
    made = await client.messages.batches.create(requests=requests)
    assert made.request_counts.processing == 8000
    await client.messages.batches.cancel(made.id)
    batch = await ended(client, made.id)
    assert batch.request_counts.succeeded + batch.request_counts.canceled == 8000


async def test_strangers_find_nothing_and_auditors_read_no_results(
    batches: Service, client: anthropic.AsyncAnthropic
) -> None:
    made = await client.messages.batches.create(requests=[asked("a")])
    await ended(client, made.id)
    stranger = make_tenant(batches.tenant.dsn).secret
    auditor = issue_key(batches.tenant, role="auditor").secret
    for target, secret, status in (
        (f"{PATH}/{made.id}", stranger, 404),
        (f"{PATH}/{made.id}/results", stranger, 404),
        (f"{PATH}/{made.id}", auditor, 200),
        (f"{PATH}/{made.id}/results", auditor, 403),
    ):
        answer = await ask(batches.url, Request(method="GET", target=target), secret=secret)
        assert answer.status == status
        if status >= 400:
            assert json.loads(answer.body)["type"] == "error"
