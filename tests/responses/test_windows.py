"""Long chains and conversations go on, and no more of them is read than fits the model."""

import secrets
from typing import Any
from uuid import UUID

import openai
import orjson
import psycopg
import pytest

from ali.features.identity.naming import Kind, named, read
from ali.features.responses.order import Engine
from ali.kernel.ids import uuid7
from ali.ops.simulator import Simulator
from tests.contract.judges import CLAUDE, openai_client
from tests.fixtures.service import Service

NATIVE = "gpt-4.1"
LOCAL = "local/gpt-of-the-house"
LINKS = 5_000
ITEMS = 2 * LINKS
WINDOW_TOKENS = 200_000
"""Of a model that nobody has said it of, as `LOCAL`."""

_ASKED = {"type": "message", "role": "user", "status": "completed"}
_TEXT = "All of this was said at length. " * 12
_INPUT = orjson.dumps([{**_ASKED, "id": "msg_in", "content": [{"type": "input_text", "text": _TEXT}]}])
_SAID = {"type": "output_text", "text": _TEXT, "annotations": [], "logprobs": []}
_OUTPUT = orjson.dumps(
    [{"type": "message", "role": "assistant", "status": "completed", "id": "msg_out", "content": [_SAID]}]
)
_LINK = "(%(prefix)s || '-0000-7000-8000-' || lpad(to_hex({}), 12, '0'))::uuid"
_CHAIN = f"""
    insert into ali.response (id, organization_id, project_id, previous_id, status, background, head, input, output)
    select {_LINK.format("n")}, %(organization)s, %(project)s,
        case when n > 1 then {_LINK.format("n - 1")} end, 'completed', false, %(head)s, %(input)s, %(output)s
    from generate_series(1, %(count)s::int) n
"""  # noqa: S608 - constants
_BEGUN = """
    insert into ali.conversation (id, organization_id, project_id, next_position)
    values (%(conversation)s, %(organization)s, %(project)s, %(count)s)
"""
_ITEMS = """
    insert into ali.conversation_item (conversation_id, position, organization_id, project_id, item_id, kind, body)
    select %(conversation)s, n, %(organization)s, %(project)s, 'msg_' || n, 'message',
        convert_to(replace(%(item)s, 'msg_in', 'msg_' || n), 'UTF8')
    from generate_series(0, %(count)s::int - 1) n
"""


def engine_of(service: Service) -> Engine:
    engine: Engine = service.app.api.state.engine
    return engine


async def told(service: Service, statement: str, **values: Any) -> None:  # noqa: ANN401 - a statement's values
    tenant = service.tenant
    async with await psycopg.AsyncConnection.connect(tenant.dsn, autocommit=True) as connection:
        await connection.execute(
            statement, {"organization": tenant.organization_id, "project": tenant.project_id, **values}
        )


async def rows_and_bytes(service: Service, function: str, thing: UUID | None) -> tuple[int, int, list[str]]:
    """What one read of history takes from the database."""
    engine, tenant = engine_of(service), service.tenant
    most = min(WINDOW_TOKENS * 8, engine.max_history_bytes)
    async with (
        await psycopg.AsyncConnection.connect(tenant.dsn) as connection,
        await connection.execute(
            f"select * from ali.{function}(%s, %s, %s, %s)",  # noqa: S608 - one of two functions
            (tenant.organization_id, tenant.project_id, thing, most),
            binary=True,
        ) as cursor,
    ):
        rows = await cursor.fetchall()
    size = sum(len(value) for row in rows for value in row if isinstance(value, bytes))
    return len(rows), size, [row[0] for row in rows]


@pytest.fixture
async def chain(service: Service) -> str:
    prefix = secrets.token_hex(4)
    await told(service, _CHAIN, prefix=prefix, count=LINKS, head=b"{}", input=_INPUT, output=_OUTPUT)
    return named(Kind.RESPONSE, UUID(f"{prefix}-0000-7000-8000-{LINKS:012x}"))


@pytest.fixture
async def conversation(service: Service) -> str:
    conversation = uuid7()
    await told(service, _BEGUN, conversation=conversation, count=ITEMS)
    item = orjson.dumps(orjson.loads(_INPUT)[0]).decode()
    await told(service, _ITEMS, conversation=conversation, count=ITEMS, item=item)
    return named(Kind.CONVERSATION, conversation)


