"""Recorded traffic of the real providers, where it lies beside the repository, replayed through the gateway.

Within a dialect the bytes are the same in both directions; across dialects the other provider's SDK reads the same
content, tool calls, stop reason and usage. Each model is asked for as `provider/model`, for the catalog does not know
all that were ever recorded.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import openai
import orjson
import pytest

from ali.ops.simulator import Answer, Simulator
from tests.contract.judges import anthropic_client, openai_client, post
from tests.fixtures.service import Serve, Service, providers
from tests.unit.translate.test_recordings import (
    RECORDINGS,
    body_of,
    check_as_chat,
    check_as_message,
    datas_of,
    folded_completion,
    folded_message,
    recorded,
)

pytestmark = pytest.mark.skipif(
    not RECORDINGS.exists(), reason="the recorded provider traffic is not beside the repository"
)
PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/embeddings")
JSON = (("content-type", "application/json"),)
EVENTS = (("content-type", "text/event-stream; charset=utf-8"),)
QUESTION: Any = [{"role": "user", "content": "Say it again, please."}]


@pytest.fixture
async def patient(serve: Serve, simulator: Simulator) -> AsyncIterator[Service]:
    """The service in front of `simulator`."""
    async with serve(**providers(simulator)) as service:
        yield service


def prefixed(interaction: dict[str, Any]) -> str:
    return f"{interaction['provider']}/{interaction['request']['model']}"


def whole(path: str) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Interactions that were answered at once, errors too."""
    for interaction in recorded(path):
        body = body_of(interaction)
        if body.lstrip().startswith(b"{"):
            yield interaction, body


def streams(path: str) -> Iterator[tuple[dict[str, Any], list[bytes], bool]]:
    """Interactions that were streamed: their events, and whether the recording has the end."""
    for interaction in recorded(path, streamed=True):
        events, datas = datas_of(interaction["body"])
        if datas:
            yield interaction, events, b"[DONE]" in events[-1] or b"message_stop" in events[-1]


@pytest.mark.parametrize("path", PATHS)
async def test_a_recorded_answer_reaches_the_caller_byte_for_byte(
    patient: Service, simulator: Simulator, path: str
) -> None:
    seen: Counter[int] = Counter()
    for interaction, body in whole(path):
        status, request = interaction["status"], interaction["request"]
        simulator.answer(Answer(body=body, status=status, headers=JSON))
        query = f"?{interaction['query']}" if interaction["query"] else ""
        got, _, answer = await post(patient, path + query, {**request, "model": prefixed(interaction)})
        assert simulator.last.json == request
        seen[status] += 1
        if status == 401:  # the installation's key, not the caller's
            assert got == 502
            assert orjson.loads(answer)["error"]["code"] == "upstream_credential_refused"
        else:
            assert (got, answer) == (status, body)
    print(f"{path} whole: {dict(seen)}")  # noqa: T201 - the counts of the report
    assert seen[200]
    settled = [record for record in await patient.records() if record["status"] == 200]
    assert len(settled) == seen[200]


@pytest.mark.parametrize("path", PATHS[:2])
async def test_a_recorded_stream_reaches_the_caller_byte_for_byte(
    patient: Service, simulator: Simulator, path: str
) -> None:
    seen: Counter[str] = Counter()
    for interaction, events, ended in streams(path):
        request = interaction["request"]
        simulator.answer(Answer(body=tuple(events), headers=EVENTS))
        status, _, answer = await post(patient, path, {**request, "model": prefixed(interaction)})
        assert status == 200
        sent: dict[str, Any] = dict(simulator.last.json)
        if path == PATHS[0]:
            assert sent.pop("stream_options")["include_usage"] is True, "the bill needs it, whoever asked"
        assert sent == {name: value for name, value in request.items() if name != "stream_options"}
        if not ended:
            assert answer.startswith(b"".join(events))
            assert b'"error"' in answer[len(b"".join(events)) :]
            seen["cut, and said so"] += 1
            continue
        assert answer == b"".join(events), request
        seen["usage asked" if (request.get("stream_options") or {}).get("include_usage") else "no usage asked"] += 1
    print(f"{path} streams: {dict(seen)}")  # noqa: T201 - as above
    assert sum(seen.values()) > seen["cut, and said so"]
    assert {record["outcome"] for record in await patient.records()} <= {"ok", "error"}


