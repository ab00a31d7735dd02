"""LangChain's integration of OpenAI's Responses API, in conversations of several turns through this service."""

from typing import Any, Final

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from ali.ops.simulator import Answer, Simulator, Thinking, ToolCall
from ali.providers.contract import Usage
from tests.contract.judges import CLAUDE, GPT
from tests.fixtures.service import Service
from tests.responses.searching import answering
from tests.responses.shelved import ACT, Shelf

EVERY_MODEL: Final = pytest.mark.parametrize("model", [GPT, CLAUDE])
UNPOOLED: Final = {"connection": "close"}
"""LangChain shares HTTP clients across tests, whose event loops differ: no connection may outlive its loop."""
QUESTION: Final = "How is the weather in Recife?"
CALL: Final = Answer(tool_calls=(ToolCall(name="get_weather", id="call_recife", arguments={"city": "Recife"}),))
USAGE: Final = Usage(
    input_tokens=100,
    cached_input_tokens=64,
    cache_write_tokens=16,
    output_tokens=30,
    reasoning_tokens=12,
    reported=True,
)

pytestmark = [
    # It dumps the SDK's object with the parsed answer inside, for which the SDK's type has no field type.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]


class City(BaseModel):
    """A city."""

    name: str
    people: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"31 degrees in {city}"


@pytest.fixture(autouse=True)
def _untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trace goes to LangSmith."""
    for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "false")


def chat(service: Service, model: str, **options: Any) -> ChatOpenAI:  # noqa: ANN401 - LangChain's own options
    """LangChain's model, by the Responses API of this service."""
    return ChatOpenAI(
        **{
            "model": model,
            "base_url": service.openai_base_url,
            "api_key": service.tenant.secret,
            "max_retries": 0,
            "use_responses_api": True,
            "output_version": "responses/v1",
            "default_headers": UNPOOLED,
            **options,
        }
    )


async def streamed(model: Any, messages: list[BaseMessage], **options: Any) -> tuple[AIMessageChunk, int]:  # noqa: ANN401 - any runnable
    """The whole of a stream, and how many chunks it had."""
    whole: Any = None
    count = 0
    async for chunk in model.astream(messages, **options):
        whole = chunk if whole is None else whole + chunk
        count += 1
    assert isinstance(whole, AIMessageChunk)
    return whole, count


@EVERY_MODEL
@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_is_called_and_its_result_taken_back(
    service: Service, simulator: Simulator, model: str, *, stream: bool
) -> None:
    simulator.script(CALL, "It is hot in Recife.", "About 31 degrees.")
    bound = chat(service, model).bind_tools([get_weather])
    messages: list[BaseMessage] = [HumanMessage(QUESTION)]
    for expected in ("It is hot in Recife.", "About 31 degrees."):
        while True:
            answer: AIMessage
            answer = (await streamed(bound, messages))[0] if stream else await bound.ainvoke(messages)
            messages.append(answer)
            if not answer.tool_calls:
                break
            [call] = answer.tool_calls
            assert (call["name"], call["args"], call["id"]) == ("get_weather", {"city": "Recife"}, "call_recife")
            result = await get_weather.ainvoke(call)
            assert isinstance(result, ToolMessage)
            messages.append(result)
        assert answer.text == expected
        messages.append(HumanMessage("How hot?"))
    for said in (QUESTION, "31 degrees in Recife", "It is hot in Recife.", "How hot?"):
        assert simulator.last.body.count(said.encode()) == 1, said


@EVERY_MODEL
@pytest.mark.parametrize("stream", [False, True])
async def test_the_response_before_carries_the_conversation(
    service: Service, simulator: Simulator, model: str, *, stream: bool
) -> None:
    simulator.script("It is hot.", "About 31 degrees.")
    talker = chat(service, model, use_previous_response_id=True)
    messages: list[BaseMessage] = [HumanMessage(QUESTION)]
    first: AIMessage = (await streamed(talker, messages))[0] if stream else await talker.ainvoke(messages)
    assert first.response_metadata["id"].startswith("resp_")
    messages += [first, HumanMessage("How hot?")]
    second: AIMessage = (await streamed(talker, messages))[0] if stream else await talker.ainvoke(messages)
    assert second.text == "About 31 degrees."
    assert second.response_metadata["id"] != first.response_metadata["id"]
    for said in (QUESTION, "It is hot.", "How hot?"):
        assert simulator.last.body.count(said.encode()) == 1, said


@EVERY_MODEL
async def test_a_schema_is_filled(service: Service, simulator: Simulator, model: str) -> None:
    simulator.script(*[Answer(text='{"name":"Recife","people":1488920}')] * 2)
    typed = chat(service, model).with_structured_output(City, method="json_schema", include_raw=True)
    whole: Any = await typed.ainvoke("Which city?")
    assert whole["parsed"] == City(name="Recife", people=1_488_920)
    assert whole["parsing_error"] is None
    parts: list[Any] = [part async for part in typed.astream("Which city?")]
    assert [part["parsed"] for part in parts if part.get("parsed")][-1] == whole["parsed"]


@EVERY_MODEL
async def test_a_schema_is_filled_by_calling_a_function(service: Service, simulator: Simulator, model: str) -> None:
    simulator.answer(Answer(tool_calls=(ToolCall(name="City", arguments={"name": "Olinda", "people": 3}),)))
    typed = chat(service, model).with_structured_output(City, method="function_calling", tool_choice="auto")
    assert await typed.ainvoke("Which city?") == City(name="Olinda", people=3)


@EVERY_MODEL
async def test_a_stream_says_what_a_whole_answer_says(service: Service, simulator: Simulator, model: str) -> None:
    simulator.script(*[Answer(text="It is hot in Recife today.", usage=USAGE)] * 2)
    talker = chat(service, model)
    whole = await talker.ainvoke(QUESTION)
    together, count = await streamed(talker, [HumanMessage(QUESTION)])
    assert together.text == whole.text == "It is hot in Recife today."
    assert count > 3
    assert together.usage_metadata == whole.usage_metadata
    assert whole.usage_metadata is not None
    assert (whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]) == (100, 30)
    assert whole.usage_metadata["input_token_details"]["cache_read"] == 64
    assert together.response_metadata["model_name"] == whole.response_metadata["model_name"]
    assert together.response_metadata["status"] == whole.response_metadata["status"] == "completed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("store", [True, False])
