"""Whatever is wrong with a request for responses is named at once; no model is asked, and nothing is left behind."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import orjson
import psycopg
import pytest
import pytest_asyncio

from ali.ops.simulator import Answer, Simulator
from tests.administration.callers import another_tenant
from tests.contract.judges import CLAUDE, EXTRACTIVE, GPT
from tests.contract.test_bad_input import WRONG_JSON, spoiled
from tests.fixtures.service import Service
from tests.fixtures.standing_service import Standing, standing_service
from tests.responses.conftest import behind
from tests.responses.wrong_requests import (
    CONVERSATIONS,
    HELLO,
    LOCAL,
    NOBODYS,
    PATHS,
    REFUSED,
    RESPONSES,
    STATE,
    Case,
    deep,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_S: Final = 2.0
"""A refusal takes no longer."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    home = tmp_path_factory.mktemp("wrong")
    patience = {"upstream_first_byte_s": 100.0, "upstream_total_s": 100.0, "max_body_bytes": 64 * 1024 * 1024}
    async with (
        Simulator() as simulator,
        standing_service(worker_dsn, home, simulator, **(behind(simulator) | patience)) as standing,
    ):
        yield standing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(standing: Standing) -> "AsyncIterator[Ground]":
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=MOST_S)) as session:
        ground = Ground(standing, session)
        await ground.prepare()
        yield ground


