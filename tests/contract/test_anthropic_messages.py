"""Messages as Anthropic's SDK asks for them and judges them, whoever serves the model."""

import asyncio
import base64
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, MessageParam, TextBlock, ToolParam, ToolUseBlock
from pydantic import BaseModel

from ali.ops.simulator import Answer, Simulator, ToolCall
from ali.providers.contract import Usage
from tests.contract.judges import (
    CLAUDE,
    DEFAULT,
    EXTRACTIVE,
    GPT,
    PIXEL,
    anthropic_client,
    blocking_anthropic_client,
    events_in,
    held_to,
    post,
)
from tests.fixtures.service import Service
from tests.unit.extractive.pdf_bytes import MANUAL
from tests.unit.translate.reading import message_of

EVERY_MODEL = pytest.mark.parametrize("model", [CLAUDE, GPT, EXTRACTIVE, DEFAULT])
BOTH_PROVIDERS = pytest.mark.parametrize("model", [CLAUDE, GPT])
SYSTEM = "The guarantee lasts for 24 months from the day of purchase. The pump weighs 85 kilograms."
QUESTION: list[MessageParam] = [{"role": "user", "content": "How long does the guarantee last?"}]
WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALLS = (
    ToolCall(name="get_weather", id="toolu_recife", arguments={"city": "Recife", "days": [1, 2, 3, 4]}),
    ToolCall(name="get_weather", id="toolu_olinda", arguments={"city": "Olinda"}),
)
PNG = base64.b64encode(PIXEL).decode()
OLD = {"anthropic-version": "2023-06-01"}
NEW = {"anthropic-version": "2026-10-21"}


@EVERY_MODEL
async def test_a_message_is_what_the_sdk_defines(service: Service, model: str) -> None:
    status, headers, body = await post(
        service, "/v1/messages", {"model": model, "max_tokens": 99, "system": SYSTEM, "messages": QUESTION}
    )
    assert (status, headers["content-type"]) == (200, "application/json")
    message: Message = held_to(Message, body)
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


@EVERY_MODEL
async def test_the_streams_events_are_what_the_sdk_defines_in_their_order(service: Service, model: str) -> None:
    request = {"model": model, "max_tokens": 99, "system": SYSTEM, "messages": QUESTION}
    _, _, whole = await post(service, "/v1/messages", request)
    status, headers, body = await post(service, "/v1/messages", {**request, "stream": True})
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    streamed = message_of(events_in(body))
    plain = held_to(Message, whole)
    assert [block["text"] for block in streamed["content"]] == [block.text for block in plain.content]
    assert streamed["stop_reason"] == plain.stop_reason
    assert streamed["usage"]["output_tokens"] == plain.usage.output_tokens


@EVERY_MODEL
async def test_the_stream_helper_puts_together_what_a_plain_answer_says(service: Service, model: str) -> None:
    async with anthropic_client(service) as client:
        whole = await client.messages.create(model=model, max_tokens=99, system=SYSTEM, messages=QUESTION)
        async with client.messages.stream(model=model, max_tokens=99, system=SYSTEM, messages=QUESTION) as stream:
            pieces = [text async for text in stream.text_stream]
            final = await stream.get_final_message()
    assert [block.text for block in final.content if block.type == "text"] == [
        block.text for block in whole.content if block.type == "text"
    ]
    assert "".join(pieces) == "".join(block.text for block in whole.content if block.type == "text")
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert len(pieces) > 1


@EVERY_MODEL
async def test_the_blocking_client_answers_streams_and_counts(service: Service, model: str) -> None:
    def converse() -> tuple[Message, Message, int]:
        with blocking_anthropic_client(service) as client:
            whole = client.messages.create(model=model, max_tokens=99, system=SYSTEM, messages=QUESTION)
            with client.messages.stream(model=model, max_tokens=99, system=SYSTEM, messages=QUESTION) as stream:
                final = stream.get_final_message()
            raw = client.messages.create(model=model, max_tokens=99, messages=QUESTION, stream=True)
            assert [event.type for event in raw][-1] == "message_stop"
            return whole, final, client.messages.count_tokens(model=model, messages=QUESTION).input_tokens

    whole, final, tokens = await asyncio.to_thread(converse)
    assert final.stop_reason == whole.stop_reason == "end_turn"
    assert tokens > 0


