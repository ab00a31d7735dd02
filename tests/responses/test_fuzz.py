"""Bodies that nobody would think of: each is answered or refused at once, and never fails the service."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ali.ops.simulator import Simulator
from tests.contract.judges import CLAUDE, EXTRACTIVE, GPT
from tests.fixtures.standing_service import Standing, standing_service
from tests.responses.conftest import behind

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS: Final = (GPT, "local/gpt-4.1", CLAUDE, EXTRACTIVE, "gpt-5.4-mini")
MOST_S: Final = 3.0

_SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["user", "auto", "function", "data:image/png;base64,AA==", "call_1", "\x00", "a" * 600, "resp_1"]),
)
_KEYS: Final = st.sampled_from(
    [
        *(
            "id",
            "type",
            "role",
            "content",
            "text",
            "name",
            "call_id",
            "output",
            "arguments",
            "input",
            "status",
            "phase",
        ),
        *("summary", "encrypted_content", "image_url", "file_data", "file_url", "file_id", "filename", "detail"),
        *("annotations", "logprobs", "refusal", "tools", "server_label", "server_url", "approve", "queries", "action"),
        *("approval_request_id", "parameters", "strict", "format", "schema", "effort", "verbosity", "mode", "\x00"),
    ]
)
_ANYTHING: Final = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=8,
)
_TYPES: Final = (
    *("message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
    *("item_reference", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call", "compaction"),
    *("file_search_call", "web_search_call", "code_interpreter_call", "computer_call", "computer_call_output"),
    *("compaction_trigger", "apply_patch_call", "additional_tools", "program", "tool_search_output", "shell_call"),
)
_PARTS: Final = ("input_text", "input_image", "input_file", "input_audio", "output_text", "refusal", "summary_text")


def _object(kinds: dict[str, st.SearchStrategy[Any]], *, wild: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """An object that has some of the members of `kinds`, and others that it should not have."""
    extra = st.dictionaries(_KEYS, _ANYTHING, max_size=wild)
    return st.tuples(extra, st.fixed_dictionaries({}, optional=kinds)).map(lambda pair: {**pair[0], **pair[1]})


_NAME: Final = st.sampled_from(["f", "g", "call_1", "call_2", "mcp__a__b"])
_WORDS: Final = st.text(max_size=12)
_PART: Final = _object(
    {"type": st.sampled_from(_PARTS), "text": _WORDS, "refusal": _WORDS, "image_url": _WORDS}, wild=1
)
_GOOD_ITEM: Final = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "developer"]), "content": _WORDS}),
    st.fixed_dictionaries({"type": st.just("function_call"), "call_id": _NAME, "name": _NAME, "arguments": _WORDS}),
    st.fixed_dictionaries({"type": st.just("function_call_output"), "call_id": _NAME, "output": _WORDS}),
)
_ITEM: Final = st.one_of(
    _GOOD_ITEM,
    _object(
        {
            "type": st.sampled_from(_TYPES),
            "role": st.sampled_from(["user", "assistant", "system", "tool"]),
            "content": st.one_of(_WORDS, st.lists(_PART, max_size=3)),
            "id": _NAME,
            "call_id": _NAME,
            "name": _NAME,
            "arguments": _WORDS,
            "input": _WORDS,
            "output": st.one_of(_WORDS, st.lists(_PART, max_size=2)),
            "server_label": _NAME,
            "encrypted_content": _WORDS,
            "summary": st.lists(_PART, max_size=2),
            "status": st.sampled_from(["completed", "in_progress", "incomplete", "failed"]),
            "tools": st.lists(_ANYTHING, max_size=2),
            "approve": st.booleans(),
            "approval_request_id": _NAME,
        }
    ),
)
_TOOL: Final = _object(
    {
        "type": st.sampled_from(["function", "custom", "mcp", "web_search", "file_search", "namespace"]),
        "name": _NAME,
        "parameters": _ANYTHING,
        "format": _ANYTHING,
        "server_label": _NAME,
    },
    wild=1,
)
_PARAMETERS: Final = (
    *("background_options", "context_management", "conversation", "include", "instructions", "max_output_tokens"),
    *("max_tool_calls", "metadata", "moderation", "parallel_tool_calls", "presence_penalty", "previous_response_id"),
    *("prompt", "prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store", "stream_options"),
    *("temperature", "text", "tool_choice", "top_logprobs", "top_p", "truncation", "user", "unheard_of", "stream"),
)
_BODY: Final = st.tuples(
    st.one_of(_WORDS, st.lists(_GOOD_ITEM, min_size=1, max_size=4), st.lists(_ITEM, min_size=1, max_size=4)),
    st.fixed_dictionaries(
        {},
        optional={
            "tools": st.lists(_TOOL, max_size=3),
            "stream": st.booleans(),
            "background": st.booleans(),
            "reasoning": _object({"effort": st.sampled_from(["low", "none", "x"]), "summary": st.just("auto")}, wild=0),
            "text": _object({"format": _object({"type": st.sampled_from(["text", "json_object", "json_schema"])})}),
        },
    ),
    st.dictionaries(st.sampled_from(_PARAMETERS), _ANYTHING, max_size=2),
).map(lambda drawn: {"input": drawn[0], **drawn[1], **drawn[2]})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    home = tmp_path_factory.mktemp("fuzz")
    async with Simulator() as simulator, standing_service(worker_dsn, home, simulator, **behind(simulator)) as standing:
        yield standing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=MOST_S)) as opened:
        yield opened


async def _expect_an_answer(standing: Standing, session: aiohttp.ClientSession, path: str, body: bytes) -> None:
    headers = {"content-type": "application/json", **standing.service.headers}
    async with session.post(standing.service.url + path, data=body, headers=headers) as answer:
        content = await answer.read()
    assert answer.status < 500, (answer.status, content[:300], body[:2000])
    if answer.status >= 400:
        error = orjson.loads(content)["error"]
        assert set(error) == {"message", "type", "param", "code"}
    assert b"internal_error" not in content, body[:2000]


_SETTINGS: Final = settings(
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a failure prints its request: shrinking would take minutes
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(_SETTINGS, max_examples=60)  # each is five requests
@given(body=_BODY)
async def test_no_body_fails_a_response_whoever_answers(
    standing: Standing, session: aiohttp.ClientSession, body: dict[str, Any]
) -> None:
    standing.simulator.reset()
    await asyncio.gather(
        *(
            _expect_an_answer(standing, session, "/v1/responses", json.dumps({"model": model, **body}).encode())
            for model in MODELS
        )
    )


@settings(_SETTINGS, max_examples=60)
@given(items=st.lists(_ITEM, max_size=4), metadata=_ANYTHING)
async def test_no_body_fails_a_conversation(
    standing: Standing, session: aiohttp.ClientSession, items: list[dict[str, Any]], metadata: object
) -> None:
    for body in ({"items": items}, {"items": items, "metadata": metadata}):
        await _expect_an_answer(standing, session, "/v1/conversations", json.dumps(body).encode())
