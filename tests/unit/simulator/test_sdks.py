"""The official SDKs take the simulator for the real thing."""

import anthropic
import openai
import pytest
from anthropic.types import RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from openai.types.chat import ChatCompletionMessageFunctionToolCall, ChatCompletionToolParam

from ali.ops.simulator import Answer, Fault, RedactedThinking, Simulator, Thinking, ToolCall
from ali.providers.contract import Usage
from tests.simulators.fixtures import KEY, threaded_simulator

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
USAGE = Usage(
    input_tokens=100, cached_input_tokens=60, cache_write_tokens=30, output_tokens=20, reasoning_tokens=5, reported=True
)


def openai_client(simulator: Simulator) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=simulator.openai_base_url, api_key=KEY, max_retries=0, _strict_response_validation=True
    )


def anthropic_client(simulator: Simulator) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(
        base_url=simulator.anthropic_base_url, api_key=KEY, max_retries=0, _strict_response_validation=True
    )


async def test_openai_completes_plain_and_streamed(simulator: Simulator) -> None:
    async with openai_client(simulator) as client:
        simulator.script(Answer(text="Olá, mundo", usage=USAGE), Answer(text="Olá, mundo", usage=USAGE))
        whole = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
        assert whole.choices[0].message.content == "Olá, mundo"
        assert whole.usage is not None
        assert whole.usage.prompt_tokens_details is not None
        assert (whole.usage.prompt_tokens, whole.usage.prompt_tokens_details.cached_tokens) == (100, 60)
        async with client.chat.completions.stream(
            model="gpt-4o", messages=[{"role": "user", "content": "hi"}], stream_options={"include_usage": True}
        ) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.content == "Olá, mundo"
        assert final.usage == whole.usage


@pytest.mark.parametrize("interleaved", [False, True])
async def test_openai_calls_tools_in_parallel_and_takes_their_results(
    simulator: Simulator, *, interleaved: bool
) -> None:
    calls = (
        ToolCall(name="get_weather", arguments={"city": "Recife", "days": [1, 2, 3]}),
        ToolCall(name="get_weather", arguments={"city": "São Paulo"}),
    )
    async with openai_client(simulator) as client:
        simulator.script(*[Answer(tool_calls=calls, interleaved=interleaved)] * 2)
        whole = await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "weather?"}], tools=[WEATHER]
        )
        async with client.chat.completions.stream(
            model="gpt-4o", messages=[{"role": "user", "content": "weather?"}], tools=[WEATHER]
        ) as stream:
            final = await stream.get_final_completion()
        for answer in (whole, final):
            assert answer.choices[0].finish_reason == "tool_calls"
            assert answer.choices[0].message.content is None
            made = answer.choices[0].message.tool_calls or []
            assert [
                call.function.arguments for call in made if isinstance(call, ChatCompletionMessageFunctionToolCall)
            ] == [call.arguments_json for call in calls]
            assert len({call.id for call in made}) == 2


async def test_openai_sees_a_refusal_several_choices_and_a_directive_s_tool(simulator: Simulator) -> None:
    async with openai_client(simulator) as client:
        simulator.answer(Answer(refusal="I cannot help with that."))
        async with client.chat.completions.stream(
            model="gpt-4o", messages=[{"role": "user", "content": "x"}]
        ) as stream:
            refused = await stream.get_final_completion()
        assert refused.choices[0].message.refusal == "I cannot help with that."
        several = await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "x"}], n=3, service_tier="flex"
        )
        assert [choice.index for choice in several.choices] == [0, 1, 2]
        assert several.service_tier == "flex"
        called = await client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": '[[tool:get_weather {"where":[["Recife"]]}]] [[tool:now]] please'}],
        )
        made = called.choices[0].message.tool_calls or []
        assert [
            (call.function.name, call.function.arguments)
            for call in made
            if isinstance(call, ChatCompletionMessageFunctionToolCall)
        ] == [("get_weather", '{"where":[["Recife"]]}'), ("now", "{}")]


async def test_openai_embeds_moderates_and_lists_models(simulator: Simulator) -> None:
    # Not strict: the SDK asks for base64 and checks the answer before decoding it.
    async with openai.AsyncOpenAI(base_url=simulator.openai_base_url, api_key=KEY, max_retries=0) as client:
        as_base64 = await client.embeddings.create(model="text-embedding-3-small", input=["um", "dois", "um"])
        as_floats = await client.embeddings.create(
            model="text-embedding-3-small", input="um", encoding_format="float", dimensions=1536
        )
        first, second, third = (item.embedding for item in as_base64.data)
        assert first == third != second
        assert as_floats.data[0].embedding == pytest.approx(first)
        assert sum(number * number for number in first) == pytest.approx(1)
        moderated = await client.moderations.create(input=["fine", "[[flag]]"])
        assert [result.flagged for result in moderated.results] == [False, True]
        assert next(iter([model.id async for model in client.models.list()])).startswith("gpt-")
        assert (await client.models.retrieve("gpt-4o")).id == "gpt-4o"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("claude-sonnet-5-5")


