"""Reading files of vector stores by the real program: killed at any stage, it loses nothing and doubles nothing."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import openai
import psycopg
import pytest

from tests.end_to_end.service import Service, clean_environment, serving, started, wait_for
from tests.fixtures.database import HMAC_SECRET, temporary_home

WORDS = ("prazo", "férias", "empregado", "contrato", "trabalho", "salário", "jornada", "descanso", "acordo", "aviso")


def long_text(*, paragraphs: int, seed: int) -> bytes:
    """About 600 characters a paragraph, each told from all others by its number."""
    rng = random.Random(seed)  # noqa: S311 - a text, not a secret
    return "\n\n".join(
        f"Parágrafo número p{seed}x{n}. " + " ".join(rng.choice(WORDS) for _ in range(75)) + "."
        for n in range(paragraphs)
    ).encode()


@contextmanager
def installed(dsn: str, **more: str) -> Iterator[tuple[Path, dict[str, str]]]:
    with temporary_home() as home:
        yield home, {"DATABASE_URL": dsn, "ALI_API_KEY_HMAC_SECRET": HMAC_SECRET, "ALI_DRAIN_S": "1", **more}


def client_of(service: Service) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"http://127.0.0.1:{service.port}/v1", api_key=service.key, _strict_response_validation=True
    )


def rows(dsn: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def hasten(dsn: str, dead: object) -> None:
    """Have the instance that was killed counted as dead at once, and not after 45 s."""
    rows(dsn, "delete from ali.service_instance where id = %s", dead)
    rows(dsn, "update ali.store_file set claimed_at = claimed_at - interval '1 minute' where instance_id = %s", dead)


def holder(dsn: str) -> object:
    found = rows(dsn, "select instance_id from ali.store_file where instance_id is not null")
    return found[0][0] if found else None


def downloading(dsn: str, home: Path) -> bool:
    return any(home.glob("scratch/process-*/tmp*"))


def reading(dsn: str, home: Path) -> bool:
    return any(path.stat().st_size > 500_000 for path in home.glob("scratch/process-*/tmp*"))


def writing(dsn: str, home: Path) -> bool:
    activity = "select 1 from pg_stat_activity where datname = current_database() and query like '%%new_segment%%'"
    return bool(rows(dsn, activity + " and pid <> pg_backend_pid()"))


def completed(dsn: str, home: Path) -> bool:
    return bool(rows(dsn, "select 1 from ali.store_file where status = 'completed'"))


def renewed(service: Service, killed: Sequence[int]) -> bool:
    """Whether others serve in place of the workers that were killed."""
    return len(set(service.worker_pids()) - set(killed)) == len(killed)


def check_whole(dsn: str, store: str) -> None:
    """One document, its chunks each once and in order, and each of them in the index once."""
    documents = rows(
        dsn, "select id, first_number, chunks from ali.store_document where vector_store_id = %s", store[3:]
    )
    assert len(documents) == 1, documents
    (document, first_number, chunks) = documents[0]
    found = rows(
        dsn,
        "select number, position, document_id from ali.store_chunk where vector_store_id = %s order by 1",
        store[3:],
    )
    assert found == [(first_number + n, n, document) for n in range(chunks)]
    stretches = rows(
        dsn, "select first_number, end_number from ali.segment where vector_store_id = %s order by 1", store[3:]
    )
    assert sum(end - first for first, end in stretches) == chunks
    assert rows(dsn, "select chunks from ali.vector_store where id = %s", store[3:]) == [(chunks,)]


@pytest.mark.timeout(300)
def test_a_process_that_is_killed_at_any_stage_of_reading_loses_nothing_and_doubles_nothing(
    empty_database_dsn: str,
) -> None:
    dsn = empty_database_dsn
    stages: list[Callable[[str, Path], bool]] = [downloading, reading, writing, completed]
    with (
        installed(dsn) as (home, variables),
        serving(home, "--workers", "2", variables=variables) as service,
        client_of(service) as client,
    ):
        for seed, stage in enumerate(stages):
            text = long_text(paragraphs=2_500, seed=seed)
            file = client.files.create(file=("lei.txt", text), purpose="assistants")
            store = client.vector_stores.create(file_ids=[file.id])
            wait_for(lambda stage=stage: stage(dsn, home), what=f"the stage of {stage.__name__}")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            dead = holder(dsn)
            killed = service.worker_pids()
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda killed=killed: renewed(service, killed), what="other workers")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            if dead is not None:
                hasten(dsn, dead)
            deadline = time.monotonic() + 60
            while client.vector_stores.files.retrieve(file.id, vector_store_id=store.id).status != "completed":
                assert time.monotonic() < deadline, service.program.said
                time.sleep(0.2)
            check_whole(dsn, store.id)
            found = client.vector_stores.search(store.id, query=f"p{seed}x1250", max_num_results=10)
            assert [f"p{seed}x1250" in each.content[0].text for each in found.data].count(True) == 1
            attempts = rows(dsn, "select attempts from ali.store_file where file_id = %s", file.id[5:])
            assert attempts == [(1 if stage is completed else 2,)], stage.__name__
            rows(dsn, "update ali.store_file set status = 'cancelled' where file_id = %s", file.id[5:])
        assert len(list(home.glob("scratch/process-*"))) == 2, "what a killed process left is cleared away"
        assert not downloading(dsn, home)


@pytest.mark.timeout(180)
def test_a_reader_that_is_killed_costs_its_reading_alone(empty_database_dsn: str) -> None:
    dsn = empty_database_dsn
    with (
        installed(dsn) as (home, variables),
        serving(home, "--workers", "2", variables=variables) as service,
        client_of(service) as client,
    ):
        file = client.files.create(file=("lei.txt", long_text(paragraphs=2_500, seed=1)), purpose="assistants")
        store = client.vector_stores.create(file_ids=[file.id])
        wait_for(lambda: reading(dsn, home), what="its reading")
        wait_for(lambda: readers(service), what="the reader")
        for pid in readers(service):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: completed(dsn, home), what="its end")
        check_whole(dsn, store.id)
        assert rows(dsn, "select attempts from ali.store_file") == [(2,)]


def readers(service: Service) -> list[int]:
    """The processes that read documents."""
    tasks = [task for worker in service.worker_pids() for task in Path(f"/proc/{worker}/task").iterdir()]
    children = [int(pid) for task in tasks for pid in (task / "children").read_text(encoding="ascii").split()]
    return [pid for pid in children if b"reading.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.timeout(180)
def test_a_worker_reads_what_the_serving_processes_leave_and_hands_it_over_at_its_end(empty_database_dsn: str) -> None:
    dsn = empty_database_dsn
    with ExitStack() as stack:
        home, variables = stack.enter_context(installed(dsn, ALI_BACKGROUND="worker"))
        service = stack.enter_context(serving(home, variables=variables))
        client = stack.enter_context(client_of(service))
        file = client.files.create(file=("lei.txt", long_text(paragraphs=9_000, seed=2)), purpose="assistants")
        store = client.vector_stores.create(file_ids=[file.id])
        time.sleep(1.5)
        assert holder(dsn) is None
        environment = clean_environment(ALI_HOME=str(home), **variables)
        with started("worker", environment=environment) as first:
            first.wait_until_printed(r"(worker runs)")
            wait_for(lambda: reading(dsn, home), what="its reading")
            assert first.end() == 0, first.said
            assert "Traceback" not in first.said
        if not completed(dsn, home):
            assert rows(dsn, "select instance_id, attempts from ali.store_file") == [(None, 0)]
        with started("worker", environment=environment) as second:
            second.wait_until_printed(r"(worker runs)")
            wait_for(lambda: completed(dsn, home), what="its end")
            assert second.end(signal.SIGINT) == 0, second.said
        check_whole(dsn, store.id)
