"""Files as Anthropic's SDK uses them, in beta and outside, and beside OpenAI's: one file by one identifier."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anthropic
import openai
import psycopg
import pytest
from anthropic.types import FileMetadata
from anthropic.types.beta import BetaFileMetadata

from tests.contract.judges import anthropic_client, held_to
from tests.files.ground import objects_in
from tests.fixtures.database import make_tenant
from tests.fixtures.service import Serve, Service
from tests.tenancy.wire import Request, ask

VERSION = ("anthropic-version", "2023-06-01")


@pytest.fixture(params=["beta", "outside beta"])
def resource(claude: anthropic.AsyncAnthropic, request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - two of the SDK's that do the same
    """`files` of the SDK."""
    return claude.beta.files if request.param == "beta" else claude.files


async def test_a_file_is_uploaded_listed_retrieved_read_and_deleted(
    resource: Any,  # noqa: ANN401 - as above
    files: Service,
    tmp_path: Path,
) -> None:
    made = await resource.upload(file=("folder/Relatório.pdf", b"%PDF-1.4 not much of one", "application/pdf"))
    assert made.id.startswith("file-")
    assert (made.type, made.filename, made.mime_type) == ("file", "Relatório.pdf", "application/pdf")
    assert (made.size_bytes, made.downloadable, made.expires_at) == (24, True, None)
    assert abs(made.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert await resource.retrieve_metadata(made.id) == made
    assert [each.id async for each in resource.list()] == [made.id]
    assert await (await resource.download(made.id)).read() == b"%PDF-1.4 not much of one"
    gone = await resource.delete(made.id)
    assert (gone.id, gone.type) == (made.id, "file_deleted")
    for call in (resource.retrieve_metadata(made.id), resource.download(made.id), resource.delete(made.id)):
        with pytest.raises(anthropic.NotFoundError) as refusal:
            await call
        assert refusal.value.type == "not_found_error"
    await files.app.api.state.files.sweep()
    assert objects_in(tmp_path) == []


async def test_files_are_what_the_sdk_defines(files: Service) -> None:
    async with anthropic_client(files) as strict:
        made = await strict.files.upload(file=("a.txt", b"x"), expires_in_seconds=3600)
        assert [each.id async for each in strict.files.list()] == [made.id]
        assert [each.id async for each in strict.beta.files.list()] == [made.id]
    request = Request(method="GET", target=f"/v1/files/{made.id}", headers=(VERSION,))
    body = (await ask(files.url, request, secret=files.tenant.secret)).body
    for kind in (FileMetadata, BetaFileMetadata):
        held_to(kind, body)


async def test_both_dialects_see_one_file(client: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic) -> None:
    made = await claude.files.upload(file=("notes.md", b"# Notes"))
    seen = await client.files.retrieve(made.id)
    assert (seen.id, seen.purpose, seen.filename, seen.bytes) == (made.id, "user_data", "notes.md", 7)
    other = await client.files.create(file=("b.txt", b"text"), purpose="assistants")
    shown = await claude.files.retrieve_metadata(other.id)
    assert (shown.filename, shown.mime_type, shown.size_bytes) == ("b.txt", "text/plain", 4)
    assert {each.id async for each in claude.files.list()} == {made.id, other.id}


async def test_lists_have_pages_in_both_forms_and_are_narrowed_to_ids(
    files: Service, claude: anthropic.AsyncAnthropic
) -> None:
    made = [(await claude.files.upload(file=(f"{each}.txt", b"x"))).id for each in range(5)][::-1]
    assert [each.id async for each in claude.files.list(limit=2)] == made
    first = await claude.files.list(limit=2)
    assert (first.next_page, [each.id for each in first.data]) == (f"page_{made[1][-32:]}", made[:2])
    assert (await claude.files.list(limit=5)).next_page is None
    chosen = await claude.files.list(ids=[made[3], made[1], "file-of-nobody"])
    assert ([each.id for each in chosen.data], chosen.next_page) == ([made[1], made[3]], None)
    assert (await claude.beta.files.list(scope_id="session_1")).data == []

    async def page(query: str) -> dict[str, Any]:
        request = Request(method="GET", target=f"/v1/files?{query}", headers=(VERSION,))
        found: dict[str, Any] = (await ask(files.url, request, secret=files.tenant.secret)).json()
        return found

    def ids(found: dict[str, Any]) -> Sequence[str]:
        return [each["id"] for each in found["data"]]

    after = await page(f"limit=2&after_id={made[1]}")
    assert ids(after) == made[2:4]
    assert (after["has_more"], after["first_id"], after["last_id"]) == (True, made[2], made[3])
    before = await page(f"limit=2&before_id={made[3]}")
    assert (ids(before), before["has_more"]) == (made[1:3], True)
    assert (await page("ids[]=file-x"))["first_id"] is None
    for query in ("limit=1001", "limit=0", "page=x", "after_id=x", f"ids[]={made[0]}&limit=3"):
        assert (await page(query))["error"]["type"] == "invalid_request_error"


async def test_a_file_expires_when_it_was_said_to(files: Service, claude: anthropic.AsyncAnthropic) -> None:
    made = await claude.files.upload(file=("a.txt", b"x"), expires_in_seconds=7_776_000)
    assert made.expires_at is not None
    assert abs(made.expires_at - made.created_at - timedelta(days=90)) < timedelta(seconds=3)
    for seconds in (3599, 7_776_001):
        with pytest.raises(anthropic.BadRequestError, match="expires_in_seconds"):
            await claude.files.upload(file=("a.txt", b"x"), expires_in_seconds=seconds)
    with psycopg.connect(files.tenant.dsn, autocommit=True) as connection:
        connection.execute("update ali.file set expires_at = now() where id = %s", (made.id[-32:],))
    with pytest.raises(anthropic.NotFoundError):
        await claude.files.download(made.id)


@pytest.mark.parametrize(
    ("disposition", "content_type", "name", "shown_type"),
    [
        ('filename=""', "application/pdf", "unnamed.pdf", "application/pdf"),
        ("", "text/plain; charset=utf-8", "unnamed.txt", "text/plain"),
        ('filename="C:\\\\folder\\\\a.txt"', "", "a.txt", "text/plain"),
        ('filename="../.."', "", "unnamed", "application/octet-stream"),
        ('filename="a.pdf"', "no media type", "a.pdf", "application/pdf"),
    ],
)
async def test_a_name_is_the_last_of_its_path_or_made_up(
    files: Service, disposition: str, content_type: str, name: str, shown_type: str
) -> None:
    head = f'content-disposition: form-data; name="file"{"; " if disposition else ""}{disposition}\r\n'
    if content_type:
        head += f"content-type: {content_type}\r\n"
    request = Request(
        method="POST",
        target="/v1/files",
        headers=(VERSION, ("content-type", "multipart/form-data; boundary=b")),
        body=f"--b\r\n{head}\r\nx\r\n--b--\r\n".encode(),
    )
    made = (await ask(files.url, request, secret=files.tenant.secret)).json()
    assert (made["filename"], made["mime_type"]) == (name, shown_type)


async def test_refusals_are_in_anthropics_envelope(serve: Serve, claude: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        await claude.files.retrieve_metadata("file_011CNha8iCJcU1wXNR6q4V8w")
    assert isinstance(missing.value.body, dict)
    assert missing.value.body["type"] == "error"
    async with serve(drain_s=1, max_project_file_bytes=2000, max_file_bytes=1500) as files:
        stranger = make_tenant(files.tenant.dsn)
        async with anthropic.AsyncAnthropic(base_url=files.url, api_key=stranger.secret, max_retries=0) as other:
            with pytest.raises(anthropic.APIStatusError) as large:
                await other.files.upload(file=("a", b"x" * 1501))
            assert (large.value.status_code, large.value.type) == (413, "request_too_large")
            made = await other.files.upload(file=("a", b"x" * 1500))
            with pytest.raises(anthropic.types.StorageQuotaExceededError):
                await other.files.upload(file=("a", b"y" * 1500))
        async with anthropic.AsyncAnthropic(base_url=files.url, api_key=files.tenant.secret, max_retries=0) as own:
            for call in (own.files.retrieve_metadata(made.id), own.files.download(made.id), own.files.delete(made.id)):
                with pytest.raises(anthropic.NotFoundError):
                    await call
