"""Chat completions with `store: true`, as OpenAI's SDK asks for them and judges what comes back, whoever answers."""

import asyncio
import json
from typing import Any

import aiohttp
import openai
import orjson
import psycopg
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionDeleted, ChatCompletionMessageParam
from psycopg.rows import dict_row

from ali.ops.simulator import Answer, Fault, Simulator, Thinking, ToolCall
from ali.providers.contract import Usage
from tests.contract.judges import (
    CLAUDE,
    DEFAULT,
    EXTRACTIVE,
    GPT,
    blocking_openai_client,
    chunks_in,
    held_to,
    openai_client,
    post,
)
from tests.fixtures.service import Serve, Service, providers

PATH = "/v1/chat/completions"
EVERY_MODEL = pytest.mark.parametrize("model", [GPT, CLAUDE, EXTRACTIVE, DEFAULT])
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True])
QUESTION: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "The guarantee lasts for 24 months. The pump weighs 85 kilograms."},
    {"role": "user", "content": "How long does the guarantee last?"},
]
CALLS = (
    ToolCall(name="get_weather", id="call_recife", arguments={"city": "Recife", "days": [1, 2]}),
    ToolCall(name="get_weather", id="call_olinda", arguments={"city": "Olinda"}),
)
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


async def kept(service: Service) -> list[dict[str, Any]]:
    async with (
        await psycopg.AsyncConnection.connect(service.tenant.dsn, row_factory=dict_row) as connection,
        await connection.execute(
            "select * from ali.chat_completion where project_id = %s order by id", (service.tenant.project_id,)
        ) as cursor,
    ):
        return await cursor.fetchall()


async def get(service: Service, path: str, **query: str) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession(headers=service.headers) as session,
        session.get(service.url + path, params=query) as answer,
    ):
        return answer.status, await answer.read()


async def ask(service: Service, model: str, *, stream: bool, **more: Any) -> tuple[str, dict[str, Any] | None]:  # noqa: ANN401 - any parameter
    """The identifier that the caller sees, and the body of an answer that was not streamed."""
    request = {"model": model, "messages": QUESTION, "store": True, "stream": stream, **more}
    status, _, body = await post(service, PATH, request)
    assert status == 200, body
    if stream:
        [name] = {chunk["id"] for chunk in chunks_in(body)}
        return name, None
    return orjson.loads(body)["id"], orjson.loads(body)