async def test_anthropic_answers_plain_and_streamed_with_every_kind_of_block(simulator: Simulator) -> None:
    answer = Answer(
        text="Bom dia, mundo",
        thinking=(Thinking(text="Hm, well."), RedactedThinking(), Thinking(text="", signature="c2ln")),
        tool_calls=(ToolCall(name="f", arguments={"a": [1]}), ToolCall(name="g")),
        usage=USAGE,
    )
    async with anthropic_client(simulator) as client:
        simulator.script(answer, answer)
        whole = await client.messages.create(
            model="claude-sonnet-5-5", max_tokens=99, messages=[{"role": "user", "content": "hi"}]
        )
        async with client.messages.stream(
            model="claude-sonnet-5-5", max_tokens=99, messages=[{"role": "user", "content": "hi"}]
        ) as stream:
            final = await stream.get_final_message()
        for message in (whole, final):
            thought, redacted, omitted, text, first, second = message.content
            assert isinstance(thought, ThinkingBlock)
            assert thought.thinking == "Hm, well."
            assert isinstance(redacted, RedactedThinkingBlock)
            assert isinstance(omitted, ThinkingBlock)
            assert (omitted.thinking, omitted.signature) == ("", "c2ln")
            assert isinstance(text, TextBlock)
            assert text.text == "Bom dia, mundo"
            assert isinstance(first, ToolUseBlock)
            assert isinstance(second, ToolUseBlock)
            assert (first.input, second.input) == ({"a": [1]}, {})
            assert message.stop_reason == "tool_use"
            usage = message.usage
            assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (
                10,
                60,
                30,
            )
            assert usage.output_tokens == 20
            assert usage.output_tokens_details is not None
            assert usage.output_tokens_details.thinking_tokens == 5


async def test_anthropic_counts_tokens_lists_models_and_refuses(simulator: Simulator) -> None:
    async with anthropic_client(simulator) as client:
        counted = await client.messages.count_tokens(
            model="claude-sonnet-5-5", messages=[{"role": "user", "content": "hello there"}]
        )
        assert counted.input_tokens > 0
        assert next(iter([model.id async for model in client.models.list()])).startswith("claude-")
        assert (await client.models.retrieve("claude-haiku-5-5")).line == "haiku"
        simulator.answer(Answer(refusal="Not that."))
        refused = await client.messages.create(
            model="claude-sonnet-5-5", max_tokens=99, messages=[{"role": "user", "content": "hi"}]
        )
        assert (refused.stop_reason, refused.content) == ("refusal", [])


async def test_errors_reach_the_sdks_as_their_own_kinds(simulator: Simulator) -> None:
    async with openai_client(simulator) as chat, anthropic_client(simulator) as messages:
        simulator.answer(Answer(status=429, retry_after_s=0.25))
        with pytest.raises(openai.RateLimitError) as limited:
            await chat.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
        assert limited.value.code == "rate_limit_exceeded"
        assert limited.value.response.headers["retry-after-ms"] == "250"
        assert limited.value.response.headers["retry-after"] == "1"
        simulator.answer(Fault.HTTP_529)
        with pytest.raises(anthropic.APIStatusError) as overloaded:
            await messages.messages.create(
                model="claude-sonnet-5-5", max_tokens=9, messages=[{"role": "user", "content": "x"}]
            )
        assert (overloaded.value.status_code, overloaded.value.type) == (529, "overloaded_error")
        assert overloaded.value.request_id is not None
        simulator.api_key = "sk-another"
        with pytest.raises(openai.AuthenticationError):
            await chat.models.list()
        with pytest.raises(anthropic.AuthenticationError):
            await messages.models.list()
        simulator.api_key = KEY
        simulator.answer(Fault.ERROR_EVENT)
        with pytest.raises(openai.APIError, match="server had an error"):
            async for _ in await chat.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "x"}], stream=True
            ):
                pass


def test_the_blocking_clients_work_too() -> None:
    with (
        threaded_simulator(default=Answer(text="hello")) as simulator,
        openai.OpenAI(base_url=simulator.openai_base_url, api_key=KEY) as chat,
        anthropic.Anthropic(base_url=simulator.anthropic_base_url, api_key=KEY) as messages,
    ):
        said = chat.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
        assert said.choices[0].message.content == "hello"
        with messages.messages.stream(
            model="claude-sonnet-5-5", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ) as stream:
            assert stream.get_final_text() == "hello"
