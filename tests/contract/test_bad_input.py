"""No input makes this service fail: each gets the dialect's 4xx with a message, and the next caller is served."""

import io
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ali.ops.simulator import Simulator
from tests.contract.judges import CLAUDE, EXTRACTIVE, GPT
from tests.fixtures.service import Serve, Service, providers

MESSAGES = [{"role": "user", "content": "How long does the guarantee last?"}]
GOOD: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": GPT, "messages": MESSAGES},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": "one", "dimensions": 2},
    "/v1/moderations": {"model": "omni-moderation-latest", "input": "one"},
    "/v1/messages": {"model": CLAUDE, "max_tokens": 50, "messages": MESSAGES},
    "/v1/messages/count_tokens": {"model": CLAUDE, "messages": MESSAGES},
}
CHATTY = ("/v1/chat/completions", "/v1/messages")
MODELS = (GPT, CLAUDE, EXTRACTIVE)
EVERY_ENDPOINT = pytest.mark.parametrize("path", GOOD)
TIMEOUT = aiohttp.ClientTimeout(total=10)
DEEP = 10 * 1024 * 1024

WRONG_JSON: dict[str, bytes] = {
    "no body": b"",
    "blank": b" \r\n\t ",
    "an open brace": b"{",
    "null": b"null",
    "an array": b"[]",
    "a text": b'"text"',
    "a number": b"1",
    "true": b"true",
    "NUL": b"\x00",
    "single quotes": b"{'model':'gpt-4.1'}",
    "a form": b"model=gpt-4.1&messages=hello",
    "UTF-16": '{"model":"gpt-4.1"}'.encode("utf-16"),
    "bytes of no UTF-8": b"\xff\xfe\xfa",
    "an empty object": b"{}",
    "a key that is no text": b'{1:"a"}',
    "10 MB of arrays": b"[" * DEEP,
    "10 MB of objects": b'{"a":' * (DEEP // 5),
    "10 MB of closed arrays": b"[" * (DEEP // 2) + b"]" * (DEEP // 2),
}
"""Bodies that are refused everywhere."""


def spoiled(body: dict[str, Any]) -> dict[str, bytes]:
    """Ways to break a good body as JSON."""
    good = orjson.dumps(body)
    return {
        "a comma too many": good[:-1] + b",}",
        "cut": good[:-1],
        "two objects": good + good,
        "a BOM": b"\xef\xbb\xbf" + good,
        "NaN": good[:-1] + b',"temperature":NaN}',
        "Infinity": good[:-1] + b',"temperature":-Infinity}',
        "a lone surrogate": good[:-1] + b',"user":"\\ud800"}',
        "a raw control character": good[:-1] + b',"user":"a\nb"}',
        "an unknown escape": good[:-1] + b',"user":"\\x"}',
        "two models": good[:-1] + b',"model":"gpt-none"}',
        "two models, one escaped": good[:-1] + b',"mod\\u0065l":"gpt-4.1"}',
        "two streams": good[:-1] + b',"stream":false,"stream":false}',
        "two messages and inputs": good[:-1] + b',"messages":[],"input":[]' * 2 + b"}",
        "10 MB of arrays inside": good[:-1] + b',"user":' + b"[" * DEEP,
        "arrays inside": good[:-1] + b',"user":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    }


NO_MODEL_NAMES: Sequence[str] = (
    "",
    " ",
    "gpt-none",
    "none/gpt-4.1",
    "gpt-4.1\n",
    "gpt\x00-4.1",
    "gpt-4.1\x1b[31m",
    "\N{GRINNING FACE}",
    "modelo-ação",
    "\u202egpt-4.1",
    "x" * 10_000,
    "/",
    "../../v1/models",
    "gpt-4.1' or '1'='1",
    "gpt-4.1\r\nx-evil: 1",
)

JUNK: tuple[Any, ...] = (None, True, 0, -1, 1.5, 10**30, "text", "", [], {}, [[]], [None], [1], {"a": []})


def _each(name: str, values: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


def wrong_fields(path: str) -> list[tuple[str, Any]]:
    """Field and value, each wrong in itself."""
    wrong: list[tuple[str, Any]] = [("model", value) for value in JUNK if not isinstance(value, str)]
    if path in ("/v1/embeddings", "/v1/moderations"):
        return wrong + _each("input", [None, True, 0, 1.5, {}, {"a": []}])
    wrong += [("messages", value) for value in JUNK]
    wrong += _each("stream", ["yes", "true", 1, 0, [], {}]) if path in CHATTY else []
    if path == "/v1/chat/completions":
        wrong += _each("stream_options", [[], "yes", 1, True, {"include_usage": "yes"}])
    if path == "/v1/messages":
        wrong += _each("max_tokens", [None, "5", 1.5, [], {}, True, 10**30, -1])
    return wrong


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as opened:
        yield opened


def refusal_of(path: str, document: Any) -> str:  # noqa: ANN401 - any JSON
    """The message of an error body, which has exactly its dialect's keys."""
    if path.startswith("/v1/messages"):
        assert set(document) == {"type", "error", "request_id"}
        assert document["type"] == "error"
        assert set(document["error"]) == {"type", "message"}
    else:
        assert set(document) == {"error"}
        assert set(document["error"]) == {"message", "type", "param", "code"}
    message = document["error"]["message"]
    assert isinstance(message, str)
    return message


async def refused(
    session: aiohttp.ClientSession,
    service: Service,
    path: str,
    body: Any,  # noqa: ANN401 - bytes, or what aiohttp sends in chunks
    *,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> int:
    """The status of what must be a refusal in the path's dialect."""
    sent = {"content-type": "application/json", **(service.headers if headers is None else headers)}
    data = io.BytesIO(body) if isinstance(body, bytes) else body  # aiohttp warns of large bytes
    async with session.request(method, service.url + path, data=data, headers=sent) as answer:
        content = await answer.read()
    assert 400 <= answer.status < 500, (answer.status, content[:500])
    if method != "HEAD":
        assert answer.headers["content-type"] == "application/json"
        assert refusal_of(path, orjson.loads(content)).strip()
    assert answer.headers["x-request-id"]
    return answer.status


async def expect_health(session: aiohttp.ClientSession, service: Service) -> None:
    """Every endpoint serves, and no request is still open anywhere."""
    for path, body in GOOD.items():
        async with session.post(service.url + path, json=body, headers=service.headers) as answer:
            assert answer.status == 200, (path, await answer.text())
            await answer.read()
    records = await service.records()
    assert {record["outcome"] for record in records} <= {"ok", "error"}
    assert all(record["status"] < 500 for record in records)
    assert service.gateway.metrics.in_flight == 0


@EVERY_ENDPOINT
async def test_what_is_no_json_object_is_a_bad_request(
    service: Service, session: aiohttp.ClientSession, path: str
) -> None:
    for what, body in {**WRONG_JSON, **spoiled(GOOD[path])}.items():
        assert await refused(session, service, path, body) == 400, what
    await expect_health(session, service)
    assert len(await service.records()) == len(GOOD), "what is refused at the door leaves no record"


@EVERY_ENDPOINT
async def test_a_missing_or_mistyped_field_is_a_bad_request(
    service: Service, session: aiohttp.ClientSession, path: str
) -> None:
    good = GOOD[path]
    for model in MODELS if "messages" in good else (good["model"],):
        body = {**good, "model": model}
        for name in body.keys() - {"dimensions"} - ({"model"} if path == "/v1/moderations" else set()):
            without = {key: value for key, value in body.items() if key != name}
            assert await refused(session, service, path, orjson.dumps(without)) == 400, name
        for name, value in wrong_fields(path):
            if path.endswith("count_tokens") and model == GPT and name == "messages" and value and value != "text":
                continue  # counted without a provider, by length alone
            wrong = json.dumps({**body, name: value}).encode()
            assert await refused(session, service, path, wrong) == 400, (model, name, value)
    await expect_health(session, service)


@EVERY_ENDPOINT
async def test_a_name_that_no_model_has_is_not_found(
    service: Service, session: aiohttp.ClientSession, path: str
) -> None:
    for name in NO_MODEL_NAMES:
        assert await refused(session, service, path, orjson.dumps({**GOOD[path], "model": name})) == 404, name[:50]
    await expect_health(session, service)


@EVERY_ENDPOINT
async def test_bytes_that_are_no_utf8_are_a_bad_request_whoever_serves_the_model(
    service: Service, session: aiohttp.ClientSession, path: str
) -> None:
    good = GOOD[path]
    for model in MODELS if "messages" in good else (good["model"],):
        body = orjson.dumps({**good, "model": model})
        spoilt = [body.replace(b"the", b"t\xffe").replace(b'"one"', b'"\xff"'), body[:-1] + b',"user":"\xed\xa0\x80"}']
        for wrong in spoilt:
            assert await refused(session, service, path, wrong) == 400, (model, wrong)
    await expect_health(session, service)


@EVERY_ENDPOINT
async def test_a_missing_or_malformed_key_is_unauthorized_before_the_body_is_judged(
    service: Service, session: aiohttp.ClientSession, path: str
) -> None:
    keys: list[dict[str, str]] = [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer ali_" + "a" * 46},
        {"authorization": "Bearer ação \N{GRINNING FACE}"},
        {"authorization": "Bearer " + "a" * 10_000},
        {"authorization": "' or '1'='1"},
        {"authorization": "Basic YTpi"},
        {"x-api-key": "' or 1=1 --"},
        {"x-api-key": service.tenant.secret.upper()},
    ]
    for headers in keys:
        for body in (b"", b"{", orjson.dumps(GOOD[path])):
            assert await refused(session, service, path, body, headers=headers) == 401, headers
    await expect_health(session, service)


async def test_a_wrong_method_or_path_is_told_in_the_paths_dialect(
    service: Service, session: aiohttp.ClientSession
) -> None:
    for path, good in GOOD.items():
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
            if (method, path) != ("GET", "/v1/chat/completions"):  # lists those that are kept
                assert await refused(session, service, path, None, method=method) == 405
        for wrong in (f"{path}/", f"{path}/none", f"{path}%00", path.upper().replace("/V1/MESSAGES", "/v1/messages/X")):
            changes_one = wrong == "/v1/chat/completions/none"  # a kept one's metadata: the body is judged first
            assert await refused(session, service, wrong, orjson.dumps(good)) == (400 if changes_one else 404), wrong
    for path in ("/v1", "/v1/none", "/none", "/v1/models/gpt-none", "/v1/models/%00", "/v1/models/%ff"):
        assert await refused(session, service, path, None, method="GET") == 404, path
    assert await refused(session, service, "/v1/models", b"{}") == 405
    await expect_health(session, service)


@EVERY_ENDPOINT
async def test_a_body_over_the_limit_is_refused_declared_or_not(
    serve: Serve, simulator: Simulator, session: aiohttp.ClientSession, path: str
) -> None:
    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(body), 700):
            yield body[at : at + 700]

    async with serve(**providers(simulator), max_body_bytes=2000) as service:
        for size in (2001, 1_000_000):
            body = orjson.dumps(GOOD[path]).ljust(size)
            assert await refused(session, service, path, body) == 413
            assert await refused(session, service, path, pieces(body)) == 413
        fitting = orjson.dumps(GOOD[path]).ljust(2000)
        for data in (fitting, pieces(fitting)):
            async with session.post(service.url + path, data=data, headers=service.headers) as answer:
                assert answer.status == 200
        await expect_health(session, service)


@EVERY_ENDPOINT
@pytest.mark.parametrize("depth", [100, 900, 1500])
async def test_depth_inside_the_content_never_fails_the_service(
    service: Service, session: aiohttp.ClientSession, path: str, depth: int
) -> None:
    nested: Any = orjson.Fragment(b"[" * depth + b"1" + b"]" * depth)
    objects: Any = orjson.Fragment(b'{"type":"text","text":' * depth + b"1" + b"}" * depth)
    for deep in (nested, objects):
        contents: list[dict[str, Any]] = [
            {"messages": [{"role": "user", "content": deep}]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": deep}]}]},
            {
                "messages": MESSAGES,
                "tools": [{"type": "function", "name": "a", "input_schema": deep, "function": deep}],
            },
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": deep}]}]},
        ]
        if "input" in GOOD[path]:
            contents = [{"input": deep}, {"input": [deep]}]
        for model in MODELS if "messages" in GOOD[path] else (GOOD[path]["model"],):
            for content in contents:
                await _expect_an_answer(session, service, path, orjson.dumps({**GOOD[path], "model": model, **content}))
    await expect_health(session, service)


async def _expect_an_answer(session: aiohttp.ClientSession, service: Service, path: str, body: bytes) -> None:
    """Either it is served, or refused in the dialect; a provider's failure would be the test's own."""
    headers = {"content-type": "application/json", **service.headers}
    async with session.post(service.url + path, data=body, headers=headers) as answer:
        content = await answer.read()
    assert answer.status < 500, (answer.status, content[:300], body[:2000])
    if answer.status >= 400:
        assert refusal_of(path, orjson.loads(content))


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["user", "assistant", "tool", "system", "text", "auto", "function", "data:image/png;base64,AA=="]),
)
_KEYS = st.sampled_from(
    [
        *("role", "content", "type", "text", "id", "name", "input", "source", "data", "media_type", "function"),
        *("arguments", "tool_calls", "tool_call_id", "tool_use_id", "image_url", "url", "file", "file_data", "title"),
        *("input_schema", "schema", "json_schema", "cache_control", "citations", "thinking", "signature", "refusal"),
        *("format", "budget_tokens"),
    ]
)
_BLOCKS = ["text", "image", "image_url", "document", "file", "tool_use", "tool_result", "thinking", "search_result"]
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=8,
)


def _object(kinds: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """An object that has some of the fields of `kinds`, and others that it should not have."""
    extra = st.dictionaries(_KEYS, _ANYTHING, max_size=3)
    return st.tuples(extra, st.fixed_dictionaries({}, optional=kinds)).map(lambda pair: {**pair[0], **pair[1]})


_BLOCK = _object({"type": st.sampled_from(_BLOCKS), "text": st.text(max_size=8), "source": _object({"data": _SCALARS})})
_CALL = _object({"id": _SCALARS, "type": st.just("function"), "function": _object({"name": _SCALARS})})
_MESSAGE = _object(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool", "developer", "function"]),
        "content": st.one_of(st.text(max_size=8), st.lists(_BLOCK, max_size=3), _ANYTHING),
        "tool_calls": st.one_of(st.lists(_CALL, max_size=2), _ANYTHING),
    }
)
_PARAMETERS = (
    *("tools", "tool_choice", "response_format", "output_config", "system", "stop", "stop_sequences", "temperature"),
    *("top_p", "top_k", "n", "max_tokens", "max_completion_tokens", "reasoning_effort", "thinking", "metadata", "user"),
    *("stream_options", "parallel_tool_calls", "service_tier", "logprobs", "functions", "modalities", "logit_bias"),
)
_BODY = st.fixed_dictionaries(
    {"messages": st.lists(_MESSAGE, min_size=1, max_size=4)},
    optional={
        **dict.fromkeys(_PARAMETERS, _ANYTHING),
        "tools": st.lists(
            _object({"type": st.sampled_from(["function", "custom"]), "function": _ANYTHING}), max_size=2
        ),
        "max_tokens": st.one_of(st.integers(1, 50), st.integers(1, 50), _SCALARS),
        "stream": st.booleans(),
    },
)


@settings(
    max_examples=20,  # each is four requests
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a failure prints its request: shrinking would take minutes
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(body=_BODY)
async def test_no_body_fails_the_service_in_its_own_dialect_or_across(
    service: Service, session: aiohttp.ClientSession, body: dict[str, Any]
) -> None:
    for path in CHATTY:
        for model in (GPT, CLAUDE):
            document = {"max_tokens": 20, **body, "model": model}
            await _expect_an_answer(session, service, path, json.dumps(document).encode())
