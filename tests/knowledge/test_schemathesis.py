"""What the OpenAPI document says of files and vector stores, asked of the service by schemathesis: nothing fails it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import openai
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case

from ali.app import create_app
from ali.kernel.settings import Settings
from tests.fixtures.database import HMAC_SECRET, make_tenant
from tests.fixtures.service import Service, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES: Final = 20
"""Of each operation, and as many that break the schema."""
SLOWEST_S: Final = 10.0
OURS: Final = ("/v1/vector_stores", "/v1/files", "/v1/uploads")


@cache
def described() -> Any:  # noqa: ANN401 - schemathesis' own schema
    """The service's document, as it is served."""
    values = Settings.model_validate({"home": Path("/nowhere"), "openai_api_key": None, "anthropic_api_key": None})
    return schemathesis.openapi.from_dict(create_app(values, hmac_secret=HMAC_SECRET.encode()).api.openapi())


def operations() -> list[tuple[str, str]]:
    found = [result.ok() for result in described().get_all_operations()]
    return [(each.method.upper(), each.path) for each in found if each.path.startswith(OURS)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with running(make_tenant(worker_dsn), tmp_path_factory.mktemp("fuzzed"), drain_s=1) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def names(service: Service) -> Mapping[str, str]:
    """Identifiers of things that are there, by the path parameter that takes them."""
    async with openai.AsyncOpenAI(base_url=service.openai_base_url, api_key=service.tenant.secret) as client:
        file = await client.files.create(file=("a.txt", b"Something is said here."), purpose="assistants")
        store = await client.vector_stores.create(name="Fuzzed")
        batch = await client.vector_stores.file_batches.create_and_poll(
            store.id, file_ids=[file.id], poll_interval_ms=100
        )
        upload = await client.uploads.create(filename="a.txt", bytes=5, mime_type="text/plain", purpose="assistants")
    return {"file_id": file.id, "vector_store_id": store.id, "batch_id": batch.id, "upload_id": upload.id}


async def test_files_uploads_and_vector_stores_are_all_described() -> None:
    assert len(operations()) >= 25


@pytest.mark.parametrize(("method", "path"), operations())
@settings(
    max_examples=2 * EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
@given(data=st.data())
async def test_whatever_is_sent_is_answered_or_refused_in_the_dialects_envelope(
    service: Service, names: Mapping[str, str], method: str, path: str, data: st.DataObject
) -> None:
    operation = described()[path][method]
    mode = data.draw(st.sampled_from(list(schemathesis.GenerationMode)))
    case: Case[Any] = data.draw(operation.as_strategy(generation_mode=mode))
    keeps = method != "DELETE" and data.draw(st.booleans())
    for name in case.path_parameters or {}:
        if keeps and name in names:
            case.path_parameters[name] = names[name]
    if keeps and isinstance(case.body, dict) and "file_id" in case.body:
        case.body["file_id"] = names["file_id"]
    answer = await asyncio.to_thread(case.call, base_url=service.url, headers=service.headers, timeout=SLOWEST_S)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert error["message"]
        assert error["code"]
        assert error["type"]
