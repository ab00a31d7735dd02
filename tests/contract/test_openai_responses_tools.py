"""Tools, reasoning, pictures and documents in responses, as OpenAI's SDK sends them and gets them back."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import openai
import orjson
import pytest
import pytest_asyncio
from openai.types.responses import (
    FunctionToolParam,
    Response,
    ResponseCustomToolCall,
    ResponseFunctionToolCall,
    ResponseReasoningItem,
)

from ali.ops.simulator import Answer, RedactedThinking, Simulator, Thinking, ToolCall
from ali.ops.simulator.responses_wire import ENCRYPTED
from tests.contract.judges import CLAUDE, EXTRACTIVE, GPT, PIXEL, openai_client
from tests.fixtures.database import Tenant
from tests.fixtures.service import Service
from tests.fixtures.standing_service import Standing, standing_service
from tests.responses.conftest import behind
from tests.unit.extractive.pdf_bytes import MANUAL

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOCAL = "local/gpt-4.1"
REASONING = "gpt-5.4-mini"
EVERY_UPSTREAM = pytest.mark.parametrize("model", [GPT, LOCAL, CLAUDE])
THINKERS = pytest.mark.parametrize("model", [REASONING, CLAUDE])
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
CALLS = (
    ToolCall(name="get_weather", id="call_recife", arguments={"city": "Recife"}),
    ToolCall(name="get_weather", id="call_olinda", arguments={"city": "Olinda"}),
)
SHELL: Any = {"type": "custom", "name": "shell", "description": "Runs a command"}
PNG = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
PDF = f"data:application/pdf;base64,{base64.b64encode(MANUAL).decode()}"
ENCRYPTED_REASONING: Any = ["reasoning.encrypted_content"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    home = tmp_path_factory.mktemp("tools")
    async with Simulator() as simulator, standing_service(worker_dsn, home, simulator, **behind(simulator)) as standing:
        yield standing


@pytest.fixture
def simulator(standing: Standing) -> Simulator:
    return standing.emptied()


@pytest.fixture
def service(standing: Standing, tenant: Tenant) -> Service:
    return standing.of(tenant)


def calls_of(response: Response) -> list[ResponseFunctionToolCall]:
    return [item for item in response.output if item.type == "function_call"]


def thoughts_of(response: Response) -> list[ResponseReasoningItem]:
    return [item for item in response.output if item.type == "reasoning"]


# Calls


@EVERY_UPSTREAM
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "carried by the caller"])
async def test_parallel_calls_are_answered_and_the_model_goes_on(
    service: Service, simulator: Simulator, model: str, *, kept: bool
) -> None:
    simulator.script(Answer(text="Let me look.", tool_calls=CALLS), Answer(text="Rain in both."))
    question: Any = {"role": "user", "content": "The weather in Recife and Olinda?"}
    async with openai_client(service) as client:
        asked = await client.responses.create(model=model, input=[question], tools=[WEATHER], store=kept)
        calls = calls_of(asked)
        assert [(call.call_id, call.name, orjson.loads(call.arguments)) for call in calls] == [
            (call.id, call.name, call.arguments) for call in CALLS
        ]
        outputs: Any = [
            {"type": "function_call_output", "call_id": call.call_id, "output": f"Rain {number}"}
            for number, call in enumerate(calls)
        ]
        if kept:
            answered = await client.responses.create(
                model=model, input=outputs, tools=[WEATHER], previous_response_id=asked.id
            )
        else:
            said: Any = [question, *(item.to_dict() for item in asked.output), *outputs]
            answered = await client.responses.create(model=model, input=said, tools=[WEATHER], store=False)
    assert answered.output_text == "Rain in both."
    sent = simulator.last.body.decode()
    for word in ("call_recife", "call_olinda", "Rain 0", "Rain 1", "Let me look."):
        assert word in sent


@EVERY_UPSTREAM
async def test_calls_left_unanswered_are_named_before_anything_is_asked(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(tool_calls=CALLS))
    async with openai_client(service) as client:
        asked = await client.responses.create(model=model, input="The weather?", tools=[WEATHER])
        outputs: Any = [{"type": "function_call_output", "call_id": "call_recife", "output": "Rain"}]
        with pytest.raises(openai.BadRequestError, match="call_olinda") as refused:
            await client.responses.create(model=model, input=outputs, previous_response_id=asked.id)
    assert (refused.value.param, refused.value.code) == ("input", "unpaired_tool_call")
    assert len(simulator.requests) == 1


@EVERY_UPSTREAM
async def test_a_tool_may_answer_with_a_picture_and_text(service: Service, simulator: Simulator, model: str) -> None:
    simulator.script(Answer(tool_calls=CALLS[:1]), Answer(text="It looks wet."))
    async with openai_client(service) as client:
        asked = await client.responses.create(model=model, input="The weather?", tools=[WEATHER])
        output: Any = [{"type": "input_text", "text": "A picture:"}, {"type": "input_image", "image_url": PNG}]
        answered = await client.responses.create(
            model=model,
            input=[{"type": "function_call_output", "call_id": "call_recife", "output": output}],
            previous_response_id=asked.id,
            tools=[WEATHER],
        )
    assert answered.output_text == "It looks wet."
    assert PNG.partition(",")[2] in simulator.last.body.decode()


@EVERY_UPSTREAM
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_custom_tool_is_called_with_plain_text(
    service: Service, simulator: Simulator, model: str, *, streamed: bool
) -> None:
    written = '{"input":"ls -l"}' if model == CLAUDE else "ls -l"
    call = ToolCall(name="shell", id="call_shell", arguments=written)
    simulator.script(Answer(tool_calls=(call,)), Answer(text="Two files."))
    async with openai_client(service) as client:
        if streamed:
            stream = await client.responses.create(model=model, input="List!", tools=[SHELL], stream=True)
            events = [event async for event in stream]
            last = events[-1]
            assert last.type == "response.completed"
            asked = last.response
            deltas = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
        else:
            asked = await client.responses.create(model=model, input="List!", tools=[SHELL])
            deltas = ["ls -l"]
        [made] = asked.output
        if model == LOCAL:  # the simulated chat completions know functions alone
            assert isinstance(made, ResponseFunctionToolCall | ResponseCustomToolCall)
            return
        assert isinstance(made, ResponseCustomToolCall)
        assert (made.name, made.input, "".join(deltas)) == ("shell", "ls -l", "ls -l")
        answered = await client.responses.create(
            model=model,
            input=[{"type": "custom_tool_call_output", "call_id": made.call_id, "output": "a b"}],
            previous_response_id=asked.id,
            tools=[SHELL],
        )
    assert answered.output_text == "Two files."
    assert '"a b"' in simulator.last.body.decode()


@EVERY_UPSTREAM
async def test_a_choice_of_a_tool_reaches_the_model_and_comes_back(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(tool_calls=CALLS[:1]))
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=model,
            input="The weather?",
            tools=[WEATHER],
            tool_choice={"type": "function", "name": "get_weather"},
            parallel_tool_calls=False,
        )
    assert made.to_dict()["tool_choice"] == {"type": "function", "name": "get_weather"}
    assert made.parallel_tool_calls is False
    assert len(calls_of(made)) == 1
    sent: Any = simulator.last.json
    assert (
        sent["tool_choice"]
        == {
            GPT: {"type": "function", "name": "get_weather"},
            LOCAL: {"type": "function", "function": {"name": "get_weather"}},
            CLAUDE: {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        }[model]
    )


@pytest.mark.parametrize("model", [LOCAL, CLAUDE, EXTRACTIVE])
async def test_a_hosted_tool_is_refused_where_nobody_hosts_it(
    service: Service, simulator: Simulator, model: str
) -> None:
    async with openai_client(service) as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model=model, input="News?", tools=[{"type": "web_search"}])
    assert refused.value.code == "tool_not_supported"
    assert not simulator.requests


async def test_a_hosted_tool_goes_to_openai_as_it_is(service: Service, simulator: Simulator) -> None:
    tool: Any = {"type": "web_search", "search_context_size": "low"}
    async with openai_client(service) as client:
        made = await client.responses.create(model=GPT, input="News?", tools=[tool])
    assert made.status == "completed"
    assert simulator.last.json["tools"] == [tool]


# Reasoning


@THINKERS
@pytest.mark.parametrize("asks", [True, False], ids=["asked for", "not asked for"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_sealed_reasoning_shows_where_it_is_asked_for(
    service: Service, simulator: Simulator, model: str, *, asks: bool, streamed: bool
) -> None:
    simulator.answer(Answer(thinking=(Thinking(text="I read 24 months."),), text="24 months."))
    async with openai_client(service) as client:
        options: Any = {
            "model": model,
            "input": "How long?",
            "reasoning": {"effort": "low", "summary": "auto"},
            "include": ENCRYPTED_REASONING if asks else [],
        }
        if streamed:
            stream = await client.responses.create(**options, stream=True)
            last: Any = [event async for event in stream][-1]
            made: Response = last.response
        else:
            made = await client.responses.create(**options)
        fetched = await client.responses.retrieve(made.id)
    [thought] = thoughts_of(made)
    assert [part.text for part in thought.summary] == ["I read 24 months."]
    assert thought.status in (None, "completed")
    if asks:
        assert thought.encrypted_content
    [stored] = thoughts_of(fetched)
    assert stored.summary == thought.summary
    if model == CLAUDE:
        assert simulator.last.json["thinking"] == {"type": "adaptive", "display": "summarized"}


@THINKERS
@pytest.mark.parametrize("block", [Thinking(text="Recife is wet."), RedactedThinking()], ids=["shown", "redacted"])
async def test_reasoning_that_the_caller_carries_reaches_its_model_byte_for_byte(
    service: Service, simulator: Simulator, model: str, block: Thinking | RedactedThinking
) -> None:
    simulator.script(Answer(thinking=(block,), tool_calls=CALLS[:1]), Answer(text="Rain."))
    question: Any = {"role": "user", "content": "The weather in Recife?"}
    async with openai_client(service) as client:
        asked = await client.responses.create(
            model=model,
            input=[question],
            tools=[WEATHER],
            reasoning={"effort": "low"},
            include=ENCRYPTED_REASONING,
            store=False,
        )
        [thought] = thoughts_of(asked)
        assert thought.encrypted_content
        assert ENCRYPTED not in thought.encrypted_content, "what the provider gave is sealed"
        output: Any = {"type": "function_call_output", "call_id": "call_recife", "output": "Rain"}
        said: Any = [question, *(item.to_dict() for item in asked.output), output]
        answered = await client.responses.create(
            model=model,
            input=said,
            tools=[WEATHER],
            reasoning={"effort": "low"},
            include=ENCRYPTED_REASONING,
            store=False,
        )
        assert answered.output_text == "Rain."
        sent: Any = simulator.last.json
        if model == CLAUDE:
            blocks = [
                each for message in sent["messages"] if message["role"] == "assistant" for each in message["content"]
            ]
            assert blocks[0] == (
                {"type": "thinking", "thinking": block.text, "signature": block.signature}
                if isinstance(block, Thinking)
                else {"type": "redacted_thinking", "data": block.data}
            )
        else:
            [carried] = [item for item in sent["input"] if item["type"] == "reasoning"]
            assert carried["encrypted_content"].startswith(ENCRYPTED)
        tampered = [dict(item) for item in said]
        [place] = [at for at, item in enumerate(said) if item.get("type") == "reasoning"]
        tampered[place]["encrypted_content"] = thought.encrypted_content[:-8] + "AAAAAAA="
        simulator.script(Answer(text="Still rain."), Answer(text="Rain elsewhere."))
        changed = await client.responses.create(model=model, input=tampered, tools=[WEATHER], store=False)  # type: ignore[arg-type]  # as callers send items back
        assert changed.output_text == "Still rain."
        other = await client.responses.create(
            model=REASONING if model == CLAUDE else CLAUDE, input=said, tools=[WEATHER], store=False
        )
        assert other.output_text == "Rain elsewhere."
    for request in list(simulator.requests)[-2:]:
        assert ENCRYPTED.encode() not in request.body
        assert b'"signature"' not in request.body, "what cannot be read, or is another model's, is left out"


@THINKERS
async def test_reasoning_that_is_kept_reaches_its_model_again(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.script(Answer(thinking=(Thinking(text="Recife is wet."),), tool_calls=CALLS[:1]), Answer(text="Rain."))
    async with openai_client(service) as client:
        asked = await client.responses.create(
            model=model, input="The weather in Recife?", tools=[WEATHER], reasoning={"effort": "low"}
        )
        await client.responses.create(
            model=model,
            input=[{"type": "function_call_output", "call_id": "call_recife", "output": "Rain"}],
            tools=[WEATHER],
            reasoning={"effort": "low"},
            previous_response_id=asked.id,
        )
    sent = simulator.last.body.decode()
    assert ("c2ltdWxhdGVkLXNpZ25hdHVyZQ==" if model == CLAUDE else ENCRYPTED) in sent


# Pictures and documents


@EVERY_UPSTREAM
async def test_pictures_and_documents_reach_the_model(service: Service, simulator: Simulator, model: str) -> None:
    said: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": PNG, "detail": "low"},
        {"type": "input_file", "filename": "manual.pdf", "file_data": PDF},
    ]
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=[{"role": "user", "content": said}])
        listed = await client.responses.input_items.list(made.id)
        again = await client.responses.create(model=model, input="And now?", previous_response_id=made.id)
    assert made.status == again.status == "completed"
    for request in simulator.requests:
        sent = request.body.decode()
        assert PNG.partition(",")[2] in sent
        assert PDF.partition(",")[2] in sent
    message: Any = listed.data[0]
    assert [part.type for part in message.content] == ["input_text", "input_image", "input_file"]


async def test_a_document_is_quoted_from_without_any_provider(service: Service, simulator: Simulator) -> None:
    said: Any = [
        {"type": "input_file", "filename": "manual.pdf", "file_data": PDF},
        {"type": "input_text", "text": "Por quanto tempo vale a garantia?"},
    ]
    async with openai_client(service) as client:
        made = await client.responses.create(model=EXTRACTIVE, input=[{"role": "user", "content": said}])
    assert "24 meses" in made.output_text
    assert not simulator.requests


@EVERY_UPSTREAM
@pytest.mark.parametrize("url", ["https://example.org/a.png", PNG])
async def test_a_picture_may_be_an_address(service: Service, simulator: Simulator, model: str, url: str) -> None:
    said: Any = [{"type": "input_image", "image_url": url}]
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=[{"role": "user", "content": said}])
    assert made.status == "completed"
    assert url.partition("base64,")[2] or url in simulator.last.body.decode()