@BOTH_PROVIDERS
@pytest.mark.parametrize("interleaved", [False, True])
async def test_parallel_tool_calls_are_put_together_by_the_sdk(
    service: Service, simulator: Simulator, model: str, *, interleaved: bool
) -> None:
    answer = Answer(text="Let me look.", tool_calls=CALLS, interleaved=interleaved)
    simulator.script(answer, answer)
    async with anthropic_client(service) as client:
        whole = await client.messages.create(model=model, max_tokens=99, messages=QUESTION, tools=[WEATHER])
        async with client.messages.stream(model=model, max_tokens=99, messages=QUESTION, tools=[WEATHER]) as stream:
            final = await stream.get_final_message()
    for message in (whole, final):
        assert message.stop_reason == "tool_use"
        text, *uses = message.content
        assert isinstance(text, TextBlock)
        assert text.text == "Let me look."
        assert [(use.id, use.name, use.input) for use in uses if isinstance(use, ToolUseBlock)] == [
            ("toolu_recife", "get_weather", {"city": "Recife", "days": [1, 2, 3, 4]}),
            ("toolu_olinda", "get_weather", {"city": "Olinda"}),
        ]


@BOTH_PROVIDERS
async def test_tool_results_go_back_in_their_order(service: Service, simulator: Simulator, model: str) -> None:
    simulator.answer(Answer(tool_calls=CALLS))
    async with anthropic_client(service) as client:
        asked = await client.messages.create(model=model, max_tokens=99, messages=QUESTION, tools=[WEATHER])
        results: list[Any] = [
            {"type": "tool_result", "tool_use_id": "toolu_recife", "content": "sunny"},
            {
                "type": "tool_result",
                "tool_use_id": "toolu_olinda",
                "is_error": True,
                "content": [{"type": "text", "text": "no such city"}],
            },
            {"type": "text", "text": "And now?"},
        ]
        messages: list[Any] = [
            *QUESTION,
            {"role": "assistant", "content": [block.model_dump() for block in asked.content]},
            {"role": "user", "content": results},
        ]
        answer = await client.messages.create(model=model, max_tokens=99, messages=messages, tools=[WEATHER])
    assert answer.content
    sent: Any = simulator.last.json
    if model == CLAUDE:
        assert sent["messages"][2]["content"] == results
        return
    tools = [said for said in sent["messages"] if said["role"] == "tool"]
    assert [(said["tool_call_id"], said["content"]) for said in tools] == [
        ("toolu_recife", "sunny"),
        ("toolu_olinda", "The tool call failed: no such city"),
    ]
    assert sent["messages"][-1]["role"] == "user"


