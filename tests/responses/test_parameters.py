"""Every parameter of a response reaches whoever answers, is named as dropped, or is refused: over every upstream."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson
import pytest

from ali.ops.simulator import Answer, Simulator
from tests.contract.judges import CLAUDE, PIXEL, openai_client
from tests.fixtures.service import Service

NATIVE = "gpt-4.1"
LOCAL = "local/gpt-4.1"
EVERY_MODEL = pytest.mark.parametrize("model", [NATIVE, LOCAL, CLAUDE])

_PIXEL: Final = base64.b64encode(PIXEL).decode()
_PNG: Final = f"data:image/png;base64,{_PIXEL}"
_PDF: Final = "data:application/pdf;base64,JVBERi0xLjQgeA=="
_WEIGHT: Final = {
    "type": "object",
    "properties": {"kg": {"type": "integer"}},
    "required": ["kg"],
    "additionalProperties": False,
}
_FORMAT: Final = {"type": "json_schema", "name": "weight", "strict": True, "schema": _WEIGHT}
_TOOL: Final = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}


@dataclass(frozen=True)
class Sent:
    """It stands in the upstream's request, at a place as in `a.0.b`."""

    at: str
    value: object


@dataclass(frozen=True)
class Dropped:
    """It is left out, and named."""

    name: str


@dataclass(frozen=True)
class Refused:
    """400, before the upstream is asked."""

    param: str


@dataclass(frozen=True)
class Kept:
    """It is this service's own: the upstream hears nothing of it."""

    word: str


Fate = Sent | Dropped | Refused | Kept


