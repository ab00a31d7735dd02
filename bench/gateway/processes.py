"""Reading what processes cost from Linux's /proc, and which core they run on."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
_POSTGRES = {"postgres", "postmaster"}


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of `/proc/PID/stat` that are used here."""

    command: str
    state: str
    parent: int
    cpu_s: float
    """User and system time of the process and of its children that have ended: over a tree the sum never shrinks."""
    started_ticks: int


def parse_stat(text: str) -> Stat:
    """`/proc/PID/stat`; the command, between parentheses, may itself hold spaces and parentheses."""
    opening, closing = text.index("("), text.rindex(")")
    fields = text[closing + 2 :].split()
    return Stat(
        command=text[opening + 1 : closing],
        state=fields[0],
        parent=int(fields[1]),
        cpu_s=sum(map(int, fields[11:15])) / _TICKS_PER_S,
        started_ticks=int(fields[19]),
    )


def stat(pid: int) -> Stat | None:
    """None when the process is gone."""
    try:
        return parse_stat((_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def started_at_s(pid: int) -> float | None:
    """When the process started, on the clock `CLOCK_BOOTTIME`, exact to a tick (10 ms); None when it has ended."""
    found = stat(pid)
    return found.started_ticks / _TICKS_PER_S if found and found.state not in "ZX" else None


@dataclass(frozen=True, slots=True)
class Tree:
    """A program's processes, PostgreSQL's told apart."""

    service: tuple[int, ...]
    postgres: tuple[int, ...]


def tree(root: int) -> Tree:
    """`root` and all its descendants, whatever their sessions."""
    stats = {int(entry.name): stat(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit()}
    children: dict[int, list[int]] = defaultdict(list)
    for pid, found in stats.items():
        if found:
            children[found.parent].append(pid)
    pending, seen = [root], set[int]()
    while pending:
        pid = pending.pop()
        if pid not in seen and stats.get(pid):
            seen.add(pid)
            pending += children[pid]
    postgres = {pid for pid in seen if (found := stats[pid]) and found.command in _POSTGRES}
    return Tree(tuple(sorted(seen - postgres)), tuple(sorted(postgres)))


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds so far. The kernel scales user and system time to the scheduler's exact sum; the grain is 10 ms."""
    return sum(found.cpu_s for pid in pids if (found := stat(pid)))


def rss_bytes(pids: Iterable[int]) -> int:
    """Resident memory; pages that processes share are counted for each."""
    total = 0
    for pid in pids:
        try:
            total += int((_PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def pss_bytes(pids: Iterable[int]) -> int:
    """Resident memory in which a page shared by N processes (of any program) counts for one Nth."""
    total = 0
    for pid in pids:
        try:
            rollup = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def pin(pids: Iterable[int], cores: Iterable[int]) -> None:
    """Bind every thread of the processes to `cores`; what they start later inherits it."""
    allowed = set(cores)
    for pid in pids:
        try:
            for thread in (_PROC / str(pid) / "task").iterdir():
                os.sched_setaffinity(int(thread.name), allowed)
        except (FileNotFoundError, ProcessLookupError):
            continue


@contextmanager
def pinned(cores: Iterable[int]) -> Iterator[None]:
    """Within the block this thread, and so every process that it starts, runs on `cores` only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where. The service has a core to itself wherever there are two."""

    service: int
    upstream: int
    load: int
    postgres: int


def share_out(available: Iterable[int]) -> Cores:
    """The first core to the service; the others in turn to the upstream, the load generator and PostgreSQL."""
    service, *others = sorted(available)
    others = others or [service]
    return Cores(service, *(others[place % len(others)] for place in range(3)))