async def test_a_chain_of_ten_thousand_items_goes_on_while_reading_what_fits(
    service: Service, simulator: Simulator, chain: str
) -> None:
    rows, size, verdicts = await rows_and_bytes(service, "read_chain", read(Kind.RESPONSE, chain))
    assert verdicts[-1] == "cut"
    assert size <= WINDOW_TOKENS * 8
    assert 500 < rows < LINKS / 2
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=LOCAL, input="And now?", previous_response_id=chain, truncation="auto"
        )
        assert made.status == "completed"
        again = await client.responses.create(
            model=LOCAL, input="And then?", previous_response_id=made.id, truncation="auto"
        )
        assert again.status == "completed"
    sent = simulator.last.body
    assert b"And now?" in sent
    assert b"And then?" in sent
    assert WINDOW_TOKENS < len(sent) < WINDOW_TOKENS * 3 + 10_000, "cut to fit the window"


async def test_a_conversation_of_ten_thousand_items_goes_on_while_reading_what_fits(
    service: Service, simulator: Simulator, conversation: str
) -> None:
    rows, size, verdicts = await rows_and_bytes(service, "read_conversation", read(Kind.CONVERSATION, conversation))
    assert verdicts[-1] == "cut"
    assert size <= WINDOW_TOKENS * 8
    assert 500 < rows < ITEMS / 2
    async with openai_client(service) as client:
        for question in ("And now?", "And then?"):
            made = await client.responses.create(
                model=LOCAL, input=question, conversation=conversation, truncation="auto"
            )
            assert made.status == "completed"
        counted = await client.responses.input_tokens.count(
            model=LOCAL, input="So?", conversation=conversation, truncation="auto"
        )
    assert b"And now?" in simulator.last.body
    assert b"And then?" in simulator.last.body
    assert counted.input_tokens <= WINDOW_TOKENS


async def test_what_does_not_fit_is_refused_unless_it_may_be_cut(
    service: Service, simulator: Simulator, chain: str, conversation: str
) -> None:
    before: list[dict[str, str]] = [{"previous_response_id": chain}, {"conversation": conversation}]
    async with openai_client(service) as client:
        for going_on in before:
            for truncation in ({}, {"truncation": "disabled"}):
                asking: Any = {**going_on, **truncation}
                with pytest.raises(openai.BadRequestError) as refused:
                    await client.responses.create(model=LOCAL, input="And now?", **asking)
                assert refused.value.code == "context_length_exceeded"
                with pytest.raises(openai.BadRequestError) as refused:
                    await client.responses.input_tokens.count(model=LOCAL, input="And now?", **asking)
                assert refused.value.code == "context_length_exceeded"
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=LOCAL, input="word " * 400_000)
        assert refused.value.code == "context_length_exceeded"
        assert not simulator.requests
        made = await client.responses.create(
            model=LOCAL, input="And now?", conversation=conversation, truncation="auto"
        )
        assert made.status == "completed", "the refusals left no claim"


async def test_an_output_goes_with_the_call_that_was_cut(service: Service, simulator: Simulator) -> None:
    items: list[Any] = [
        {"role": "user", "content": "x" * 500_000},
        {"type": "function_call", "call_id": "call_old", "name": "f", "arguments": '{"a":"' + "y" * 200_000 + '"}'},
        {"type": "function_call_output", "call_id": "call_old", "output": "old"},
        {"role": "assistant", "content": "z" * 500_000},
        {"type": "function_call", "call_id": "call_new", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_new", "output": "new"},
    ]
    async with openai_client(service) as client:
        for model in (LOCAL,):
            made = await client.responses.create(model=model, input=items, truncation="auto")
            assert made.status == "completed"
            assert b"call_old" not in simulator.last.body
            assert b"call_new" in simulator.last.body


async def test_a_chain_that_was_compacted_goes_on_though_all_of_it_would_not_fit(
    service: Service, simulator: Simulator, chain: str
) -> None:
    async with openai_client(service) as client:
        simulator.answer("A summary of it all.")
        made = await client.responses.create(
            model=LOCAL,
            input="And now?",
            previous_response_id=chain,
            truncation="auto",
            context_management=[{"type": "compaction"}],
        )
        assert [item.type for item in made.output] == ["compaction", "message"]
        again = await client.responses.create(model=CLAUDE, input="And then?", previous_response_id=made.id)
        assert again.status == "completed"
    sent = simulator.last.body
    assert len(sent) < 10_000
    for said in (b"A summary of it all.", b"And now?", b"And then?"):
        assert said in sent
