"""`./run bench responses`: start the service, measure in turns, report, leave nothing running."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Set as AbstractSet
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvloop

from bench.gateway import contestants, processes
from bench.gateway.children import StartFailed, workplace
from bench.gateway.contestants import Contestant, Stage
from bench.gateway.machine import this_machine
from bench.gateway.report import replace_block
from bench.responses import measures, statements
from bench.responses.measures import Bench, Plan
from bench.responses.report import BEGIN, END, Results, goals, render
from bench.responses.ways import ANTHROPIC_STORED, ANTHROPIC_UNSTORED, PASS_THROUGH, STREAMS, Way

NAME = "responses"
SUMMARY = "What responses cost beside plain pass-through, in CPU, round trips and memory (12 minutes; --quick: 1)."
_ROOT = Path(__file__).resolve().parents[2]
_RESULTS = _ROOT / "bench" / "results"
_CASES: Final = {
    1: "a chunk of a stream",
    2: "a response",
    3: "round trips",
    4: "long conversations",
    5: "background",
    6: "growth",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--quick", action="store_true", help="a smoke run: proves that it works, not how fast")
    parser.add_argument(
        "--only", metavar="N,N", type=_only, help=", ".join(f"{number} {title}" for number, title in _CASES.items())
    )
    parser.add_argument("--rounds", type=int, help="rounds of 1 and 2 (default 3)")
    parser.add_argument("--write-docs", action="store_true", help="put the figures into the reference")
    parser.add_argument("--report", action="store_true", help="measure nothing: report the last run again")


def run(options: argparse.Namespace) -> int:
    """Measure, print, keep; 1 where a goal was measured and not reached."""
    whole = not (options.quick or options.only)
    kept = _RESULTS / ("responses.json" if whole else "responses-part.json")
    if options.report:
        if not kept.exists():
            print(f"There is no {kept.name} in bench/results: run it without --report first.", file=sys.stderr)
            return 2
        results = Results(**json.loads(kept.read_text(encoding="utf-8")))
    else:
        if sys.platform != "linux":
            print("This benchmark reads Linux's /proc; run it on Linux.", file=sys.stderr)
            return 2
        plan = Plan.quick() if options.quick else Plan()
        plan = replace(plan, rounds=options.rounds or plan.rounds)
        try:
            results = uvloop.run(_measure(plan, only=options.only or frozenset(_CASES), quick=options.quick))
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("Stopped; nothing was kept.", file=sys.stderr)
            return 130
    report = render(results)
    print(report)
    _RESULTS.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(asdict(results), indent=2) + "\n", encoding="utf-8")
    if options.write_docs and (results.broken or not whole):
        print("A quick or partial run is no evidence: the documents are left as they are.", file=sys.stderr)
        return 2
    if options.write_docs:
        page = _ROOT / "docs" / "reference" / "performance.md"
        text = replace_block(page.read_text(encoding="utf-8"), report, begin=BEGIN, end=END)
        page.write_text(text, encoding="utf-8")
    return 0 if not results.broken and all(goal.reached or goal.value is None for goal in goals(results)) else 1


def _only(text: str) -> frozenset[int]:
    try:
        chosen = frozenset(int(number) for number in text.split(","))
    except ValueError:
        chosen = frozenset[int]()
    if not chosen or not chosen <= set(_CASES):
        raise argparse.ArgumentTypeError(f"the measurements are {', '.join(map(str, _CASES))}")
    return chosen


async def _measure(plan: Plan, *, only: AbstractSet[int], quick: bool) -> Results:
    """The whole run, in a folder that is removed at its end."""
    task = asyncio.current_task()
    if task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    cores = processes.share_out(os.sched_getaffinity(0))
    results = Results(
        machine=str(this_machine()),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        rounds=plan.rounds,
        quick=quick,
    )
    async with workplace() as children:
        processes.pin([os.getpid()], {cores.load})
        port = await contestants.start_upstream(children, cores, module="bench.responses.upstream")
        settings = statements.settings(port)
        stage = Stage(children=children, folder=children.folder, cores=cores, upstream=port, settings=settings)
        bench = Bench(stage=stage, plan=plan, samples=results.samples)
        try:
            if only & {3, 4, 5}:
                await _counted(bench, only)
            if only & {1, 2, 6}:
                await _paid(bench, only)
        except StartFailed as error:  # what was measured until then is worth reading
            results.broken = str(error)
            _say(f"it failed; the end of its log: {children.log('ali').read_text(encoding='utf-8')[-5000:]}")
    return results


async def _counted(bench: Bench, only: AbstractSet[int]) -> None:
    _say("starting Ali, its statements counted")
    async with statements.counted_service(bench.stage, folder=bench.stage.folder / "counted") as service:
        for number, measure in ((3, statements.round_trips), (5, statements.background), (4, statements.histories)):
            if number in only:
                _say(_CASES[number])
                await measure(bench, service)


async def _paid(bench: Bench, only: AbstractSet[int]) -> None:
    _say("starting Ali")
    service = await contestants.ali(bench.stage)
    for way in STREAMS:
        await measures.asked(service, way, way.body(chunks=2))
    if 6 in only:  # first: what many streams at once leave free would hide a growth
        _say(_CASES[6])
        await measures.growth(bench, service)
    if 1 in only:
        for number in range(bench.plan.rounds):
            for way in STREAMS:  # A B C D, A B C D …: what the machine does meanwhile falls on all alike
                _say(f"{_CASES[1]}, round {number + 1} of {bench.plan.rounds}: {way.name}")
                await measures.chunks(bench, service, way)
    if 2 in only:
        ways = await _answers(service)
        for number in range(bench.plan.rounds):
            for way in ways:
                _say(f"{_CASES[2]}, round {number + 1} of {bench.plan.rounds}: {way.name}")
                await measures.requests(bench, service, way)


async def _answers(service: Contestant) -> tuple[Way, ...]:
    """The ways whose requests are measured: all that go on go on from one response."""
    previous = (await measures.made(service, ANTHROPIC_STORED))["id"]
    fields = {**ANTHROPIC_STORED.fields, "previous_response_id": previous}
    continued = Way(name="Anthropic, store: true, continued", fields=fields)
    return PASS_THROUGH, ANTHROPIC_UNSTORED, ANTHROPIC_STORED, continued


def _say(text: str) -> None:
    print(f"· {text}", file=sys.stderr, flush=True)
