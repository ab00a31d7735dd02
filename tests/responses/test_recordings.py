"""Recorded traffic of the real providers, where it lies beside the repository, as what answers `POST /v1/responses`.

This service always asks providers for a stream, so a recorded response that was answered whole is written as the events
that it would have been. Each says the same as the SDK reads in the recording: text, calls, summaries, usage.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import orjson
import pytest
import pytest_asyncio
from openai.types.responses import Response

from ali.ops.simulator import Answer, Simulator
from tests.contract.judges import openai_client, post
from tests.contract.response_events import judged
from tests.fixtures.service import Service
from tests.fixtures.standing_service import Standing, standing_service
from tests.responses.conftest import behind
from tests.unit.translate.test_recordings import RECORDINGS, datas_of, folded_completion, folded_message, recorded
from tests.unit.turns.native_events import theirs

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not RECORDINGS.exists(), reason="the recorded provider traffic is not beside the repository"),
]
EVENTS: Final = (("content-type", "text/event-stream; charset=utf-8"),)
QUESTION: Final = "Say it again, please."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    home = tmp_path_factory.mktemp("recorded")
    async with Simulator() as simulator, standing_service(worker_dsn, home, simulator, **behind(simulator)) as standing:
        yield standing


async def streamed(standing: Standing, events: list[bytes], **request: Any) -> tuple[list[dict[str, Any]], Any]:  # noqa: ANN401 - JSON
    """The judged events of a response that the recorded `events` answer, and the response as it is kept."""
    simulator = standing.emptied()
    simulator.answer(Answer(body=tuple(events), headers=EVENTS))
    status, _, stream = await post(
        standing.service, "/v1/responses", {"input": QUESTION, **request, "stream": True, "store": True}
    )
    assert status == 200, stream
    seen = judged(stream)
    return seen, await kept(standing.service, seen[-1]["response"]["id"])


async def kept(service: Service, name: str) -> Any:  # noqa: ANN401 - JSON
    async with openai_client(service, _strict_response_validation=False) as client:  # recordings are older
        return orjson.loads((await client.responses.with_raw_response.retrieve(name)).content)


def whole_as_events(response: dict[str, Any]) -> list[bytes]:
    """The events of a response that was answered whole."""
    for item in response["output"]:
        for part in item["content"] if item["type"] == "message" else ():
            part.setdefault("logprobs", [])  # older than they
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    bodies = [{"type": f"response.{kind}", "response": begun} for kind in ("created", "in_progress")]
    for index, item in enumerate(response["output"]):
        bodies += _item_as_events(item, index)
    bodies.append({"type": f"response.{response['status']}", "response": response})
    return theirs(*bodies)


def _item_as_events(item: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
    place = {"item_id": item["id"], "output_index": index}
    nothing: dict[str, Any] = {"status": "in_progress", "content": [], "summary": [], "arguments": ""}
    empty = item | {name: value for name, value in nothing.items() if name in item}
    yield {"type": "response.output_item.added", "output_index": index, "item": empty}
    match item["type"]:
        case "message":
            for at, part in enumerate(item["content"]):
                where = place | {"content_index": at}
                yield {"type": "response.content_part.added", **where, "part": part | {"text": "", "annotations": []}}
                for number, annotation in enumerate(part["annotations"]):
                    kind = "response.output_text.annotation.added"
                    yield {"type": kind, **where, "annotation_index": number, "annotation": annotation}
                yield {"type": "response.output_text.delta", **where, "delta": part["text"], "logprobs": []}
                yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
                yield {"type": "response.content_part.done", **where, "part": part}
        case "reasoning":
            for at, part in enumerate(item["summary"]):
                where = place | {"summary_index": at}
                yield {"type": "response.reasoning_summary_part.added", **where, "part": part | {"text": ""}}
                yield {"type": "response.reasoning_summary_text.delta", **where, "delta": part["text"]}
                yield {"type": "response.reasoning_summary_text.done", **where, "text": part["text"]}
                yield {"type": "response.reasoning_summary_part.done", **where, "part": part}
        case "function_call":
            kind = "response.function_call_arguments"
            yield {"type": f"{kind}.delta", **place, "delta": item["arguments"]}
            yield {"type": f"{kind}.done", **place, "arguments": item["arguments"]}
        case kind:
            yield {"type": f"response.{kind}.in_progress", **place}
            yield {"type": f"response.{kind}.completed", **place}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def said_by(response: dict[str, Any]) -> dict[str, Any]:
    """What the SDK reads in a response, be it older than the SDK."""
    read = Response.construct(**response)
    calls = [item for item in read.output if item.type == "function_call"]
    thoughts = [item for item in read.output if item.type == "reasoning"]
    usage = response["usage"]
    return {
        "kinds": [item.type for item in read.output],
        "text": read.output_text,
        "calls": [(call.call_id, call.name, call.arguments) for call in calls],
        "summaries": [[part.text for part in thought.summary] for thought in thoughts],
        "input": (usage["input_tokens"], (usage.get("input_tokens_details") or {}).get("cached_tokens", 0)),
        "output": (usage["output_tokens"], (usage.get("output_tokens_details") or {}).get("reasoning_tokens", 0)),
    }


def asked_again(request: dict[str, Any]) -> dict[str, Any]:
    """A recorded request without what only its provider knew: earlier responses, vector stores."""
    again = {name: value for name, value in request.items() if name != "previous_response_id"}
    if "previous_response_id" in request:
        again["input"] = QUESTION
    tools = [tool for tool in request.get("tools") or [] if tool["type"] != "file_search"]
    if tools != (request.get("tools") or []):
        again.pop("tool_choice", None)
        again["tools"] = tools
    return {**again, "model": f"openai/{request['model']}"}


async def test_a_recorded_response_says_the_same_through_the_service(standing: Standing) -> None:
    seen: Counter[str] = Counter()
    for interaction in recorded("/v1/responses", streamed=False):
        response = orjson.loads(interaction["body"])
        events, stored = await streamed(standing, whole_as_events(response), **asked_again(interaction["request"]))
        assert said_by(events[-1]["response"]) == said_by(response) == said_by(stored)
        seen.update(item["type"] for item in response["output"])
        seen["the same"] += 1
    print(f"responses answered whole: {dict(seen)}")  # noqa: T201 - the counts of the report
    assert seen["the same"]


async def test_a_recorded_stream_of_a_response_says_the_same_through_the_service(standing: Standing) -> None:
    seen: Counter[str] = Counter()
    for interaction in recorded("/v1/responses", streamed=True):
        recording, datas = datas_of(interaction["body"])
        response = orjson.loads(datas[-1])["response"]
        events, stored = await streamed(standing, recording, **asked_again(interaction["request"]))
        assert said_by(events[-1]["response"]) == said_by(response) == said_by(stored)
        theirs_seen = [orjson.loads(data) for data in datas]
        assert _deltas(events) == _deltas(theirs_seen), "piece by piece"
        seen.update(item["type"] for item in response["output"])
        seen["the same"] += 1
    print(f"responses streamed: {dict(seen)}")  # noqa: T201 - as above
    assert seen["the same"]


def _deltas(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["delta"]) for event in events if event["type"].endswith(".delta")]


async def test_a_recorded_chat_stream_answers_a_response(standing: Standing) -> None:
    seen: Counter[str] = Counter()
    for interaction in recorded("/v1/chat/completions", streamed=True):
        recording, datas = datas_of(interaction["body"])
        if not datas or b"[DONE]" not in recording[-1]:
            continue
        events, stored = await streamed(standing, recording, model=f"local/{interaction['request']['model']}")
        told, completion = said_by(events[-1]["response"]), folded_completion(datas)
        assert told == said_by(stored)
        refusals = [
            part["refusal"] for item in stored["output"] for part in item.get("content") or () if "refusal" in part
        ]
        assert told["text"] + "".join(refusals) == completion["text"]
        assert [(name, orjson.loads(text)) for _, name, text in told["calls"]] == [
            (call["name"], orjson.loads(call["arguments"] or "{}")) for call in completion["calls"]
        ]
        usage = completion["usage"]
        if usage is not None:
            assert told["input"][0] == usage["prompt_tokens"]
            assert told["output"][0] == usage["completion_tokens"]
            seen["with usage"] += 1
        cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(completion["finish"])
        assert (stored["incomplete_details"] or {}).get("reason") == cut
        seen["the same"] += 1
    print(f"chat streams as responses: {dict(seen)}")  # noqa: T201 - as above
    assert seen["with usage"]


async def test_a_recorded_message_stream_answers_a_response(standing: Standing) -> None:
    seen: Counter[str] = Counter()
    for interaction in recorded("/v1/messages", streamed=True):
        recording, datas = datas_of(interaction["body"])
        if not datas or b"message_stop" not in recording[-1]:
            continue
        events, stored = await streamed(standing, recording, model=f"anthropic/{interaction['request']['model']}")
        told, message = said_by(events[-1]["response"]), folded_message(datas)
        assert told == said_by(stored)
        blocks = message["content"]
        assert told["text"] == "".join(block["text"] for block in blocks if block["type"] == "text")
        assert [(call_id, name, orjson.loads(text)) for call_id, name, text in told["calls"]] == [
            (block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"
        ]
        thoughts = ["".join(parts) for parts in told["summaries"]]
        assert thoughts == [block["thinking"] for block in blocks if block["type"] == "thinking"]
        counts = message["usage"]
        read, written = (counts.get(f"cache_{name}_input_tokens") or 0 for name in ("read", "creation"))
        assert told["input"] == (counts["input_tokens"] + read + written, read)
        assert told["output"][0] == counts["output_tokens"]
        seen.update(block["type"] for block in blocks)
        seen["the same"] += 1
    print(f"message streams as responses: {dict(seen)}")  # noqa: T201 - as above
    assert seen["the same"]
