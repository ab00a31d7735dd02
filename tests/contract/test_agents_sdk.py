"""OpenAI's Agents SDK does its work through this service: tools, hand-offs, sessions, streams.

The SDK reads every answer as it reads OpenAI's, and sends back what it was told; whether the next turn knows of the
turns before shows in what reaches the provider.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from agents import (
    ModelSettings,
    OpenAIConversationsSession,
    Runner,
    SQLiteSession,
    Tool,
    function_tool,
)
from agents.memory import Session
from openai.types.shared import Reasoning
from pydantic import BaseModel

from ali.ops.simulator import Answer, Simulator, Thinking, ToolCall
from tests.contract.agents_at_work import EVERY_MODEL, UNTRACED, agent
from tests.contract.judges import CLAUDE, openai_client
from tests.fixtures.service import Service

QUESTION: Final = "How is the weather in Recife?"
CALL: Final = Answer(tool_calls=(ToolCall(name="get_weather", id="call_recife", arguments={"city": "Recife"}),))


class City(BaseModel):
    name: str
    people: int


@pytest.fixture
def asked() -> list[str]:
    """The cities whose weather a tool was asked for."""
    return []


@pytest.fixture
def weather(asked: list[str]) -> Tool:
    @function_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return f"31 degrees in {city}"

    return get_weather


@pytest.fixture
async def client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai_client(service) as client:
        yield client


@EVERY_MODEL
async def test_an_agent_calls_its_tools_and_answers_with_what_they_said(
    client: openai.AsyncOpenAI, simulator: Simulator, model: str, weather: Tool, asked: list[str]
) -> None:
    simulator.script(CALL, "It is hot in Recife.")
    result = await Runner.run(agent(client, model, tools=[weather]), QUESTION, run_config=UNTRACED)
    assert result.final_output == "It is hot in Recife."
    assert asked == ["Recife"]
    assert b"31 degrees in Recife" in simulator.last.body
    assert [response.usage.requests for response in result.raw_responses] == [1, 1]
    assert result.context_wrapper.usage.total_tokens > 0


@EVERY_MODEL
async def test_parallel_calls_are_all_made(
    client: openai.AsyncOpenAI, simulator: Simulator, model: str, weather: Tool, asked: list[str]
) -> None:
    calls = tuple(ToolCall(name="get_weather", arguments={"city": city}) for city in ("Recife", "Olinda"))
    simulator.script(Answer(tool_calls=calls), "Both are hot.")
    result = await Runner.run(agent(client, model, tools=[weather]), QUESTION, run_config=UNTRACED)
    assert result.final_output == "Both are hot."
    assert sorted(asked) == ["Olinda", "Recife"]
    assert b"31 degrees in Recife" in simulator.last.body
    assert b"31 degrees in Olinda" in simulator.last.body


@EVERY_MODEL
async def test_one_agent_hands_over_to_another(client: openai.AsyncOpenAI, simulator: Simulator, model: str) -> None:
    billing = agent(client, model, name="billing", instructions="You settle bills.")
    reception = agent(client, model, name="reception", handoffs=[billing])
    simulator.script(Answer(tool_calls=(ToolCall(name="transfer_to_billing"),)), "Your bill is settled.")
    result = await Runner.run(reception, "My bill is wrong.", run_config=UNTRACED)
    assert result.last_agent is billing
    assert result.final_output == "Your bill is settled."
    assert b"You settle bills." in simulator.last.body


@EVERY_MODEL
async def test_a_typed_answer_is_parsed(client: openai.AsyncOpenAI, simulator: Simulator, model: str) -> None:
    simulator.answer('{"name":"Recife","people":1488920}')
    result = await Runner.run(agent(client, model, output_type=City), "Which city?", run_config=UNTRACED)
    assert result.final_output == City(name="Recife", people=1_488_920)


@EVERY_MODEL
async def test_a_stream_tells_of_the_tool_and_of_the_answer(
    client: openai.AsyncOpenAI, simulator: Simulator, model: str, weather: Tool, asked: list[str]
) -> None:
    simulator.script(CALL, "It is hot in Recife.")
    run = Runner.run_streamed(agent(client, model, tools=[weather]), QUESTION, run_config=UNTRACED)
    names: list[str] = []
    text = arguments = ""
    async for event in run.stream_events():
        if event.type == "run_item_stream_event":
            names.append(event.name)
        elif event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
        elif event.type == "raw_response_event" and event.data.type == "response.function_call_arguments.delta":
            arguments += event.data.delta
    assert text == run.final_output == "It is hot in Recife."
    assert arguments == CALL.tool_calls[0].arguments_json
    assert names == ["tool_called", "tool_output", "message_output_created"]
    assert asked == ["Recife"]


# Memory


async def _talk_twice(
    client: openai.AsyncOpenAI, simulator: Simulator, model: str, *, session: Session, weather: Tool
) -> None:
    """A conversation whose second question is about the first."""
    helper = agent(client, model, tools=[weather])
    simulator.script(CALL, "It is hot.", "About 31 degrees.")
    await Runner.run(helper, QUESTION, session=session, run_config=UNTRACED)
    second = await Runner.run(helper, "How hot?", session=session, run_config=UNTRACED)
    assert second.final_output == "About 31 degrees."
    for said in (QUESTION, "call_recife", "31 degrees in Recife", "It is hot.", "How hot?"):
        assert simulator.last.body.count(said.encode()) >= 1, said
    assert simulator.last.body.count(QUESTION.encode()) == 1, "nothing is told twice"


@EVERY_MODEL
async def test_a_session_in_the_callers_own_database_carries_the_conversation(
    client: openai.AsyncOpenAI, simulator: Simulator, model: str, weather: Tool, tmp_path: Path
) -> None:
    session = SQLiteSession("talk", tmp_path / "talk.sqlite")
    try:
        await _talk_twice(client, simulator, model, session=session, weather=weather)
    finally:
        session.close()


@EVERY_MODEL
async def test_a_conversation_of_the_service_carries_the_conversation(
    client: openai.AsyncOpenAI, simulator: Simulator, model: str, weather: Tool
) -> None:
    session = OpenAIConversationsSession(openai_client=client)
    await _talk_twice(client, simulator, model, session=session, weather=weather)
    items: list[Any] = list(await session.get_items())
    assert [item.get("role") or item["type"] for item in items] == [
        "user",
        "function_call",
        "function_call_output",
        "assistant",
        "user",
        "assistant",
    ]
    assert len(await session.get_items(limit=2)) == 2
    last: Any = await session.pop_item()
    assert last["role"] == "assistant"
    assert len(await session.get_items()) == len(items) - 1
    await session.clear_session()


@EVERY_MODEL
async def test_the_response_before_is_enough_to_go_on(
    client: openai.AsyncOpenAI, simulator: Simulator, model: str, weather: Tool
) -> None:
    helper = agent(client, model, tools=[weather])
    simulator.script(CALL, "It is hot.", "About 31 degrees.")
    first = await Runner.run(helper, QUESTION, auto_previous_response_id=True, run_config=UNTRACED)
    second = await Runner.run(helper, "How hot?", previous_response_id=first.last_response_id, run_config=UNTRACED)
    assert second.final_output == "About 31 degrees."
    for said in (QUESTION, "31 degrees in Recife", "It is hot.", "How hot?"):
        assert simulator.last.body.count(said.encode()) == 1, said


@pytest.mark.parametrize("store", [True, False])
async def test_thinking_goes_back_to_its_model_with_the_tools_result(
    client: openai.AsyncOpenAI, simulator: Simulator, weather: Tool, *, store: bool
) -> None:
    settings = ModelSettings(
        reasoning=Reasoning(effort="low", summary="auto"),
        store=store,
        response_include=["reasoning.encrypted_content"],
    )
    thought = Thinking(text="Where is Recife?", signature="c2lnbmVkLWJ5LWNsYXVkZQ==")
    simulator.script(Answer(thinking=(thought,), tool_calls=CALL.tool_calls), "It is hot.")
    result = await Runner.run(
        agent(client, CLAUDE, tools=[weather], model_settings=settings), QUESTION, run_config=UNTRACED
    )
    assert result.final_output == "It is hot."
    assert any(item.type == "reasoning_item" for item in result.new_items)
    assert thought.signature.encode() in simulator.last.body
