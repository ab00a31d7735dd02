"""`ali serve`, whole: from nothing to an answer, and to the end in every way that an end can come."""

import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from tests.end_to_end.service import (
    WARRANTY,
    Service,
    alive,
    clean_environment,
    question,
    serving,
    started,
    wait_for,
)
from tests.fixtures.database import HMAC_SECRET, temporary_home
from tests.fixtures.tools import requires_tool


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home folder in which the service was never started when the module's first test comes."""
    with temporary_home() as folder:
        yield folder


def test_the_first_start_gives_a_key_and_lines_that_work_when_pasted(home: Path) -> None:
    curl = requires_tool("curl")
    with serving(home) as service:
        assert service.request("GET", "/healthz")[0] == 200
        assert service.request("GET", "/readyz")[0] == 200
        assert service.program.printed.count(service.key) == 1
        assert service.key not in service.program.said
        assert stat.S_IMODE((home / "credentials" / "owner-api-key").stat().st_mode) == 0o600

        pasted = re.findall(r"^curl (.*\\\n.*)$", service.program.printed, re.MULTILINE)
        assert len(pasted) == 2
        for line in pasted:
            answer = subprocess.run(  # noqa: S603 - what the program itself told to paste
                ["/bin/sh", "-c", f"{shlex.quote(curl)} --fail -sS {line}"], check=True, capture_output=True, timeout=30
            )
            assert b"24 months" in answer.stdout


def test_the_second_start_keeps_key_and_data_and_shows_no_key(home: Path) -> None:
    key = _key_of(home)
    with serving(home) as service:
        assert key not in service.program.printed
        assert service.request("POST", "/v1/chat/completions", question(WARRANTY), key=key)[0] == 200


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_stop_ends_everything_with_exit_code_0(home: Path, sign: signal.Signals) -> None:
    with serving(home) as service:
        postgres = service.postgres_pid()
        assert service.program.end(sign) == 0
        assert not alive(postgres)
        assert "Traceback" not in service.program.said


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_running_stream_ends_as_it_should_when_the_service_is_stopped(home: Path, workers: str) -> None:
    with _simulated_provider() as variables, serving(home, "--workers", workers, variables=variables) as service:
        connection, response = _stream(service, "[[rate:20]] [[tokens:40]] Say something long.")
        assert response.readline().startswith(b"data: ")
        service.program.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", service.port), timeout=2)
        assert response.read().rstrip().endswith(b"data: [DONE]")
        connection.close()
        assert service.program.process.wait(20) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_signals_that_come_while_it_stops_change_nothing(home: Path, workers: str) -> None:
    with serving(home, "--workers", workers) as service:
        postgres = service.postgres_pid()
        service.program.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping PostgreSQL" in service.program.said, what="the end of the drain")
        deadline = time.monotonic() + 20
        while service.program.process.poll() is None and time.monotonic() < deadline:
            service.program.process.send_signal(signal.SIGTERM)
            time.sleep(0.0005)
        assert service.program.process.returncode == 0
        assert not alive(postgres)


def test_a_terminal_that_is_closed_stops_everything(home: Path) -> None:
    terminal, theirs = os.openpty()
    with serving(home, stderr=theirs) as service:
        os.close(theirs)
        postgres = service.postgres_pid()
        os.close(terminal)
        assert service.program.end(signal.SIGHUP) == 0
        assert not alive(postgres)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_ctrl_c_does_not_wait_for_running_streams(home: Path, workers: str) -> None:
    with (
        _simulated_provider() as variables,
        serving(home, "--workers", workers, variables={"ALI_DRAIN_S": "60", **variables}) as service,
    ):
        postgres = service.postgres_pid()
        connection, response = _stream(service, "[[rate:5]] [[tokens:500]] Say something very long.")
        assert response.readline().startswith(b"data: ")
        service.program.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert service.program.process.poll() is None
        began = time.monotonic()
        assert service.program.end(signal.SIGINT) == 0
        assert time.monotonic() - began < 15
        connection.close()
        assert not alive(postgres)


def test_a_stop_while_preparing_leaves_nothing_running() -> None:
    with temporary_home() as fresh:
        environment = clean_environment(ALI_HOME=str(fresh))
        with started("serve", "--port", "0", environment=environment) as program:
            wait_for(lambda: "PostgreSQL" in program.said, what="the start of PostgreSQL")
            assert program.end(signal.SIGTERM) in {0, 143}
            assert "Traceback" not in program.said
        with serving(fresh) as service:
            assert service.request("GET", "/readyz")[0] == 200