async def test_a_recorded_message_says_the_same_to_openais_sdk(patient: Service, simulator: Simulator) -> None:
    seen = 0
    async with openai_client(patient) as client:
        for interaction, body in whole("/v1/messages"):
            simulator.answer(Answer(body=body, headers=JSON))
            completion = await client.chat.completions.create(model=prefixed(interaction), messages=QUESTION)
            [choice] = completion.choices
            assert completion.usage is not None
            check_as_chat(
                orjson.loads(body), choice.message.model_dump(), choice.finish_reason, completion.usage.model_dump()
            )
            seen += 1
    print(f"messages read by OpenAI's SDK: {seen}")  # noqa: T201 - as above
    assert seen


async def test_a_recorded_message_stream_says_the_same_to_openais_sdk(patient: Service, simulator: Simulator) -> None:
    seen: Counter[str] = Counter()
    async with openai_client(patient) as client:
        for interaction, events, ended in streams("/v1/messages"):
            simulator.answer(Answer(body=tuple(events), headers=EVENTS))
            manager = client.chat.completions.stream(
                model=prefixed(interaction), messages=QUESTION, stream_options={"include_usage": True}
            )
            if not ended:
                with pytest.raises(openai.APIError):
                    async with manager as stream:
                        await stream.get_final_completion()
                seen["cut, and said so"] += 1
                continue
            async with manager as stream:
                completion = await stream.get_final_completion()
            [choice] = completion.choices
            assert completion.usage is not None
            message = folded_message(datas_of(interaction["body"])[1])
            check_as_chat(message, choice.message.model_dump(), choice.finish_reason, completion.usage.model_dump())
            seen["the same"] += 1
    print(f"message streams read by OpenAI's SDK: {dict(seen)}")  # noqa: T201 - as above
    assert seen["the same"]


async def test_a_recorded_completion_says_the_same_to_anthropics_sdk(patient: Service, simulator: Simulator) -> None:
    seen = 0
    async with anthropic_client(patient) as client:
        for interaction, body in whole("/v1/chat/completions"):
            if interaction["status"] != 200:
                continue
            simulator.answer(Answer(body=body, headers=JSON))
            message = await client.messages.create(model=prefixed(interaction), max_tokens=99, messages=QUESTION)
            completion = orjson.loads(body)
            said = completion["choices"][0]["message"]
            recording = {
                "text": (said.get("content") or "") + (said.get("refusal") or ""),
                "calls": [{"id": call["id"], **call["function"]} for call in said.get("tool_calls") or []],
                "finish": completion["choices"][0]["finish_reason"],
                "usage": completion.get("usage"),
            }
            check_as_message(recording, message.model_dump())
            seen += 1
    print(f"completions read by Anthropic's SDK: {seen}")  # noqa: T201 - as above
    assert seen


async def test_a_recorded_chat_stream_says_the_same_to_anthropics_sdk(patient: Service, simulator: Simulator) -> None:
    seen: Counter[str] = Counter()
    async with anthropic_client(patient) as client:
        for interaction, events, ended in streams("/v1/chat/completions"):
            simulator.answer(Answer(body=tuple(events), headers=EVENTS))
            manager = client.messages.stream(model=prefixed(interaction), max_tokens=99, messages=QUESTION)
            if not ended:
                with pytest.raises(anthropic.APIError):
                    async with manager as stream:
                        await stream.get_final_message()
                seen["cut, and said so"] += 1
                continue
            async with manager as stream:
                message = await stream.get_final_message()
            check_as_message(folded_completion(datas_of(interaction["body"])[1]), message.model_dump())
            seen["the same"] += 1
    print(f"chat streams read by Anthropic's SDK: {dict(seen)}")  # noqa: T201 - as above
    assert seen["the same"]
