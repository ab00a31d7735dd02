"""Chat completions as OpenAI's SDK asks for them and judges them, whoever serves the model."""

import asyncio
import base64
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from ali.ops.simulator import Answer, Simulator, ToolCall
from ali.providers.contract import Usage
from tests.contract.judges import (
    CLAUDE,
    DEFAULT,
    EXTRACTIVE,
    GPT,
    PIXEL,
    blocking_openai_client,
    chunks_in,
    held_to,
    openai_client,
    post,
)
from tests.fixtures.service import Service
from tests.unit.extractive.pdf_bytes import MANUAL

EVERY_MODEL = pytest.mark.parametrize("model", [GPT, CLAUDE, EXTRACTIVE, DEFAULT])
BOTH_PROVIDERS = pytest.mark.parametrize("model", [GPT, CLAUDE])
MATERIAL = "The guarantee lasts for 24 months from the day of purchase. The pump weighs 85 kilograms."
QUESTION: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": MATERIAL},
    {"role": "user", "content": "How long does the guarantee last?"},
]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLS = (
    ToolCall(name="get_weather", id="call_recife", arguments={"city": "Recife", "days": [1, 2, 3, 4]}),
    ToolCall(name="get_weather", id="call_olinda", arguments={"city": "Olinda"}),
)
PNG = base64.b64encode(PIXEL).decode()


@EVERY_MODEL
async def test_a_completion_is_what_the_sdk_defines(service: Service, model: str) -> None:
    status, headers, body = await post(service, "/v1/chat/completions", {"model": model, "messages": QUESTION})
    assert (status, headers["content-type"]) == (200, "application/json")
    completion: ChatCompletion = held_to(ChatCompletion, body)
    [choice] = completion.choices
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert '"refusal":null' in body.decode(), "the SDK's type wants the field"
    assert '"logprobs":null' in body.decode()
    assert choice.finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0


@EVERY_MODEL
async def test_the_blocking_client_completes_and_streams_the_same_text(service: Service, model: str) -> None:
    def converse() -> tuple[str | None, str]:
        with blocking_openai_client(service) as client:
            whole = client.chat.completions.create(model=model, messages=QUESTION)
            stream = client.chat.completions.create(model=model, messages=QUESTION, stream=True)
            return whole.choices[0].message.content, "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    whole, streamed = await asyncio.to_thread(converse)
    assert whole == streamed
    assert whole


@EVERY_MODEL
async def test_the_stream_helper_puts_together_what_a_plain_answer_says(service: Service, model: str) -> None:
    async with openai_client(service) as client:
        whole = await client.chat.completions.create(model=model, messages=QUESTION)
        async with client.chat.completions.stream(
            model=model, messages=QUESTION, stream_options={"include_usage": True}
        ) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_completion()
    assert final.choices[0].message.content == whole.choices[0].message.content
    assert final.choices[0].finish_reason == whole.choices[0].finish_reason
    assert (final.usage and final.usage.prompt_tokens) == (whole.usage and whole.usage.prompt_tokens)
    assert {"chunk", "content.delta", "content.done"} == set(kinds)


@EVERY_MODEL
@pytest.mark.parametrize(
    "options", [{}, {"stream_options": None}, {"stream_options": {}}, {"stream_options": {"include_usage": False}}]
)
async def test_usage_that_was_not_asked_for_is_not_sent(service: Service, model: str, options: dict[str, Any]) -> None:
    request = {"model": model, "messages": QUESTION, "stream": True, **options}
    status, headers, body = await post(service, "/v1/chat/completions", request)
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    chunks = chunks_in(body)
    assert all("usage" not in chunk for chunk in chunks)
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)
    assert [bool(chunk["choices"][0]["finish_reason"]) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    [record] = await service.records()
    assert record["output_tokens"] > 0, "it is metered all the same"
    assert record["usage_reported"]


@EVERY_MODEL
async def test_usage_that_was_asked_for_comes_once_and_last_without_choices(service: Service, model: str) -> None:
    request = {"model": model, "messages": QUESTION, "stream": True, "stream_options": {"include_usage": True}}
    _, _, body = await post(service, "/v1/chat/completions", request)
    *others, last = chunks_in(body)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"] > 0
    assert all(chunk["usage"] is None and len(chunk["choices"]) == 1 for chunk in others)
    assert len({chunk["id"] for chunk in [*others, last]}) == 1


@EVERY_MODEL
async def test_the_first_delta_has_the_role_and_the_last_is_empty(service: Service, model: str) -> None:
    _, _, body = await post(service, "/v1/chat/completions", {"model": model, "messages": QUESTION, "stream": True})
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks_in(body)]
    assert deltas[0]["role"] == "assistant"
    assert deltas[0]["content"] == ""
    assert deltas[0]["refusal"] is None
    assert all("role" not in delta for delta in deltas[1:])
    assert deltas[-1] == {}