async def test_thinking_is_summarised_and_goes_back_to_its_model(
    service: Service, simulator: Simulator, *, stream: bool, store: bool
) -> None:
    thought = Thinking(text="Where is Recife?", signature="c2lnbmVkLWJ5LWNsYXVkZQ==")
    simulator.script(Answer(thinking=(thought,), tool_calls=CALL.tool_calls), "It is hot.")
    thinker = chat(
        service,
        CLAUDE,
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        store=store,
    ).bind_tools([get_weather])
    messages: list[BaseMessage] = [HumanMessage(QUESTION)]
    answer: AIMessage = (await streamed(thinker, messages))[0] if stream else await thinker.ainvoke(messages)
    [reasoning] = [block for block in answer.content if isinstance(block, dict) and block["type"] == "reasoning"]
    assert "".join(part["text"] for part in reasoning["summary"]) == thought.text
    [call] = answer.tool_calls
    messages += [answer, await get_weather.ainvoke(call)]
    final = await thinker.ainvoke(messages)
    assert final.text == "It is hot."
    assert thought.signature.encode() in simulator.last.body


@EVERY_MODEL
@pytest.mark.parametrize("streamed", [False, True])
async def test_files_are_searched_and_cited(
    service: Service, simulator: Simulator, model: str, *, streamed: bool
) -> None:
    simulator.default = answering("Trinta dias {a}.", a="férias anuais")
    shelf = Shelf(service.tenant).make()
    await shelf.put("lei.pdf", ACT)
    searching = chat(service, model).bind_tools([shelf.tool()])
    said: Any = AIMessageChunk(content=[])
    if streamed:
        async for piece in searching.astream("Quantos dias de férias?"):
            said += piece
    else:
        said = await searching.ainvoke("Quantos dias de férias?")
    texts = [block for block in said.content if block["type"] == "text"]
    assert "".join(block["text"] for block in texts) == "Trinta dias."
    [cited] = [one for block in texts for one in block["annotations"]]
    assert (cited["type"], cited["filename"], cited["file_index"]) == ("file_citation", "lei.pdf", len("Trinta dias"))
    assert next(block["type"] for block in said.content) == "file_search_call"
    simulator.default = Answer(text="Sim.")
    again = await searching.ainvoke([HumanMessage("Quantos dias?"), said, HumanMessage("Certeza?")])
    assert again.text == "Sim."
