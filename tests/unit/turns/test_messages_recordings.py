"""Recorded Messages streams, where they lie beside the repository: as a turn they say what the official SDK reads."""

from collections import Counter

import httpx2
import orjson
import pytest
from anthropic import Anthropic
from anthropic.types import Message

from ali.kernel.errors import InvalidRequest
from ali.providers.turns.messages_request import turn_to_messages
from tests.unit.translate.test_recordings import RECORDINGS, datas_of, recorded
from tests.unit.turns.messages_sealing import turn, unseal
from tests.unit.turns.output_reading import output_events, output_of, turned

pytestmark = pytest.mark.skipif(
    not RECORDINGS.exists(), reason="the recorded provider traffic is not beside the repository"
)
FINISH = {"max_tokens": "max_output_tokens", "refusal": "content_filter"}


def read_by_the_sdk(stream: bytes) -> Message:
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    transport = httpx2.MockTransport(lambda _: answer)  # the provider, at the socket
    with Anthropic(api_key="key", http_client=httpx2.Client(transport=transport)) as client:
        asked = client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}])
        with asked as events:
            return events.get_final_message()


def test_every_recorded_message_stream_says_as_a_turn_what_the_sdk_reads() -> None:
    seen: Counter[str] = Counter()
    for interaction in recorded("/v1/messages", streamed=True):
        events, datas = datas_of(interaction["body"])
        if not datas:
            seen["empty recording"] += 1
            continue
        relay = turn()
        items = output_of(output_events(turned(relay, events)))
        message = read_by_the_sdk(b"".join(events))
        parts = [part for item in items if item["type"] == "message" for part in item["content"]]
        texts = [block for block in message.content if block.type == "text" and block.text]
        assert [part["text"] for part in parts] == [block.text for block in texts]
        assert [len(part["annotations"]) for part in parts] == [len(block.citations or []) for block in texts]
        calls = [(item["call_id"], item["name"]) for item in items if item["type"] == "function_call"]
        uses = [block for block in message.content if block.type == "tool_use"]
        assert calls == [(block.id, block.name) for block in uses]
        written = [item["arguments"] for item in items if item["type"] == "function_call"]
        assert [orjson.loads(text) for text in written] == [block.input for block in uses]
        thoughts = [item for item in items if item["type"] == "reasoning"]
        opened = [block for item in thoughts for block in (unseal(item["encrypted_content"]) or {})["blocks"]]
        kinds = ("thinking", "redacted_thinking")
        assert opened == [block.to_dict() for block in message.content if block.type in kinds]
        shown = ["".join(part["text"] for part in item["summary"]) for item in thoughts]
        assert shown == [getattr(block, "thinking", "") for block in message.content if block.type in kinds]
        assert relay.stop_reason == message.stop_reason
        assert relay.incomplete_reason == FINISH.get(message.stop_reason or "")
        used = message.usage
        cached = (used.cache_read_input_tokens or 0, used.cache_creation_input_tokens or 0)
        assert relay.usage.input_tokens == used.input_tokens + sum(cached)
        assert (relay.usage.cached_input_tokens, relay.usage.cache_write_tokens) == cached
        assert relay.usage.output_tokens == used.output_tokens
        for item in items:
            seen[item["type"]] += 1
        seen["the same"] += 1
    print(f"message streams: {dict(seen)}")  # noqa: T201 - the counts of the report
    assert seen["the same"]


def test_every_recorded_responses_request_can_be_said_in_messages_or_is_refused_with_a_reason() -> None:
    seen: Counter[str] = Counter()
    for interaction in recorded("/v1/responses"):
        request = interaction["request"]
        if not isinstance(request, dict):
            continue
        given = request.get("input")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        try:
            translated = turn_to_messages(
                {**request, "input": items},
                model="m",
                default_max_tokens=9,
                anthropic_version="2023-06-01",
                unseal=unseal,
            )
        except InvalidRequest as refusal:
            seen[f"refused: {refusal.param}"] += 1
            continue
        seen[f"said, dropped {translated.dropped}"] += 1
    print(dict(seen))  # noqa: T201 - as above
    assert any(outcome.startswith("said") for outcome in seen)