@BOTH_PROVIDERS
@pytest.mark.parametrize("interleaved", [False, True])
async def test_parallel_tool_calls_are_put_together_by_the_sdk(
    service: Service, simulator: Simulator, model: str, *, interleaved: bool
) -> None:
    simulator.script(*[Answer(tool_calls=CALLS, interleaved=interleaved)] * 2)
    async with openai_client(service) as client:
        whole = await client.chat.completions.create(model=model, messages=QUESTION, tools=[WEATHER])
        async with client.chat.completions.stream(model=model, messages=QUESTION, tools=[WEATHER]) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_completion()
    for completion in (whole, final):
        [choice] = completion.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None or completion is final
        said = [
            (call.id, call.type, call.function.name, call.function.arguments)
            for call in choice.message.tool_calls or []
            if call.type == "function"
        ]
        assert said == [(call.id, "function", call.name, call.arguments_json) for call in CALLS]


@BOTH_PROVIDERS
@pytest.mark.parametrize("interleaved", [False, True])
async def test_tool_deltas_carry_their_type_once_and_their_index_always(
    service: Service, simulator: Simulator, model: str, *, interleaved: bool
) -> None:
    simulator.answer(Answer(tool_calls=CALLS, interleaved=interleaved))
    request = {"model": model, "messages": QUESTION, "stream": True, "tools": [WEATHER]}
    _, _, body = await post(service, "/v1/chat/completions", request)
    deltas = [call for chunk in chunks_in(body) for call in chunk["choices"][0]["delta"].get("tool_calls") or []]
    starts = [delta for delta in deltas if "id" in delta]
    assert [(start["index"], start["id"], start["type"]) for start in starts] == [
        (0, "call_recife", "function"),
        (1, "call_olinda", "function"),
    ]
    for index, call in enumerate(CALLS):
        pieces = [delta["function"].get("arguments") or "" for delta in deltas if delta["index"] == index]
        assert "".join(pieces) == call.arguments_json


@BOTH_PROVIDERS
async def test_tool_results_go_back_in_their_order(service: Service, simulator: Simulator, model: str) -> None:
    simulator.answer(Answer(tool_calls=CALLS))
    async with openai_client(service) as client:
        asked = await client.chat.completions.create(model=model, messages=QUESTION, tools=[WEATHER])
        said = asked.choices[0].message
        messages: list[Any] = [
            *QUESTION,
            said.model_dump(exclude_unset=True),
            *({"role": "tool", "tool_call_id": call.id, "content": f"sunny {call.id}"} for call in CALLS),
            {"role": "user", "content": "And now?"},
        ]
        answer = await client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert answer.choices[0].message.content
    sent: Any = simulator.last.json
    if model == GPT:
        assert [(said["tool_call_id"], said["content"]) for said in sent["messages"] if said["role"] == "tool"] == [
            ("call_recife", "sunny call_recife"),
            ("call_olinda", "sunny call_olinda"),
        ]
        return
    blocks = sent["messages"][-1]["content"]
    assert [block["type"] for block in blocks] == ["tool_result", "tool_result", "text"]
    assert [block["tool_use_id"] for block in blocks[:2]] == ["call_recife", "call_olinda"]
    uses = [block for block in sent["messages"][-2]["content"] if block["type"] == "tool_use"]
    assert uses[0]["input"] == {"city": "Recife", "days": [1, 2, 3, 4]}


class City(BaseModel):
    name: str
    people: int


