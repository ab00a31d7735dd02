"""`./run bench reading FILE …`: how fast documents are read, cut and analysed, and how true to a clean text of them."""

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ali.features.knowledge.reading import Reader, Reading, ReadingFailed, merged_text
from bench.gateway.machine import this_machine

NAME = "reading"
SUMMARY = "Pages a second of a core, memory, and faithfulness of reading your own documents, cut and analysed."
GOAL_PAGES = 20.0
_RESULT = Path(__file__).resolve().parents[1] / "bench" / "results" / "reading.json"
_KEY = b"0123456789abcdef" * 2
_LOOK_S = 0.02
_WORD = re.compile(r"[^\W\d_]+")
_GRAM = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One file. `cpu_s` is of the reading process and what it ran, `grown_mb` its growth over rest at the highest."""

    name: str
    size_mb: float
    pages: int | None
    characters: int
    chunks: int
    wall_s: float
    cpu_s: float
    grown_mb: float
    recall: float | None = None
    accented: float | None = None
    order: float | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="documents to read")
    parser.add_argument(
        "--against", type=Path, metavar="TEXT", help="clean text of the one FILE, to compare what was read with"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="the best of so many (default 3)")


def run(options: argparse.Namespace) -> int:
    """Measure, print, keep; 1 where a file was not read, or a PDF slower than the goal."""
    if options.against and len(options.files) > 1:
        print("--against compares one FILE.", file=sys.stderr)
        return 2
    truth = options.against.read_text(encoding="utf-8") if options.against else None
    try:
        sizes = {path: path.stat().st_size / 1e6 for path in options.files}
        figures = asyncio.run(_measure(sizes, rounds=options.rounds, truth=truth))
    except ReadingFailed as failure:
        print(failure.message, file=sys.stderr)
        return 1
    print(f"{this_machine()}. Best of {options.rounds}; reading, cutting and analysis together.\n")
    print("| file | MB | pages | chunks | s of CPU | pages a second of a core | MB grown | words | accented | order |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for figure in figures:
        speed = f"{figure.pages / figure.cpu_s:.0f}" if figure.pages else ""
        true = " | ".join(
            "" if each is None else f"{each:.4f}" for each in (figure.recall, figure.accented, figure.order)
        )
        print(
            f"| {figure.name} | {figure.size_mb:.1f} | {figure.pages or ''} | {figure.chunks} | {figure.cpu_s:.2f} "
            f"| {speed} | {figure.grown_mb:.0f} | {true} |"
        )
    slowest = min((figure.pages / figure.cpu_s for figure in figures if figure.pages), default=None)
    if slowest is not None:
        print(f"\nGoal: at least {GOAL_PAGES:.0f} pages a second. Reached: {'yes' if slowest >= GOAL_PAGES else 'no'}.")
    _RESULT.parent.mkdir(parents=True, exist_ok=True)
    kept = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": str(this_machine()),
        "figures": [asdict(figure) for figure in figures],
    }
    _RESULT.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return 0 if slowest is None or slowest >= GOAL_PAGES else 1


async def _measure(sizes: Mapping[Path, float], *, rounds: int, truth: str | None) -> list[Figure]:
    figures: list[Figure] = []
    for path, size_mb in sizes.items():
        taken = [await _round(path, size_mb=size_mb, truth=truth) for _ in range(rounds)]
        figures.append(min(taken, key=lambda figure: figure.cpu_s))
    return figures


async def _round(path: Path, *, size_mb: float, truth: str | None) -> Figure:
    """Read a file with a process that has read nothing else but a word."""
    reader = Reader(processes=1)
    try:
        with _warming() as word:
            await reader.read(word, name="word.txt", chunking="auto", key=_KEY)
        (child,) = reader._idle  # noqa: SLF001 - the process that is measured
        pid = child.process.pid
        idle, before = _memory(pid), _processor_s(pid)
        highest, cpu_s = idle, before

        async def look() -> None:
            nonlocal highest, cpu_s
            while True:
                with suppress(OSError, StopIteration):
                    highest, cpu_s = max(highest, _memory(pid)), _processor_s(pid)
                await asyncio.sleep(_LOOK_S)

        looking = asyncio.create_task(look())
        began = time.monotonic()
        reading = await reader.read(path, name=path.name, chunking="auto", key=_KEY)
        wall_s = time.monotonic() - began
        with suppress(OSError):
            cpu_s = _processor_s(pid)
        looking.cancel()
        recall, accented, order = _faithfulness(reading, truth) if truth is not None else (None, None, None)
        return Figure(
            name=path.name,
            size_mb=size_mb,
            pages=reading.pages,
            characters=reading.characters,
            chunks=len(reading.prepared),
            wall_s=wall_s,
            cpu_s=max(cpu_s - before, 0.01),
            grown_mb=(highest - idle) / 1e6,
            recall=recall,
            accented=accented,
            order=order,
        )
    finally:
        await reader.close()


class _warming:  # noqa: N801 - reads as a statement: with _warming() as path
    """A file of one word."""

    def __enter__(self) -> Path:
        self._path = Path(f"/tmp/ali-bench-{os.getpid()}.txt")  # noqa: S108 - a name of this process's
        self._path.write_text("word", encoding="utf-8")
        return self._path

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


def _faithfulness(reading: Reading, truth: str) -> tuple[float, float, float]:
    """Of the words of a clean text, of its accented ones, and of its runs of five words, the share that was read."""
    read = _words("".join(merged_text(each.chunk for each in reading.prepared)))
    wanted = _words(truth)
    accented = [word for word in wanted if not word.isascii()]
    return _share(wanted, read), _share(accented, read), _share(list(_grams(wanted)), list(_grams(read)))


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _grams(words: Sequence[str]) -> Iterator[str]:
    return (" ".join(words[at : at + _GRAM]) for at in range(len(words) - _GRAM + 1))


def _share(wanted: Sequence[str], read: Sequence[str]) -> float:
    """How many of `wanted` are among `read`, each as often as it stands there."""
    found = Counter(wanted) & Counter(read)
    return found.total() / max(len(wanted), 1)


def _memory(pid: int) -> int:
    """The highest resident memory of a process so far, in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel's
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024


def _processor_s(pid: int) -> float:
    """Processor time of a process and of what it has run."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - as above
        return sum(map(int, file.read().rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")
