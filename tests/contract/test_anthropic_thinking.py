"""Thinking, with its signatures, through Anthropic's SDK and through chat clients, and never to the other provider."""

from typing import Any

import pytest
from anthropic.types import RedactedThinkingBlock, ThinkingBlock

from ali.ops.simulator import Answer, RedactedThinking, Simulator, Thinking
from tests.contract.judges import CLAUDE, GPT, anthropic_client, openai_client
from tests.contract.test_anthropic_messages import CALLS, QUESTION, WEATHER
from tests.fixtures.service import Service

THOUGHTS = (
    Thinking(text="First I look at the map.", signature="c2lnbmVkLTE="),
    RedactedThinking(data="ZW5jcnlwdGVk"),
    Thinking(text="", signature="c2lnbmVkLTI="),
)


async def test_thinking_comes_with_its_signature_and_goes_back_unchanged(
    service: Service, simulator: Simulator
) -> None:
    answer = Answer(thinking=THOUGHTS, text="Recife.", tool_calls=CALLS[:1])
    simulator.script(answer, answer)
    async with anthropic_client(service) as client:
        whole = await client.messages.create(
            model=CLAUDE, max_tokens=4096, messages=QUESTION, tools=[WEATHER], thinking={"type": "adaptive"}
        )
        async with client.messages.stream(
            model=CLAUDE, max_tokens=4096, messages=QUESTION, tools=[WEATHER], thinking={"type": "adaptive"}
        ) as stream:
            final = await stream.get_final_message()
        for message in (whole, final):
            first, hidden, empty, *_ = message.content
            assert isinstance(first, ThinkingBlock)
            assert (first.thinking, first.signature) == ("First I look at the map.", "c2lnbmVkLTE=")
            assert isinstance(hidden, RedactedThinkingBlock)
            assert hidden.data == "ZW5jcnlwdGVk"
            assert isinstance(empty, ThinkingBlock)
            assert (empty.thinking, empty.signature) == ("", "c2lnbmVkLTI=")
        said = [block.model_dump(exclude_none=True) for block in final.content]
        turn: Any = {"role": "assistant", "content": said}
        result: Any = {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_recife", "content": "sunny"}],
        }
        await client.messages.create(model=CLAUDE, max_tokens=4096, messages=[*QUESTION, turn, result], tools=[WEATHER])
    sent: Any = simulator.last.json
    assert [block for block in sent["messages"][1]["content"] if "thinking" in block["type"]] == [
        {"type": "thinking", "thinking": "First I look at the map.", "signature": "c2lnbmVkLTE="},
        {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"},
        {"type": "thinking", "thinking": "", "signature": "c2lnbmVkLTI="},
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_thinking_survives_a_chat_client_that_sends_back_what_it_got(
    service: Service, simulator: Simulator, *, stream: bool
) -> None:
    simulator.answer(Answer(thinking=THOUGHTS, text="", tool_calls=CALLS[:1]))
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER["input_schema"]}}
    question: list[Any] = [{"role": "user", "content": "How is the weather?"}]
    async with openai_client(service) as client:
        if stream:
            async with client.chat.completions.stream(model=CLAUDE, messages=question, tools=[tool]) as events:
                completion: Any = await events.get_final_completion()
        else:
            completion = await client.chat.completions.create(model=CLAUDE, messages=question, tools=[tool])
        said = completion.choices[0].message.model_dump(exclude_none=True)
        said.pop("parsed", None)
        for call in said["tool_calls"]:
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
        assert said["reasoning_content"] == "First I look at the map."
        await client.chat.completions.create(
            model=CLAUDE,
            messages=[*question, said, {"role": "tool", "tool_call_id": "toolu_recife", "content": "sunny"}],
            tools=[tool],
        )
    sent: Any = simulator.last.json
    assert sent["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "First I look at the map.", "signature": "c2lnbmVkLTE="},
        {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"},
        {"type": "thinking", "thinking": "", "signature": "c2lnbmVkLTI="},
        {"type": "tool_use", "id": "toolu_recife", "name": "get_weather", "input": CALLS[0].arguments},
    ]


async def test_thinking_is_never_sent_to_the_other_provider(service: Service, simulator: Simulator) -> None:
    turn: Any = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "A secret thought.", "signature": "c2lnbmVk"},
            {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"},
            {"type": "text", "text": "24 months."},
        ],
    }
    async with anthropic_client(service) as client:
        raw = await client.messages.with_raw_response.create(
            model=GPT, max_tokens=99, messages=[*QUESTION, turn, {"role": "user", "content": "Sure?"}]
        )
    assert b"secret" not in simulator.last.body
    assert "messages.thinking" in raw.headers["x-ali-dropped-parameters"]