def test_after_a_kill_the_next_start_recovers_and_no_worker_lives_on(home: Path) -> None:
    key = _key_of(home)
    with serving(home, "--workers", "2") as service:
        workers = service.worker_pids()
        assert len(workers) == 2
        service.program.process.kill()
        service.program.process.wait()
        wait_for(lambda: not any(map(alive, workers)), what="the end of the workers")
    with serving(home) as service:
        assert service.request("POST", "/v1/chat/completions", question(WARRANTY), key=key)[0] == 200


def test_the_next_start_recovers_when_postgresql_was_killed_with_it(home: Path) -> None:
    with serving(home) as service:
        postgres = service.postgres_pid()
        os.kill(postgres, signal.SIGKILL)
        service.program.process.kill()
        service.program.process.wait()
    with serving(home) as service:
        assert service.request("GET", "/readyz")[0] == 200


def test_a_worker_that_dies_is_replaced_and_the_others_serve_on(home: Path) -> None:
    with serving(home, "--workers", "2") as service:
        before = service.worker_pids()
        os.kill(before[0], signal.SIGKILL)
        for _ in range(20):
            assert service.request("GET", "/healthz")[0] == 200
        wait_for(
            lambda: len(service.worker_pids()) == 2 and before[0] not in service.worker_pids(), what="another worker"
        )
        assert before[1] in service.worker_pids()
        assert "was killed by signal 9" in service.program.said
        assert service.program.end() == 0


def test_a_used_port_is_said_before_anything_is_prepared() -> None:
    with temporary_home() as fresh, socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        environment = clean_environment(ALI_HOME=str(fresh))
        with started("serve", "--port", port, environment=environment) as program:
            assert program.process.wait(20) == 2
            assert f"port {port} on 127.0.0.1 is in use" in program.said
            assert "--port" in program.said
        assert list(fresh.iterdir()) == []


def test_a_home_in_use_is_said_and_the_first_service_goes_on(home: Path) -> None:
    with serving(home) as service:
        with started("serve", "--port", "0", environment=clean_environment(ALI_HOME=str(home))) as second:
            assert second.process.wait(30) == 1
            assert "in use by another process" in second.said
            assert "Traceback" not in second.said
        assert service.request("GET", "/readyz")[0] == 200


def test_two_homes_serve_side_by_side(home: Path) -> None:
    with temporary_home() as other, serving(home) as first, serving(other) as second:
        assert first.key != second.key
        assert second.request("POST", "/v1/chat/completions", question(WARRANTY), key=first.key)[0] == 401
        assert second.request("POST", "/v1/chat/completions", question(WARRANTY))[0] == 200


def test_an_operators_database_is_used_instead_and_needs_a_secret(empty_database_dsn: str) -> None:
    with temporary_home() as fresh:
        environment = clean_environment(ALI_HOME=str(fresh), DATABASE_URL=empty_database_dsn)
        with started("serve", "--port", "0", environment=environment) as program:
            assert program.process.wait(30) == 1
            assert "ALI_API_KEY_HMAC_SECRET" in program.said
            assert "Traceback" not in program.said
        with serving(
            fresh, variables={"DATABASE_URL": empty_database_dsn, "ALI_API_KEY_HMAC_SECRET": HMAC_SECRET}
        ) as service:
            assert not (fresh / "postgres").exists()
            assert service.request("POST", "/v1/chat/completions", question(WARRANTY))[0] == 200
            assert service.program.end() == 0


def test_a_wrong_setting_is_named_without_its_value() -> None:
    with started("serve", environment=clean_environment(ALI_WORKERS="sk-secret")) as program:
        assert program.process.wait(20) == 2
        assert "ALI_WORKERS" in program.said
        assert "sk-secret" not in program.said
        assert "Traceback" not in program.said


@contextmanager
def _simulated_provider() -> Iterator[dict[str, str]]:
    """A simulated OpenAI, and the variables that point the service at it."""
    with started("simulate-provider", "--port", "0", environment=clean_environment()) as provider:
        base_url = provider.wait_until_printed(r"OPENAI_BASE_URL=(\S+)")
        yield {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-simulated"}


def _key_of(home: Path) -> str:
    """The home's key; starts the service once where it was never started (a test run by itself)."""
    if not (home / "credentials" / "owner-api-key").exists():
        with serving(home) as service:
            return service.key
    return (home / "credentials" / "owner-api-key").read_text(encoding="utf-8").strip()


def _stream(service: Service, text: str) -> tuple[HTTPConnection, HTTPResponse]:
    connection = service.send("POST", "/v1/chat/completions", question(text, model="gpt-5.4-mini", stream=True))
    response = connection.getresponse()
    assert response.status == 200, response.read()
    return connection, response