def _attached(part: Mapping[str, object]) -> dict[str, object]:
    return {"input": [{"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, part]}]}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A part of a request, and what becomes of it over chat completions, over Messages, and natively."""

    body: Mapping[str, object]
    local: Fate
    claude: Fate
    native: Fate


CASES: Final[Mapping[str, Case]] = {
    "service_tier": Case(
        body={"service_tier": "default"},
        local=Sent("service_tier", "default"),
        claude=Sent("service_tier", "standard_only"),
        native=Sent("service_tier", "default"),
    ),
    "service_tier that only OpenAI has": Case(
        body={"service_tier": "flex"},
        local=Sent("service_tier", "flex"),
        claude=Dropped("service_tier"),
        native=Sent("service_tier", "flex"),
    ),
    "prompt_cache_key": Case(
        body={"prompt_cache_key": "k"},
        local=Sent("prompt_cache_key", "k"),
        claude=Dropped("prompt_cache_key"),
        native=Sent("prompt_cache_key", "k"),
    ),
    "prompt_cache_retention": Case(
        body={"prompt_cache_retention": "24h"},
        local=Sent("prompt_cache_retention", "24h"),
        claude=Dropped("prompt_cache_retention"),
        native=Sent("prompt_cache_retention", "24h"),
    ),
    "safety_identifier": Case(
        body={"safety_identifier": "s"},
        local=Sent("safety_identifier", "s"),
        claude=Sent("metadata.user_id", "s"),
        native=Sent("safety_identifier", "s"),
    ),
    "top_logprobs": Case(
        body={"top_logprobs": 2},
        local=Sent("top_logprobs", 2),
        claude=Refused("top_logprobs"),
        native=Sent("top_logprobs", 2),
    ),
    "include of logprobs": Case(
        body={"include": ["message.output_text.logprobs"]},
        local=Sent("logprobs", True),
        claude=Refused("include"),
        native=Sent("include", ["message.output_text.logprobs"]),
    ),
    "include of encrypted reasoning": Case(
        body={"include": ["reasoning.encrypted_content"]},
        local=Kept("encrypted_content"),
        claude=Kept("encrypted_content"),
        native=Kept("encrypted_content"),  # this model does not reason, and OpenAI refuses it then
    ),
    "max_output_tokens": Case(
        body={"max_output_tokens": 20},
        local=Sent("max_completion_tokens", 20),
        claude=Sent("max_tokens", 20),
        native=Sent("max_output_tokens", 20),
    ),
    "text.format of a schema": Case(
        body={"text": {"format": _FORMAT}},
        local=Sent("response_format.json_schema.schema", _WEIGHT),
        claude=Sent("output_config.format.schema", _WEIGHT),
        native=Sent("text.format", _FORMAT),
    ),
    "text.format of any JSON": Case(
        body={"input": "Answer in JSON", "text": {"format": {"type": "json_object"}}},
        local=Sent("response_format.type", "json_object"),
        claude=Dropped("text.format"),
        native=Sent("text.format.type", "json_object"),
    ),
    "text.verbosity": Case(
        body={"text": {"verbosity": "low"}},
        local=Sent("verbosity", "low"),
        claude=Dropped("text.verbosity"),
        native=Sent("text.verbosity", "low"),
    ),
    "reasoning.effort": Case(
        body={"reasoning": {"effort": "low"}},
        local=Sent("reasoning_effort", "low"),
        claude=Sent("output_config.effort", "low"),
        native=Sent("reasoning.effort", "low"),
    ),
    "temperature": Case(
        body={"temperature": 0.3},
        local=Sent("temperature", 0.3),
        claude=Dropped("temperature"),
        native=Sent("temperature", 0.3),
    ),
    "parallel_tool_calls": Case(
        body={"parallel_tool_calls": False, "tools": [_TOOL]},
        local=Sent("parallel_tool_calls", False),
        claude=Sent("tool_choice.disable_parallel_tool_use", True),
        native=Sent("parallel_tool_calls", False),
    ),
    "tool_choice": Case(
        body={"tool_choice": "required", "tools": [_TOOL]},
        local=Sent("tool_choice", "required"),
        claude=Sent("tool_choice.type", "any"),
        native=Sent("tool_choice", "required"),
    ),
    "prompt": Case(
        body={"prompt": {"id": "pmpt_1", "variables": {"city": "Recife"}}},
        local=Refused("prompt"),
        claude=Refused("prompt"),
        native=Sent("prompt", {"id": "pmpt_1", "variables": {"city": "Recife"}}),
    ),
    "a hosted tool": Case(
        body={"tools": [{"type": "web_search"}]},
        local=Refused("tools"),
        claude=Refused("tools"),
        native=Sent("tools.0.type", "web_search"),
    ),
    "stream_options.include_obfuscation": Case(
        body={"stream": True, "stream_options": {"include_obfuscation": False}},
        local=Kept("obfuscation"),
        claude=Kept("obfuscation"),
        native=Sent("stream_options.include_obfuscation", False),
    ),
    "metadata": Case(
        body={"metadata": {"ticket": "T-99"}},
        local=Kept("T-99"),
        claude=Kept("T-99"),
        native=Kept("T-99"),
    ),
    "truncation": Case(
        body={"truncation": "auto"},
        local=Kept("truncation"),
        claude=Kept("truncation"),
        native=Kept("truncation"),
    ),
    "context_management": Case(
        body={"context_management": [{"type": "compaction"}]},
        local=Kept("compaction"),
        claude=Kept("compaction"),
        native=Kept("compaction"),
    ),
    "an image": Case(
        body=_attached({"type": "input_image", "image_url": _PNG}),
        local=Sent("messages.0.content.1.image_url.url", _PNG),
        claude=Sent("messages.0.content.1.source.data", _PIXEL),
        native=Sent("input.0.content.1.image_url", _PNG),
    ),
    "an image by an address": Case(
        body=_attached({"type": "input_image", "image_url": "https://example.com/a.png"}),
        local=Sent("messages.0.content.1.image_url.url", "https://example.com/a.png"),
        claude=Sent("messages.0.content.1.source.url", "https://example.com/a.png"),
        native=Sent("input.0.content.1.image_url", "https://example.com/a.png"),
    ),
    "a file": Case(
        body=_attached({"type": "input_file", "file_data": _PDF, "filename": "a.pdf"}),
        local=Sent("messages.0.content.1.file.file_data", _PDF),
        claude=Sent("messages.0.content.1.source.data", "JVBERi0xLjQgeA=="),
        native=Sent("input.0.content.1.file_data", _PDF),
    ),
    "a file by an address": Case(
        body=_attached({"type": "input_file", "file_url": "https://example.com/a.pdf"}),
        local=Refused("input[0].content[1].file_url"),
        claude=Sent("messages.0.content.1.source.url", "https://example.com/a.pdf"),
        native=Sent("input.0.content.1.file_url", "https://example.com/a.pdf"),
    ),
}


@EVERY_MODEL
@pytest.mark.parametrize("name", CASES)
async def test_a_parameter_arrives_or_its_loss_is_told(
    service: Service, simulator: Simulator, name: str, model: str
) -> None:
    case = CASES[name]
    fate = {LOCAL: case.local, CLAUDE: case.claude, NATIVE: case.native}[model]
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{service.url}/v1/responses", json={"model": model, "input": "Hi", **case.body}, headers=service.headers
        ) as answer,
    ):
        text, status = await answer.read(), answer.status
        dropped = (answer.headers.get("x-ali-dropped-parameters") or "").split(", ")
    if isinstance(fate, Refused):
        assert status == 400, text
        assert orjson.loads(text)["error"]["param"] == fate.param
        assert not simulator.requests
        return
    assert status == 200, text
    sent = simulator.last.json
    match fate:
        case Sent(at, value):
            assert _at(sent, at) == value
        case Dropped(name):
            assert name in dropped
        case Kept(word):
            assert word.encode() not in simulator.last.body
            assert dropped == [""], "nothing is lost"


def _at(document: Any, path: str) -> Any:  # noqa: ANN401 - any JSON
    for step in path.split("."):
        document = document[int(step)] if step.isdigit() else document[step]
    return document


@EVERY_MODEL
async def test_an_answer_that_reaches_its_maximum_is_incomplete(
    service: Service, simulator: Simulator, model: str
) -> None:
    simulator.answer(Answer(tokens=200))
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input="Count.", max_output_tokens=16)
        assert made.status == "incomplete"
        assert made.incomplete_details is not None
        assert made.incomplete_details.reason == "max_output_tokens"
        fetched = await client.responses.retrieve(made.id)
        assert fetched.status == "incomplete"


