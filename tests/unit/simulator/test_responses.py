"""The official SDK takes the simulated Responses API for the real one."""

import json
import time
from typing import Any

import openai
import pytest
from openai.types.responses import (
    FunctionToolParam,
    Response,
    ResponseCompletedEvent,
    ResponseCustomToolCall,
    ResponseFailedEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseStreamEvent,
)

from ali.ops.simulator import Answer, Fault, RedactedThinking, Simulator, Thinking, ToolCall
from ali.providers.contract import Usage
from tests.simulators.fixtures import KEY, threaded_simulator

MODEL = "gpt-5.4"
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object"},
    "strict": False,
}
USAGE = Usage(
    input_tokens=100, cached_input_tokens=60, cache_write_tokens=30, output_tokens=20, reasoning_tokens=5, reported=True
)


def client_of(simulator: Simulator) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=simulator.openai_base_url, api_key=KEY, max_retries=0, _strict_response_validation=True
    )


async def both(simulator: Simulator, answer: Answer | None = None, **asked: Any) -> tuple[Response, Response]:  # noqa: ANN401 - the SDK's own parameters
    """The same answer, plain and streamed, the stream read to its end; `answer` None leaves it to the request."""
    asked = {"model": MODEL, "input": "hi"} | asked
    async with client_of(simulator) as client:
        if answer is not None:
            simulator.script(answer, answer)
        whole = await client.responses.create(**asked)
        seen: list[ResponseStreamEvent] = []
        async for event in await client.responses.create(**asked, stream=True):
            seen.append(event)  # noqa: PERF401 - an asynchronous iterator
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    last = seen[-1]
    assert isinstance(last, ResponseCompletedEvent | ResponseIncompleteEvent | ResponseFailedEvent)
    if last.type != "response.failed":
        check_pairs(seen)
    return whole, last.response


def check_pairs(seen: list[ResponseStreamEvent]) -> None:
    """Every added item and part is done; deltas add up to what is done."""
    kinds: list[str] = [event.type for event in seen]
    texts: dict[tuple[object, ...], str] = {}
    for event in seen:
        fields = event.model_dump()
        place = (
            event.type.rpartition(".")[0],
            *(fields.get(name) for name in ("item_id", "content_index", "summary_index")),
        )
        if event.type.endswith(".delta"):
            texts[place] = texts.get(place, "") + fields["delta"]
        elif event.type.endswith(".done") and place in texts:
            assert texts.pop(place) in fields.values()
    assert not texts
    for added in ("response.output_item", "response.content_part", "response.reasoning_summary_part"):
        assert kinds.count(f"{added}.added") == kinds.count(f"{added}.done")


def alike(whole: Response, final: Response) -> None:
    """The two differ in nothing but identifiers."""

    def told(response: Response) -> dict[str, Any]:
        said = response.model_dump(exclude={"id", "created_at", "completed_at"})
        said["output"] = [
            {name: item[name] for name in item if name not in ("id", "call_id")} for item in said["output"]
        ]
        return said

    assert told(whole) == told(final)


async def test_a_text_comes_plain_and_streamed_with_every_field_of_a_response(simulator: Simulator) -> None:
    whole, final = await both(
        simulator,
        Answer(text="Olá, mundo", usage=USAGE),
        instructions="Be kind.",
        metadata={"a": "b"},
        temperature=0.5,
        service_tier="flex",
        store=True,
        tools=[WEATHER],
        text={"verbosity": "low"},
    )
    alike(whole, final)
    assert whole.output_text == "Olá, mundo"
    assert (whole.status, whole.error, whole.incomplete_details, whole.service_tier) == (
        "completed",
        None,
        None,
        "flex",
    )
    assert (whole.instructions, whole.metadata, whole.temperature) == ("Be kind.", {"a": "b"}, 0.5)
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.output_tokens, whole.usage.total_tokens) == (100, 20, 120)
    assert whole.usage.input_tokens_details.model_dump(exclude_none=True) == {
        "cached_tokens": 60,
        "cache_write_tokens": 30,
    }
    assert whole.usage.output_tokens_details.reasoning_tokens == 5
    assert set(Response.model_fields) <= set(whole.model_dump(exclude_unset=True))
    assert whole.model_extra is not None
    assert whole.model_extra["store"] is True
    assert simulator.last.json["store"] is True


