"""Responses before the strict judges of streams and of whole responses, whoever serves the model."""

from typing import Any, Final

import orjson
import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from openai.types.responses import Response

from ali.ops.simulator import Answer, Fault, Simulator, Thinking, ToolCall
from ali.providers.contract import Usage
from tests.contract.judges import CLAUDE, DEFAULT, EXTRACTIVE, GPT, openai_client, post
from tests.contract.obliging_model import oblige
from tests.contract.response_events import judge_response, judged
from tests.fixtures.service import Serve, Service, providers
from tests.unit.mcp.servers import served

EVERY_MODEL: Final = pytest.mark.parametrize("model", [GPT, CLAUDE, EXTRACTIVE, DEFAULT])
BOTH_PROVIDERS: Final = pytest.mark.parametrize("model", [GPT, CLAUDE])
QUESTION: Final = "The guarantee lasts for 24 months. How long does the guarantee last?"
WEATHER: Final = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
CALLS: Final = (
    ToolCall(name="get_weather", id="call_recife", arguments={"city": "Recife", "days": [1, 2, 3, 4]}),
    ToolCall(name="get_weather", id="call_olinda", arguments={"city": "Olinda"}),
)
USAGE: Final = Usage(
    input_tokens=100,
    cached_input_tokens=60,
    cache_write_tokens=30,
    output_tokens=20,
    reasoning_tokens=5,
    reported=True,
)


async def stream(service: Service, model: str, **request: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a request's members
    """The judged events of a streamed response."""
    body = {"model": model, "input": QUESTION, "stream": True, **request}
    status, headers, events = await post(service, "/v1/responses", body)
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8"), events
    return judged(events)


async def whole(service: Service, model: str, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """A judged response that was not streamed."""
    status, _, body = await post(service, "/v1/responses", {"model": model, "input": QUESTION, **request})
    assert status == 200, body
    response: dict[str, Any] = orjson.loads(body)
    judge_response(response)
    return response


def _alike(response: dict[str, Any]) -> dict[str, Any]:
    """What two answers to the same request have in common: all but names and times."""
    output = [{name: value for name, value in item.items() if name != "id"} for item in response["output"]]
    return {**response, "output": output} | dict.fromkeys(("id", "created_at", "completed_at"))


@EVERY_MODEL
async def test_a_stream_ends_in_the_response_that_is_answered_without_one(service: Service, model: str) -> None:
    events = await stream(service, model)
    answered = await whole(service, model)
    assert events[-1]["type"] == "response.completed"
    assert _alike(events[-1]["response"]) == _alike(answered)
    assert answered["output"][-1]["content"][0]["text"]


@EVERY_MODEL
async def test_what_a_stream_ended_in_is_what_is_stored(service: Service, model: str) -> None:
    events = await stream(service, model)
    async with openai_client(service) as client:
        stored: Response = await client.responses.retrieve(events[-1]["response"]["id"])
        raw = await client.responses.with_raw_response.retrieve(stored.id)
    assert orjson.loads(raw.content) == events[-1]["response"]


@BOTH_PROVIDERS
@pytest.mark.parametrize("interleaved", [False, True])
async def test_parallel_calls_are_items_of_their_own(
    service: Service, simulator: Simulator, model: str, *, interleaved: bool
) -> None:
    simulator.answer(Answer(tool_calls=CALLS, interleaved=interleaved))
    [*_, last] = await stream(service, model, tools=[WEATHER])
    said = [(item["type"], item["call_id"], item["name"], item["arguments"]) for item in last["response"]["output"]]
    assert said == [("function_call", call.id, call.name, call.arguments_json) for call in CALLS]


@BOTH_PROVIDERS
async def test_text_and_a_call_follow_one_another(service: Service, simulator: Simulator, model: str) -> None:
    simulator.answer(Answer(text="Let me look.", tool_calls=CALLS[:1]))
    [*_, last] = await stream(service, model, tools=[WEATHER])
    assert [item["type"] for item in last["response"]["output"]] == ["message", "function_call"]


async def test_thinking_is_an_item_before_the_answer(service: Service, simulator: Simulator) -> None:
    simulator.answer(Answer(thinking=(Thinking(text="24 months, I read."),), text="24 months."))
    [*_, last] = await stream(
        service, CLAUDE, reasoning={"effort": "low", "summary": "auto"}, include=["reasoning.encrypted_content"]
    )
    reasoning, message = last["response"]["output"]
    assert (reasoning["type"], message["type"]) == ("reasoning", "message")
    assert "".join(part["text"] for part in reasoning["summary"]) == "24 months, I read."
    assert reasoning["encrypted_content"]


@BOTH_PROVIDERS
async def test_a_refusal_is_a_part_of_its_own(service: Service, simulator: Simulator, model: str) -> None:
    simulator.answer(Answer(refusal="I cannot help with that."))
    [*_, last] = await stream(service, model)
    parts = [part for item in last["response"]["output"] for part in item["content"]]
    assert "refusal" in {part["type"] for part in parts} or last["type"] == "response.incomplete"


@BOTH_PROVIDERS
async def test_an_answer_that_was_cut_off_says_so(service: Service, simulator: Simulator, model: str) -> None:
    simulator.answer(Answer(tokens=200))
    [*_, last] = await stream(service, model, max_output_tokens=16)
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"]["reason"] == "max_output_tokens"
    assert last["response"]["output"][-1]["status"] == "incomplete"


@BOTH_PROVIDERS
async def test_every_count_of_tokens_arrives(service: Service, simulator: Simulator, model: str) -> None:
    simulator.answer(Answer(text="Hello", usage=USAGE))
    [*_, last] = await stream(service, model)
    usage = last["response"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (100, 20)
    assert usage["input_tokens_details"]["cached_tokens"] == 60


@BOTH_PROVIDERS
async def test_a_response_in_the_background_waits_and_then_streams(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(text="24 months."))
    events = await stream(service, model, background=True)
    assert [event["type"] for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "24 months."


@BOTH_PROVIDERS
async def test_a_provider_that_breaks_off_is_told_of_in_the_stream(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(tokens=40, fault=Fault.RESET_MID_CHUNK))
    [*_, last] = await stream(service, model)
    assert last["type"] in ("response.failed", "error")


@BOTH_PROVIDERS
@pytest.mark.parametrize("fails", [False, True])
async def test_calls_of_a_remote_servers_tools_are_seen_as_they_go(
    serve: Serve, simulator: Simulator, model: str, *, fails: bool
) -> None:
    remote: MCPServer[Any] = MCPServer("weather")

    @remote.tool()
    def forecast(city: str) -> str:
        """The weather of tomorrow."""
        if fails:
            raise ToolError("no forecast")
        return f"Rain in {city}"

    simulator.default = oblige
    async with (
        served(remote) as (address, _),
        serve(**providers(simulator), mcp_servers=(address.url,), outbound_allowed_hosts=(address.host,)) as service,
    ):
        tool = {"type": "mcp", "server_label": "w", "server_url": address.url, "require_approval": "never"}
        events = await stream(service, model, tools=[tool], input="Tomorrow in 'Olinda'?")
    listed, called, message = events[-1]["response"]["output"]
    assert (listed["type"], called["type"], message["type"]) == ("mcp_list_tools", "mcp_call", "message")
    assert called["status"] == ("failed" if fails else "completed")
    assert called["output"] == (None if fails else "Rain in Olinda")
