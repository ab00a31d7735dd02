"""What the doorway lets in: bodies by kind, size and depth, and hosts.

Bodies go to a small application on the real doorway, because which ordinary operations of the service take one changes.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from ali.kernel.edge import Doorway, EdgeRules, JsonTooDeep
from ali.kernel.edge.bodies import MOST_DEPTH, check_depth
from ali.kernel.web import answer_errors
from tests.edge.wire import Answers, request, talk
from tests.fixtures.service import Serve

JSON = (b"content-type", b"application/json")
UPLOAD = (b"content-type", b"application/octet-stream")
FORM = (b"content-type", b"multipart/form-data; boundary=b")
RULES = EdgeRules(hot_paths={"/hot"}, max_body_bytes=4000, max_json_bytes=1000)


def _application() -> FastAPI:
    api = FastAPI()
    answer_errors(api)

    @api.post("/json")
    async def _json(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        return {"taken": len(json.dumps(body))}

    @api.post("/upload")
    async def _upload(request: Request) -> dict[str, int]:
        return {"taken": sum([len(chunk) async for chunk in request.stream()])}

    @api.post("/empty")
    async def _empty() -> dict[str, int]:
        return {"taken": 0}

    @api.post("/hot")
    async def _hot(request: Request) -> dict[str, int]:
        return {"taken": len(await request.body())}

    return api


async def post(path: str, parts: Sequence[bytes], *headers: tuple[bytes, bytes]) -> tuple[int, Any]:
    """Status and document of one request, its body in `parts`."""
    waiting = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]
    sent: list[Any] = []

    async def receive() -> Any:  # noqa: ANN401 - ASGI
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"a"), *headers],
        "scheme": "http",
        "server": ("a", 80),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
    }
    await Doorway(_application(), RULES)(scope, receive, send)
    (start,) = [message for message in sent if message["type"] == "http.response.start"]
    assert dict(start["headers"])[b"x-content-type-options"] == b"nosniff"
    body = b"".join(message["body"] for message in sent if message["type"] == "http.response.body")
    return start["status"], json.loads(body)


def length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % size)


async def test_a_json_body_up_to_its_limit_is_taken_whole_or_in_pieces() -> None:
    body = json.dumps({"a": "a" * 991}).encode()
    assert await post("/json", [body], JSON, length(1000)) == (200, {"taken": 1000})
    assert await post("/json", [body[:300], body[300:301], body[301:]], JSON) == (200, {"taken": 1000})
    assert await post("/empty", [b""]) == (200, {"taken": 0})


@pytest.mark.parametrize("kind", [[JSON], [], [(b"content-type", b"application/merge-patch+json; charset=utf-8")]])
async def test_a_larger_json_body_is_refused_declared_or_not(kind: list[tuple[bytes, bytes]]) -> None:
    body = json.dumps({"a": "a" * 992}).encode()
    for sent in ([body], [body[:999], body[999:]]):
        for headers in ([length(1001)], []):
            status, document = await post("/json", sent, *kind, *headers)
            assert (status, document["error"]["code"]) == (413, "request_too_large")
    assert (await post("/json", [], *kind, length(10**19)))[0] == 413


async def test_an_upload_has_the_larger_limit_and_is_cut_off_while_it_comes() -> None:
    assert await post("/upload", [b"a" * 2000] * 2, FORM) == (200, {"taken": 4000})
    for headers in ([], [length(4001)]):
        status, document = await post("/upload", [b"a" * 2000, b"a" * 2001], FORM, *headers)
        assert (status, document["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/json", [(b"content-type", b"text/plain")], 415),
        ("/json", [(b"content-type", b"application/xml")], 415),
        ("/json", [(b"content-type", b"")], 415),
        ("/json", [(b"content-type", b"application/json/x")], 415),
        ("/json", [JSON, (b"content-encoding", b"gzip")], 415),
        ("/json", [(b"content-type", b"application/x-www-form-urlencoded")], 400),
        ("/json", [(b"content-type", b"Application/JSON; charset=utf-8")], 200),
        ("/json", [JSON, (b"content-encoding", b"identity")], 200),
        ("/hot", [(b"content-type", b"text/plain")], 415),
        ("/hot", [FORM], 415),
        ("/hot", [JSON, (b"content-encoding", b"gzip")], 415),
        ("/hot", [UPLOAD], 200),
        ("/hot", [JSON], 200),
        ("/hot", [], 200),
    ],
)
async def test_a_body_of_another_kind_is_refused(path: str, headers: list[tuple[bytes, bytes]], status: int) -> None:
    assert (await post(path, [b"{}"], *headers))[0] == status


async def test_the_kind_of_a_body_that_is_not_there_does_not_matter() -> None:
    assert (await post("/json", [b""], UPLOAD, length(0)))[0] != 415
    assert (await post("/json", [b"1"], (b"content-type", b"application/xml"), length(1)))[0] == 415


async def test_a_body_is_refused_in_the_callers_dialect() -> None:
    wrong = (b"content-type", b"text/plain")
    for path, headers in (("/v1/messages/none", []), ("/json", [(b"anthropic-version", b"2023-06-01")])):
        _, document = await post(path, [b"{}"], wrong, *headers)
        assert document["type"] == "error"
        assert document["request_id"].startswith("req_")


@pytest.mark.parametrize("depth", [1, MOST_DEPTH])
@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":"]\\"}"},', b"]")])
def test_a_body_up_to_the_depth_is_taken(depth: int, left: bytes, right: bytes) -> None:
    check_depth(left * (depth - 1) + b"[1]" + right * (depth - 1))
    check_depth(b"[" + b",".join([b"[{}]"] * 500) + b"]")
    check_depth(b'{"a": "' + b"[{" * 1000 + b'\\"' + b'"}')


@pytest.mark.parametrize(
    "body",
    [
        b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1),
        b'{"a":' * (MOST_DEPTH + 1) + b"1" + b"}" * (MOST_DEPTH + 1),
        b'[{"a":' * MOST_DEPTH + b"1" + b"}]" * MOST_DEPTH,
        b"[" * 500_000,
        b"]" * 100 + b"[" * 100,
        b'["\\\\",' + b"[" * 100 + b"]" * 100 + b"]",
    ],
)
def test_a_deeper_body_is_refused(body: bytes) -> None:
    with pytest.raises(JsonTooDeep):
        check_depth(body)


@given(st.lists(st.text(alphabet='[]{}"\\a'), max_size=20))
def test_no_text_within_json_is_taken_for_depth(texts: list[str]) -> None:
    check_depth(json.dumps([[[]] * MOST_DEPTH, *({text: [text]} for text in texts)]).encode())


async def test_a_body_that_is_too_deep_reaches_no_operation() -> None:
    status, document = await post("/json", [b"[" * 80, b"]" * 80], JSON)
    assert (status, document["error"]["code"]) == (400, "json_too_deep")


HOSTS = (
    "ali.test",
    "localhost",
    "127.0.0.1",
    "evil.test:8000",
    "[::1]:8000",
    "metadata.google.internal",
    "admin",
    "a" * 200,
    "",
)


async def test_no_host_changes_authorization_or_the_body_of_any_answer(serve: Serve) -> None:
    """A `Host` header got past LiteLLM's authorization (CVE-2026-49468)."""
    async with serve() as service:
        keys = {
            "good": f"Authorization: Bearer {service.tenant.secret}",
            "wrong": "Authorization: Bearer ali_" + "a" * 46,
            "none": "X: y",
        }
        paths = ["/healthz", "/healthz/", "/v1/models", "/v1/models/", "/metrics", "/openapi.json", "/none"]
        for path in paths:
            for key in keys.values():
                answers = [await talk(service, request("GET", path, key, host=host)) for host in HOSTS]
                assert len({_told(each) for each in answers}) == 1, path
                assert not any("location" in each.headers for each in answers), path
        hot = b'{"model":"gpt-none","max_tokens":5,"messages":[{"role":"user","content":"a"}]}'
        for path in ("/v1/chat/completions", "/v1/messages"):
            for name, status in (("good", 404), ("wrong", 401), ("none", 401)):
                answers = [
                    await talk(
                        service, request("POST", path, keys[name], "X-Forwarded-Host: admin", host=host, body=hot)
                    )
                    for host in HOSTS
                ]
                assert {tuple(each.statuses) for each in answers} == {(status,)}
                assert len({_told(each) for each in answers}) == 1


COUNTS = ("_seconds", "in_flight", "ali_requests_total", "ali_requests_created")
"""What `/metrics` says of the very requests that ask for it."""


def _told(answers: Answers) -> tuple[list[int] | str, ...]:
    """Statuses and body, without what differs in any two answers."""
    document = answers.data.partition(b"\r\n\r\n")[2].decode()
    request_id = answers.headers.get("x-request-id", "none")
    body = document.replace(request_id, "")
    stable = "\n".join(line for line in body.splitlines() if not any(word in line for word in COUNTS))
    return (str(answers.statuses), stable)


async def test_where_hosts_are_listed_another_is_not_served(serve: Serve) -> None:
    async with serve(trusted_hosts=["api.example.com", "*.example.org", "[::1]"]) as service:
        for host in (
            "api.example.com",
            "API.example.com:8443",
            "a.example.org",
            "a.b.example.org:1",
            "[::1]:80",
            "[::1]",
        ):
            assert (await talk(service, request(host=host))).statuses == [200], host
        for host in ("example.com", "example.org", "evilexample.org", "api.example.com.evil.test", "127.0.0.1", ""):
            refused = await talk(service, request(host=host))
            assert refused.statuses == [421], host
            assert refused.document["error"]["code"] == "host_not_served"
