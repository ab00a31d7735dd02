"""What the figures were taken on."""

import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Enough to judge the absolute figures by."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str

    def __str__(self) -> str:
        """One line for the report."""
        return (
            f"{self.cores} cores of {self.cpu}, {self.memory_gib:.0f} GiB of memory, Linux {self.kernel}, "
            f"Python {self.python}"
        )


def this_machine() -> Machine:
    """The machine that this runs on, as far as this process may use it."""
    memory = Path("/proc/meminfo").read_text(encoding="ascii")
    return Machine(
        cpu=_field(Path("/proc/cpuinfo").read_text(encoding="utf-8"), "model name") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=int(_field(memory, "MemTotal").split()[0]) / 1024**2,
        kernel=platform.release(),
        python=platform.python_version(),
    )


def filesystem(path: Path) -> str:
    """The type of the file system that holds `path`: a commit to tmpfs is not a commit to a disk."""
    best, kind = -1, "unknown"
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, this_kind, *_ = line.split()
        if path.resolve().is_relative_to(mount) and len(mount) > best:
            best, kind = len(mount), this_kind
    return kind


def durable_write_ms(folder: Path, *, writes: int = 50) -> float:
    """Median time to make one page of 8 KiB durable in a file that has its size, as a commit's log has."""
    taken: list[float] = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(bytes(8192 * writes))
        os.fsync(file.fileno())
        file.seek(0)
        for _ in range(writes):
            file.write(bytes(8192))
            began = time.monotonic()
            os.fdatasync(file.fileno())
            taken.append((time.monotonic() - began) * 1000)
    return statistics.median(taken)


def _field(text: str, name: str) -> str:
    """The value of the first `name : value` line, or an empty string."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
