"""What is secret or personal, sent through every operation of a real `ali serve`, is found nowhere it must not be.

Sent where it fits and where it does not, so that both succeed and fail; then looked for in the logs at their most
talkative, in metrics, in Redis, in a dump of every table, in the OpenAPI document, in errors and in headers.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
import redis

from ali.ops.simulator import Simulator
from tests.end_to_end.service import Program, serving
from tests.fixtures.database import HMAC_SECRET, temporary_home
from tests.fixtures.redis_server import RedisServer
from tests.tenancy import canaries, hostile
from tests.tenancy.canaries import CANARIES, IDEMPOTENCY_KEY, PASTED, PROMPT, PROVIDER_KEY
from tests.tenancy.ground import Ground
from tests.tenancy.matrix import Lands, written
from tests.tenancy.registry import REGISTRY, Call
from tests.tenancy.standing import OWNER
from tests.tenancy.wire import Answer, Request, ask, with_key

UNSURE = ("nothing", "oneself", "operator")
"""What does not succeed here, however rightly it is asked."""


@dataclass(kw_only=True)
class Flight:
    """The running service, and what it was asked and answered."""

    url: str
    program: Program
    ground: Ground
    lands: Lands
    secret: str
    answers: list[tuple[Request, Answer]] = field(default_factory=list)

    async def send(self, request: Request) -> Answer:
        """One request of the owner's; of nobody's, where it brings a credential of its own."""
        own = not {name for name, _ in request.headers} & {"authorization", "x-api-key"}
        answer = await ask(self.url, request, secret=self.secret if own else None)
        self.answers.append((request, answer))
        return answer


@pytest.fixture
async def flight(database_dsn: str, redis_server: RedisServer) -> AsyncIterator[Flight]:
    variables = {
        "DATABASE_URL": database_dsn,
        "REDIS_URL": redis_server.url,
        "ALI_API_KEY_HMAC_SECRET": HMAC_SECRET,
        "ALI_LOG_LEVEL": "debug",
        "ALI_LOG_FORMAT": "json",
        "OPENAI_API_KEY": PROVIDER_KEY.value,
        "ANTHROPIC_API_KEY": PROVIDER_KEY.value,
    }
    with ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(database_dsn, autocommit=True))
        home = stack.enter_context(temporary_home())
        ground = Ground(connection, home=home)
        own = ground.land(ground.organization())
        async with Simulator(api_key=PROVIDER_KEY.value) as simulator:
            places = {
                "OPENAI_BASE_URL": simulator.openai_base_url,
                "ANTHROPIC_BASE_URL": simulator.anthropic_base_url,
            }
            service = stack.enter_context(serving(home, variables=variables | places))
            yield Flight(
                url=f"http://127.0.0.1:{service.port}",
                program=service.program,
                ground=ground,
                lands=Lands(own=own, other=own, foreign=own),
                secret=ground.credential(OWNER, own),
            )
            stack.close()


async def test_what_is_secret_or_personal_is_found_nowhere_it_must_not_be(
    flight: Flight, redis_server: RedisServer, database_dsn: str
) -> None:
    document = json.loads((await flight.send(Request(method="GET", target="/openapi.json"))).body)
    for operation, calls in REGISTRY.items():
        method, _, path = operation.partition(" ")
        described = document["paths"][path][method.lower()]
        for call in calls:
            await _send_all(flight, operation, call, described=described, document=document)
    for target in (f"/v1/{PASTED.value}", f"/v1/models?{urlencode({'after_id': PASTED.value})}"):
        await flight.send(Request(method="GET", target=target))
    metrics = await flight.send(Request(method="GET", target="/metrics"))
    openapi = await flight.send(Request(method="GET", target="/openapi.json"))
    assert await asyncio.to_thread(flight.program.end) == 0
    log = (flight.program.said + flight.program.printed).encode()
    assert b"request.refused" in log, "there is a log to search"

    values = {canary.name: canary.value for canary in CANARIES}
    shown = {secret for _, answer in flight.answers for secret in canaries.secrets_in(answer.body)}
    assert len(shown) >= 5
    issued = {f"the secret shown as {secret[:12]}": secret for secret in (*shown, flight.secret)}
    values |= {"the installation's secret": HMAC_SECRET}
    assert canaries.found_in(log, values | issued) == set()
    assert canaries.found_in(metrics.body, values | issued) == set()
    assert canaries.found_in(openapi.body, values | issued) == set()
    kept = _everything_in(redis_server)
    assert kept, "there is something in Redis to search"
    assert canaries.found_in(kept, values | issued) == set()
    _require_only_where_they_may_stand(database_dsn, values | issued)
    _require_no_echo(flight, values)


def _require_only_where_they_may_stand(dsn: str, values: Mapping[str, str]) -> None:
    may_stand = {canary.name: canary.columns for canary in CANARIES}
    stands: set[str] = set()
    for column, content in canaries.cells_of(dsn):
        for name in canaries.found_in(content, values):
            assert column in may_stand.get(name, ()), f"{name} stands in {column}"
            stands.add(column)
    assert stands >= {
        "project.name",
        "invite.email",
        "approval.reason",
        "budget.webhook_url",
        "api_key.name",
        "conversation.metadata",
    }
    assert "conversation_item.body" in stands


def _require_no_echo(flight: Flight, values: Mapping[str, str]) -> None:
    """No error repeats a value of its request, but for the name of a model that is not there; no header does."""
    told = [
        (request, answer)
        for request, answer in flight.answers
        if answer.status >= 400
        and answer.header("x-ali-error-code") != "model_not_found"
        and canaries.found_in(answer.body, values)
    ]
    assert not told
    for request, answer in flight.answers:
        headers = "\n".join(value for _, value in answer.headers).encode()
        assert canaries.found_in(headers, values) == set(), (request, answer)


async def _send_all(
    flight: Flight, operation: str, call: Call, *, described: Mapping[str, Any], document: Mapping[str, Any]
) -> None:
    """Every canary where it fits, in one request that succeeds, and where it does not."""
    for request in (
        _fitting(flight, operation, call, described=described, document=document),
        written(operation, call, names=_places(flight, call), query=_in_every_parameter(described)),
    ):
        if operation.endswith("/invites") and canaries.EMAIL.value.encode() in (request.body or b""):  # once each
            flight.ground.run("delete from ali.invite where email = %s", canaries.EMAIL.value)
        answer = await flight.send(request)
        if request.body is not None and call.over not in UNSURE and "?" not in request.target:
            assert answer.status == 200, (request, answer)
        if call.undo:
            flight.ground.undo(call.undo, flight.lands.own)
    for request in _unfitting(flight, operation, call, described=described, document=document):
        await flight.send(request)
        if call.undo:
            flight.ground.undo(call.undo, flight.lands.own)


def _places(flight: Flight, call: Call) -> dict[str, str]:
    own = flight.ground.things(call.ids.values(), flight.lands.own)
    return {place: own[kind] for place, kind in call.ids.items()}


def _fitting(
    flight: Flight, operation: str, call: Call, *, described: Mapping[str, Any], document: Mapping[str, Any]
) -> Request:
    request = written(operation, call, names=_places(flight, call))
    if operation.startswith("POST "):
        key = f"{IDEMPOTENCY_KEY.value}-{len(flight.answers)}"
        request = with_key(replace(request, headers=(*request.headers, ("x-ali-cache-ttl", "60"))), key)
    if request.body is None or call.form is not None:
        return request
    fields = {path[0] for path in hostile.fields_of(_schema(described), document=document)}
    body = json.loads(request.body)
    fitting = {name: value for name, value in canaries.FITTING.items() if name in fields}
    if "user_id" in fields or "email" in call.ids:
        fitting.pop("email")  # somebody who is there, and named in one way
    return replace(request, body=json.dumps(body | fitting).encode())


def _in_every_parameter(described: Mapping[str, Any]) -> dict[str, str]:
    names = [parameter["name"] for parameter in described.get("parameters", ()) if parameter["in"] == "query"]
    return {name: canaries.EMAIL.value if name.endswith("emails") else PASTED.value for name in names}


def _unfitting(
    flight: Flight, operation: str, call: Call, *, described: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[Request]:
    names = _places(flight, call)
    request = written(operation, call, names=names)
    for name in canaries.HEADERS:
        others = tuple(pair for pair in request.headers if pair[0].lower() != name)
        yield replace(request, headers=(*others, (name, PASTED.value)))
    for place in names:
        yield written(operation, call, names=names | {place: PASTED.value})
    if request.body is not None and call.form is None:
        body = json.loads(request.body)
        yield replace(request, body=json.dumps(body | canaries.UNKNOWN).encode())
        yield replace(request, body=f'{{"name": "{PASTED.value} {PROMPT.value}'.encode())
        for path in hostile.fields_of(_schema(described), document=document):
            for value in (PASTED.value, [PASTED.value], {"id": PASTED.value}):
                yield replace(request, body=json.dumps(hostile.put(body, path, value)).encode())


def _schema(described: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = described["requestBody"]["content"]["application/json"]["schema"]
    return schema


def _everything_in(server: RedisServer) -> bytes:
    """All keys and values of a Redis, whatever their type."""
    with redis.Redis.from_url(server.url) as connection:
        parts: list[object] = []
        for key in connection.scan_iter():
            parts.append(key)
            match connection.type(key):
                case b"string":
                    parts.append(connection.get(key))
                case b"hash":
                    parts.append(connection.hgetall(key))
                case b"zset":
                    parts.append(connection.zrange(key, 0, -1))
                case b"set":
                    parts.append(connection.smembers(key))
                case b"list":
                    parts.append(connection.lrange(key, 0, -1))
                case other:
                    raise AssertionError(other)
    return repr(parts).encode() + b"".join(part for part in parts if isinstance(part, bytes))