@BOTH_PROVIDERS
async def test_images_and_documents_reach_the_provider(service: Service, simulator: Simulator, model: str) -> None:
    pdf = base64.b64encode(MANUAL).decode()
    content: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {
            "type": "document",
            "title": "manual.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": pdf},
        },
    ]
    async with anthropic_client(service) as client:
        await client.messages.create(model=model, max_tokens=99, messages=[{"role": "user", "content": content}])
    sent: Any = simulator.last.json
    got = sent["messages"][0]["content"]
    if model == CLAUDE:
        assert got == content
        return
    assert [part["type"] for part in got] == ["text", "image_url", "file"]
    assert got[1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    assert got[2]["file"] == {"filename": "manual.pdf", "file_data": f"data:application/pdf;base64,{pdf}"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_quote_from_a_pdf_is_cited_with_its_page(service: Service, *, stream: bool) -> None:
    pdf = base64.b64encode(MANUAL).decode()
    document: Any = {
        "type": "document",
        "title": "manual.pdf",
        "citations": {"enabled": True},
        "source": {"type": "base64", "media_type": "application/pdf", "data": pdf},
    }
    citation = await cited(service, document, "Por quanto tempo vale a garantia?", stream=stream)
    assert citation.type == "page_location"
    assert "vale por 24 meses" in citation.cited_text
    assert (citation.start_page_number, citation.end_page_number, citation.document_title) == (2, 3, "manual.pdf")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_quote_from_a_text_is_cited_with_its_characters(service: Service, *, stream: bool) -> None:
    document: Any = {
        "type": "document",
        "citations": {"enabled": True},
        "source": {"type": "text", "media_type": "text/plain", "data": SYSTEM},
    }
    citation = await cited(service, document, "How long does the guarantee last?", stream=stream)
    assert citation.type == "char_location"
    assert SYSTEM[citation.start_char_index : citation.end_char_index] == citation.cited_text
    assert "24 months" in citation.cited_text


async def cited(service: Service, document: Any, question: str, *, stream: bool) -> Any:  # noqa: ANN401 - a union of the SDK's
    """The first citation of the answer to `question` about `document`."""
    content: list[Any] = [document, {"type": "text", "text": question}]
    async with anthropic_client(service) as client:
        asked: Any = {"model": EXTRACTIVE, "max_tokens": 500, "messages": [{"role": "user", "content": content}]}
        if stream:
            async with client.messages.stream(**asked) as events:
                message = await events.get_final_message()
        else:
            message = await client.messages.create(**asked)
    first = message.content[0]
    assert isinstance(first, TextBlock)
    assert first.citations
    return first.citations[0]


class City(BaseModel):
    name: str
    people: int


@BOTH_PROVIDERS
async def test_a_pydantic_model_is_parsed_from_a_structured_answer(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(text='{"name":"Recife","people":1488920}'))
    async with anthropic_client(service) as client:
        parsed = await client.messages.parse(model=model, max_tokens=99, messages=QUESTION, output_format=City)
    assert parsed.parsed_output == City(name="Recife", people=1_488_920)


@BOTH_PROVIDERS
async def test_input_tokens_leave_out_the_cached_ones_as_anthropic_counts(
    service: Service, simulator: Simulator, model: str
) -> None:
    usage = Usage(input_tokens=100, cached_input_tokens=60, cache_write_tokens=30, output_tokens=20, reported=True)
    simulator.script(*[Answer(text="Hello", usage=usage)] * 2)
    async with anthropic_client(service) as client:
        whole = await client.messages.create(model=model, max_tokens=99, messages=QUESTION)
        async with client.messages.stream(model=model, max_tokens=99, messages=QUESTION) as stream:
            final = await stream.get_final_message()
    for message in (whole, final):
        said = message.usage
        assert (said.input_tokens, said.cache_read_input_tokens, said.cache_creation_input_tokens) == (10, 60, 30)
        assert said.output_tokens == 20
    assert {record["input_tokens"] for record in await service.records()} == {100}


@BOTH_PROVIDERS
async def test_a_refusal_and_a_cut_answer_have_their_stop_reasons(
    service: Service, simulator: Simulator, model: str
) -> None:
    async with anthropic_client(service) as client:
        simulator.answer(Answer(refusal="I cannot help with that."))
        refused = await client.messages.create(model=model, max_tokens=99, messages=QUESTION)
        cut = await client.messages.create(model=model, max_tokens=3, messages=QUESTION)
    assert (refused.stop_reason, cut.stop_reason) == ("refusal", "max_tokens")


@EVERY_MODEL
@pytest.mark.parametrize("version", [OLD, NEW, {}])
async def test_both_versions_of_the_api_are_spoken(service: Service, model: str, version: dict[str, str]) -> None:
    headers = {**service.headers, **version}
    request = {"model": model, "max_tokens": 99, "messages": QUESTION}
    status, _, body = await post(service, "/v1/messages", request, headers=headers)
    assert status == 200
    held_to(Message, body)


@BOTH_PROVIDERS
async def test_temperature_is_taken_by_the_old_version_and_refused_by_the_new(
    service: Service, simulator: Simulator, model: str
) -> None:
    async with anthropic_client(service) as client:
        asked: Any = {"model": model, "max_tokens": 99, "messages": QUESTION, "extra_body": {"temperature": 0.5}}
        await client.messages.create(**asked, extra_headers=OLD)
        assert simulator.last.json["temperature"] == 0.5
        with pytest.raises(anthropic.BadRequestError, match="temperature"):
            await client.messages.create(**asked, extra_headers=NEW)


async def test_a_version_that_nobody_knows_is_refused_with_the_ones_that_are(service: Service) -> None:
    async with anthropic_client(service) as client:
        with pytest.raises(anthropic.BadRequestError, match="2023-06-01, 2026-10-21"):
            await client.messages.create(
                model=CLAUDE, max_tokens=9, messages=QUESTION, extra_headers={"anthropic-version": "2024-01-01"}
            )


async def test_betas_reach_their_own_provider_and_no_other(service: Service, simulator: Simulator) -> None:
    async with anthropic_client(service) as client:
        await client.beta.messages.create(
            model=CLAUDE, max_tokens=99, messages=[{"role": "user", "content": "Hi"}], betas=["one-2026-01-01", "two"]
        )
        sent = simulator.last.headers
        assert set(sent["anthropic-beta"].replace(" ", "").split(",")) == {"one-2026-01-01", "two"}
        assert sent["anthropic-version"] == "2026-10-21"
        await client.messages.create(
            model=GPT, max_tokens=99, messages=QUESTION, extra_headers={"anthropic-beta": "one-2026-01-01"}
        )
        assert "anthropic-beta" not in simulator.last.headers
