"""Responses as OpenAI's SDK creates, streams and parses them, whichever upstream answers; and what it raises."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import openai
import orjson
import psycopg
import pytest
import pytest_asyncio
from openai.types.responses import ResponseOutputRefusal, ResponseOutputText
from pydantic import BaseModel

from ali.ops.simulator import Answer, Fault, Simulator
from tests.contract.judges import CLAUDE, DEFAULT, EXTRACTIVE, GPT, blocking_openai_client, openai_client
from tests.contract.response_events import judge_response
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service
from tests.fixtures.standing_service import Standing, standing_service
from tests.responses.conftest import behind

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOCAL = "local/gpt-4.1"
EVERY_MODEL = pytest.mark.parametrize("model", [GPT, LOCAL, CLAUDE, EXTRACTIVE, DEFAULT])
EVERY_UPSTREAM = pytest.mark.parametrize("model", [GPT, LOCAL, CLAUDE])
MATERIAL = "The guarantee lasts for 24 months from the day of purchase. The pump weighs 85 kilograms."
QUESTION = "How long does the guarantee last?"
LIMITS = ("limit-requests", "limit-tokens", "remaining-requests", "remaining-tokens", "reset-requests", "reset-tokens")


class Guarantee(BaseModel):
    months: int
    begins: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    home = tmp_path_factory.mktemp("responses")
    async with Simulator() as simulator, standing_service(worker_dsn, home, simulator, **behind(simulator)) as standing:
        yield standing


@pytest.fixture
def simulator(standing: Standing) -> Simulator:
    return standing.emptied()


@pytest.fixture
def service(standing: Standing, tenant: Tenant) -> Service:
    return standing.of(tenant)


# Creating


@EVERY_MODEL
async def test_a_response_has_everything_that_a_response_says(
    service: Service, simulator: Simulator, model: str
) -> None:
    async with openai_client(service) as client:
        raw = await client.responses.with_raw_response.create(
            model=model,
            instructions=MATERIAL,
            input=QUESTION,
            metadata={"ticket": "4711"},
            user="somebody",
            safety_identifier="s-1",
            prompt_cache_key="k",
            truncation="auto",
        )
    judge_response(orjson.loads(raw.content))
    made = raw.parse()
    assert (made.status, made.error, made.incomplete_details) == ("completed", None, None)
    assert made.output_text
    assert (made.metadata, made.user, made.instructions) == ({"ticket": "4711"}, "somebody", MATERIAL)
    assert (made.safety_identifier, made.prompt_cache_key, made.truncation) == ("s-1", "k", "auto")
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 0
    [record] = await service.records()
    assert (record["input_tokens"], record["output_tokens"]) == (made.usage.input_tokens, made.usage.output_tokens)


@EVERY_MODEL
async def test_the_blocking_client_creates_streams_and_retrieves_the_same_text(
    service: Service, simulator: Simulator, model: str
) -> None:
    def converse() -> list[str]:
        with blocking_openai_client(service) as client:
            whole = client.responses.create(model=model, instructions=MATERIAL, input=QUESTION)
            stream = client.responses.create(model=model, instructions=MATERIAL, input=QUESTION, stream=True)
            streamed = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            with client.responses.stream(model=model, instructions=MATERIAL, input=QUESTION) as manager:
                managed = manager.get_final_response()
            fetched = client.responses.retrieve(whole.id)
            assert [item.type for item in client.responses.input_items.list(whole.id)] == ["message"]
            client.responses.delete(whole.id)
            with pytest.raises(openai.NotFoundError):
                client.responses.retrieve(whole.id)
            return [whole.output_text, streamed, managed.output_text, fetched.output_text]

    texts = await asyncio.to_thread(converse)
    assert texts[0]
    assert len(set(texts)) == 1


@EVERY_MODEL
async def test_a_stream_is_what_the_plain_answer_says(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        whole = await client.responses.create(model=model, instructions=MATERIAL, input=QUESTION)
        stream = await client.responses.create(model=model, instructions=MATERIAL, input=QUESTION, stream=True)
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
    ]
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == whole.output_text
    assert last.response.usage == whole.usage
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text


@EVERY_MODEL
async def test_the_stream_helper_puts_a_response_together(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        async with client.responses.stream(model=model, instructions=MATERIAL, input=QUESTION) as stream:
            snapshot = ""
            async for event in stream:
                if event.type == "response.output_text.delta":
                    snapshot += event.delta
                    assert event.snapshot == snapshot
            final = await stream.get_final_response()
        assert final.output_text == snapshot
        fetched = await client.responses.retrieve(final.id)
        assert fetched.output_text == snapshot


# Structured output


@EVERY_UPSTREAM
async def test_a_pydantic_model_is_filled_in_whole_and_streamed(
    service: Service, simulator: Simulator, model: str
) -> None:
    said = Guarantee(months=24, begins="on the day of purchase")
    simulator.script(*[Answer(text=said.model_dump_json())] * 2)
    async with openai_client(service) as client:
        parsed = await client.responses.parse(model=model, instructions=MATERIAL, input=QUESTION, text_format=Guarantee)
        assert parsed.output_parsed == said
        async with client.responses.stream(
            model=model, instructions=MATERIAL, input=QUESTION, text_format=Guarantee
        ) as stream:
            final = await stream.get_final_response()
        assert final.output_parsed == said
    asked: Any = simulator.last.json
    schema = (asked.get("text") or asked.get("output_config") or {}).get("format") or asked["response_format"]
    assert b"begins" in orjson.dumps(schema), "the schema reaches the model"


@EVERY_UPSTREAM
async def test_a_refusal_is_no_text_and_parses_to_nothing(service: Service, simulator: Simulator, model: str) -> None:
    simulator.script(*[Answer(refusal="I cannot help with that.")] * 2)
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input="Do something bad")
        parsed = await client.responses.parse(model=model, input="Do something bad", text_format=Guarantee)
    assert parsed.output_parsed is None
    if model == CLAUDE:  # which stops instead, and says nothing
        assert (made.status, made.incomplete_details and made.incomplete_details.reason) == (
            "incomplete",
            "content_filter",
        )
        return
    [message] = made.output
    assert message.type == "message"
    assert message.content == [ResponseOutputRefusal(type="refusal", refusal="I cannot help with that.")]
    assert (made.status, made.output_text) == ("completed", "")


# Parameters that show in the answer


@EVERY_UPSTREAM
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_response_that_reached_its_most_tokens_is_incomplete(
    service: Service, simulator: Simulator, model: str, *, streamed: bool
) -> None:
    simulator.answer(Answer(tokens=200))
    async with openai_client(service) as client:
        if streamed:
            stream = await client.responses.create(model=model, input="Count", max_output_tokens=16, stream=True)
            last = [event async for event in stream][-1]
            assert last.type == "response.incomplete"
            made = last.response
        else:
            made = await client.responses.create(model=model, input="Count", max_output_tokens=16)
        fetched = await client.responses.retrieve(made.id)
    assert made.status == fetched.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"
    assert made.output_text == fetched.output_text != ""
    assert made.max_output_tokens == 16


@pytest.mark.parametrize("model", [GPT, LOCAL])
async def test_log_probabilities_come_where_they_are_asked_for(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.default = Answer(text="Twenty four months")
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=model, input=QUESTION, top_logprobs=2, include=["message.output_text.logprobs"]
        )
        stream = await client.responses.create(
            model=model, input=QUESTION, top_logprobs=2, include=["message.output_text.logprobs"], stream=True
        )
        events = [event async for event in stream]
        plain = await client.responses.create(model=model, input=QUESTION)
    asked: Any = simulator.requests[0].json
    assert asked.get("logprobs") is True or asked["include"] == ["message.output_text.logprobs"]
    assert made.top_logprobs == 2
    if model == GPT:  # the simulated chat completions have none
        part = _only_text(made)
        assert part.logprobs is not None
        assert "".join(each.token for each in part.logprobs) == "Twenty four months"
        assert all(len(each.top_logprobs) == 2 for each in part.logprobs)
        deltas = [event for event in events if event.type == "response.output_text.delta"]
        assert all(event.logprobs for event in deltas)
    assert not _only_text(plain).logprobs


async def test_log_probabilities_that_a_provider_does_not_give_are_refused_by_name(
    service: Service, simulator: Simulator
) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=CLAUDE, input=QUESTION, top_logprobs=2)
        assert refused.value.param == "top_logprobs"
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=CLAUDE, input=QUESTION, include=["message.output_text.logprobs"])
        assert refused.value.param == "include"


@EVERY_UPSTREAM
@pytest.mark.parametrize("role", ["system", "developer", "assistant", "user"])
async def test_messages_of_every_role_are_taken(
    service: Service, simulator: Simulator, model: str, role: Literal["system", "developer", "assistant", "user"]
) -> None:
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=model,
            input=[{"role": role, "content": "Once upon a time."}, {"role": "user", "content": "And then?"}],
        )
        listed = await client.responses.input_items.list(made.id, order="asc")
    assert made.status == "completed"
    assert b"Once upon a time." in simulator.last.body
    assert [item.role for item in listed.data if item.type == "message"] == [role, "user"]


# Headers


@EVERY_UPSTREAM
async def test_raw_answers_have_openais_headers(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        raw = await client.responses.with_raw_response.create(model=model, input=QUESTION)
        async with client.responses.with_streaming_response.create(model=model, input=QUESTION, stream=True) as stream:
            streamed = dict(stream.headers)
            async for _ in stream.iter_bytes():
                pass
    made = raw.parse()
    assert made.output_text
    for headers in (raw.headers, streamed):
        assert headers["x-request-id"].startswith("req_")
        assert headers["openai-processing-ms"].isdigit()
        assert headers["x-ali-provider"]
        for name in LIMITS if model != CLAUDE else ():  # whose provider's limits are not OpenAI's
            assert headers[f"x-ratelimit-{name}"]
    assert raw.headers["content-type"] == "application/json"
    assert streamed["content-type"] == "text/event-stream; charset=utf-8"
    assert made._request_id == raw.headers["x-request-id"]


@EVERY_UPSTREAM
async def test_what_could_not_be_carried_is_named_in_a_header(
    service: Service, simulator: Simulator, model: str
) -> None:
    async with openai_client(service) as client:
        raw = await client.responses.with_raw_response.create(
            model=model, input=QUESTION, extra_body={"presence_penalty": 0.5}
        )
    dropped = raw.headers.get("x-ali-dropped-parameters")
    assert dropped == (None if model == GPT else "presence_penalty")


# What the SDK raises


@EVERY_UPSTREAM
async def test_errors_are_raised_as_what_they_are(service: Service, simulator: Simulator, model: str) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.BadRequestError) as bad:
            await client.responses.create(model=model, input=[{"role": "user", "content": 7}])  # type: ignore[list-item,misc]  # on purpose
        assert (bad.value.param, bad.value.code) == ("input[0].content", "invalid_type")
        with pytest.raises(openai.NotFoundError) as missing:
            await client.responses.retrieve(f"resp_{'0' * 32}")
        assert missing.value.code == "response_not_found"
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.responses.create(model="gpt-none", input="Hello")
        assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")
    async with openai_client(service, api_key="sk-nobody") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.responses.create(model=model, input="Hello")
    assert not simulator.requests


FAILURES = (
    (Fault.HTTP_400, openai.BadRequestError),
    (Fault.HTTP_429, openai.RateLimitError),
    (Fault.HTTP_500, openai.InternalServerError),
    (Fault.HTTP_503, openai.InternalServerError),
)


@EVERY_UPSTREAM
async def test_a_providers_failure_is_raised_as_what_it_is_and_leaves_nothing(
    serve: Serve, simulator: Simulator, tenant: Tenant, model: str
) -> None:
    async with serve(**behind(simulator)) as service, openai_client(service) as client:  # whose circuits may break
        for fault, raised in FAILURES:
            simulator.default = Answer(fault=fault, retry_after_s=0)
            for streamed in (False, True):
                with pytest.raises(raised) as failed:
                    await client.responses.create(model=model, input=QUESTION, extra_body={"stream": streamed})
                assert failed.value.request_id
    with psycopg.connect(tenant.dsn) as connection:
        left = connection.execute("select count(*) from ali.response where project_id = %s", (tenant.project_id,))
        assert left.fetchone() == (0,)


async def test_a_failure_within_a_native_stream_is_raised_in_the_stream(service: Service, simulator: Simulator) -> None:
    simulator.script(*[Answer(text="Half of it", finish_reason="server_error", tokens_per_second=50.0)] * 2)
    async with openai_client(service) as client:
        stream = await client.responses.create(model=GPT, input=QUESTION, stream=True)
        events = [event async for event in stream]
        last = events[-1]
        assert last.type == "response.failed"
        assert last.response.error is not None
        assert last.response.error.code == "server_error"
        with pytest.raises(openai.InternalServerError):
            await client.responses.create(model=GPT, input=QUESTION)
        fetched = await client.responses.retrieve(last.response.id)
    assert (fetched.status, fetched.output_text) == ("failed", "Half of it")


def _only_text(response: Any) -> ResponseOutputText:  # noqa: ANN401 - one of the SDK's
    [message] = response.output
    [part] = message.content
    assert isinstance(part, ResponseOutputText)
    return part
