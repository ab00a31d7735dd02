"""`ali doctor`: each finding, and the hint that goes with it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer

from ali.cli.doctor import checks, doctor
from ali.kernel.checks import CheckResult, CheckStatus, run_checks
from ali.kernel.settings import Settings
from tests.fixtures.database import HMAC_SECRET
from tests.fixtures.redis_server import RedisServer


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DATABASE_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PORT", "0")


def _found(*, online: bool = False) -> dict[str, CheckResult]:
    return {result.name: result for result in run_checks(checks(Settings(), online=online))}


def test_a_fresh_machine_has_nothing_to_mend(capsys: pytest.CaptureFixture[str]) -> None:
    doctor(online=False)
    assert "fail" not in capsys.readouterr().out
    assert not Settings().home.exists()


def test_credentials_open_to_others_fail_with_the_command_that_closes_them() -> None:
    folder = Settings().credentials
    folder.mkdir(parents=True, mode=0o700)
    (folder / "owner-api-key").touch(mode=0o644)
    found = _found()["credentials"]
    assert found.status is CheckStatus.FAIL
    assert found.hint == f"chmod go= {folder / 'owner-api-key'}"
    (folder / "owner-api-key").chmod(0o600)
    assert _found()["credentials"].status is CheckStatus.OK


def test_a_home_that_everybody_may_write_to_fails() -> None:
    home = Settings().home
    home.mkdir()
    assert _found()["home folder"].status is CheckStatus.OK
    home.chmod(0o777)
    assert _found()["home folder"].status is CheckStatus.FAIL


def test_a_used_port_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("PORT", str(other.getsockname()[1]))
        assert _found()["port"].status is CheckStatus.WARN
    assert _found()["port"].status is CheckStatus.OK


def test_a_database_is_asked_for_its_schema(monkeypatch: pytest.MonkeyPatch, worker_dsn: str) -> None:
    monkeypatch.setenv("DATABASE_URL", worker_dsn)
    assert _found()["schema"].status is CheckStatus.OK
    assert "ALI_API_KEY_HMAC_SECRET" in _found()["key of API keys"].hint
    monkeypatch.setenv("ALI_API_KEY_HMAC_SECRET", HMAC_SECRET)
    assert _found()["key of API keys"].status is CheckStatus.OK


def test_limits_that_multiply_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _found()["rate limits"].detail == "counted in the one process"
    monkeypatch.setenv("ALI_WORKERS", "4")
    assert _found()["rate limits"].detail == "counted in PostgreSQL"
    monkeypatch.setenv("ALI_LIMITER_STORE", "process")
    assert _found()["rate limits"].status is CheckStatus.WARN


def test_redis_is_asked_whether_it_answers(monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer) -> None:
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    assert _found()["rate limits"].status is CheckStatus.OK
    redis_server.kill()
    assert "PostgreSQL counts meanwhile" in _found()["rate limits"].hint


def test_a_database_without_its_schema_fails(monkeypatch: pytest.MonkeyPatch, empty_database_dsn: str) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_dsn)
    assert "ali database migrate" in _found()["schema"].hint


def test_a_database_that_does_not_answer_fails_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ali:sk-secret@127.0.0.1:1/ali")
    with pytest.raises(typer.Exit) as exit_:
        doctor(online=False)
    printed = capsys.readouterr().out
    assert exit_.value.exit_code == 1
    assert "fail  database" in printed
    assert "sk-secret" not in printed


@pytest.mark.parametrize(
    ("variables", "provider", "status"),
    [
        ({}, "openai", CheckStatus.WARN),
        ({"OPENAI_API_KEY": "sk-x"}, "openai", CheckStatus.OK),
        ({"OPENAI_API_KEY": "sk-x\n"}, "openai", CheckStatus.FAIL),
        ({"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "http://proxy.example/v1"}, "openai", CheckStatus.WARN),
        ({"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "https://proxy.example"}, "openai", CheckStatus.WARN),
        ({"ANTHROPIC_API_KEY": "sk-x", "ANTHROPIC_BASE_URL": "https://a.example/v1"}, "anthropic", CheckStatus.FAIL),
        ({"ANTHROPIC_API_KEY": "sk-x", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}, "anthropic", CheckStatus.OK),
    ],
)
def test_a_providers_key_and_base_url_are_looked_at_without_the_network(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], provider: str, status: CheckStatus
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _found()[f"provider {provider}"].status is status


def test_models_without_a_price_and_prices_without_a_model_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _found()["model prices"].status is CheckStatus.OK
    server = '{"name": "local", "base_url": "http://127.0.0.1:8001/v1", "models": ["mine", "yours"]}'
    monkeypatch.setenv("ALI_COMPATIBLE_PROVIDERS", f"[{server}]")
    monkeypatch.setenv("ALI_MODEL_PRICES", '{"local/mine": {"input": 1, "output": 2}}')
    assert _found()["model prices"].detail == "none for yours"
    prices = '{"mine": {"input": 1, "output": 2}, "yours": {"input": 0, "output": 0}}'
    monkeypatch.setenv("ALI_MODEL_PRICES", prices)
    assert _found()["model prices"].status is CheckStatus.OK
    monkeypatch.setenv("ALI_ALIASES", '{"yours": {"targets": ["gpt-4.1"]}}')
    assert _found()["model prices"].detail == "yours is an alias"


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, CheckStatus.OK), (401, CheckStatus.FAIL), (302, CheckStatus.WARN), (500, CheckStatus.WARN)],
)
def test_online_the_provider_is_asked_and_no_redirect_is_followed(
    monkeypatch: pytest.MonkeyPatch, status: int, expected: CheckStatus
) -> None:
    with _provider(status) as (port, seen):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        found = _found(online=True)["provider openai, online"]
    assert seen == [("/v1/models", "Bearer sk-x")]
    assert found.status is expected


def test_online_a_provider_that_is_away_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert _found(online=True)["provider openai, online"].status is CheckStatus.FAIL


@contextmanager
def _provider(status: int) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    seen: list[tuple[str, str]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers["authorization"]))
            self.send_response(status)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, seen
        finally:
            server.shutdown()
            thread.join()
