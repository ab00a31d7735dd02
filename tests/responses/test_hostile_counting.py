"""Nothing that callers send makes a response, counting or compacting fail: each gets a 4xx, and the next is served."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import orjson
import pytest

from ali.features.responses.history import ANY_MODEL
from ali.kernel.ids import uuid7
from ali.ops.simulator import Simulator
from tests.contract.judges import CLAUDE, EXTRACTIVE, openai_client
from tests.contract.test_bad_input import JUNK, WRONG_JSON
from tests.fixtures.service import Service

NATIVE = "gpt-4.1"
LOCAL = "local/gpt-4.1"
PATHS = pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/input_tokens", "/v1/responses/compact"])
MODELS: Final = (NATIVE, LOCAL, CLAUDE, EXTRACTIVE)
FIELDS: Final = (
    *("model", "input", "instructions", "previous_response_id", "conversation", "tools", "tool_choice", "text"),
    *("reasoning", "truncation", "context_management", "include", "prompt", "stream_options", "metadata", "stream"),
    *("background", "store", "service_tier", "prompt_cache_key", "personality", "unknown"),
)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def status_of(session: aiohttp.ClientSession, service: Service, path: str, body: bytes) -> int:
    headers = {"content-type": "application/json", **service.headers}
    async with session.post(service.url + path, data=io.BytesIO(body), headers=headers) as answer:
        content = await answer.read()
    assert answer.status < 500, (answer.status, body[:300], content[:300])
    if answer.status >= 400:
        assert set(orjson.loads(content)["error"]) == {"message", "type", "param", "code"}
    return answer.status


@PATHS
async def test_what_is_no_request_is_refused(service: Service, session: aiohttp.ClientSession, path: str) -> None:
    for what, body in WRONG_JSON.items():
        assert await status_of(session, service, path, body) == 400, what
    for model in MODELS:
        for field in FIELDS:
            for value in JUNK:
                body = json.dumps({"model": model, "input": "Hello", field: value}).encode()
                await status_of(session, service, path, body)
        assert await status_of(session, service, path, orjson.dumps({"model": model, "input": "Hello"})) == 200
    assert service.gateway.metrics.in_flight == 0
    assert {record["outcome"] for record in await service.records()} <= {"ok", "error"}


@PATHS
@pytest.mark.parametrize("depth", [90, 200, 900])
async def test_depth_is_refused_or_served(
    service: Service, session: aiohttp.ClientSession, path: str, depth: int
) -> None:
    deep: Any = orjson.Fragment(b"[" * depth + b"1" + b"]" * depth)
    wrong: Any
    for model in MODELS:
        for wrong in (
            {"input": deep},
            {"input": [{"role": "user", "content": deep}]},
            {"input": [{"type": "web_search_call", "action": {"a": deep}}, {"role": "user", "content": "x"}]},
            {"input": "Hello", "tools": [{"type": "function", "name": "f", "parameters": {"a": deep}}]},
            {"input": "Hello", "metadata": {"a": deep}},
            {"input": "Hello", "text": {"format": {"type": "json_schema", "name": "n", "schema": {"a": deep}}}},
        ):
            await status_of(session, service, path, orjson.dumps({"model": model, **wrong}))


async def test_any_kind_of_item_is_told_in_a_summary(service: Service, simulator: Simulator) -> None:
    """Items of hosted tools too, and those that hold nothing."""
    items: list[Any] = [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "thoughts"}]},
        {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "pumps"}},
        {"type": "file_search_call", "id": "fs_1", "queries": ["q"], "results": None},
        {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "n", "arguments": "{}", "error": "gone"},
        {"type": "custom_tool_call", "call_id": "c", "name": "shell", "input": "ls"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "a.txt"}]},
        {"type": "local_shell_call_output", "id": "ls_1", "output": "done"},
        {"type": "computer_call", "id": "cc", "call_id": "cc"},
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/a.png"}]},
    ]
    async with openai_client(service, _strict_response_validation=False) as client:
        for model in MODELS:
            compacted = await client.responses.compact(model=model, input=items)
            assert compacted.output[-1].type == "compaction"
    for request in simulator.requests:
        for said in (b"pumps", b"a.txt", b"gone", b"No.", b"example.com/a.png"):
            assert said in request.body
        assert b"thoughts" not in request.body


async def test_a_compaction_of_another_project_is_not_read(
    service: Service, session: aiohttp.ClientSession, simulator: Simulator
) -> None:
    """Sealed by the same installation, for others."""
    seals = service.app.api.state.engine.seals
    foreign = seals.sealing(project_id=uuid7(), model=ANY_MODEL)({"summary": "A secret of theirs.", "unanswered": 0})
    body = {"input": [{"type": "compaction", "encrypted_content": foreign}, {"role": "user", "content": "So?"}]}
    for path in ("/v1/responses", "/v1/responses/input_tokens"):
        for model in MODELS:
            assert await status_of(session, service, path, orjson.dumps({"model": model, **body})) == 400
    assert not any(b"secret of theirs" in request.body for request in simulator.requests)
