"""The embedded server's log: bounded, private, and never in the server's way."""

import os
from pathlib import Path

import pytest

from ali.ops.embedded import journal
from ali.ops.embedded.journal import Journal


def written(lines: list[bytes], folder: Path) -> Journal:
    reading, writing = os.pipe()
    log = Journal(os.fdopen(reading, "rb"), folder=folder)
    with os.fdopen(writing, "wb") as server:
        server.writelines(lines)
    log.close()
    return log


def test_the_files_together_stay_within_their_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_FILE_BYTES", 10_000)
    written([b"x" * 99 + b"\n"] * 1_000, tmp_path)
    files = list(tmp_path.iterdir())
    assert {file.name for file in files} == {"postgresql.log", "postgresql.log.1"}
    assert sum(file.stat().st_size for file in files) <= 2 * 10_100
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_the_last_lines_are_at_hand(tmp_path: Path) -> None:
    log = written([f"line {number}\n".encode() for number in range(100)] + [b"\xff no UTF-8\n"], tmp_path)
    assert log.tail(lines=2) == "line 99\n\ufffd no UTF-8"


def test_a_log_that_cannot_be_written_still_drains(tmp_path: Path) -> None:
    log = written([b"x" * 99 + b"\n"] * 5_000, tmp_path / "missing")
    assert log.tail(lines=1) == "x" * 99
