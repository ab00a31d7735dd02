"""Details of both wires that the SDKs do not show, and what is refused."""

import json
from typing import Any

import pytest

from ali.ops.simulator import Answer, Pace, Simulator
from ali.providers.contract import Dialect, Usage
from ali.providers.sse import EventSplitter, event_data
from tests.simulators.fixtures import KEY
from tests.unit.simulator.raw_http import request, talk, unchunked


def events(content: bytes) -> list[dict[str, Any]]:  # its shape is what the tests assert
    datas = [event_data(event) for event in EventSplitter(limit_bytes=1 << 20).feed(content)]
    return [json.loads(data) for data in datas if data and data != b"[DONE]"]


async def test_usage_is_null_in_every_chunk_and_told_in_one_more_only_when_asked_for(simulator: Simulator) -> None:
    told = await talk(simulator, request(Dialect.OPENAI, stream=True, stream_options={"include_usage": True}))
    untold = await talk(simulator, request(Dialect.OPENAI, stream=True, stream_options={"include_usage": False}))
    silent = await talk(simulator, request(Dialect.OPENAI, stream=True))
    *chunks, last = events(told.content)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 16
    for wire in (untold, silent):
        assert wire.content.endswith(b"data: [DONE]\n\n")
        assert all("usage" not in chunk for chunk in events(wire.content))
        assert events(wire.content)[-1]["choices"]


async def test_an_openai_answer_carries_the_fields_and_headers_of_the_real_one(simulator: Simulator) -> None:
    wire = await talk(simulator, request(Dialect.OPENAI))
    body = json.loads(wire.content)
    message = body["choices"][0]["message"]
    assert (body["service_tier"], body["system_fingerprint"][:3]) == ("default", "fp_")
    assert (message["refusal"], message["annotations"], body["choices"][0]["logprobs"]) == (None, [], None)
    assert set(body["usage"]["completion_tokens_details"]) >= {"reasoning_tokens", "audio_tokens"}
    for name in (b"x-request-id: req_", b"openai-processing-ms: ", b"openai-version: ", b"x-ratelimit-reset-tokens: "):
        assert name in wire.head


async def test_an_anthropic_stream_has_named_events_a_ping_and_cumulative_usage(simulator: Simulator) -> None:
    usage = Usage(input_tokens=100, cached_input_tokens=60, cache_write_tokens=30, output_tokens=7, reported=True)
    simulator.answer(Answer(text="Bom dia", usage=usage))
    wire = await talk(simulator, request(Dialect.ANTHROPIC, stream=True))
    names = [line[7:].decode() for line in wire.content.split(b"\n") if line.startswith(b"event: ")]
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    delta = events(wire.content)[-2]["usage"]
    assert delta == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 60,
        "output_tokens": 7,
    }
    for name in (b"request-id: req_", b"anthropic-organization-id: ", b"anthropic-ratelimit-tokens-remaining: "):
        assert name in wire.head


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        (request(Dialect.OPENAI, key="sk-wrong"), 401, b'"code":"invalid_api_key"'),
        (request(Dialect.OPENAI, key=None), 401, b"API key"),
        (request(Dialect.OPENAI, model="gpt-does-not-exist"), 404, b'"code":"model_not_found"'),
        (request(Dialect.OPENAI, model="claude-sonnet-5-5"), 404, b'"code":"model_not_found"'),
        (request(Dialect.OPENAI, model=None), 400, b"model parameter"),
        (request(Dialect.OPENAI, messages=None), 400, b'"param":"messages"'),
        (request(Dialect.OPENAI, stream_options={"include_usage": True}), 400, b"stream_options"),
        (request(Dialect.OPENAI, messages=[{"role": "tool", "tool_call_id": "x", "content": ""}]), 400, b"tool"),
        (request(Dialect.OPENAI, text="[[fault:nonsense]]"), 400, b"stall_mid_stream"),
        (request(Dialect.OPENAI, path="/v1/nothing"), 404, b"Invalid URL"),
        (request(Dialect.OPENAI, path="/v1/embeddings"), 400, b"'input'"),
        (request(Dialect.ANTHROPIC, key="sk-wrong"), 401, b"authentication_error"),
        (request(Dialect.ANTHROPIC, version=None), 400, b"anthropic-version"),
        (request(Dialect.ANTHROPIC, version="2020-01-01"), 400, b"anthropic-version"),
        (request(Dialect.ANTHROPIC, model="claude-does-not-exist"), 404, b"not_found_error"),
        (request(Dialect.ANTHROPIC, max_tokens=None), 400, b"max_tokens: Field required"),
        (request(Dialect.ANTHROPIC, version="2026-10-21", temperature=1.0), 400, b"temperature: Extra inputs"),
        (request(Dialect.ANTHROPIC, version="2026-10-21", top_k=5), 400, b"top_k: Extra inputs"),
    ],
)
async def test_what_the_real_provider_refuses_is_refused(
    simulator: Simulator, data: bytes, status: int, says: bytes
) -> None:
    wire = await talk(simulator, data)
    assert (wire.status, says in wire.content) == (status, True), wire.data
    error = json.loads(wire.content)["error"]
    assert error["message"]
    if b"anthropic" in wire.head:
        assert json.loads(wire.content)["type"] == "error"
        assert f"request-id: {json.loads(wire.content)['request_id']}".encode() in wire.head
    else:
        assert set(error) == {"message", "type", "param", "code"}


