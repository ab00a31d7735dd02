"""What every ordinary request gets, whatever it asks: an identifier, a log line, a count."""

import aiohttp
import psycopg
import pytest

from tests.fixtures.database import issue_key
from tests.fixtures.service import Serve


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 200),
        ("GET", "/v1/models/none", 404),
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/models", 405),
        ("GET", "/healthz", 200),
    ],
)
async def test_every_answer_is_named_and_timed(serve: Serve, method: str, path: str, status: int) -> None:
    async with serve() as service, aiohttp.ClientSession(headers=service.headers) as session:
        names = set()
        for _ in range(2):
            async with session.request(method, service.url + path) as response:
                assert response.status == status
                assert response.headers["x-request-id"] == response.headers["request-id"]
                assert response.headers["x-request-id"].startswith("req_")
                assert int(response.headers["openai-processing-ms"]) >= 0
                names.add(response.headers["x-request-id"])
        assert len(names) == 2


async def test_the_audit_record_names_the_request_as_its_answer_does(serve: Serve) -> None:
    async with serve() as service:
        key = issue_key(service.tenant, role="owner", everywhere=True)
        async with (
            aiohttp.ClientSession(headers=key.headers) as session,
            session.post(f"{service.url}/v1/organization/projects", json={"name": "New"}) as response,
        ):
            assert response.status == 200
            name = response.headers["x-request-id"]
        with psycopg.connect(service.tenant.dsn) as connection:
            found = connection.execute(
                "select request_id from ali.audit_event where organization_id = %s", (service.tenant.organization_id,)
            ).fetchall()
        assert found == [(name,)]


async def test_ordinary_requests_are_counted_by_operation_and_never_by_path(serve: Serve) -> None:
    async with serve() as service:
        async with aiohttp.ClientSession(headers=service.headers) as session:
            for path in ("/v1/models", "/v1/models/a-model-of-mine", "/v1/secret-path"):
                async with session.get(service.url + path) as response:
                    await response.read()
            async with session.get(f"{service.url}/metrics") as response:
                text = await response.text()
        assert 'ali_requests_total{operation="list_models",outcome="ok"} 1.0' in text
        assert 'ali_requests_total{operation="retrieve_model",outcome="refused"} 1.0' in text
        assert 'ali_requests_total{operation="unknown",outcome="refused"} 1.0' in text
        assert "a-model-of-mine" not in text
        assert "secret-path" not in text