@BOTH_PROVIDERS
async def test_a_pydantic_model_is_parsed_from_a_structured_answer(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.script(*[Answer(text='{"name":"Recife","people":1488920}')] * 2)
    async with openai_client(service) as client:
        parsed = await client.chat.completions.parse(model=model, messages=QUESTION, response_format=City)
        async with client.chat.completions.stream(model=model, messages=QUESTION, response_format=City) as stream:
            streamed = await stream.get_final_completion()
    assert parsed.choices[0].message.parsed == City(name="Recife", people=1_488_920)
    assert streamed.choices[0].message.parsed == parsed.choices[0].message.parsed
    sent: Any = simulator.last.json
    schema = (
        sent["response_format"]["json_schema"]["schema"] if model == GPT else sent["output_config"]["format"]["schema"]
    )
    assert set(schema["properties"]) == {"name", "people"}


@BOTH_PROVIDERS
async def test_a_pydantic_tool_is_parsed_from_its_arguments(service: Service, simulator: Simulator, model: str) -> None:
    simulator.answer(Answer(tool_calls=(ToolCall(name="City", arguments={"name": "Olinda", "people": 3}),)))
    async with openai_client(service) as client:
        parsed = await client.chat.completions.parse(
            model=model, messages=QUESTION, tools=[openai.pydantic_function_tool(City)]
        )
    [call] = parsed.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == City(name="Olinda", people=3)


async def test_a_refusal_stands_in_its_own_field(service: Service, simulator: Simulator) -> None:
    simulator.script(*[Answer(refusal="I cannot help with that.")] * 2)
    async with openai_client(service) as client:
        whole = await client.chat.completions.create(model=GPT, messages=QUESTION)
        async with client.chat.completions.stream(model=GPT, messages=QUESTION) as stream:
            streamed = await stream.get_final_completion()
    for completion in (whole, streamed):
        assert completion.choices[0].message.refusal == "I cannot help with that."
        assert not completion.choices[0].message.content


async def test_anthropics_refusal_is_a_content_filter(service: Service, simulator: Simulator) -> None:
    simulator.script(*[Answer(refusal="No.")] * 2)
    async with openai_client(service) as client:
        whole = await client.chat.completions.create(model=CLAUDE, messages=QUESTION)
        stream = await client.chat.completions.create(model=CLAUDE, messages=QUESTION, stream=True)
        chunks = [chunk async for chunk in stream]
    assert whole.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "content_filter"
    assert whole.choices[0].message.refusal
    assert whole.choices[0].message.refusal == "".join(chunk.choices[0].delta.refusal or "" for chunk in chunks)


@BOTH_PROVIDERS
async def test_images_and_documents_reach_the_provider(service: Service, simulator: Simulator, model: str) -> None:
    pdf = base64.b64encode(MANUAL).decode()
    parts: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "file", "file": {"filename": "manual.pdf", "file_data": f"data:application/pdf;base64,{pdf}"}},
    ]
    async with openai_client(service) as client:
        await client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])
    sent: Any = simulator.last.json
    content = sent["messages"][0]["content"]
    if model == GPT:
        assert content == parts
        return
    assert [block["type"] for block in content] == ["text", "image", "document"]
    assert content[1]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}
    assert content[2]["source"] == {"type": "base64", "media_type": "application/pdf", "data": pdf}
    assert content[2]["title"] == "manual.pdf"


async def test_a_document_is_quoted_with_its_page_and_needs_no_provider(service: Service, simulator: Simulator) -> None:
    pdf = base64.b64encode(MANUAL).decode()
    parts: list[Any] = [
        {"type": "file", "file": {"filename": "manual.pdf", "file_data": f"data:application/pdf;base64,{pdf}"}},
        {"type": "text", "text": "Por quanto tempo vale a garantia?"},
    ]
    async with openai_client(service) as client:
        answer = await client.chat.completions.create(model=EXTRACTIVE, messages=[{"role": "user", "content": parts}])
    text = answer.choices[0].message.content
    assert text is not None
    assert "A garantia vale por 24 meses a partir da data da compra." in text
    assert "manual.pdf, p. 2" in text
    assert simulator.counters.requests == 0


@BOTH_PROVIDERS
async def test_every_count_of_tokens_arrives(service: Service, simulator: Simulator, model: str) -> None:
    usage = Usage(
        input_tokens=100,
        cached_input_tokens=60,
        cache_write_tokens=30,
        output_tokens=20,
        reasoning_tokens=5,
        reported=True,
    )
    simulator.answer(Answer(text="Hello", usage=usage))
    async with openai_client(service) as client:
        answer = await client.chat.completions.create(model=model, messages=QUESTION)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.completion_tokens_details is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (100, 20, 120)
    assert answer.usage.prompt_tokens_details.cached_tokens == 60
    assert answer.usage.completion_tokens_details.reasoning_tokens == 5
    [record] = await service.records()
    assert (record["cached_input_tokens"], record["cache_write_tokens"], record["reasoning_tokens"]) == (60, 30, 5)


@BOTH_PROVIDERS
async def test_an_answer_cut_by_its_limit_says_so(service: Service, model: str) -> None:
    async with openai_client(service) as client:
        answer = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Count to twenty"}], max_completion_tokens=3
        )
    assert answer.choices[0].finish_reason == "length"


async def test_fields_that_this_service_does_not_know_survive_within_the_dialect(
    service: Service, simulator: Simulator
) -> None:
    async with openai_client(service) as client:
        await client.chat.completions.create(
            model=GPT, messages=QUESTION, extra_body={"from_the_future": {"deep": [1, None, "é"]}}
        )
    assert simulator.last.json["from_the_future"] == {"deep": [1, None, "é"]}


async def test_what_anthropic_has_no_word_for_is_named_in_a_header(service: Service) -> None:
    async with openai_client(service) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model=CLAUDE, messages=QUESTION, seed=7, user="somebody"
        )
        assert "seed" in raw.headers["x-ali-dropped-parameters"].split(", ")
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model=CLAUDE, messages=QUESTION, n=2)
    assert refused.value.param == "n"