@EVERY_MODEL
@BOTH_WAYS
async def test_what_is_kept_is_what_was_answered_and_the_sdk_reads_it(
    service: Service, model: str, *, stream: bool
) -> None:
    _, whole = await ask(service, model, stream=False)
    assert whole is not None
    name, _ = await ask(service, model, stream=stream, metadata={"case": "guarantee"})
    status, body = await get(service, f"{PATH}/{name}")
    assert status == 200
    completion: ChatCompletion = held_to(ChatCompletion, body)
    assert (completion.id, completion.metadata) == (name, {"case": "guarantee"})
    found = orjson.loads(body)
    assert found["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    message, said = found["choices"][0]["message"], whole["choices"][0]["message"]
    assert message["content"] == said["content"]
    assert (message["role"], message["refusal"]) == ("assistant", None)
    assert found["usage"]["prompt_tokens"] > 0
    assert (found["object"], found["model"]) == ("chat.completion", whole["model"])


async def test_the_blocking_client_lists_changes_and_deletes(service: Service) -> None:
    def keep() -> None:
        with blocking_openai_client(service) as client:
            made = [
                client.chat.completions.create(model=GPT, messages=QUESTION, store=True, metadata={"n": str(number)})
                for number in range(5)
            ]
            names = [each.id for each in made]
            assert [each.id for each in client.chat.completions.list(limit=2)] == names, "page after page"
            assert [each.id for each in client.chat.completions.list(order="desc", limit=3)] == names[::-1]
            [found] = client.chat.completions.list(metadata={"n": "3"})
            assert found.id == names[3]
            assert client.chat.completions.list(model=CLAUDE).data == []
            assert len(client.chat.completions.list(model=GPT).data) == 5
            changed = client.chat.completions.update(names[0], metadata={"done": "yes"})
            assert changed.metadata == client.chat.completions.retrieve(names[0]).metadata == {"done": "yes"}
            assert client.chat.completions.update(names[0], metadata=None).metadata == {}
            gone = client.chat.completions.delete(names[0])
            assert gone == ChatCompletionDeleted(id=names[0], deleted=True, object="chat.completion.deleted")
            with pytest.raises(openai.NotFoundError) as refused:
                client.chat.completions.retrieve(names[0])
            assert refused.value.code == "completion_not_found"

    await asyncio.to_thread(keep)
    [deleted] = await _audited(service)
    assert deleted["target_kind"] == "chat_completion"


async def _audited(service: Service) -> list[dict[str, Any]]:
    async with (
        await psycopg.AsyncConnection.connect(service.tenant.dsn, row_factory=dict_row) as connection,
        await connection.execute(
            "select * from ali.audit_event where action = 'chat_completion.deleted' and project_id = %s",
            (service.tenant.project_id,),
        ) as cursor,
    ):
        return await cursor.fetchall()


async def test_messages_come_as_they_were_sent_each_with_its_id(service: Service) -> None:
    parts = [{"type": "text", "text": "What is this?"}]
    messages: list[Any] = [*QUESTION, {"role": "user", "content": parts, "name": "Ana"}]
    async with openai_client(
        service, _strict_response_validation=False
    ) as client:  # its type knows the assistant alone
        made = await client.chat.completions.create(model=GPT, messages=messages, store=True)
        found = [each async for each in client.chat.completions.messages.list(made.id, limit=1)]
        reverse = [each.id async for each in client.chat.completions.messages.list(made.id, order="desc", limit=2)]
    assert [each.id for each in found] == [f"{made.id}-{number}" for number in range(3)] == reverse[::-1]
    assert [each.role for each in found] == ["system", "user", "user"]
    assert found[1].content == QUESTION[1]["content"]
    assert (found[2].content, found[2].to_dict()["content_parts"]) == (None, parts)
    assert (await get(service, f"{PATH}/{made.id}/messages", after=f"{made.id}-3"))[0] == 400


@BOTH_WAYS
@pytest.mark.parametrize("model", [GPT, CLAUDE])
async def test_tool_calls_are_kept_whole(service: Service, simulator: Simulator, model: str, *, stream: bool) -> None:
    simulator.answer(Answer(tool_calls=CALLS, interleaved=True))
    name, _ = await ask(service, model, stream=stream, tools=[TOOL])
    completion: ChatCompletion = held_to(ChatCompletion, (await get(service, f"{PATH}/{name}"))[1])
    [choice] = completion.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    said = [
        (call.id, call.function.name, call.function.arguments)
        for call in choice.message.tool_calls or []
        if call.type == "function"
    ]
    assert said == [(call.id, call.name, call.arguments_json) for call in CALLS]


@BOTH_WAYS
@pytest.mark.parametrize("model", [GPT, CLAUDE])
async def test_a_refusal_and_usage_are_kept(
    service: Service, simulator: Simulator, model: str, *, stream: bool
) -> None:
    usage = Usage(input_tokens=100, cached_input_tokens=60, output_tokens=20, reported=True)
    simulator.answer(Answer(refusal="I cannot help with that.", usage=usage))
    name, _ = await ask(service, model, stream=stream)
    completion: ChatCompletion = held_to(ChatCompletion, (await get(service, f"{PATH}/{name}"))[1])
    assert completion.choices[0].message.refusal == "I cannot help with that."
    assert completion.choices[0].message.content is None
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.total_tokens) == (100, 120)


@BOTH_WAYS
async def test_thinking_is_kept_with_its_signature(service: Service, simulator: Simulator, *, stream: bool) -> None:
    simulator.answer(Answer(thinking=(Thinking(text="Let me see."),), text="Yes."))
    name, _ = await ask(service, CLAUDE, stream=stream)
    message = orjson.loads((await get(service, f"{PATH}/{name}"))[1])["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Let me see.", "Yes.")
    [block] = message["thinking_blocks"]
    assert "index" not in block
    assert block["signature"]


