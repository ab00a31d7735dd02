"""`ali config`: what is in force, where it came from, and no secret."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from ali.cli.config import MASK, config, settings_in_force, source_of, variable_of
from ali.kernel.settings import Settings

SECRET = "sk-very-secret"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    kept = tmp_path / "key"
    kept.write_text(SECRET, encoding="utf-8")
    given = {
        "OPENAI_API_KEY": SECRET,
        "ANTHROPIC_API_KEY": kept.as_uri(),
        "DATABASE_URL": f"postgresql://ali:{SECRET}@db/ali",
        "REDIS_URL": f"redis://:{SECRET}@cache",
        "ALI_API_KEY_HMAC_SECRET": SECRET * 3,
        "ALI_DRAIN_S": "3",
        "ALI_COMPATIBLE_PROVIDERS": json.dumps(
            [{"name": "vllm", "base_url": "http://127.0.0.1:1/v1", "api_key": SECRET, "models": ["m"]}]
        ),
        "ALI_ALIASES": json.dumps({"fast": {"targets": ["a", "b"]}}),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.mark.parametrize("as_json", [True, False])
def test_no_secret_is_printed_however_deep_it_lies(
    environment: dict[str, str], *, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    config(as_json=as_json)
    printed = capsys.readouterr().out
    assert SECRET not in printed
    assert printed.count(MASK) == 6
    assert "vllm" in printed


def test_each_value_says_where_it_came_from(environment: dict[str, str]) -> None:
    found = {setting.variable: setting for setting in settings_in_force(Settings(), environment)}
    assert found["OPENAI_API_KEY"].source == "environment"
    assert found["ANTHROPIC_API_KEY"].source == environment["ANTHROPIC_API_KEY"]
    assert (found["ALI_DRAIN_S"].value, found["ALI_DRAIN_S"].source) == ("3.0", "environment")
    assert (found["PORT"].value, found["PORT"].source) == ("8000", "default")
    assert len(found) == len(Settings.model_fields)


def test_variables_are_found_whatever_their_case() -> None:
    assert source_of("ALI_DRAIN_S", {"ali_drain_s": "3"}) == "environment"


def test_a_setting_is_named_by_its_variable() -> None:
    assert variable_of("port") == "PORT"
    assert variable_of("log_level") == "ALI_LOG_LEVEL"
    assert variable_of("OPENAI_API_KEY") == "OPENAI_API_KEY"


def test_every_secret_setting_is_of_the_masked_type() -> None:
    telling = ("key", "secret", "password", "token", "database_url", "redis_url")
    for name, field in Settings.model_fields.items():
        if any(word in name for word in telling):
            assert field.annotation == SecretStr | None, name
