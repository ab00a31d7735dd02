"""The command line's own part: lazy commands, exit codes, and failures that are explained."""

import subprocess
import sys

import pytest
import typer

from ali.cli import COMMANDS, Command, explained, fail_explained, parser_of
from ali.kernel.errors import Unavailable
from ali.kernel.settings import Settings


def test_the_help_lists_every_command_and_imports_none() -> None:
    script = (
        "import sys, atexit, ali.cli\n"
        "sys.argv = ['ali', '--help']\n"
        "atexit.register(lambda: print('LOADED', *sorted(sys.modules)))\n"
        "ali.cli.main()\n"
    )
    done = subprocess.run(  # noqa: S603 - the program under test
        [sys.executable, "-P", "-c", script], check=True, capture_output=True, text=True, timeout=60
    )
    help_text, _, loaded = done.stdout.partition("LOADED")
    assert all(f"  {name} " in help_text for name in COMMANDS)
    assert not {"pydantic", "psycopg", "sqlalchemy", "fastapi", "rich", *(c.module for c in COMMANDS.values())} & set(
        loaded.split()
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_says_what_it_does(name: str) -> None:
    parser = parser_of(COMMANDS[name], name=name)
    context = typer.Context(parser, info_name=name)
    assert parser.get_help(context).startswith(f"Usage: {name} ")
    assert COMMANDS[name].help.endswith(".")


def test_a_command_of_a_slice_looks_like_all_others() -> None:
    parser = parser_of(Command(module="ali.features.keys.cli.keys", attribute="app", help=""), name="keys")
    assert "--install-completion" not in parser.get_help(typer.Context(parser, info_name="keys"))


def test_an_expected_failure_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_, fail_explained():
        raise Unavailable("The thing is away. Bring it back.")
    assert exit_.value.code == 1
    assert capsys.readouterr().err == "ali: The thing is away. Bring it back.\n"


def test_wrong_settings_are_named_without_their_values_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "sk-value")
    monkeypatch.setenv("ALI_LOG_LEVEL", "sk-value")
    monkeypatch.setenv("ALI_COMPATIBLE_PROVIDERS", '[{"name": "x", "base_url": "sk-value", "models": []}]')
    with pytest.raises(SystemExit) as exit_, fail_explained():
        Settings()
    said = capsys.readouterr().err
    assert exit_.value.code == 2
    assert {line.split(": ")[1] for line in said.splitlines()} == {
        "PORT",
        "ALI_LOG_LEVEL",
        "ALI_COMPATIBLE_PROVIDERS.0.base_url",
    }
    assert "sk-value" not in said


def test_a_setting_that_is_no_json_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALI_ALIASES", "{sk-value")
    with pytest.raises(SystemExit) as exit_, fail_explained():
        Settings()
    said = capsys.readouterr().err
    assert exit_.value.code == 2
    assert "aliases" in said
    assert "sk-value" not in said


def test_a_bug_keeps_its_traceback() -> None:
    assert explained(KeyError("bug")) == []
    with pytest.raises(KeyError), fail_explained():
        raise KeyError("bug")