async def test_tools_are_called_in_parallel_and_custom_ones_with_text(simulator: Simulator) -> None:
    calls = (
        ToolCall(name="get_weather", arguments={"city": "Recife", "days": [1, 2, 3]}),
        ToolCall(name="grammar", arguments="SELECT 1", id="call_mine"),
        ToolCall(name="get_weather"),
    )
    tools = [WEATHER, {"type": "custom", "name": "grammar"}]
    whole, final = await both(simulator, Answer(tool_calls=calls), tools=tools)
    alike(whole, final)
    first, second, third = whole.output
    assert isinstance(first, ResponseFunctionToolCall)
    assert json.loads(first.arguments) == {"city": "Recife", "days": [1, 2, 3]}
    assert isinstance(second, ResponseCustomToolCall)
    assert (second.input, second.call_id) == ("SELECT 1", "call_mine")
    assert isinstance(third, ResponseFunctionToolCall)
    assert len({first.call_id, second.call_id, third.call_id}) == 3
    async with client_of(simulator) as client:
        ids = {"function_call_output": first.call_id, "custom_tool_call_output": second.call_id}
        results: list[Any] = [{"type": kind, "call_id": call_id, "output": "42"} for kind, call_id in ids.items()]
        results.append({"type": "function_call_output", "call_id": third.call_id, "output": "42"})
        made = [item.model_dump(exclude_none=True) for item in whole.output]
        asked: Any = [{"role": "user", "content": "hi"}, *made, *results]
        told = await client.responses.create(model=MODEL, input=asked, tools=[WEATHER])
    assert told.output_text.startswith("42 42")


async def test_a_text_before_its_calls_is_an_item_of_its_own(simulator: Simulator) -> None:
    whole, final = await both(simulator, input='[[text:One moment.]] [[tool:get_weather {"where":[["Recife"]]}]]')
    alike(whole, final)
    message, call = whole.output
    assert isinstance(message, ResponseOutputMessage)
    assert whole.output_text == "One moment."
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.name, call.arguments) == ("get_weather", '{"where":[["Recife"]]}')


async def test_a_refusal_is_a_part_of_the_message(simulator: Simulator) -> None:
    whole, final = await both(simulator, input="[[refusal:I cannot help with that.]]")
    alike(whole, final)
    [message] = whole.output
    assert isinstance(message, ResponseOutputMessage)
    [part] = message.content
    assert isinstance(part, ResponseOutputRefusal)
    assert part.refusal == "I cannot help with that."


async def test_reasoning_is_summarised_when_asked_and_encrypted_when_asked(simulator: Simulator) -> None:
    summarised, final = await both(simulator, reasoning={"summary": "auto", "effort": "low"})
    alike(summarised, final)
    thought, _ = summarised.output
    assert isinstance(thought, ResponseReasoningItem)
    assert thought.summary[0].text
    assert thought.encrypted_content is None
    assert summarised.reasoning is not None
    assert summarised.reasoning.effort == "low"
    answer = Answer(text="Done.", thinking=(Thinking(text="Hm, well."), RedactedThinking()))
    kept, final = await both(simulator, answer, include=["reasoning.encrypted_content"], store=False)
    alike(kept, final)
    first, second, _ = kept.output
    assert isinstance(first, ResponseReasoningItem)
    assert isinstance(second, ResponseReasoningItem)
    assert [part.text for part in first.summary] == ["Hm, well."]
    assert second.summary == []
    assert first.encrypted_content
    assert second.encrypted_content
    assert first.encrypted_content != second.encrypted_content
    async with client_of(simulator) as client:
        nameless: Any = [item.model_dump(exclude={"id"}, exclude_none=True) for item in kept.output]
        again = await client.responses.create(model=MODEL, input=[*nameless, {"role": "user", "content": "go on"}])
        assert again.output_text.startswith("go on")


