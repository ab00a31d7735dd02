"""Files that are made to hurt: each ends within 2 s, with less than 64 MiB more in the child and in the parent."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from ali.features.knowledge.reading import Reader, ReadingFailed
from tests.knowledge.hostile import HARMLESS, REFUSED

KEY = b"k" * 32
MOST_BYTES = 64 << 20
MOST_S = 2.0
FIGURES: list[str] = []


@pytest_asyncio.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    """A reader whose one child has read something already."""
    made = Reader(processes=1)
    path = tmp_path / "first.txt"
    path.write_bytes(b"hello")
    await made.read(path, name="first.txt", chunking="auto", key=KEY)
    yield made
    await made.close()


@pytest.fixture(scope="module", autouse=True)
def figures() -> Iterator[None]:
    """With `-rP` the figures of all files stand in the report."""
    yield
    for line in FIGURES:
        sys.stdout.write(line + "\n")


def memory_of(pid: int | str, field: str) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel's
        return next(int(line.split()[1]) for line in file if line.startswith(field)) * 1024


def processor_s(pid: int) -> float:
    """Processor time of a process and of what it has run: what a machine that does nothing else takes."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - as above
        return sum(map(int, file.read().rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")


async def watched(reader: Reader, path: Path) -> tuple[str, float, int, int]:
    """How the reading of a file ended, what time it took, and how much child and parent grew at their highest."""
    (child,) = reader._idle
    pid = child.process.pid
    idle, parent, before = memory_of(pid, "VmRSS"), memory_of("self", "VmRSS"), processor_s(pid)
    highest, took = 0, 0.0

    def look() -> None:
        nonlocal highest, took
        with suppress(OSError, StopIteration):
            highest, took = max(highest, memory_of(pid, "VmHWM") - idle), processor_s(pid) - before

    async def keep_looking() -> None:
        while True:
            look()
            await asyncio.sleep(0.003)

    looking = asyncio.create_task(keep_looking())
    try:
        await reader.read(path, name=path.name, chunking="auto", key=KEY)
        ended = "read"
    except ReadingFailed as failure:
        ended = f"{failure.code}: {failure.message}"
    looking.cancel()
    look()
    return ended, took, highest, memory_of("self", "VmRSS") - parent


@pytest.fixture
def hostile(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file, made before the loop that is watched for stalls runs."""
    path = tmp_path / str(request.param)
    path.write_bytes((REFUSED.get(path.name) or HARMLESS[path.name])())
    return path


@pytest.mark.parametrize("hostile", [*REFUSED, *HARMLESS], indirect=True)
async def test_a_hostile_file_costs_little_and_fails_alone(reader: Reader, hostile: Path) -> None:
    path, name = hostile, hostile.name
    ended, took, grown, parent_grown = await watched(reader, path)
    FIGURES.append(f"{name} {path.stat().st_size} B {took:.2f} s {grown >> 20} MiB {parent_grown >> 20} MiB {ended}")

    assert grown < MOST_BYTES
    assert parent_grown < MOST_BYTES
    assert took < MOST_S
    if name in REFUSED:
        assert ended.startswith(("invalid_file: ", "unsupported_file: "))
        assert name in ended
    path.write_bytes(b"hello again")
    assert len((await reader.read(path, name="again.txt", chunking="auto", key=KEY)).prepared) == 1