async def test_the_older_version_takes_a_temperature_and_bearer_is_taken_too(simulator: Simulator) -> None:
    assert (await talk(simulator, request(Dialect.ANTHROPIC, temperature=1.0))).status == 200
    bearer = request(Dialect.ANTHROPIC).replace(b"x-api-key: ", b"authorization: Bearer ")
    assert (await talk(simulator, bearer)).status == 200


async def test_a_tool_call_without_its_result_is_refused(simulator: Simulator) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "42"}
    question = {"role": "user", "content": "hi"}
    asked = [question, {"role": "assistant", "content": [use]}]
    sound = await talk(simulator, request(Dialect.ANTHROPIC, messages=[*asked, {"role": "user", "content": [result]}]))
    missing = await talk(simulator, request(Dialect.ANTHROPIC, messages=[*asked, question]))
    assert (sound.status, missing.status) == (200, 400)
    assert json.loads(sound.content)["content"][0]["text"].startswith("42 42")


async def test_a_recording_is_replayed_byte_for_byte(simulator: Simulator) -> None:
    pieces = (b"data: {}\n", b"\ndata: [DO", b"NE]\n\n")
    kind = ("content-type", "text/event-stream")
    simulator.script(
        Answer(body=b'{ "as": "recorded" }', status=418, headers=(("x-recorded", "yes"), ("Content-Length", "9"))),
        Answer(body=pieces, headers=(kind,)),
        Answer(body=b"".join(pieces), headers=(kind,)),
    )
    plain, cut, whole = [await talk(simulator, request(Dialect.OPENAI, messages=None)) for _ in range(3)]
    assert (plain.status, plain.content) == (418, b'{ "as": "recorded" }')
    assert b"x-recorded: yes" in plain.head
    assert b"content-length: 20" in plain.head
    assert cut.rest.count(b"\r\n") == 2 * 4
    assert unchunked(cut.rest) == unchunked(whole.rest) == b"".join(pieces)


async def test_the_echo_obeys_directives_pace_and_the_request_s_maximum() -> None:
    async with Simulator(pace=Pace(tokens=5), models=("llama-3",)) as simulator:
        echoed = await talk(simulator, request(Dialect.OPENAI, text="um dois", model="llama-3"))
        longer = await talk(simulator, request(Dialect.OPENAI, text="[[tokens:7]] um dois"))
        cut = await talk(simulator, request(Dialect.OPENAI, text="um dois", max_completion_tokens=3))
    choices = [json.loads(wire.content)["choices"][0] for wire in (echoed, longer, cut)]
    assert [choice["message"]["content"] for choice in choices] == [
        "um dois um dois um",
        "um dois um dois um dois um",
        "um dois um",
    ]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "stop", "length"]


async def test_queued_answers_go_to_the_dialect_and_model_that_they_are_for(simulator: Simulator) -> None:
    simulator.answer("for Claude", dialect=Dialect.ANTHROPIC)
    simulator.answer("for the mini", model="gpt-4o-mini")
    simulator.answer("for anyone")
    first = await talk(simulator, request(Dialect.OPENAI))
    second = await talk(simulator, request(Dialect.OPENAI))
    third = await talk(simulator, request(Dialect.ANTHROPIC))
    assert b"for the mini" in first.content
    assert b"for anyone" in second.content
    assert b"for Claude" in third.content


async def test_the_default_may_be_a_function_of_the_request(simulator: Simulator) -> None:
    simulator.default = lambda request: Answer(text=f"{request.method} {request.json['model']}")
    assert b"POST gpt-4o-mini" in (await talk(simulator, request(Dialect.OPENAI))).content


async def test_nothing_read_from_a_request_is_remembered_without_bound() -> None:
    async with Simulator(api_key=KEY, remembered=3, remembered_bytes=4000) as simulator:
        for number in range(5):
            await talk(simulator, request(Dialect.OPENAI, text=f"{number}"))
        assert [json.loads(one.body)["messages"][0]["content"] for one in simulator.requests] == ["2", "3", "4"]
        await talk(simulator, request(Dialect.OPENAI, text="x" * 3900))
        assert len(simulator.requests) == 1
        simulator.reset()
        assert not simulator.requests
