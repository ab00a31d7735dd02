"""Recorded chat traffic, where it lies beside the repository: as a turn it says what the official SDK reads in it."""

from collections import Counter
from typing import Any

import orjson
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from ali.kernel.errors import InvalidRequest
from ali.providers.turns import OutputWriter
from ali.providers.turns.chat_request import turn_to_chat
from ali.providers.turns.chat_turn import ChatTurn
from tests.unit.translate.test_recordings import RECORDINGS, datas_of, recorded
from tests.unit.turns.output_reading import output_events, output_of, turned

pytestmark = pytest.mark.skipif(
    not RECORDINGS.exists(), reason="the recorded provider traffic is not beside the repository"
)


def read_by_the_sdk(datas: list[bytes]) -> Any:  # noqa: ANN401 - the SDK's snapshot, of what old recordings hold
    state: Any = ChatCompletionStreamState()
    for data in datas:
        state.handle_chunk(ChatCompletionChunk.construct(**orjson.loads(data)))
    return state.current_completion_snapshot


def test_every_recorded_chat_stream_says_as_a_turn_what_the_sdk_reads() -> None:
    seen: Counter[str] = Counter()
    for interaction in recorded("/v1/chat/completions", streamed=True):
        events, datas = datas_of(interaction["body"])
        if not datas:
            seen["empty recording"] += 1
            continue
        relay = ChatTurn(OutputWriter(), provider="openai")
        if b"[DONE]" not in interaction["body"]:
            for event in events:
                relay.feed(event)
            assert not relay.finished
            seen["cut recording"] += 1
            continue
        items = output_of(output_events(turned(relay, events)))
        completion = read_by_the_sdk(datas)
        said = completion.choices[0]
        parts = [part for item in items if item["type"] == "message" for part in item["content"]]
        assert "".join(part.get("text", "") for part in parts) == (said.message.content or "")
        assert "".join(part.get("refusal", "") for part in parts) == (said.message.refusal or "")
        calls = [item for item in items if item["type"] == "function_call"]
        for item, one in zip(calls, said.message.tool_calls or [], strict=True):
            assert item["arguments"] == (one.function.arguments or "{}")
            if (item["call_id"], item["name"]) != (one.id, one.function.name):
                # A server that names its call in each delta: the SDK strings the names together.
                times = len(one.id) // len(item["call_id"])
                assert (item["call_id"] * times, item["name"] * times) == (one.id, one.function.name)
                seen["named again and again"] += 1
        assert relay.stop_reason == said.finish_reason
        assert relay.usage.reported is (completion.usage is not None)
        if completion.usage is not None:
            counts = (relay.usage.input_tokens, relay.usage.output_tokens)
            assert counts == (completion.usage.prompt_tokens, completion.usage.completion_tokens)
            seen["with usage"] += 1
        for item in items:
            seen[item["type"]] += 1
        seen["the same"] += 1
    print(f"chat streams: {dict(seen)}")  # noqa: T201 - the counts of the report
    assert seen["the same"]


def test_every_recorded_responses_request_can_be_said_as_chat_or_is_refused_with_a_reason() -> None:
    seen: Counter[str] = Counter()
    for interaction in recorded("/v1/responses"):
        request = interaction["request"]
        if not isinstance(request, dict):
            continue
        given = request.get("input")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        try:
            translated = turn_to_chat({**request, "input": items}, model="m")
        except InvalidRequest as refusal:
            seen[f"refused: {refusal.param}"] += 1
            continue
        seen[f"said, dropped {translated.dropped}"] += 1
    print(dict(seen))  # noqa: T201 - as above
    assert seen["said, dropped ()"]
