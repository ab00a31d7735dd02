"""Files on the command line: the same store, for who sits at the installation."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from ali.cli import app
from ali.kernel.errors import AliError
from tests.files.ground import objects_in, rows_of
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant

Run = Callable[..., Result]


@pytest.fixture
def tenant(database_dsn: str) -> Tenant:
    """The only organization of its database."""
    return make_tenant(database_dsn)


@pytest.fixture
def ali(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`ali files` with these arguments, as the operator runs it."""
    monkeypatch.setenv("ALI_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", tenant.dsn)
    monkeypatch.setenv("ALI_API_KEY_HMAC_SECRET", HMAC_SECRET)
    monkeypatch.setenv("ALI_MAX_PROJECT_FILE_BYTES", "5000000")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["files", *map(str, arguments)])

    return run


def said(result: Result) -> str:
    """What it answered. It must have succeeded."""
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.strip()


def refused(result: Result) -> str:
    """The code of the expected failure."""
    assert isinstance(result.exception, AliError), result.exception
    return result.exception.error_code


def test_files_are_uploaded_listed_downloaded_and_deleted(ali: Run, tenant: Tenant, tmp_path: Path) -> None:
    content = b"a line\n" * 300_000
    for name in ("Relatório.txt", "the same.txt"):
        (tmp_path / name).write_bytes(content)
    lines = said(ali("upload", tmp_path / "Relatório.txt", tmp_path / "the same.txt", "--purpose", "assistants"))
    ids = [line.split()[0] for line in lines.splitlines()]
    assert len(ids) == 2
    shown = said(ali("list")).splitlines()
    assert [line.split()[0] for line in shown] == ids[::-1]
    assert "Relatório.txt" in shown[1]
    assert "assistants" in shown[1]
    assert str(len(content)) in shown[1]
    assert said(ali("list", "--purpose", "batch")) == ""
    assert len(objects_in(tmp_path)) == 1
    assert refused(ali("download", ids[0])) == "invalid_request"
    assert said(ali("download", ids[0], "-o", "copy.txt")) == "copy.txt"
    assert (tmp_path / "copy.txt").read_bytes() == content
    (tmp_path / "the same.txt").unlink()
    assert said(ali("download", ids[1])) == "the same.txt"
    assert said(ali("delete", *ids)) == "Deleted."
    assert said(ali("list")) == ""
    assert {state for _, state, *_ in rows_of(tenant)} == {"gone"}
    with psycopg.connect(tenant.dsn) as connection:
        found = connection.execute(
            "select target_id from ali.audit_event where action = 'file.deleted' and actor_kind = 'operator'"
            " order by id"
        ).fetchall()
    assert [name for (name,) in found] == ids


def test_what_cannot_be_done_is_said_and_leaves_nothing(ali: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    (tmp_path / "large.txt").write_bytes(b"x" * 5_000_001)
    assert refused(ali("upload", "a.txt", "--purpose", "nothing")) == "invalid_request"
    assert refused(ali("upload", "large.txt")) == "storage_quota_exceeded"
    assert refused(ali("download", "file-0")) == "file_not_found"
    assert refused(ali("delete", "file-0")) == "file_not_found"
    assert ali("upload", "missing.txt").exit_code == 2
    assert objects_in(tmp_path) == []
