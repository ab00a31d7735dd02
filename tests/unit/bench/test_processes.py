import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gateway import processes
from bench.gateway.processes import Cores, parse_stat, share_out

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads Linux's /proc")

_LINE = "4242 (tricky) name (x) S 17 4242 4242 0 -1 4194304 1 2 3 4 {u} {s} {cu} {cs} 20 0 9 0 {start} 99 88"


def test_a_stat_line_is_read_past_a_name_with_spaces_and_parentheses() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    found = parse_stat(_LINE.format(u=ticks, s=2 * ticks, cu=3 * ticks, cs=4 * ticks, start=5))
    assert found.command == "tricky) name (x"
    assert (found.state, found.parent, found.started_ticks) == ("S", 17, 5)
    assert found.cpu_s == 10


def test_a_tree_holds_descendants_in_other_sessions_and_tells_postgres_apart(tmp_path: Path) -> None:
    postgres = tmp_path / "postgres"  # the kernel calls a process by the name that it was started under
    postgres.symlink_to(Path(sys.executable).resolve())
    sleep = "import time; print('up', flush=True); time.sleep(30)"
    script = f"import subprocess; subprocess.run([{str(postgres)!r}, '-c', {sleep!r}], start_new_session=True)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:  # noqa: S603 - our own
        assert child.stdout is not None
        child.stdout.readline()
        found = processes.tree(child.pid)
        try:
            assert found.service == (child.pid,)
            assert len(found.postgres) == 1
            assert processes.rss_bytes(found.service) > 1_000_000
            assert processes.cpu_s(found.postgres) > 0
        finally:
            for pid in (*found.service, *found.postgres):
                os.kill(pid, signal.SIGKILL)
    assert processes.started_at_s(child.pid) is None


def test_processes_that_are_gone_cost_nothing() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        pass
    assert processes.stat(child.pid) is None
    assert processes.cpu_s([child.pid]) == processes.rss_bytes([child.pid]) == processes.pss_bytes([child.pid]) == 0
    processes.pin([child.pid], {0})


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ([0], Cores(service=0, upstream=0, load=0, postgres=0)),
        ([1, 0], Cores(service=0, upstream=1, load=1, postgres=1)),
        ([2, 3, 5], Cores(service=2, upstream=3, load=5, postgres=3)),
        ([0, 1, 2, 3, 4, 5], Cores(service=0, upstream=1, load=2, postgres=3)),
    ],
)
def test_the_service_has_a_core_to_itself_where_there_are_two(available: list[int], expected: Cores) -> None:
    assert share_out(available) == expected


def test_pinning_ends_with_its_block() -> None:
    before = os.sched_getaffinity(0)
    with processes.pinned({min(before)}):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
