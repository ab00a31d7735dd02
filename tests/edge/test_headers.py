"""Every answer tells browsers to keep out, whatever serves it and however it went."""

import pytest

from ali.kernel.edge.headers import missing
from tests.edge.wire import request, talk
from tests.fixtures.service import Serve

EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
HELLO = b'"max_tokens":50,"messages":[{"role":"user","content":"The sky is blue. Which colour?"}]}'


async def test_every_kind_of_answer_has_the_headers_once(serve: Serve) -> None:
    async with serve() as service:
        key, json = f"Authorization: Bearer {service.tenant.secret}", "Content-Type: application/json"
        answers = {
            "health": (200, request()),
            "unknown": (404, request("GET", "/none")),
            "listing": (200, request("GET", "/v1/models", key)),
            "no key": (401, request("GET", "/v1/models")),
            "method": (405, request("GET", "/v1/messages")),
            "hot": (200, request("POST", "/v1/messages", key, json, body=b'{"model":"ali-extractive",' + HELLO)),
            "hot, no key": (401, request("POST", "/v1/messages", json, body=b"{}")),
            "hot, malformed": (400, request("POST", "/v1/chat/completions", key, json, body=b"{")),
            "kind": (415, request("POST", "/v1/messages", key, "Content-Type: text/plain", body=b"{}")),
            "malformed": (400, request("GET", "/healthz", "Host: another")),
        }  # fmt: skip
        for name, (status, sent) in answers.items():
            got = await talk(service, sent)
            assert got.statuses == [status], name
            assert got.headers.items() >= EVERYWHERE.items(), name
            assert "camera=()" in got.headers["permissions-policy"], name
            assert "strict-transport-security" not in got.headers, name
            if status >= 400:
                assert got.headers["x-request-id"].startswith("req_"), name
        stream = b'{"model":"ali-extractive","stream":true,' + HELLO
        got = await talk(service, request("POST", "/v1/chat/completions", key, json, body=stream))
        assert got.headers.items() >= {**EVERYWHERE, "cache-control": "no-cache"}.items()


async def test_https_is_remembered_by_browsers_where_a_trusted_proxy_says_so(serve: Serve) -> None:
    sent = request("GET", "/healthz", "X-Forwarded-Proto: https")
    async with serve(trusted_proxies=["127.0.0.0/8"]) as service:
        assert (await talk(service, sent)).headers["strict-transport-security"] == "max-age=31536000"
        assert "strict-transport-security" not in (await talk(service, request())).headers
    async with serve() as service:
        assert "strict-transport-security" not in (await talk(service, sent)).headers


@pytest.mark.parametrize("name", ["content-security-policy", "cache-control"])
def test_a_page_that_sets_its_own_policy_keeps_it(name: str) -> None:
    own = [(b"content-type", b"text/html"), (name.encode(), b"its own")]
    names = [found.decode() for found, _ in missing(own, https=True)]
    assert name not in names
    assert set(EVERYWHERE) - {name} < set(names)
