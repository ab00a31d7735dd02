"""A POST with an idempotency key is carried out once; repetitions get the same answer, and nobody else does."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import psycopg
import pytest
from anthropic import AsyncAnthropic
from psycopg.rows import dict_row

from ali.ops.simulator import Answer, Fault, Simulator
from tests.fixtures.database import Tenant, make_tenant
from tests.fixtures.service import Serve, Service, providers

_CHAT, _MESSAGES = "/v1/chat/completions", "/v1/messages"
_BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Count to twenty, please"}]}
_MESSAGE = {"model": "claude-sonnet-5-5", "max_tokens": 60, "messages": _BODY["messages"]}
_KEY = "order-4711 of the canary customer"


@dataclass(frozen=True, slots=True)
class Received:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def replayed(self) -> bool:
        return self.headers.get("idempotent-replayed") == "true"

    @property
    def code(self) -> str | None:
        return self.headers.get("x-ali-error-code")


async def post(
    service: Service, body: object = None, *, path: str = _CHAT, key: str | None = _KEY, **headers: str
) -> Received:
    sent = {"authorization": f"Bearer {service.tenant.secret}", "content-type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent["idempotency-key"] = key
    data = body if isinstance(body, bytes) else json.dumps(_BODY if body is None else body).encode()
    async with aiohttp.ClientSession() as session, session.post(service.url + path, data=data, headers=sent) as answer:
        return Received(answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read())


async def rows(tenant: Tenant) -> list[dict[str, Any]]:
    async with (
        await psycopg.AsyncConnection.connect(tenant.dsn, row_factory=dict_row) as connection,
        await connection.execute(
            "select * from ali.idempotent_request where organization_id = %s", (tenant.organization_id,)
        ) as cursor,
    ):
        return await cursor.fetchall()


async def change(tenant: Tenant, assignment: psycopg.sql.SQL) -> None:
    statement = psycopg.sql.SQL("update ali.idempotent_request set {} where organization_id = %s").format(assignment)
    async with await psycopg.AsyncConnection.connect(tenant.dsn) as connection:
        await connection.execute(statement, (tenant.organization_id,))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"), [(_CHAT, _BODY), (_MESSAGES, _MESSAGE), (_MESSAGES, {**_MESSAGE, "model": "gpt-4.1"})]
)
async def test_a_repetition_gets_the_same_bytes_and_nothing_is_spent(
    service: Service, simulator: Simulator, *, path: str, body: dict[str, object], stream: bool
) -> None:
    body = {**body, "stream": stream}
    first, again = await post(service, body, path=path), await post(service, body, path=path)
    assert first.status == again.status == 200
    assert again.body == first.body
    assert b"Count" in first.body
    assert (first.replayed, again.replayed) == (False, True)
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-ali-model"] == first.headers["x-ali-model"]
    assert again.headers["x-ali-original-request-id"] == first.headers["x-request-id"]
    assert again.headers["x-request-id"] not in (first.headers["x-request-id"], "")
    assert ("request-id" in again.headers) is (path == _MESSAGES)
    assert not [name for name in again.headers if "ratelimit" in name or name == "openai-processing-ms"]
    assert simulator.counters.requests == 1
    assert len(await service.records()) == 1


async def test_the_answer_is_kept_when_its_last_byte_arrives(service: Service) -> None:
    headers = {**service.headers, "idempotency-key": _KEY}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(service.url + _CHAT, json={**_BODY, "stream": True}) as answer,
    ):
        async for line in answer.content:
            if b"[DONE]" in line:
                assert [row["state"] for row in await rows(service.tenant)] == ["done"]
                break
        else:
            pytest.fail("the stream had no terminal event")


async def test_anthropics_sdk_reads_a_replayed_stream(service: Service, simulator: Simulator) -> None:
    texts = []
    async with AsyncAnthropic(api_key=service.tenant.secret, base_url=service.url, max_retries=0) as client:
        for _ in range(2):
            async with client.messages.stream(
                model="claude-sonnet-5-5",
                max_tokens=60,
                messages=[{"role": "user", "content": "Count to twenty, please"}],
                extra_headers={"Idempotency-Key": _KEY},
            ) as stream:
                texts.append(await stream.get_final_text())
    assert texts[0] == texts[1] != ""
    assert simulator.counters.requests == 1


async def test_ordinary_routes_are_wrapped_as_well(service: Service, simulator: Simulator) -> None:
    first, again = [await post(service, path="/v1/models") for _ in range(2)]
    assert (first.status, again.status) == (405, 405)
    assert again.replayed
    assert again.body == first.body


async def test_without_the_header_nothing_is_kept_and_the_answer_is_the_same(
    service: Service, simulator: Simulator
) -> None:
    answers = []
    for key in (None, _KEY):
        simulator.answer(Answer(body=b'{"id":"x","object":"chat.completion","choices":[],"usage":null}'))
        answers.append(await post(service, key=key))
    plain, keyed = answers
    assert plain.body == keyed.body
    its_own = {"x-request-id", "openai-processing-ms", "date"}
    assert {k: v for k, v in plain.headers.items() if k not in its_own} == {
        k: v for k, v in keyed.headers.items() if k not in its_own
    }
    assert len(await rows(service.tenant)) == 1


async def test_another_request_under_the_same_key_is_refused(service: Service, simulator: Simulator) -> None:
    assert (await post(service)).status == 200
    others: list[tuple[object, dict[str, str]]] = [
        ({**_BODY, "temperature": 0.5}, {}),
        (dict(reversed(_BODY.items())), {}),
        (json.dumps(_BODY, indent=1).encode(), {}),
        (_BODY, {"x_ali_cache_ttl": "60"}),
        (_BODY, {"anthropic_version": "2023-06-01"}),
    ]
    for body, headers in others:
        refused = await post(service, body, **headers)
        assert (refused.status, refused.code) == (422, "idempotency_key_reused")
    assert (await post(service)).replayed, "the refusals have changed nothing"
    assert simulator.counters.requests == 1


async def test_refusals_are_in_the_callers_dialect(service: Service) -> None:
    await post(service, _MESSAGE, path=_MESSAGES)
    refused = await post(service, {**_MESSAGE, "max_tokens": 61}, path=_MESSAGES)
    assert refused.status == 422
    told = json.loads(refused.body)
    assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
    assert told["request_id"] == refused.headers["request-id"]
    refused = await post(service, _BODY)
    assert json.loads(refused.body)["error"]["code"] == "idempotency_key_reused", "another path is another request"


async def test_a_malformed_key_is_refused(service: Service, simulator: Simulator) -> None:
    for key in ("", "x" * 256, "línea", "tab\there"):
        refused = await post(service, key=key)
        assert (refused.status, refused.code) == (400, "idempotency_key_invalid")
        assert json.loads(refused.body)["error"]["param"] == "Idempotency-Key"
    assert simulator.counters.requests == 0


async def test_two_keys_in_one_request_are_refused(service: Service) -> None:
    headers = [*service.headers.items(), ("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    async with (
        aiohttp.ClientSession() as session,
        session.post(service.url + _CHAT, json=_BODY, headers=headers) as answer,
    ):
        assert answer.headers["x-ali-error-code"] == "idempotency_key_invalid"


async def test_without_a_valid_credential_the_service_says_401_and_keeps_nothing(service: Service) -> None:
    for secret in ("Bearer ali_wrong", "Basic eDp5"):
        refused = await post(service, authorization=secret)
        assert (refused.status, refused.code) == (401, "invalid_api_key")
    assert await rows(service.tenant) == []


async def test_gets_ignore_the_header(service: Service) -> None:
    headers = {**service.headers, "idempotency-key": _KEY}
    async with aiohttp.ClientSession(headers=headers) as session:
        for _ in range(2):
            async with session.get(f"{service.url}/v1/models") as answer:
                assert answer.status == 200
                assert "idempotent-replayed" not in answer.headers
    assert await rows(service.tenant) == []


async def test_the_same_key_of_another_tenant_or_credential_is_another_key(
    service: Service, simulator: Simulator
) -> None:
    stranger = make_tenant(service.tenant.dsn)
    await post(service)
    answer = await post(service, authorization=f"Bearer {stranger.secret}")
    assert answer.status == 200
    assert not answer.replayed
    assert simulator.counters.requests == 2
    [mine], [theirs] = await rows(service.tenant), await rows(stranger)
    assert mine["key_digest"] != theirs["key_digest"]
    assert mine["fingerprint"] != theirs["fingerprint"], "that two asked the same is nobody's to see"


async def test_the_table_gives_away_neither_question_nor_answer_nor_key(service: Service, simulator: Simulator) -> None:
    simulator.answer("The canary sings at dawn")
    answer = await post(service)
    assert b"canary sings" in answer.body
    [row] = await rows(service.tenant)
    dump = b"".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
    for word in (b"canary", b"sings", b"order-4711", b"Count", b"gpt-4.1", service.tenant.secret.encode()):
        assert word not in dump
    assert len(row["answer"]) > len(answer.body)


async def test_a_kept_answer_in_another_row_or_of_another_installation_is_not_replayed(service: Service) -> None:
    await post(service, key="one")
    await post(service, key="two")
    async with await psycopg.AsyncConnection.connect(service.tenant.dsn) as connection:
        await connection.execute(
            "update ali.idempotent_request r set answer = o.answer from ali.idempotent_request o"
            " where r.organization_id = %s and o.organization_id = r.organization_id and o.key_digest <> r.key_digest",
            (service.tenant.organization_id,),
        )
    refused = await post(service, key="one")
    assert (refused.status, refused.code) == (409, "idempotency_answer_not_kept")


async def test_a_refusal_for_what_the_request_says_is_kept(service: Service, simulator: Simulator) -> None:
    refused, again = [await post(service, {**_BODY, "model": "no-such-model"}) for _ in range(2)]
    assert refused.status == again.status == 404
    assert again.replayed
    assert json.loads(again.body)["error"]["code"] == "model_not_found"


async def test_a_first_attempt_that_failed_is_executed_again(serve: Serve, simulator: Simulator) -> None:
    failures = (Fault.HTTP_503, False), (Fault.HTTP_429, False), (Fault.HTTP_401, True), (Fault.RESET_MID_CHUNK, True)
    async with serve(**providers(simulator)) as service:
        for fault, stream in failures:
            body, key = {**_BODY, "stream": stream}, str(fault)
            simulator.default = Answer(fault=fault)
            failed = await post(service, body, key=key)
            assert failed.status >= 429 or (stream and b'"error"' in failed.body)
            simulator.default = Answer()
            for expected in (False, True):
                answer = await post(service, body, key=key)
                assert (answer.status, answer.replayed) == (200, expected)
                assert b'"error"' not in answer.body
    assert len(await rows(service.tenant)) == len(failures)


async def test_a_caller_who_was_too_fast_may_come_back_with_the_same_key(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator), requests_per_minute=1) as service:
        assert (await post(service, key="one")).status == 200
        assert (await post(service, key="two")).status == 429
        assert len(await rows(service.tenant)) == 1
        assert (await post(service, key="one")).replayed


async def test_an_answer_too_large_to_keep_is_delivered_and_not_executed_again(
    serve: Serve, simulator: Simulator
) -> None:
    async with serve(**providers(simulator), idempotency_max_answer_bytes=600) as service:
        for stream in (False, True):
            body = {**_BODY, "stream": stream}
            simulator.answer("word " * 300)
            answer = await post(service, body, key=f"key {stream}")
            assert answer.status == 200
            assert answer.body.count(b"word") == 300
            refused = await post(service, body, key=f"key {stream}")
            assert (refused.status, refused.code) == (409, "idempotency_answer_not_kept")
            assert refused.headers["x-should-retry"] == "false"
    assert simulator.counters.requests == 2
    assert {(row["state"], row["answer"]) for row in await rows(service.tenant)} == {("done", None)}


async def test_a_body_too_large_to_be_compared_is_refused_before_anything_is_done(
    serve: Serve, simulator: Simulator
) -> None:
    async def slowly() -> Any:  # noqa: ANN401 - what aiohttp takes for a body without a length
        for _ in range(3):
            yield b"x" * 500

    async with serve(**providers(simulator), max_body_bytes=1024) as service:
        refused = await post(service, b"x" * 1025)
        assert (refused.status, refused.code) == (413, "request_too_large")
        headers = {**service.headers, "idempotency-key": _KEY}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(service.url + _CHAT, data=slowly()) as answer,
        ):
            assert answer.status == 413
        assert await rows(service.tenant) == []


async def test_an_expired_key_is_free_again_and_its_row_goes(service: Service, simulator: Simulator) -> None:
    await post(service)
    await change(service.tenant, psycopg.sql.SQL("expires_at = now() - interval '1 second'"))
    assert not (await post(service, {**_BODY, "temperature": 0})).replayed, "even for another request"
    assert simulator.counters.requests == 2
    await change(service.tenant, psycopg.sql.SQL("expires_at = now() - interval '1 second'"))
    claims = service.app.api.state.keeping.claims
    claims._forget_at_s = 0.0
    await claims.keep_house()
    assert await rows(service.tenant) == []


async def test_each_result_is_counted_and_the_document_names_the_header(service: Service) -> None:
    for body in (_BODY, _BODY, {**_BODY, "temperature": 1}):
        await post(service, body)
    async with aiohttp.ClientSession(headers=service.headers) as session:
        async with session.get(f"{service.url}/metrics") as answer:
            lines = [line for line in (await answer.text()).splitlines() if line.startswith("ali_idempotent")]
        async with session.get(f"{service.url}/openapi.json") as answer:
            paths = (await answer.json())["paths"]
    assert {line.rpartition(" ")[0] for line in lines if "_total{" in line and line.endswith(" 1.0")} == {
        f'ali_idempotent_requests_total{{result="{result}"}}'
        for result in ("executed", "replayed", "idempotency_key_reused")
    }
    posts = [item["post"] for item in paths.values() if "post" in item]
    assert len(posts) >= 5
    for operation in posts:
        named = [parameter["name"] for parameter in operation.get("parameters", [])]
        assert named.count("Idempotency-Key") == bool(operation.get("security"))


async def test_while_the_database_is_away_nothing_is_executed_and_the_key_is_free_afterwards(
    serve: Serve, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ali.features.idempotency.claims._DEADLINE_S", 0.3)
    async with serve(**providers(simulator)) as service:
        lock = await psycopg.AsyncConnection.connect(service.tenant.dsn)
        await lock.execute("lock table ali.idempotent_request in access exclusive mode")
        refused = await post(service)
        assert (refused.status, refused.code) == (503, "idempotency_unavailable")
        assert simulator.counters.requests == 0
        await lock.close()
        assert not (await post(service)).replayed
        assert (await post(service)).replayed


async def test_a_credential_that_cannot_be_checked_is_refused_here_and_not_let_past(service: Service) -> None:
    await service.app.api.state.pool.close()
    refused = await post(service)
    assert (refused.status, refused.code) == (503, "service_unavailable")
    assert service.gateway.metrics.idempotent.labels("service_unavailable")._value.get() == 1


async def test_an_answer_that_could_not_be_stored_is_delivered_and_never_executed_twice(
    serve: Serve, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ali.features.idempotency.claims._DEADLINE_S", 0.3)
    async with serve(**providers(simulator), idempotency_wait_s=0.1) as service:
        simulator.answer(Answer(latency_s=0.4))
        asking = asyncio.create_task(post(service))
        await simulator.until(lambda: simulator.counters.in_flight == 1)
        lock = await psycopg.AsyncConnection.connect(service.tenant.dsn)
        await lock.execute("lock table ali.idempotent_request in access exclusive mode")
        assert (await asking).status == 200
        await lock.close()
        await service.app.api.state.keeping.claims.keep_house()
        refused = await post(service)
        assert (refused.status, refused.code) == (409, "idempotency_answer_not_kept")
    assert simulator.counters.requests == 1