@BOTH_WAYS
async def test_several_choices_and_an_answer_cut_by_its_limit_are_kept(service: Service, *, stream: bool) -> None:
    name, _ = await ask(service, GPT, stream=stream, n=2, max_completion_tokens=1)
    choices = orjson.loads((await get(service, f"{PATH}/{name}"))[1])["choices"]
    assert [(choice["index"], choice["finish_reason"]) for choice in choices] == [(0, "length"), (1, "length")]


@BOTH_WAYS
async def test_the_provider_neither_stores_nor_learns_the_metadata(
    service: Service, simulator: Simulator, *, stream: bool
) -> None:
    await ask(service, GPT, stream=stream, metadata={"case": "secret"}, seed=7)
    sent: Any = simulator.last.json
    assert sent.keys() & {"store", "metadata"} == set()
    assert (sent["seed"], sent["messages"]) == (7, QUESTION)
    _, headers, _ = await post(
        service, PATH, {"model": CLAUDE, "messages": QUESTION, "store": True, "metadata": {"a": "b"}}
    )
    assert "x-ali-dropped-parameters" not in headers


@pytest.mark.parametrize("store", [False, None, ...])
async def test_without_store_nothing_is_kept_and_the_bytes_pass_untouched(
    service: Service, simulator: Simulator, store: object
) -> None:
    body = json.dumps({"model": GPT, "messages": QUESTION} | ({} if store is ... else {"store": store}), indent=1)
    status, _, _ = await post(service, PATH, body.encode())
    assert status == 200
    assert simulator.last.body == body.encode()
    assert await kept(service) == []


async def test_the_answer_is_kept_when_its_last_event_arrives_and_one_statement_does_all(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, ledger = service.gateway.completions._pool, service.gateway.ledger
    batches: list[bytes] = []
    write = ledger._write

    async def counted(batch: bytes) -> None:
        batches.append(batch)
        await write(batch)

    monkeypatch.setattr(ledger, "_write", counted)
    await ask(service, GPT, stream=False)
    used = pool.get_stats()["requests_num"]
    request = {"model": GPT, "messages": QUESTION, "store": True, "stream": True}
    there: list[dict[str, Any]] = []
    async with (
        aiohttp.ClientSession(headers=service.headers) as session,
        session.post(service.url + PATH, json=request) as response,
    ):
        async for line in response.content:
            if b"[DONE]" in line:
                there = await kept(service)
    assert len(there) == 2
    assert pool.get_stats()["requests_num"] - used <= 2, "its own, and perhaps the epoch's"
    assert batches == [], "the ledger writes nothing beside it"
    records = await service.records()
    assert [record["id"] for record in records] == [row["id"] for row in await kept(service)]
    assert {record["outcome"] for record in records} == {"ok"}


@BOTH_WAYS
async def test_an_answer_that_breaks_off_leaves_nothing_behind(
    service: Service, simulator: Simulator, *, stream: bool
) -> None:
    simulator.script(*[Answer(tokens=20, fault=Fault.HALF_CHUNK_THEN_FIN)] * 3)
    await post(service, PATH, {"model": GPT, "messages": QUESTION, "store": True, "stream": stream})
    [record] = await service.records()
    assert record["outcome"] == "error"
    assert await kept(service) == []


async def test_a_caller_who_leaves_leaves_nothing_behind(service: Service, simulator: Simulator) -> None:
    simulator.answer(Answer(tokens=500, tokens_per_second=50))
    async with aiohttp.ClientSession(headers=service.headers) as session:
        request = {"model": GPT, "messages": QUESTION, "store": True, "stream": True}
        async with session.post(service.url + PATH, json=request) as response:
            for _ in range(6):
                await response.content.readline()
            response.close()
    await simulator.until(lambda: simulator.counters.in_flight == 0, timeout_s=1)
    [record] = await service.records()
    assert record["outcome"] == "cancelled"
    assert await kept(service) == []


@BOTH_WAYS
async def test_what_cannot_be_kept_is_withheld_and_billed_later(
    serve: Serve, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    monkeypatch.setattr("ali.features.chat.stored.settlement._DEADLINE_S", 0.4)
    async with serve(**providers(simulator)) as service:
        lock = await psycopg.AsyncConnection.connect(service.tenant.dsn)
        await lock.execute("lock table ali.chat_completion in access exclusive mode")
        request = {"model": GPT, "messages": QUESTION, "store": True, "stream": stream}
        status, headers, body = await post(service, PATH, request)
        await lock.close()
        if stream:
            assert b'"code":"completion_not_kept"' in body.splitlines()[-4] + body
        else:
            assert (status, headers["x-ali-error-code"]) == (503, "completion_not_kept")
        [record] = await service.records()
        assert record["output_tokens"] > 0
        assert record["cost_microusd"] > 0
        assert await kept(service) == []


async def test_an_identifier_given_again_is_the_newer_completions(service: Service, simulator: Simulator) -> None:
    for text in ("first", "second"):
        body = {
            "id": "chatcmpl-7",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": text, "refusal": None},
                }
            ],
        }
        simulator.answer(
            Answer(
                body=orjson.dumps(body),
            )
        )
        await ask(service, GPT, stream=False)
    [row] = await kept(service)
    assert b"second" in row["answer"]


