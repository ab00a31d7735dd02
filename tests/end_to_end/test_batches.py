"""Batches of the real program: a process that is killed in the middle of one, and who goes on with it."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.end_to_end.service import Service, clean_environment, serving, started, wait_for
from tests.fixtures.database import HMAC_SECRET, temporary_home

LINES = 60


@contextmanager
def simulated() -> Iterator[dict[str, str]]:
    """A simulated OpenAI, and the variables that point the service at it."""
    with started("simulate-provider", "--port", "0", environment=clean_environment()) as provider:
        base_url = provider.wait_until_printed(r"OPENAI_BASE_URL=(\S+)")
        yield {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-simulated"}


@contextmanager
def installation(dsn: str, **more: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """A home and the variables of an installation on an operator's database, in front of a simulated OpenAI."""
    with temporary_home() as home, simulated() as provider:
        yield (
            home,
            {"DATABASE_URL": dsn, "ALI_API_KEY_HMAC_SECRET": HMAC_SECRET, "ALI_DRAIN_S": "2", **provider, **more},
        )


def hand_in(service: Service, *, latency_s: float) -> str:
    """A batch of `LINES` lines that take this long each."""
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": f"[[latency:{latency_s}]] Hello"}]}
    lines = [
        {"custom_id": f"q{n}", "method": "POST", "url": "/v1/chat/completions", "body": body} for n in range(LINES)
    ]
    content = "\n".join(map(json.dumps, lines))
    connection = HTTPConnection("127.0.0.1", service.port, timeout=30)
    form = "".join(
        f'--B\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n{value}\r\n'
        for name, file, value in (("purpose", "", "batch"), ("file", '; filename="a"', content))
    )
    headers = {"content-type": "multipart/form-data; boundary=B", "authorization": f"Bearer {service.key}"}
    connection.request("POST", "/v1/files", f"{form}--B--\r\n", headers)
    file = json.loads(connection.getresponse().read())
    connection.close()
    wanted = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    status, batch = service.request("POST", "/v1/batches", wanted)
    assert status == 200, batch
    return str(batch["id"])


def batch_of(service: Service, batch: str) -> dict[str, Any]:
    """The batch as it is shown."""
    shown: dict[str, Any] = service.request("GET", f"/v1/batches/{batch}")[1]
    return shown


def wait_for_lines(service: Service, batch: str, *, at_least: int) -> None:
    wait_for(lambda: batch_of(service, batch)["request_counts"]["completed"] >= at_least, what="the first lines' end")


def hasten(dsn: str) -> None:
    """Have the instances that are gone counted as dead at once, and not after 45 s."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("update ali.batch set claimed_at = claimed_at - interval '1 minute'")
        connection.execute("delete from ali.service_instance where heartbeat_at < now() - interval '12 seconds'")


def output_of(service: Service, batch: dict[str, Any]) -> list[dict[str, Any]]:
    connection = service.send("GET", f"/v1/files/{batch['output_file_id']}/content")
    try:
        return [json.loads(each) for each in connection.getresponse().read().splitlines()]
    finally:
        connection.close()


def records_of(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select count(*) from ali.usage_record where outcome = 'ok'").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.timeout(180)
def test_a_process_that_is_killed_in_the_middle_of_a_batch_costs_the_lines_under_way_alone(
    empty_database_dsn: str,
) -> None:
    with (
        installation(empty_database_dsn) as (home, variables),
        serving(home, "--workers", "2", variables=variables) as service,
    ):
        batch = hand_in(service, latency_s=0.3)
        wait_for_lines(service, batch, at_least=8)
        for pid in service.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(service.worker_pids()) == 2, what="another worker")
        done = batch_of(service, batch)["request_counts"]["completed"]
        assert done >= 8
        deadline = time.monotonic() + 90
        while (shown := batch_of(service, batch))["status"] != "completed":
            assert time.monotonic() < deadline, shown
            hasten(empty_database_dsn)
            time.sleep(0.5)
        assert shown["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
        output = output_of(service, shown)
        assert [each["custom_id"] for each in output] == [f"q{n}" for n in range(LINES)]
        assert LINES <= records_of(empty_database_dsn) <= LINES + 4, "only lines under way ran twice"


@pytest.mark.timeout(180)
def test_a_worker_runs_what_the_serving_processes_leave_and_hands_it_over_at_its_end(
    empty_database_dsn: str,
) -> None:
    with ExitStack() as stack:
        home, variables = stack.enter_context(installation(empty_database_dsn, ALI_BACKGROUND="worker"))
        service = stack.enter_context(serving(home, variables=variables))
        batch = hand_in(service, latency_s=0.2)
        time.sleep(2.5)
        assert batch_of(service, batch)["status"] == "validating"
        environment = clean_environment(ALI_HOME=str(home), **variables)
        with started("worker", environment=environment) as first:
            first.wait_until_printed(r"(worker runs)")
            wait_for_lines(service, batch, at_least=5)
            assert first.end() == 0, first.said
            assert "Traceback" not in first.said
        with started("worker", environment=environment) as second:
            second.wait_until_printed(r"(worker runs)")
            wait_for(lambda: batch_of(service, batch)["status"] == "completed", what="the batch's end")
            assert second.end(signal.SIGINT) == 0, second.said
        assert len(output_of(service, batch_of(service, batch))) == LINES
        assert records_of(empty_database_dsn) == LINES, "a worker that is stopped lets its lines end"


def test_a_worker_without_an_installation_says_what_to_do() -> None:
    with temporary_home() as home, started("worker", environment=clean_environment(ALI_HOME=str(home))) as program:
        assert program.process.wait(20) == 1
        assert "ali serve" in program.said
        assert "Traceback" not in program.said