@EVERY_MODEL
async def test_structured_output_is_parsed_by_the_sdk(service: Service, simulator: Simulator, model: str) -> None:
    simulator.answer(Answer(text='{"kg": 85}'))
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=model,
            input="What does the pump weigh?",
            text={"format": {"type": "json_schema", "name": "weight", "strict": True, "schema": _WEIGHT}},
        )
    assert orjson.loads(made.output_text) == {"kg": 85}
    assert made.text is not None
    assert made.text.to_dict()["format"]["name"] == "weight"  # type: ignore[index]  # the SDK says object


async def test_log_probabilities_come_back(service: Service) -> None:
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=NATIVE, input="Hello there", include=["message.output_text.logprobs"], top_logprobs=2
        )
    message = made.output[-1]
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    assert part.logprobs


@EVERY_MODEL
async def test_deltas_are_padded_only_by_who_pads_them_and_only_unless_told_not_to(
    service: Service, model: str
) -> None:
    async with aiohttp.ClientSession() as session:
        for asked in (True, False):
            body = {
                "model": model,
                "input": "Hello there",
                "stream": True,
                "stream_options": {"include_obfuscation": asked},
            }
            async with session.post(f"{service.url}/v1/responses", json=body, headers=service.headers) as answer:
                padded = b'"obfuscation"' in await answer.read()
            assert padded is (asked and model == NATIVE)
