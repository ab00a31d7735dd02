"""`./run bench knowledge`: fill a store, search in it, report."""

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
import uvloop

from ali.kernel.log import configure_logging
from bench.database import migrated
from bench.gateway.machine import this_machine
from bench.gateway.report import replace_block
from bench.knowledge import vectors
from bench.knowledge.copying import copy
from bench.knowledge.corpus import CHUNKS_PER_DOCUMENT, Corpus
from bench.knowledge.loading import Loaded, load, make_store, merge_all
from bench.knowledge.searching import Loss, Times, measure

NAME = "knowledge"
SUMMARY = "Indexing and searching many passages in one store (10 minutes; --chunks 1000000: 20)."
BEGIN, END = "<!-- bench:knowledge -->", "<!-- /bench:knowledge -->"
_ROOT = Path(__file__).resolve().parents[2]
_RESULTS = _ROOT / "bench" / "results"
_VECTORS = _RESULTS / "knowledge-vectors.json"
_PAGE = _ROOT / "docs" / "reference" / "performance.md"
_CHUNKS_PER_S: Final = 300
_WRITTEN: Final = 100_000
"""As many chunks at most are written; the rest is copies of them."""
_TABLES: Final = ("store_chunk", "posting", "segment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run."""

    machine: str
    date: str
    chunks: int
    """In the store: written, and copied from those."""
    loaded: Loaded
    bytes_per_chunk: dict[str, float]
    segments: int
    times: list[Times]
    loss: Loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound and what was measured."""

    text: str
    reached: bool
    value: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--chunks", type=int, default=100_000, metavar="N", help="chunks in the store (default 100000)")
    parser.add_argument("--questions", type=int, default=400, metavar="N", help="searches of each kind (default 400)")
    parser.add_argument("--vectors", action="store_true", help="measure vectors alone (about 5 minutes)")
    parser.add_argument("--write-docs", action="store_true", help="put the figures into the reference")
    parser.add_argument("--report", action="store_true", help="measure nothing: report the kept runs again")


def run(options: argparse.Namespace) -> int:
    """Measure, print, keep; 1 where a goal was not reached."""
    if not options.report:
        if sys.platform != "linux":
            print("This benchmark binds processes to a core; run it on Linux.", file=sys.stderr)
            return 2
        _RESULTS.mkdir(parents=True, exist_ok=True)
        if options.vectors:
            _keep(_VECTORS, [asdict(each) for each in _measure_vectors()])
        else:
            results = _measure(options.chunks, options.questions)
            _keep(_RESULTS / f"knowledge-{results.chunks}.json", asdict(results))
    runs = sorted((_read(path) for path in _RESULTS.glob("knowledge-[0-9]*.json")), key=lambda each: each.chunks)
    by_vectors: list[vectors.Found] = []
    if _VECTORS.exists():
        by_vectors = [vectors.Found(**each) for each in json.loads(_VECTORS.read_text(encoding="utf-8"))]
    if not runs and not by_vectors:
        print("There is no run in bench/results: run it without --report first.", file=sys.stderr)
        return 2
    report = "\n\n".join(
        part for part in (render(runs) if runs else "", vectors.render(by_vectors) if by_vectors else "") if part
    )
    print(report)
    if options.write_docs:
        page = _PAGE.read_text(encoding="utf-8")
        _PAGE.write_text(replace_block(page, report, begin=BEGIN, end=END), encoding="utf-8")
    reached = [goal.reached for each in runs for goal in goals(each)]
    reached += [each.reached for each in by_vectors if each.is_goal]
    return 0 if all(reached) else 1


def _keep(path: Path, results: object) -> None:
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _measure_vectors() -> list[vectors.Found]:
    configure_logging(level="warning", log_format="console")
    with migrated() as server:
        core = max(os.sched_getaffinity(0))
        for process in (0, server.pid):
            os.sched_setaffinity(process, {core})
        return uvloop.run(vectors.measure(server.dsn, server.service_dsn))


def _measure(chunks: int, questions: int) -> Results:
    configure_logging(level="warning", log_format="console")
    corpus = Corpus.make()
    with migrated() as server:
        store = make_store(server.dsn)
        loaded = uvloop.run(load(server.service_dsn, store, corpus, chunks=min(chunks, _WRITTEN)))
        copies = -(-chunks // loaded.chunks) - 1
        copy(server.dsn, store, chunks=loaded.chunks, copies=copies)
        stored = loaded.chunks * (1 + copies)
        uvloop.run(merge_all(server.service_dsn))
        with psycopg.connect(server.dsn, autocommit=True) as owner:
            owner.execute("vacuum analyze")
            sizes = {
                table: owner.execute("select pg_total_relation_size(%s::regclass)", (f"ali.{table}",)).fetchall()[0][0]
                for table in _TABLES
            }
            segments = owner.execute("select count(*) from ali.segment").fetchall()[0][0]
        core = max(os.sched_getaffinity(0))
        for process in (0, server.pid):  # its sessions to come are bound as it is
            os.sched_setaffinity(process, {core})
        times, loss = uvloop.run(
            measure(server.service_dsn, store, corpus, documents=stored // CHUNKS_PER_DOCUMENT, questions=questions)
        )
    return Results(
        machine=str(this_machine()),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        chunks=stored,
        loaded=loaded,
        bytes_per_chunk={table: size / stored for table, size in sizes.items()},
        segments=segments,
        times=times,
        loss=loss,
    )


def _read(path: Path) -> Results:
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Results(
        **{
            **kept,
            "loaded": Loaded(**kept["loaded"]),
            "times": [Times(**each) for each in kept["times"]],
            "loss": Loss(**kept["loss"]),
        }
    )


def goals(results: Results) -> list[Goal]:
    """What a store of this size has to reach."""
    loaded, all_files = results.loaded, results.times[0]
    rate = loaded.chunks / (loaded.analysing_s + loaded.writing_s + loaded.merging_s)
    found = []
    if results.chunks == loaded.chunks:
        found.append(
            Goal(
                text=f"{results.chunks:,} chunks: indexing ≥ {_CHUNKS_PER_S} chunks/s",
                reached=rate >= _CHUNKS_PER_S,
                value=f"{rate:.0f}",
            )
        )
    bounds = {"p50": 15.0, "p95": 50.0} if results.chunks <= 100_000 else {"p95": 150.0}
    for name, bound in bounds.items():
        value = all_files.p50_ms if name == "p50" else all_files.p95_ms
        found.append(
            Goal(
                text=f"{results.chunks:,} chunks: search {name} ≤ {bound:.0f} ms on one core",
                reached=value <= bound,
                value=f"{value:.1f} ms",
            )
        )
    return found


def render(runs: list[Results]) -> str:
    """The figures as Markdown: goals, then all of them."""
    lines = ["| goal | measured | reached |", "|---|---:|---|"]
    lines += [
        f"| {goal.text} | {goal.value} | {'yes' if goal.reached else 'no'} |" for each in runs for goal in goals(each)
    ]
    lines += [
        "",
        "| chunks in the store | searched | searches | p50 ms | p95 ms | most ms | candidates, ranking, reading |",
        "|---:|---|---:|---:|---:|---:|---|",
    ]
    for each in runs:
        for times in each.times:
            parts = " + ".join(f"{times.parts[part]:.1f}" for part in ("candidates", "ranking", "reading"))
            lines.append(
                f"| {each.chunks:,} | {times.name} | {times.searches} | {times.p50_ms:.1f} | {times.p95_ms:.1f}"
                f" | {times.most_ms:.1f} | {parts} |"
            )
    lines += [
        "",
        "| chunks | written | analysed /s | written /s | last merges s | segments | bytes a chunk: chunk, index |",
        "|---:|---:|---:|---:|---:|---:|---|",
    ]
    for each in runs:
        loaded, sizes = each.loaded, each.bytes_per_chunk
        lines.append(
            f"| {each.chunks:,} | {loaded.chunks:,} | {loaded.chunks / loaded.analysing_s:.0f}"
            f" | {loaded.chunks / loaded.writing_s:.0f} | {loaded.merging_s:.1f} | {each.segments}"
            f" | {sizes['store_chunk']:.0f}, {sizes['posting'] + sizes['segment']:.0f} |"
        )
    lines.append("")
    for each in runs:
        loss = each.loss
        lines.append(
            f"Of {loss.questions} questions to {each.chunks:,} chunks, {loss.bounded} have terms that occur too"
            f" often for all postings to be added up, which changed their candidates; {loss.of_ten:.1%} of their ten"
            f" best candidates and {loss.of_hundred:.1%} of a hundred were found all the same."
        )
    lines += ["", *dict.fromkeys(f"{each.machine}. {each.date[:10]}." for each in runs)]
    return "\n".join(lines)
