"""OpenAI's Batch API, judged by OpenAI's SDK."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import psycopg
import pytest

from ali.kernel.errors import AuthenticationFailed
from ali.ops.simulator import Simulator
from tests.batches.batched import CHAT, client_of, completed, ended, handed_in, jsonl, line, lines_of, until
from tests.fixtures.database import issue_key, make_tenant
from tests.fixtures.service import Serve, Service, providers


@pytest.fixture
async def batches(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    async with serve(**providers(simulator), drain_s=1) as service:
        yield service


@pytest.fixture
async def client(batches: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(batches) as client:
        yield client


async def test_a_batch_runs_to_its_end_and_its_output_names_each_line(
    batches: Service, client: openai.AsyncOpenAI
) -> None:
    made = await handed_in(client, jsonl(*(line(f"q{n}", f"Question {n}") for n in range(12))), metadata={"for": "us"})
    assert (made.object, made.endpoint, made.completion_window) == ("batch", CHAT, "24h")
    assert made.id.startswith("batch_")
    assert made.expires_at is not None
    assert made.expires_at - made.created_at == 86_400
    batch = await ended(client, made.id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 12, "completed": 12, "failed": 0}
    assert batch.metadata == {"for": "us"}
    assert batch.error_file_id is None
    assert batch.in_progress_at
    assert batch.finalizing_at
    assert batch.completed_at
    output = await lines_of(client, batch.output_file_id)
    assert [each["custom_id"] for each in output] == [f"q{n}" for n in range(12)]
    for each in output:
        assert each["id"].startswith("batch_req_")
        assert each["error"] is None
        assert each["response"]["status_code"] == 200
        assert each["response"]["request_id"].startswith("req_")
        assert each["response"]["body"]["object"] == "chat.completion"
    assert batch.output_file_id is not None
    file = await client.files.retrieve(batch.output_file_id)
    assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert file.expires_at is not None
    records = await batches.records()
    assert len(records) == 12
    assert {(record["api_key_id"], record["outcome"]) for record in records} == {(batches.tenant.key_id, "ok")}
    assert all(record["cost_microusd"] > 0 for record in records)
    assert [each.id async for each in client.batches.list()] == [batch.id]


async def test_the_synchronous_sdk_runs_a_batch_too(batches: Service) -> None:
    def run() -> str:
        with openai.OpenAI(base_url=batches.openai_base_url, api_key=batches.tenant.secret) as client:
            file = client.files.create(file=jsonl(line("a")), purpose="batch")
            made = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
            while (batch := client.batches.retrieve(made.id)).status != "completed":
                time.sleep(0.1)
            assert batch.output_file_id is not None
            return client.files.content(batch.output_file_id).text

    assert '"custom_id":"a"' in await asyncio.to_thread(run)


async def test_lines_that_fail_stand_in_the_error_file_and_the_others_in_the_output(
    client: openai.AsyncOpenAI,
) -> None:
    content = jsonl(
        line("good"), line("refused", "[[status:400]]"), line("unsaid", messages="nothing"), line("also good")
    )
    batch = await ended(client, (await handed_in(client, content)).id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 4, "completed": 2, "failed": 2}
    assert [each["custom_id"] for each in await lines_of(client, batch.output_file_id)] == ["good", "also good"]
    refused, unsaid = await lines_of(client, batch.error_file_id)
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("refused", 400)
    assert refused["response"]["body"]["error"]["message"]
    assert (unsaid["custom_id"], unsaid["response"]["status_code"]) == ("unsaid", 400)
    assert unsaid["response"]["body"]["error"]["param"] == "messages"


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "Hello"}),
        ("/v1/moderations", {"input": "Hello"}),
        ("/v1/responses", {"model": "gpt-4.1", "input": "Hello", "store": False}),
    ],
)
async def test_every_endpoint_can_be_batched(client: openai.AsyncOpenAI, endpoint: str, body: dict[str, Any]) -> None:
    content = jsonl({"custom_id": "a", "method": "POST", "url": endpoint, "body": body})
    batch = await ended(client, (await handed_in(client, content, endpoint=endpoint)).id)
    assert batch.status == "completed"
    assert [each["response"]["status_code"] for each in await lines_of(client, batch.output_file_id)] == [200]


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (b"", [("empty_file", None, None)]),
        (b"\n\n", [("empty_file", None, None)]),
        (jsonl(line("a"), b"no json"), [("invalid_json_line", 2, None)]),
        (jsonl(line("a"), b'{"custom_id": "\xff"}'), [("invalid_json_line", 2, None)]),
        (jsonl(line("a"), line("a")), [("duplicate_custom_id", 2, "custom_id")]),
        (jsonl(line("")), [("invalid_custom_id", 1, "custom_id")]),
        (jsonl({"method": "POST", "url": CHAT, "body": {}}), [("missing_required_parameter", 1, "custom_id")]),
        (jsonl(line("a") | {"method": "GET"}), [("invalid_method", 1, "method")]),
        (jsonl(line("a", url="/v1/embeddings")), [("mismatched_endpoint", 1, "url")]),
        (jsonl(line("a") | {"body": []}), [("invalid_type", 1, "body")]),
        (jsonl(line("a", model=1)), [("invalid_type", 1, "body.model")]),
        (jsonl(line("a"), line("b", model="gpt-4.1-mini")), [("mismatched_model", 2, "body.model")]),
        (jsonl(line("a", stream=True)), [("stream_not_supported", 1, "body.stream")]),
        (jsonl([]), [("invalid_type", 1, None)]),
        (
            jsonl(line("a"), b"", b"{", line("b") | {"method": "PUT"}),
            [("invalid_json_line", 3, None), ("invalid_method", 4, "method")],
        ),
    ],
)
async def test_an_input_that_is_no_batch_fails_and_each_fault_is_told_with_its_line(
    batches: Service, client: openai.AsyncOpenAI, content: bytes, faults: list[tuple[str, int | None, str | None]]
) -> None:
    batch = await ended(client, (await handed_in(client, content)).id)
    assert batch.status == "failed"
    assert batch.failed_at
    assert batch.errors is not None
    assert [(fault.code, fault.line, fault.param) for fault in batch.errors.data or ()] == faults
    assert all(fault.message for fault in batch.errors.data or ())
    assert batch.output_file_id is None
    assert await batches.records() == []
    await client.files.delete(batch.input_file_id)


async def test_a_model_of_no_name_is_each_lines_error(client: openai.AsyncOpenAI) -> None:
    batch = await ended(client, (await handed_in(client, jsonl(line("a", model="\0"), line("b", model="\0")))).id)
    assert batch.status == "completed"
    assert [each["response"]["status_code"] for each in await lines_of(client, batch.error_file_id)] == [404, 404]


async def test_more_lines_than_a_batch_may_have_fail_it(client: openai.AsyncOpenAI) -> None:
    content = jsonl(*(line(str(n)) for n in range(50_001)))
    batch = await ended(client, (await handed_in(client, content)).id)
    assert batch.errors is not None
    assert [(fault.code, fault.line) for fault in batch.errors.data or ()] == [("too_many_requests", None)]


async def test_what_is_no_batch_to_be_made_is_refused(batches: Service, client: openai.AsyncOpenAI) -> None:
    file = await client.files.create(file=jsonl(line("a")), purpose="batch")
    other = await client.files.create(file=jsonl(line("a")), purpose="user_data")
    good: dict[str, Any] = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    for wrong, param in (
        ({"endpoint": "/v1/models"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": other.id}, "input_file_id"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"x": "y" * 513}}, "metadata.x"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after.seconds"),
    ):
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.batches.create(**(good | wrong))
        assert refusal.value.param == param
    for file_id in ("file-nothing", file.id[:-4] + "0000"):
        with pytest.raises(openai.NotFoundError):
            await client.batches.create(**(good | {"input_file_id": file_id}))
    async with client_of(batches, key=make_tenant(batches.tenant.dsn).secret) as stranger:
        with pytest.raises(openai.NotFoundError):
            await stranger.batches.create(**good)
    async with client_of(batches, key=issue_key(batches.tenant, role="auditor").secret) as auditor:
        with pytest.raises(openai.PermissionDeniedError):
            await auditor.batches.create(**good)


async def test_a_cancelled_batch_keeps_what_is_done_and_runs_no_more(
    batches: Service, client: openai.AsyncOpenAI, simulator: Simulator
) -> None:
    content = jsonl(*(line(f"q{n}", "[[latency:0.2]]") for n in range(200)))
    made = await handed_in(client, content)
    await completed(client, made.id, at_least=4)
    cancelling = await client.batches.cancel(made.id)
    assert cancelling.status == "cancelling"
    assert (await client.batches.cancel(made.id)).status in ("cancelling", "cancelled")
    batch = await ended(client, made.id)
    assert batch.status == "cancelled"
    assert batch.cancelled_at
    done = await lines_of(client, batch.output_file_id)
    rest = await lines_of(client, batch.error_file_id)
    assert 4 <= len(done) < 100
    assert len(done) + len(rest) == 200
    assert {each["error"]["code"] for each in rest} == {"batch_cancelled"}
    assert len(await batches.records()) == len(done)
    with pytest.raises(openai.ConflictError):
        await client.batches.cancel(made.id)


async def counts(client: openai.AsyncOpenAI, batch_id: str) -> dict[str, int]:
    found = (await client.batches.retrieve(batch_id)).request_counts
    return found.model_dump() if found else {}


async def test_a_batch_whose_window_ends_is_expired_and_keeps_what_is_done(
    batches: Service, client: openai.AsyncOpenAI
) -> None:
    made = await handed_in(client, jsonl(*(line(f"q{n}", "[[latency:0.2]]") for n in range(200))))
    await completed(client, made.id, at_least=4)
    await restarted_with(batches, made.id, "expires_at = now()")
    batch = await ended(client, made.id)
    assert batch.status == "expired"
    assert batch.expired_at
    done = await lines_of(client, batch.output_file_id)
    rest = await lines_of(client, batch.error_file_id)
    assert len(done) >= 4
    assert len(done) + len(rest) == 200
    assert {each["error"]["code"] for each in rest} == {"batch_expired"}


async def restarted_with(batches: Service, batch_id: str, change: str) -> None:
    """Have the batch taken anew, as after a restart, with its row changed."""
    runner = batches.app.api.state.batches
    for run, task in list(runner._runs.values()):
        run.hand_over()
        await task
    statement = f"update ali.batch set {change} where id = %s"  # noqa: S608 - of this test
    with psycopg.connect(batches.tenant.dsn, autocommit=True) as connection:
        connection.execute(statement.encode(), (batch_id[-32:],))


async def test_a_batch_that_is_handed_over_runs_each_line_once(batches: Service, client: openai.AsyncOpenAI) -> None:
    made = await handed_in(client, jsonl(*(line(f"q{n}", "[[latency:0.1]]") for n in range(30))))
    await completed(client, made.id, at_least=4)
    await restarted_with(batches, made.id, "resume_at = null")
    batch = await ended(client, made.id)
    assert (batch.status, await counts(client, made.id)) == (
        "completed", {"total": 30, "completed": 30, "failed": 0},
    )  # fmt: skip
    assert len(await batches.records()) == 30


@pytest.mark.parametrize("how", ["revoked", "person gone", "expired"])
async def test_whoever_may_nothing_any_more_has_their_batch_ended_and_what_is_done_kept(
    batches: Service, how: str
) -> None:
    key = issue_key(batches.tenant, role="developer", person=True)
    owner = issue_key(batches.tenant, role="owner")
    async with client_of(batches, key=key.secret) as theirs, client_of(batches, key=owner.secret) as ours:
        made = await handed_in(theirs, jsonl(*(line(f"q{n}", "[[latency:0.2]]") for n in range(100))))
        await completed(ours, made.id, at_least=2)
        statements: dict[str, Callable[[psycopg.Connection], object]] = {
            "revoked": lambda c: c.execute("update ali.api_key set revoked_at = now() where id = %s", (key.id,)),
            "person gone": lambda c: c.execute("delete from ali.project_member where user_id = %s", (key.user_id,)),
            "expired": lambda c: c.execute("update ali.api_key set expires_at = now() where id = %s", (key.id,)),
        }
        with psycopg.connect(batches.tenant.dsn) as connection:
            statements[how](connection)
            connection.execute("update ali.access_epoch set value = value + 1")
        await batches.learn()
        batch = await ended(ours, made.id)
        assert batch.status == "failed"
        assert batch.errors is not None
        assert [fault.code for fault in batch.errors.data or ()] == ["creator_gone"]
        assert len(await lines_of(ours, batch.output_file_id)) >= 2
        assert {each["error"]["code"] for each in await lines_of(ours, batch.error_file_id)} == {"creator_gone"}


async def test_a_batchs_input_is_kept_until_its_end(batches: Service, client: openai.AsyncOpenAI) -> None:
    made = await handed_in(client, jsonl(*(line(f"q{n}", "[[latency:0.2]]") for n in range(100))))
    await until(client, made.id, frozenset({"in_progress"}))
    with pytest.raises(openai.ConflictError) as refusal:
        await client.files.delete(made.input_file_id)
    assert refusal.value.code == "file_in_use"
    await client.batches.cancel(made.id)
    await ended(client, made.id)
    assert (await client.files.delete(made.input_file_id)).deleted


async def test_lines_wait_where_a_limit_is_reached_and_do_not_fail(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator), drain_s=1, requests_per_minute=6) as service, client_of(service) as client:
        made = await handed_in(client, jsonl(*(line(f"q{n}") for n in range(12))))
        await until(client, made.id, frozenset({"in_progress"}))
        await asyncio.sleep(4)
        batch = await client.batches.retrieve(made.id)
        assert batch.status == "in_progress"
        assert batch.request_counts is not None
        assert batch.request_counts.failed == 0
        assert 3 <= batch.request_counts.completed <= 6
        await client.batches.cancel(made.id)
        assert (await ended(client, made.id)).status == "cancelled"


async def test_the_providers_limit_and_its_hiccups_are_waited_for(
    client: openai.AsyncOpenAI, simulator: Simulator
) -> None:
    content = jsonl(line("limited", "[[status:429]]"), line("good"))
    made = await handed_in(client, content)
    await completed(client, made.id, at_least=1)
    assert (await client.batches.retrieve(made.id)).status == "in_progress"
    await client.batches.cancel(made.id)
    assert (await ended(client, made.id)).status == "cancelled"


async def test_no_header_says_for_whom_a_request_is(batches: Service) -> None:
    client = openai.AsyncOpenAI(
        base_url=batches.openai_base_url,
        api_key="ali_nobody",
        max_retries=0,
        default_headers={"ali.principal": "owner", "ali-principal": "owner"},
    )
    async with client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": "Hi"}])


async def test_a_person_without_a_key_is_recognised_again_in_their_project(batches: Service) -> None:
    project = batches.tenant.project_id
    again = batches.app.api.state.authenticator.again
    key = issue_key(batches.tenant, role="developer", person=True)
    person = await again(key_id=None, user_id=key.user_id, project=project)
    assert (person.user_id, person.project_id, person.key_id) == (key.user_id, project, None)
    with pytest.raises(AuthenticationFailed, match="not known"):
        await again(key_id=None, user_id=None, project=project)