class Ground:
    """A tenant that has responses and conversations in every state, and what it asks."""

    def __init__(self, standing: Standing, session: aiohttp.ClientSession) -> None:
        self.service: Service = standing.service
        self.simulator = standing.simulator
        self.session = session
        self.names: dict[str, str] = {}

    async def prepare(self) -> None:
        tenant = self.service.tenant
        made = await self.good(input=[HELLO | {"id": "msg_said"}])
        self.names |= {"response": made["id"], "item": "msg_said", "output": made["output"][0]["id"]}
        parent = await self.good()
        broken = await self.good(previous_response_id=parent["id"])
        for method, name in (("DELETE", parent["id"]),):
            assert (await self.ask(method, f"{RESPONSES}/{name}"))[0] == 200
        self.names |= {"deleted": parent["id"], "broken": broken["id"]}
        for name in ("conversation", "busy"):
            _, conversation = await self.ask("POST", CONVERSATIONS, {"items": [HELLO | {"id": f"msg_{name}"}]})
            self.names[name] = conversation["id"]
        talked = await self.good(conversation=self.names["conversation"])
        self.names["talked"] = talked["id"]
        self.simulator.script(*[Answer(latency_s=90.0)] * 2)
        running = await self.good(background=True)
        busy = await self.good(background=True, conversation=self.names["busy"])
        self.names |= {"running": running["id"], "running_in_busy": busy["id"]}
        await self.simulator.until(lambda: len(self.simulator.requests) == 6)
        foreign = another_tenant(tenant).secret
        _, theirs = await self.ask("POST", RESPONSES, {"model": EXTRACTIVE, "input": "Hello"}, secret=foreign)
        _, talk = await self.ask("POST", CONVERSATIONS, {}, secret=foreign)
        self.names |= {"foreign": theirs["id"], "foreign_conversation": talk["id"], "nobodys": NOBODYS}

    async def good(self, **members: Any) -> Any:  # noqa: ANN401 - JSON
        status, made = await self.ask("POST", RESPONSES, {"model": GPT, "input": "Hello", **members})
        assert status == 200, made
        return made

    async def ask(self, method: str, path: str, body: object = None, *, secret: str | None = None) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {secret or self.service.tenant.secret}"}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        data = None if content is None else io.BytesIO(content)
        if data is not None:
            headers["content-type"] = "application/json"
        async with self.session.request(method, self.service.url + path, data=data, headers=headers) as answer:
            content = await answer.read()
            return answer.status, orjson.loads(content) if answer.content_type == "application/json" else content

    def rows(self) -> dict[str, int]:
        """How much there is of everything, for everybody."""
        with psycopg.connect(self.service.tenant.dsn) as connection:
            row = connection.execute(
                "select (select count(*) from ali.response), (select count(*) from ali.response_event),"
                " (select count(*) from ali.conversation), (select count(*) from ali.conversation_item),"
                " (select count(*) from ali.conversation where claimed_by is not null)"
            ).fetchone()
        assert row is not None
        return dict(zip(("responses", "events", "conversations", "items", "claims"), row, strict=True))

    def filled(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        """`value` with the names of what is there in place of `<…>`."""
        text = json.dumps(value)
        for name, known in self.names.items():
            text = text.replace(f"<{name}>", known)
        return json.loads(text)

    async def refuse(self, method: str, path: str, body: object, *, status: int) -> dict[str, Any]:
        """The error of a request that is refused, and changes nothing."""
        before, asked = self.rows(), len(self.simulator.requests)
        got, answer = await self.ask(method, path, body)
        assert got == status, answer
        assert set(answer) == {"error"}
        error: dict[str, Any] = answer["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert error["type"] == "invalid_request_error"
        assert self.rows() == before
        assert len(self.simulator.requests) == asked
        return error


@pytest.mark.parametrize("case", REFUSED, ids=range(len(REFUSED)))
async def test_what_is_wrong_with_a_response_is_named(ground: Ground, case: Case) -> None:
    members, param, code = case
    body = {"model": GPT, "input": "Hello", **members}
    error = await ground.refuse("POST", RESPONSES, body, status=400)
    assert (error["param"], error["code"]) == (param, code), error["message"]


@pytest.mark.parametrize("case", STATE, ids=range(len(STATE)))
async def test_what_a_response_cannot_go_on_from_is_named_and_claims_nothing(
    ground: Ground, case: tuple[dict[str, Any], int, str, str]
) -> None:
    members, status, param, code = case
    body = ground.filled({"model": GPT, "input": "Hello", **members})
    error = await ground.refuse("POST", RESPONSES, body, status=status)
    assert (error["param"], error["code"]) == (param, code), error["message"]


@pytest.mark.parametrize("case", PATHS, ids=range(len(PATHS)))
async def test_what_is_asked_of_what_is_not_there_or_cannot_be_done_is_refused(
    ground: Ground, case: tuple[str, str, object, int, str | None, str]
) -> None:
    method, path, body, status, param, code = case
    for name, known in ground.names.items():
        path = path.replace(f"<{name}>", known)
    error = await ground.refuse(method, path, ground.filled(body), status=status)
    assert (error["param"], error["code"]) == (param, code), error["message"]


@pytest.mark.parametrize("path", [RESPONSES, CONVERSATIONS, f"{CONVERSATIONS}/<conversation>/items"])
async def test_a_body_that_is_no_object_is_refused(ground: Ground, path: str) -> None:
    path = path.replace("<conversation>", ground.names["conversation"])
    empty_is_good = path == CONVERSATIONS
    for name, body in WRONG_JSON.items():
        if not (empty_is_good and name == "an empty object"):
            too_large = path != RESPONSES and len(body) > 1024 * 1024
            await ground.refuse("POST", path, body, status=413 if too_large else 400)


async def test_a_body_that_is_broken_is_refused_or_changes_nothing(ground: Ground) -> None:
    for name, body in spoiled({"model": EXTRACTIVE, "input": "Hello"}).items():
        if name.startswith("two ") and name != "two objects":  # the last one counts, as everywhere in JSON
            continue
        await ground.refuse("POST", RESPONSES, body, status=400)


@pytest.mark.parametrize("model", [GPT, LOCAL, CLAUDE, EXTRACTIVE])
async def test_what_is_nested_as_deep_as_may_be_is_answered_or_refused(ground: Ground, model: str) -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": deep(190)}}
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": deep(190)}}
    for members in ({"tools": [tool]}, {"text": {"format": schema}}, {"input": [HELLO | {"d": deep(99)}]}):
        for stream in (False, True):
            body = {"model": model, "input": "Hello", "stream": stream, **members}
            status, answer = await ground.ask("POST", RESPONSES, body)
            assert status in (200, 400), answer
            assert "internal_error" not in str(answer)
