import sys
from pathlib import Path

import pytest

from bench.gateway.machine import durable_write_ms, filesystem, this_machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads Linux's /proc")


def test_the_machine_is_described_in_one_line() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_gib > 0
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in str(machine)


def test_a_folders_file_system_is_that_of_its_innermost_mount(tmp_path: Path) -> None:
    assert filesystem(Path("/proc/self")) == "proc"
    assert filesystem(tmp_path) not in {"", "proc"}


def test_a_durable_write_takes_time(tmp_path: Path) -> None:
    assert durable_write_ms(tmp_path, writes=3) > 0
    assert list(tmp_path.iterdir()) == []
