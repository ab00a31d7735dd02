"""The same request at once, from two processes, from callers who left, and after a crash: one execution at a time."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psycopg
import pytest
from openai import OpenAI

from ali.features.idempotency import Claims, Sealer
from ali.features.idempotency.claims import Claim
from ali.features.idempotency.request import Asked
from ali.features.idempotency.sealing import Answer as Kept
from ali.kernel.db import make_pool
from ali.kernel.ids import uuid7
from ali.ops.simulator import Answer, Fault, Simulator
from tests.end_to_end.service import Program, clean_environment, started, wait_for
from tests.fixtures.database import HMAC_SECRET, Tenant
from tests.fixtures.service import Serve, Service, providers
from tests.simulators.fixtures import KEY, threaded_simulator

_BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Count to twenty, please"}]}
_THREADS, _KEYS = 50, 20


def count(tenant: Tenant, statement: str) -> int:
    with psycopg.connect(tenant.dsn) as connection:
        row = connection.execute(statement.encode(), (tenant.organization_id,)).fetchone()
    assert row is not None
    return int(row[0])


@contextlib.contextmanager
def process(tenant: Tenant, home: Path, simulator: Simulator) -> Iterator[tuple[Program, str]]:
    """`ali serve` on the tenant's database, and its address once it is ready."""
    environment = clean_environment(
        ALI_HOME=str(home),
        DATABASE_URL=tenant.dsn,
        ALI_API_KEY_HMAC_SECRET=HMAC_SECRET,
        OPENAI_API_KEY=KEY,
        OPENAI_BASE_URL=simulator.openai_base_url,
    )
    with started("serve", "--port", "0", environment=environment) as program:
        yield program, program.wait_until_printed(r"serves on (http://127\.0\.0\.1:\d+)")


def test_fifty_threads_with_twenty_keys_at_two_processes_give_twenty_executions(tenant: Tenant, tmp_path: Path) -> None:
    with (
        threaded_simulator(default=Answer(latency_s=0.05, tokens=3)) as simulator,
        process(tenant, tmp_path, simulator) as (_, first),
        process(tenant, tmp_path, simulator) as (_, second),
        OpenAI(api_key=tenant.secret, base_url=f"{first}/v1", max_retries=0) as here,
        OpenAI(api_key=tenant.secret, base_url=f"{second}/v1", max_retries=0) as there,
        ThreadPoolExecutor(_THREADS) as pool,
    ):

        def all_keys(thread: int) -> list[bytes]:
            client = (here, there)[thread % 2]
            return [
                client.chat.completions.with_raw_response.create(
                    model="gpt-4.1",
                    messages=[{"role": "user", "content": f"Count to twenty, please: {key}"}],
                    stream=key % 2 == 0,
                    extra_headers={"Idempotency-Key": f"key {key}"},
                ).http_response.read()
                for key in range(_KEYS)
            ]

        answers: list[set[bytes]] = [set() for _ in range(_KEYS)]
        for received in pool.map(all_keys, range(_THREADS)):
            for bodies, body in zip(answers, received, strict=True):
                bodies.add(body)
        assert [len(bodies) for bodies in answers] == [1] * _KEYS, "every caller gets the same bytes"
        assert all(b"chat.completion" in body for bodies in answers for body in bodies)
        assert simulator.counters.requests == _KEYS
    assert count(tenant, "select count(*) from ali.usage_record where organization_id = %s") == _KEYS
    assert count(tenant, "select count(*) from ali.idempotent_request where organization_id = %s") == _KEYS


def asked(url: str, secret: str) -> HTTPConnection:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json", "idempotency-key": "k"}
    connection.request("POST", "/v1/chat/completions", json.dumps(_BODY), headers)
    return connection


def test_what_a_killed_process_was_doing_is_executed_again_once_it_is_known_to_be_dead(
    tenant: Tenant, tmp_path: Path
) -> None:
    with (
        threaded_simulator(default=Answer(latency_s=20)) as simulator,
        process(tenant, tmp_path, simulator) as (_, living),
    ):
        with process(tenant, tmp_path, simulator) as (program, address):
            connection = asked(address, tenant.secret)
            claimed = "select count(*) from ali.idempotent_request where organization_id = %s"
            wait_for(lambda: count(tenant, claimed), what="the claim")
            program.end(signal.SIGKILL)
            connection.close()
        simulator.default = Answer()
        with psycopg.connect(tenant.dsn) as database:  # 45 s later
            (instance,) = database.execute(
                "update ali.idempotent_request set claimed_at = claimed_at - interval '46 s'"
                " where organization_id = %s returning instance_id",
                (tenant.organization_id,),
            ).fetchone() or (None,)
            database.execute(
                "update ali.service_instance set heartbeat_at = heartbeat_at - interval '46 s' where id = %s",
                (instance,),
            )
        with contextlib.closing(asked(living, tenant.secret)) as connection:
            answer: HTTPResponse = connection.getresponse()
            assert answer.status == 200
            assert answer.headers["idempotent-replayed"] is None
            body = answer.read()
        with contextlib.closing(asked(living, tenant.secret)) as connection:
            assert connection.getresponse().read() == body


async def ask(service: Service, *, stream: bool = False, key: str = "k") -> tuple[int, dict[str, str], bytes]:
    async with (
        aiohttp.ClientSession(headers={**service.headers, "idempotency-key": key}) as session,
        session.post(f"{service.url}/v1/chat/completions", json={**_BODY, "stream": stream}) as answer,
    ):
        return answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read()


