"""`ali database`, as a person calls it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ali.cli.database import app
from ali.migrations import HEAD
from ali.ops import database
from tests.fixtures.database import temporary_home


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with temporary_home() as folder:
        monkeypatch.delenv("DATABASE_URL", raising=False)
        monkeypatch.setenv("ALI_HOME", str(folder))
        yield folder


@pytest.fixture
def command() -> CliRunner:
    return CliRunner()


def test_status_of_a_fresh_home_makes_nothing_and_says_what_does(home: Path, command: CliRunner) -> None:
    result = command.invoke(app, ["status"])
    assert result.exit_code == 1
    assert "`ali serve`" in result.stdout
    assert not any(home.iterdir())


def test_migrate_starts_what_is_needed_and_status_shows_it(home: Path, command: CliRunner) -> None:
    assert f"The schema is at {HEAD}." in command.invoke(app, ["migrate"]).stdout
    shown = command.invoke(app, ["status", "--check"])
    assert shown.exit_code == 0
    assert "PostgreSQL 18." in shown.stdout
    assert f"schema    {HEAD}\n" in shown.stdout


def test_check_fails_where_the_schema_is_behind(
    empty_database_dsn: str, monkeypatch: pytest.MonkeyPatch, command: CliRunner
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_dsn)
    assert f"none, this release needs {HEAD}" in command.invoke(app, ["status"]).stdout
    assert isinstance(command.invoke(app, ["status", "--check"]).exception, database.SchemaBehind)
