"""CORS: closed by default, open for the origins that the operator names, and never for any with credentials."""

import pytest
from pydantic import ValidationError

from ali.kernel.settings import Settings
from tests.edge.wire import Answers, request, talk
from tests.fixtures.service import Serve, Service

APP = "https://app.example.com"
PAGE = f"Origin: {APP}"


async def _preflight(service: Service, *headers: str, path: str = "/v1/chat/completions") -> Answers:
    return await talk(service, request("OPTIONS", path, *headers))


def _cors(answers: Answers) -> dict[str, str]:
    return {name: value for name, value in answers.headers.items() if name.startswith("access-control-")}


async def test_nothing_is_open_by_default(serve: Serve) -> None:
    async with serve() as service:
        for sent in (request("GET", "/healthz", PAGE), request("GET", "/v1/models", PAGE)):
            assert _cors(await talk(service, sent)) == {}
        answers = await _preflight(service, PAGE, "Access-Control-Request-Method: POST")
        assert answers.statuses == [405]
        assert _cors(answers) == {}


async def test_a_named_origin_may_call_and_read_what_sdks_read(serve: Serve) -> None:
    async with serve(cors_origins=[APP]) as service:
        key = f"Authorization: Bearer {service.tenant.secret}"
        for sent, status in (
            (request("GET", "/v1/models", PAGE, key), 200),
            (request("GET", "/v1/models", PAGE), 401),
            (request("POST", "/v1/messages", PAGE, body=b"{}"), 401),
            (request("POST", "/v1/messages", PAGE, "Content-Type: text/plain", body=b"{}"), 415),
        ):
            answers = await talk(service, sent)
            assert answers.statuses == [status]
            assert answers.headers["access-control-allow-origin"] == APP
            assert "access-control-allow-credentials" not in answers.headers
            assert answers.headers["vary"] == "Origin"
            exposed = answers.headers["access-control-expose-headers"].split(", ")
            wanted = {"x-request-id", "request-id", "retry-after", "x-ratelimit-remaining-requests"}
            assert wanted | {"anthropic-ratelimit-requests-reset", "x-ali-error-code"} <= set(exposed)


async def test_a_preflight_is_answered_without_a_key(serve: Serve) -> None:
    async with serve(cors_origins=[APP], cors_credentials=True) as service:
        asks = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,x-stainless-os")
        for path in ("/v1/chat/completions", "/v1/models", "/none"):
            answers = await _preflight(service, PAGE, *asks, path=path)
            assert answers.statuses == [200]
            assert answers.headers["access-control-allow-origin"] == APP
            assert answers.headers["access-control-allow-credentials"] == "true"
            assert answers.headers["access-control-allow-headers"] == "authorization,x-stainless-os"
            assert "POST" in answers.headers["access-control-allow-methods"]
            assert "Origin" in answers.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.com",
        "https://evilapp.example.com",
        "https://APP.example.com",
        "null",
        "",
    ],
)
async def test_another_origin_is_refused_in_the_callers_dialect(serve: Serve, origin: str) -> None:
    async with serve(cors_origins=[APP]) as service:
        answers = await talk(service, request("GET", "/healthz", f"Origin: {origin}"))
        assert "access-control-allow-origin" not in answers.headers
        assert answers.headers["vary"] == "Origin"
        asks = (f"Origin: {origin}", "Access-Control-Request-Method: POST")
        refused = await _preflight(service, *asks)
        assert refused.statuses == [400]
        assert "access-control-allow-origin" not in refused.headers
        assert refused.document["error"]["code"] == "origin_refused"
        refused = await _preflight(service, *asks, "Access-Control-Request-Headers: anthropic-version")
        assert refused.document["type"] == "error"
        assert refused.headers["x-request-id"] == refused.document["request_id"]


async def test_an_answer_without_an_origin_says_that_it_depends_on_it(serve: Serve) -> None:
    async with serve(cors_origins=[APP]) as service:
        answers = await talk(service, request())
        assert answers.headers["vary"] == "Origin"
        assert _cors(answers) == {}


async def test_any_origin_may_be_allowed_but_never_with_credentials(serve: Serve) -> None:
    async with serve(cors_origins=["*"]) as service:
        answers = await talk(service, request("GET", "/healthz", PAGE))
        assert answers.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answers.headers
    with pytest.raises(ValidationError, match="ALI_CORS_CREDENTIALS"):
        Settings.model_validate({"cors_origins": ["*"], "cors_credentials": True})


@pytest.mark.parametrize(
    "origins",
    [
        ["https://app.example.com/"],
        ["app.example.com"],
        ["https://*.example.com"],
        ["null"],
        ["*", APP],
        ["HTTPS://A.B"],
    ],
)
def test_what_is_no_origin_stops_the_start(origins: list[str]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"cors_origins": origins})