@pytest.mark.parametrize(
    ("asked", "reason", "text"),
    [
        ({"input": "[[tokens:20]] um", "max_output_tokens": 17}, "max_output_tokens", " ".join(["um"] * 17)),
        ({"input": "[[finish:length]] [[tokens:2]] um"}, "max_output_tokens", "um um"),
        ({"input": "[[finish:content_filter]] [[tokens:2]] um"}, "content_filter", "um um"),
    ],
)
async def test_a_response_that_was_cut_off_says_why(
    simulator: Simulator, asked: dict[str, Any], reason: str, text: str
) -> None:
    whole, final = await both(simulator, **asked)
    alike(whole, final)
    assert whole.incomplete_details is not None
    assert (whole.status, whole.incomplete_details.reason, whole.output_text) == ("incomplete", reason, text)
    [message] = whole.output
    assert isinstance(message, ResponseOutputMessage)
    assert message.status == "incomplete"


async def test_log_probabilities_are_told_when_asked(simulator: Simulator) -> None:
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    whole, final = await both(simulator, Answer(text="Olá, mundo"), **asked)
    alike(whole, final)
    [message] = whole.output
    assert isinstance(message, ResponseOutputMessage)
    [part] = message.content
    assert isinstance(part, ResponseOutputText)
    assert [token.token for token in part.logprobs or []] == ["Olá,", " mundo"]
    assert all(len(token.top_logprobs) == 2 for token in part.logprobs or [])


@pytest.mark.parametrize(
    ("finish", "code"),
    [
        ("failed", "server_error"),
        ("rate_limit_exceeded", "rate_limit_exceeded"),
        ("invalid_prompt", "invalid_prompt"),
    ],
)
async def test_a_response_may_fail_when_it_has_begun(simulator: Simulator, finish: str, code: str) -> None:
    whole, final = await both(simulator, Answer(finish_reason=finish))
    for response in (whole, final):
        assert response.status == "failed"
        assert response.error is not None
        assert response.error.code == code
        assert response.output == []


async def test_errors_reach_the_sdk_as_their_own_kinds(simulator: Simulator) -> None:
    async with client_of(simulator) as client:
        for status, kind in (
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (404, openai.NotFoundError),
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
        ):
            simulator.answer(Answer(status=status))
            with pytest.raises(kind) as raised:
                await client.responses.create(model=MODEL, input="hi")
            assert isinstance(raised.value, openai.APIStatusError)
            assert raised.value.status_code == status
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.responses.create(model="gpt-does-not-exist", input="hi")
        assert unknown.value.code == "model_not_found"
        simulator.answer(Fault.ERROR_EVENT)
        events = [event async for event in await client.responses.create(model=MODEL, input="hi", stream=True)]
        assert events[-1].type == "error"
        assert events[-1].code == "server_error"
        assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_tokens_are_counted_and_a_conversation_is_compacted(simulator: Simulator) -> None:
    history: Any = [
        {"role": "user", "content": "My name is Ana."},
        {"role": "assistant", "content": "Good morning, Ana."},
        {"role": "user", "content": [{"type": "input_text", "text": "Good morning."}]},
    ]
    async with client_of(simulator) as client:
        one = await client.responses.input_tokens.count(model=MODEL, input="hello there")
        more = await client.responses.input_tokens.count(model=MODEL, input=history, instructions="Be kind.")
        assert 0 < one.input_tokens < more.input_tokens
        # Raw: the SDK's type has no place for the user's messages, which OpenAI's reference promises.
        compacted = json.loads((await client.responses.with_raw_response.compact(model=MODEL, input=history)).text)
        *kept, compaction = compacted["output"]
        assert [item["content"][0]["text"] for item in kept] == ["My name is Ana.", "Good morning."]
        assert (compacted["object"], compaction["type"]) == ("response.compaction", "compaction")
        assert compacted["usage"]["total_tokens"] > 0
        taken: Any = [compaction, {"role": "user", "content": "Who am I?"}]
        assert (await client.responses.create(model=MODEL, input=taken)).output_text.startswith("Who am I?")


def test_the_blocking_client_works_too_at_the_pace_that_was_asked_for() -> None:
    with (
        threaded_simulator(default=Answer(tokens=11, tokens_per_second=50)) as simulator,
        openai.OpenAI(base_url=simulator.openai_base_url, api_key=KEY, _strict_response_validation=True) as client,
    ):
        assert client.responses.create(model=MODEL, input="hi").output_text.startswith("hi hi")
        started = time.monotonic()
        with client.responses.stream(model=MODEL, input="hi") as stream:
            assert stream.get_final_response().output_text == " ".join(["hi"] * 11)
        assert 0.18 < time.monotonic() - started < 1.5
