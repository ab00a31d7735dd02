"""`./run`: what it decides before the first package is there. The network here is a server on loopback."""

import ast
import hashlib
import importlib.util
import io
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, TypeAlias

import pytest

ROOT = Path(__file__).resolve().parents[3]
Script: TypeAlias = Any
"""The loaded script, which no type checker can import, or one of its objects."""

INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Script:
    """The script as a module, its clone an empty project, its environment without an index."""
    for name in INDEX_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # no `runc` beside the script
    loader = SourceFileLoader("run_script", str(ROOT / "run"))
    spec = importlib.util.spec_from_loader("run_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "uv.lock").write_text("version = 1\n", encoding="utf-8")
    (clone / "pyproject.toml").write_text('[tool.uv]\nrequired-version = ">=0.9"\n', encoding="utf-8")
    monkeypatch.setattr(module, "ROOT", str(clone))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return module


def test_an_older_python_can_read_it_and_is_told_what_to_do() -> None:
    text = (ROOT / "run").read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 6))
    older = text.replace("OLDEST = (3, 11)", "OLDEST = (9, 9)").replace(
        "NEWEST_EMBEDDED = (3, 14)", "NEWEST_EMBEDDED = (9, 8)"
    )
    done = subprocess.run(  # noqa: S603 - the script under test
        [sys.executable, "-c", f"__file__ = {str(ROOT / 'run')!r}\n{older}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "apt-get install python3" in done.stderr


def test_the_help_is_printed_without_preparing_anything() -> None:
    done = subprocess.run(  # noqa: S603 - the script under test
        [sys.executable, str(ROOT / "run"), "--help"], capture_output=True, text=True, check=True, timeout=30
    )
    assert "./run test" in done.stdout
    assert done.stderr == ""


def test_an_unknown_word_is_refused_before_anything_is_prepared(
    run: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run.main(["tests"])
    assert "./run --help" in capsys.readouterr().err


def test_the_stamp_holds_until_lock_project_place_or_profile_change(
    run: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = _prepared_place(run, profile="serve")
    assert run.is_prepared(place, "serve")
    assert not run.is_prepared(place, "full")

    lock = tmp_path / "clone" / "uv.lock"
    lock.write_text("version = 2\n", encoding="utf-8")
    assert not run.is_prepared(place, "serve")
    lock.write_text("version = 1\n", encoding="utf-8")
    assert run.is_prepared(place, "serve")

    moved = tmp_path / "moved"
    (tmp_path / "clone").rename(moved)
    monkeypatch.setattr(run, "ROOT", str(moved))
    assert not run.is_prepared(run.places()[0], "serve")


def test_what_was_prepared_for_the_tests_serves_too(run: Script) -> None:
    place = _prepared_place(run, profile="full")
    assert run.is_prepared(place, "serve")


def test_an_environment_without_its_python_is_prepared_anew(run: Script) -> None:
    place = _prepared_place(run, profile="serve")
    Path(place.python).unlink()
    assert not run.is_prepared(place, "serve")


def test_each_clone_has_a_private_folder_of_its_own(run: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run.places()[1]
    monkeypatch.setattr(run, "ROOT", "/somewhere/else")
    assert run.places()[1].venv != first.venv


def test_uv_is_fetched_from_the_index_in_force_and_checked(
    run: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = _wheel(run, b"#!/bin/sh\n")
    _pin(run, monkeypatch, wheel)
    with _index(run, wheel) as (address, seen):
        monkeypatch.setenv("PIP_INDEX_URL", address.replace("//", "//ana:s%40fe@"))
        path = Path(run.own_uv(_place(run, tmp_path)))
    assert path.read_bytes() == b"#!/bin/sh\n"
    assert path.stat().st_mode & 0o111
    assert seen == [("/simple/uv/", "Basic YW5hOnNAZmU="), ("/files/" + _name(run), "Basic YW5hOnNAZmU=")]


def test_a_uv_that_is_not_the_pinned_one_is_not_used(
    run: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _pin(run, monkeypatch, _wheel(run, b"good"))
    with _index(run, _wheel(run, b"evil")) as (address, _):
        monkeypatch.setenv("UV_DEFAULT_INDEX", address)
        with pytest.raises(SystemExit):
            run.own_uv(_place(run, tmp_path))
    assert "SHA-256" in capsys.readouterr().err
    assert list((tmp_path / "tools").iterdir()) == []


def test_an_index_out_of_reach_is_said_with_what_to_set(
    run: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    with pytest.raises(SystemExit):
        run.own_uv(_place(run, tmp_path))
    said = capsys.readouterr().err
    assert "HTTPS_PROXY" in said
    assert "SSL_CERT_FILE" in said


def test_a_mirror_gets_the_locked_packages_by_their_hashes(
    run: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = _place(run, tmp_path)
    (command,) = run.steps(place, uv="uv", wanted=["--no-dev"], python=[])
    assert command[:3] == ["uv", "sync", "--frozen"]

    monkeypatch.setenv("UV_INDEX_URL", "https://mirror.example/simple/")
    commands = run.steps(place, uv="uv", wanted=["--no-dev"], python=[])
    assert not any("sync" in command for command in commands)
    assert any("--require-hashes" in command for command in commands)
    assert all("https://mirror.example/simple" in command for command in commands if command[1] == "pip")


def test_serving_needs_no_test_packages_and_no_machine_is_asked_for_what_it_cannot_have(run: Script) -> None:
    assert run.contents("serve", embedded=True) == ["--no-dev", "--extra", "embedded"]
    assert run.contents("serve", embedded=False) == ["--no-dev"]
    assert run.contents("full", embedded=True) == ["--all-groups", "--all-extras"]
    assert run.contents("full", embedded=False)[-2:] == ["--no-extra", "embedded"]


@pytest.mark.parametrize(
    ("output", "taken"), [("uv 0.13.9 (x)", True), ("uv 0.9.0", True), ("uv 0.8.30", False), ("no such version", False)]
)
def test_a_uv_on_path_is_used_when_it_is_new_enough(
    run: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str, *, taken: bool
) -> None:
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho {output!r}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    assert run.uv_on_path() == (str(program) if taken else "")


def test_two_preparations_of_one_place_wait_for_each_other(
    run: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = _place(run, tmp_path)
    entered, leave = threading.Event(), threading.Event()
    order: list[str] = []

    def second() -> None:
        entered.wait(5)
        with run.locked(place):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with run.locked(place):
        entered.set()
        while "waiting for it" not in capsys.readouterr().err:
            leave.wait(0.01)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def _place(run: Script, folder: Path) -> Script:
    (folder / "tools").mkdir(exist_ok=True)
    return run.Place(str(folder / "tools"), str(folder / "venv"))


def _prepared_place(run: Script, *, profile: str) -> Script:
    place = run.places()[0]
    Path(place.python).parent.mkdir(parents=True)
    Path(place.python).symlink_to(sys.executable)
    Path(place.venv, "pyvenv.cfg").write_text("home = /usr/bin\n", encoding="utf-8")
    Path(place.venv, ".ali-stamp").write_text(f"{run.digest(place)} {profile}\n", encoding="ascii")
    return place


def _name(run: Script) -> str:
    return f"uv-{run.UV_VERSION}-py3-none-test.whl"


def _wheel(run: Script, program: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"uv-{run.UV_VERSION}.data/scripts/uv", program)
    return content.getvalue()


def _pin(run: Script, monkeypatch: pytest.MonkeyPatch, wheel: bytes) -> None:
    pinned = ("test", hashlib.sha256(wheel).hexdigest())
    monkeypatch.setattr(run, "UV_WHEELS", dict.fromkeys(run.UV_WHEELS, pinned))


@contextmanager
def _index(run: Script, wheel: bytes) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A package index with one file, and the requests that it got."""
    page = f'<a href="../../files/{_name(run)}#sha256=0">{_name(run)}</a>'.encode()
    seen: list[tuple[str, str | None]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers["authorization"]))
            body = page if self.path == "/simple/uv/" else wheel
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple", seen
        finally:
            server.shutdown()
            thread.join()