@pytest.mark.parametrize("stream", [False, True])
async def test_who_lost_the_connection_gets_the_whole_answer_when_asking_again(
    service: Service, simulator: Simulator, *, stream: bool
) -> None:
    """The work goes on without its caller, who will come back for it: that is what the key is for."""
    simulator.answer(Answer(tokens=30, tokens_per_second=60) if stream else Answer(latency_s=0.5))
    headers = {**service.headers, "idempotency-key": "k"}
    async with aiohttp.ClientSession(headers=headers) as session:
        with contextlib.suppress(TimeoutError):
            async with session.post(
                f"{service.url}/v1/chat/completions",
                json={**_BODY, "stream": stream},
                timeout=aiohttp.ClientTimeout(total=None if stream else 0.15),
            ) as answer:
                await answer.content.readline()
                answer.close()
    assert simulator.counters.in_flight == 1
    status, told, body = await ask(service, stream=stream)
    assert (status, told["idempotent-replayed"]) == (200, "true")
    assert body.endswith(b"data: [DONE]\n\n") is stream
    assert b"Count" in body
    assert simulator.counters.disconnects == 0
    assert simulator.counters.requests == 1
    [record] = await service.records()
    assert record["outcome"] == "ok"


async def test_repetitions_wait_for_the_first_and_are_then_told_to_come_back(
    serve: Serve, simulator: Simulator
) -> None:
    async with serve(**providers(simulator), idempotency_wait_s=0.3) as service:
        simulator.default = Answer(latency_s=1.0)
        first = asyncio.create_task(ask(service))
        await simulator.until(lambda: simulator.counters.in_flight == 1)
        early = await asyncio.gather(*(ask(service) for _ in range(3)))
        for status, headers, body in early:
            assert (status, headers["x-ali-error-code"]) == (409, "idempotency_in_progress")
            assert int(headers["retry-after"]) >= 1
            assert json.loads(body)["error"]["type"] == "invalid_request_error"
        _, _, answered = await first
        status, headers, body = await ask(service)
        assert (status, headers["idempotent-replayed"], body) == (200, "true", answered)
    assert simulator.counters.requests == 1


async def test_when_the_first_fails_one_of_those_who_wait_executes_again(
    service: Service, simulator: Simulator
) -> None:
    simulator.answer(Answer(fault=Fault.HTTP_401, latency_s=0.2))
    failing = asyncio.create_task(ask(service))
    await simulator.until(lambda: simulator.counters.in_flight == 1)
    waiting = [asyncio.create_task(ask(service)) for _ in range(4)]
    status, *_ = await failing
    assert status == 502
    answers = await asyncio.gather(*waiting)
    assert {status for status, *_ in answers} == {200}
    assert sum("idempotent-replayed" in headers for _, headers, _ in answers) == 3
    assert len({body for *_, body in answers}) == 1
    assert simulator.counters.requests == 2


async def test_who_leaves_while_waiting_is_not_waited_for(service: Service, simulator: Simulator) -> None:
    simulator.answer(Answer(latency_s=0.5))
    first = asyncio.create_task(ask(service))
    await simulator.until(lambda: simulator.counters.in_flight == 1)
    waiting = asyncio.create_task(ask(service))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (await first)[0] == 200
    counted = service.gateway.metrics.idempotent.labels("client_gone")._value.get()
    assert counted == 1


async def test_a_claim_is_taken_from_a_dead_process_only_and_the_dead_cannot_settle_it(
    tenant: Tenant, worker_dsn: str
) -> None:
    pool = make_pool(worker_dsn, size=2)
    await pool.open()
    sealer = Sealer(HMAC_SECRET.encode())
    slow, quick = (Claims(pool, sealer, instance_id=uuid7(), ttl_s=60, max_answer_bytes=1000) for _ in range(2))
    question = Asked(key=b"k", parts=(b"POST", b"/v1/x"))

    def claim(claims: Claims) -> Claim:
        return claims.claim_for(question, organization_id=tenant.organization_id, subject_id=tenant.key_id)

    try:
        old, new = claim(slow), claim(quick)
        assert (await slow.make(old)).outcome == "claimed"
        assert (await quick.make(new)).outcome == "running", "so young a claim may be of a process just started"
        async with pool.connection() as connection:
            await connection.execute(
                "update ali.idempotent_request set claimed_at = now() - interval '1 hour' where organization_id = %s",
                (tenant.organization_id,),
            )
            await connection.execute("insert into ali.service_instance (id) values (%s)", (slow._instance_id,))
            assert (await quick.make(new)).outcome == "running", "an old claim of a living process is its own"
            await connection.execute(
                "update ali.service_instance set heartbeat_at = now() - interval '46 s' where id = %s",
                (slow._instance_id,),
            )
        assert (await quick.make(new)).outcome == "taken_over"
        answer = Kept(status=200, headers=[(b"a", b"b")], body=b"new")
        assert not await slow.settle(old, status=200, answer=Kept(status=200, headers=[], body=b"old"))
        await slow.release(old)
        assert (await slow.make(claim(slow))).outcome == "running"
        assert await quick.settle(new, status=200, answer=answer)
        assert (await slow.make(claim(slow))).answer == answer
    finally:
        await pool.close()
