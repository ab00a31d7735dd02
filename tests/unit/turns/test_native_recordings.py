"""Recorded Responses streams of OpenAI's, where they lie beside the repository: relayed, they say the same."""

import orjson
import pytest
from openai.types.responses import Response

from ali.providers.turns.native_turn import NativeTurn
from ali.providers.turns.writer import OutputWriter
from tests.unit.translate.test_recordings import RECORDINGS, datas_of, recorded
from tests.unit.turns.native_events import ours

pytestmark = pytest.mark.skipif(
    not RECORDINGS.exists(), reason="the recorded provider traffic is not beside the repository"
)


def folded(stream: bytes) -> tuple[str, dict[str, str]]:
    """Text and arguments as the deltas of our stream add up."""
    text, arguments = "", dict[str, str]()
    for event in ours(stream):
        if event["type"] == "response.output_text.delta":
            text += event["delta"]
        elif event["type"] == "response.function_call_arguments.delta":
            arguments[event["item_id"]] = arguments.get(event["item_id"], "") + event["delta"]
    return text, arguments


def test_every_recorded_stream_says_the_same_within_ours() -> None:
    seen, calls = 0, 0
    for interaction in recorded("/v1/responses", streamed=True):
        events, datas = datas_of(interaction["body"])
        last = orjson.loads(datas[-1])
        assert last["type"] == "response.completed"
        parsed = Response.model_construct(**last["response"])  # as the SDK does: the recording lacks newer fields
        writer = OutputWriter()
        turn = NativeTurn(writer, provider="openai", seal=lambda payload: orjson.dumps(payload).decode())
        stream = b"".join(turn.feed(event) for event in events)
        assert turn.finished
        made = {item.id: item.arguments for item in parsed.output if item.type == "function_call"}
        assert folded(stream) == (parsed.output_text, made)
        assert writer.output == last["response"]["output"]
        usage = parsed.usage
        assert usage is not None
        assert (turn.usage.input_tokens, turn.usage.output_tokens) == (usage.input_tokens, usage.output_tokens)
        assert turn.usage.cached_input_tokens == usage.input_tokens_details.cached_tokens
        assert turn.usage.reasoning_tokens == usage.output_tokens_details.reasoning_tokens
        assert turn.usage.reported
        assert turn.service_tier == parsed.service_tier
        assert len(ours(stream)) == len(datas) - 3
        seen, calls = seen + 1, calls + len(made)
    print(f"Responses streams: {seen}, calls in them: {calls}")  # noqa: T201 - the counts of the report
    assert seen
    assert calls
