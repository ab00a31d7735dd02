"""What a stream said in pieces is one completion, whatever a compatible server makes of the protocol."""

from typing import Any

import orjson
import pytest

from ali.features.chat.stored.assembly import Assembly
from ali.providers.contract import UpstreamMalformed, Usage

SILENT = Usage()


def assembled(*chunks: Any, newline: bytes = b"\n") -> dict[str, Any]:  # noqa: ANN401 - any JSON
    assembly = Assembly(limit_bytes=1 << 20)
    for chunk in chunks:
        assembly.feed(b"data: " + orjson.dumps(chunk) + newline * 2)
    assembly.feed(b": a comment\n\ndata: [DONE]\n\n")
    return assembly.completion(usage=SILENT)


def delta(index: int = 0, **said: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"id": "c", "choices": [{"index": index, "delta": said, "finish_reason": None}]}


def message(*chunks: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    whole: dict[str, Any] = assembled(*chunks)["choices"][0]["message"]
    return whole


def test_log_probabilities_of_all_pieces_come_together() -> None:
    pieces = [
        {
            "choices": [
                {"index": 0, "delta": {"content": text}, "logprobs": {"content": [{"token": text}], "refusal": None}}
            ]
        }
        for text in ("a", "b")
    ]
    [choice] = assembled(*pieces)["choices"]
    assert choice["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}
    assert choice["message"]["content"] == "ab"


def test_choices_that_come_by_turns_are_told_apart() -> None:
    whole = assembled(delta(1, content="b"), delta(0, content="a"), delta(1, content="B"))
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["a", "bB"]


def test_calls_without_an_index_are_told_apart_by_their_identifiers() -> None:
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}},
        {"function": {"arguments": "}"}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    said = message(*[delta(tool_calls=[call]) for call in calls])
    assert [call["function"] for call in said["tool_calls"]] == [
        {"name": "f", "arguments": "{}"},
        {"name": "g", "arguments": "{}"},
    ]
    assert said["content"] is None


def test_a_custom_tools_input_and_the_old_function_call_grow_too() -> None:
    custom = [
        {"index": 0, "id": "1", "type": "custom", "custom": {"name": "f", "input": "a"}},
        {"index": 0, "custom": {"input": "b"}},
    ]
    assert message(*[delta(tool_calls=[call]) for call in custom])["tool_calls"] == [
        {"id": "1", "type": "custom", "custom": {"name": "f", "input": "ab"}}
    ]
    old = message(delta(function_call={"name": "f", "arguments": "{"}), delta(function_call={"arguments": "}"}))
    assert old["function_call"] == {"name": "f", "arguments": "{}"}


def test_audio_grows_and_padding_is_left_out() -> None:
    whole = assembled(
        delta(audio={"id": "a", "data": "x"}) | {"obfuscation": "zzz", "system_fingerprint": "fp"},
        delta(audio={"data": "y", "expires_at": 7}),
    )
    assert whole["choices"][0]["message"]["audio"] == {"id": "a", "data": "xy", "expires_at": 7}
    assert (whole["system_fingerprint"], "obfuscation" in whole) == ("fp", False)


def test_usage_is_the_streams_own_then_the_measured_and_never_an_estimate() -> None:
    assert "usage" not in assembled(delta(content="x"))
    assert assembled(delta(content="x"), {"choices": [], "usage": {"prompt_tokens": 3}})["usage"] == {
        "prompt_tokens": 3
    }
    counts = Assembly(limit_bytes=10).completion(usage=Usage(input_tokens=2, output_tokens=1, reported=True))["usage"]
    assert counts["total_tokens"] == 3


def test_carriage_returns_are_line_ends_as_well() -> None:
    assert assembled(delta(content="x"), newline=b"\r\n")["choices"][0]["message"]["content"] == "x"


@pytest.mark.parametrize(
    "nonsense",
    [
        *(
            [],
            7,
            {"choices": 7},
            {"choices": [7]},
            {"choices": [{"index": "a", "delta": 7, "logprobs": [], "finish_reason": 7}]},
        ),
        {"choices": [{"delta": {"tool_calls": 7, "content": 7, "role": [], "annotations": 1, "audio": "x"}}]},
        {
            "choices": [{"delta": {"tool_calls": [7, {"index": True, "function": "x"}], "function_call": []}}],
            "usage": 7,
        },
        {"choices": [{"logprobs": {"content": 7, "x": [1]}}]},
    ],
)
def test_nonsense_is_passed_over(nonsense: object) -> None:
    whole = assembled(delta(content="x"), nonsense, delta(content="y"))
    assert orjson.dumps(whole)
    assert whole["choices"][0]["finish_reason"] == "stop"


def test_a_piece_that_is_no_json_is_the_providers_fault() -> None:
    with pytest.raises(UpstreamMalformed):
        Assembly(limit_bytes=100).feed(b"data: {\n\n")
