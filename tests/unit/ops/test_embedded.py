"""The embedded PostgreSQL's life: made, started, stopped, killed, and started again."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest

from ali.ops import embedded
from ali.ops.embedded import EmbeddedPostgres
from ali.ops.embedded.account import choose
from tests.fixtures.database import silent, temporary_home

HOLDER = """
import sys, time
from pathlib import Path
from ali.ops import embedded
server = embedded.start(Path(sys.argv[1]), report=lambda _: None, durable=False)
print(server.pid, server._guard.pid, flush=True)
time.sleep(60)
"""


def start(home: Path) -> EmbeddedPostgres:
    return embedded.start(home, report=silent, durable=False)


@contextmanager
def held_by_another_process(home: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A server that a process of its own has started: that process, the server's pid and its guard's."""
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", HOLDER, str(home)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        server, guard = map(int, holder.stdout.readline().split())
        try:
            yield holder, server, guard
        finally:
            holder.kill()


def answer(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
        assert row
        return row[0]


def change(dsn: str, statement: LiteralString) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)


def socket_folder(dsn: str) -> Path:
    with psycopg.connect(dsn) as connection:
        return Path(connection.info.host)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home whose cluster is made, and is down at the start and end of each test."""
    with temporary_home() as folder:
        start(folder).stop()
        yield folder


@pytest.fixture
def fresh_home() -> Iterator[Path]:
    with temporary_home() as folder:
        yield folder


def test_data_survive_a_stop_and_a_second_start(home: Path) -> None:
    with start(home) as server:
        change(server.dsn, "create table if not exists kept as select 1 as value")
    assert not alive(server.pid)
    began = time.perf_counter()
    with start(home) as server:
        took = time.perf_counter() - began
        assert answer(server.dsn, "select value from kept") == 1
    assert took < 1.5, f"a start without initdb took {took:.2f} s; 0.05 s on a quiet machine"


def test_only_a_private_socket_is_listened_on(home: Path) -> None:
    with start(home) as server:
        assert answer(server.dsn, "show listen_addresses") == ""
        folder = socket_folder(server.dsn)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert urlsplit(server.dsn).hostname is None


def test_no_way_in_without_the_password(home: Path) -> None:
    rules = [
        line.split()
        for line in (home / "postgres" / "server" / "data" / "pg_hba.conf").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert rules
    assert {rule[-1] for rule in rules} == {"scram-sha-256"}
    with start(home) as server:
        for user in ("ali", "postgres"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(server.dsn, user=user, password="wrong")


def test_the_services_role_is_no_superuser_and_owns_its_database(home: Path) -> None:
    with start(home) as server:
        assert (
            answer(server.dsn, "select rolsuper or rolcreaterole or rolcreatedb from pg_roles where rolname = user")
            is False
        )
        assert (
            answer(server.dsn, "select datdba::regrole::text from pg_database where datname = current_database()")
            == "ali"
        )
        assert answer(server.dsn, "select extname from pg_extension where extname = 'vector'") == "vector"


def test_text_is_unicode_and_pages_have_checksums(home: Path) -> None:
    with start(home) as server:
        assert answer(server.dsn, "select lower('ÃÇÉ')") == "ãçé"
        assert answer(server.dsn, "show server_encoding") == "UTF8"
        assert answer(server.dsn, "show data_checksums") == "on"
        assert answer(server.dsn, "show timezone") == "UTC"


def test_what_is_committed_is_durable_unless_asked_otherwise(fresh_home: Path) -> None:
    with embedded.start(fresh_home, report=silent) as server:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert answer(server.dsn, f"select current_setting('{setting}')") == "on"


def test_credentials_are_readable_by_their_owner_alone(home: Path) -> None:
    folder = home / "credentials"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir()} == {
        "database-url",
        "service-database-url",
        "postgres-superuser-password",
    }
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_the_log_holds_no_values_of_rows_and_no_passwords(home: Path) -> None:
    with start(home) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("create table if not exists secrets (value text unique)")
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute("insert into secrets values (%s), (%s)", ("row canary", "row canary"))
        password = urlsplit(server.dsn).password
    log = (home / "postgres" / "log" / "postgresql.log").read_text(encoding="utf-8")
    assert "duplicate key" in log
    assert "row canary" not in log
    assert password
    assert password not in log


def test_a_second_process_on_the_same_home_is_told_so(home: Path) -> None:
    with start(home), pytest.raises(embedded.HomeInUse, match=rf"another process \({os.getpid()}\)"):
        start(home)
    start(home).stop()


def test_stopping_twice_is_harmless(home: Path) -> None:
    server = start(home)
    server.stop()
    server.stop()
    assert not server.running()


def test_the_server_ends_when_its_starter_is_killed(home: Path) -> None:
    with held_by_another_process(home) as (holder, pid, _):
        holder.kill()
        holder.wait()
        assert ends(pid)
    start(home).stop()


def test_a_start_after_everything_was_killed_recovers(home: Path) -> None:
    with held_by_another_process(home) as (holder, pid, guard):
        dsn = (home / "credentials" / "database-url").read_text(encoding="utf-8").strip()
        change(dsn, "create table if not exists committed as select 7 as value")
        for victim in (guard, pid, holder.pid):
            os.kill(victim, signal.SIGKILL)
        holder.wait()
    assert (home / "postgres" / "server" / "data" / "postmaster.pid").exists()
    with start(home) as server:
        assert answer(server.dsn, "select value from committed") == 7


def test_a_server_left_behind_is_ended_and_replaced(home: Path) -> None:
    with held_by_another_process(home) as (holder, pid, guard):
        for victim in (guard, holder.pid):
            os.kill(victim, signal.SIGKILL)
        holder.wait()
        assert alive(pid)
        with start(home) as server:
            assert server.pid != pid
            assert not alive(pid)
            assert answer(server.dsn, "select 1") == 1


def test_a_stranger_with_a_dead_servers_number_does_not_stop_the_start(home: Path) -> None:
    data = home / "postgres" / "server" / "data"
    with start(home):
        content = (data / "postmaster.pid").read_text(encoding="ascii")
    account = choose()
    with subprocess.Popen(["/bin/sleep", "60"], cwd="/", **account.identity) as stranger:
        try:
            (data / "postmaster.pid").write_text(re.sub(r"^\d+", str(stranger.pid), content), encoding="ascii")
            os.chown(data / "postmaster.pid", account.uid, account.gid)
            with start(home) as server:
                assert answer(server.dsn, "select 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_half_made_cluster_is_made_anew(fresh_home: Path) -> None:
    start(fresh_home).stop()
    site = fresh_home / "postgres" / "server"
    (site / "data").rename(site / "data.new-0badc0de")
    with start(fresh_home) as server:
        assert answer(server.dsn, "select 1") == 1
    assert sorted(path.name for path in site.iterdir()) == ["data", "run"]


def test_lost_or_wrong_credentials_are_replaced_without_losing_data(home: Path) -> None:
    kept = home / "credentials" / "database-url"
    with start(home) as server:
        change(server.dsn, "create table if not exists precious as select 1 as value")
    kept.unlink()
    with start(home) as server:
        assert answer(server.dsn, "select value from precious") == 1
    kept.write_text("postgresql://ali:wrong@/ali", encoding="utf-8")
    with start(home) as server:
        assert answer(server.dsn, "select value from precious") == 1
        assert kept.read_text(encoding="utf-8").strip() == server.dsn


@pytest.mark.parametrize("name", ["x" * 100, "a folder, with 'quotes' and ç"], ids=["long", "odd"])
def test_any_name_of_a_home_folder_will_do(fresh_home: Path, name: str) -> None:
    inner = fresh_home / name
    with start(inner) as server:
        socket = socket_folder(server.dsn)
        assert socket.stat().st_mode & 0o777 == 0o700
    assert (inner / "postgres" / "socket").read_text(encoding="utf-8").strip() == str(socket)
    assert not socket.exists()
    with start(inner) as server:
        assert answer(server.dsn, "select 1") == 1


def test_variables_of_the_users_own_postgresql_mislead_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGHOST": "example.org", "PGUSER": "joe"}.items():
        monkeypatch.setenv(name, value)
    with start(home) as server:
        assert answer(server.dsn, "select user") == "ali"


def test_a_shutdown_that_hangs_is_forced_and_recovered_from(home: Path) -> None:
    server = start(home)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table if not exists forced as select 3 as value")
        os.kill(connection.info.backend_pid, signal.SIGSTOP)
        server.stop(timeout_s=0.2)
    assert not server.running()
    with start(home) as server:
        assert answer(server.dsn, "select value from forced") == 3


def test_data_of_a_version_without_binaries_say_so(fresh_home: Path) -> None:
    start(fresh_home).stop()
    (fresh_home / "postgres" / "server" / "data" / "PG_VERSION").write_text("15\n", encoding="ascii")
    with pytest.raises(embedded.DataTooOld, match=r"made by PostgreSQL 15.* 18 and 16"):
        start(fresh_home)


def test_a_full_disk_is_named_before_anything_is_made(fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1024**2))
    with pytest.raises(embedded.HomeUnusable, match="less than 256 MB free"):
        start(fresh_home)
    assert not (fresh_home / "postgres" / "server" / "data").exists()


def test_a_data_folder_that_postgresql_refuses_is_reported_in_its_words(fresh_home: Path) -> None:
    start(fresh_home).stop()
    (fresh_home / "postgres" / "server" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(embedded.EmbeddedPostgresFailed, match=r"DATABASE_URL[^|]*pg_control"):
        start(fresh_home)


def test_missing_binaries_say_what_to_install(fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(embedded.BinariesMissing, match=r"extra.*DATABASE_URL"):
        start(fresh_home)


def test_a_file_in_the_place_of_the_home_is_refused(fresh_home: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=fresh_home) as file, pytest.raises(embedded.HomeUnusable, match="ALI_HOME"):
        start(Path(file.name))