@pytest.mark.parametrize("named", ["", "a/b", "x" * 300, None, 7])
async def test_an_answer_without_a_usable_identifier_gets_one(
    service: Service, simulator: Simulator, named: object
) -> None:
    body = {
        "id": named,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}],
    }
    simulator.answer(
        Answer(
            body=orjson.dumps(body),
        )
    )
    await ask(service, GPT, stream=False)
    [row] = await kept(service)
    assert row["public_id"] == f"chatcmpl-{row['id'].hex}"
    status, found = await get(service, f"{PATH}/{row['public_id']}")
    assert (status, orjson.loads(found)["id"]) == (200, row["public_id"])


async def test_what_is_kept_is_never_a_repeat_from_the_cache(service: Service, simulator: Simulator) -> None:
    headers = {**service.headers, "x-ali-cache-ttl": "60"}
    for _ in range(2):
        await post(service, PATH, {"model": GPT, "messages": QUESTION, "store": True}, headers=headers)
    assert simulator.counters.requests == 2
    assert len(await kept(service)) == 2


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"store": "yes"}, "store"),
        ({"store": True, "metadata": []}, "metadata"),
        ({"store": True, "metadata": {"a": 1}}, "metadata.a"),
        ({"store": True, "metadata": {"a" * 65: "a"}}, "metadata"),
        ({"store": True, "metadata": {"a": "b" * 513}}, "metadata.a"),
        ({"store": True, "metadata": {"a": "\0"}}, "metadata.a"),
        ({"store": True, "metadata": {str(number): "" for number in range(17)}}, "metadata"),
    ],
)
async def test_metadata_that_breaks_the_rules_is_refused_before_anything_is_spent(
    service: Service, simulator: Simulator, fields: dict[str, Any], param: str
) -> None:
    status, _, body = await post(service, PATH, {"model": GPT, "messages": QUESTION, **fields})
    assert (status, orjson.loads(body)["error"]["param"]) == (400, param)
    assert simulator.counters.requests == 0


async def test_a_method_that_the_path_does_not_take_is_named_with_those_it_takes(service: Service) -> None:
    async with aiohttp.ClientSession(headers=service.headers) as session, session.put(service.url + PATH) as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")


async def test_pages_are_cut_before_they_grow_too_large(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [(await ask(service, GPT, stream=False))[0] for _ in range(3)]
    monkeypatch.setattr("ali.features.chat.stored.library._MOST_PAGE_BYTES", 10)
    async with openai_client(service) as client:
        page = await client.chat.completions.list()
        assert ([each.id for each in page.data], page.has_more) == (names[:1], True)
        assert [each.id async for each in client.chat.completions.list()] == names
    assert (await get(service, PATH, after="chatcmpl-nobodys"))[0] == 400
