"""`./run bench gateway`: start everybody, measure in turns, report, leave nothing running."""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench.gateway import measures, processes
from bench.gateway.children import StartFailed, workplace
from bench.gateway.contestants import ALI, LITELLM, ORDER, STARTERS, Contestant, Stage, start_upstream
from bench.gateway.litellm import version as litellm_version
from bench.gateway.machine import filesystem, this_machine
from bench.gateway.measures import Bench, Plan
from bench.gateway.report import render, render_readme, replace_block
from bench.gateway.results import Measure, Results

NAME = "gateway"
SUMMARY = "What Ali costs as a gateway, beside no gateway, nginx and LiteLLM (about 15 minutes; --quick: 1)."
_ROOT = Path(__file__).resolve().parents[2]
RESULTS = _ROOT / "bench" / "results"
_ALL = frozenset(range(1, 7))
_ROUNDS: dict[int, tuple[str, Callable[[Bench, Contestant], Awaitable[None]]]] = {
    2: ("throughput and CPU", measures.throughput),
    3: ("latency", measures.latency),
    4: ("streams", measures.streams),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--quick", action="store_true", help="a smoke run: proves that it works, not how fast")
    parser.add_argument(
        "--only",
        metavar="N,N",
        type=_only,
        help="1 CPU, 2 throughput (with 1), 3 latency, 4 streams, 5 memory and start, 6 growth",
    )
    parser.add_argument("--without", metavar="NAME,NAME", type=_without, help=f"leave out: {', '.join(ORDER)}")
    parser.add_argument("--rounds", type=int, help="rounds of 1 to 3 (default 5)")
    parser.add_argument("--write-docs", action="store_true", help="put the figures into the README and the reference")
    parser.add_argument("--report", action="store_true", help="measure nothing: report the last run again")


def run(options: argparse.Namespace) -> int:
    """Measure, print, keep; 1 where Ali itself could not be measured."""
    whole = not (options.quick or options.only or options.without)
    kept = RESULTS / ("gateway.json" if whole else "gateway-part.json")
    if options.report and not kept.exists():
        print(f"There is no {kept.name} in bench/results: run it without --report first.", file=sys.stderr)
        return 2
    if options.report:
        results = Results.from_json(kept.read_text(encoding="utf-8"))
        measures.disk(results, RESULTS / "disk.json")  # a clean installation may have been counted since
    else:
        if sys.platform != "linux":
            print("This benchmark reads Linux's /proc; run it on Linux.", file=sys.stderr)
            return 2
        plan = _plan(options)
        try:
            results = uvloop.run(
                _measure(plan, only=options.only or _ALL, without=options.without or set(), quick=options.quick)
            )
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("Stopped; nothing was kept.", file=sys.stderr)
            return 130
    report = render(results, connections=measures.CONNECTIONS)
    print(report)
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept.write_text(results.to_json(), encoding="utf-8")
    kept.with_suffix(".md").write_text(report, encoding="utf-8")
    if options.write_docs and (results.missing or not whole):
        print("A quick or partial run is no evidence: the documents are left as they are.", file=sys.stderr)
        return 2
    if options.write_docs:
        _write_documents(results, report)
    return 1 if ALI in results.missing else 0


def _plan(options: argparse.Namespace) -> Plan:
    plan = Plan.quick() if options.quick else Plan()
    if options.rounds:
        rounds = max(1, options.rounds)
        return dataclasses.replace(plan, rounds=rounds)
    return plan


def _only(text: str) -> set[int]:
    chosen = {int(part) for part in text.split(",")}
    if not chosen <= _ALL:
        raise argparse.ArgumentTypeError(f"the measurements are {', '.join(map(str, sorted(_ALL)))}")
    return chosen | {2} if 1 in chosen else chosen


def _without(text: str) -> set[str]:
    known = {name.lower(): name for name in ORDER}
    named = {part.strip().lower() for part in text.split(",")}
    if not named <= set(known):
        raise argparse.ArgumentTypeError(f"the names are {', '.join(ORDER)}")
    return {known[name] for name in named}


async def _measure(plan: Plan, *, only: AbstractSet[int], without: AbstractSet[str], quick: bool) -> Results:
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
    has_wrk = shutil.which("wrk") is not None
    if not has_wrk:
        results.note("wrk is not installed (Debian: apt-get install wrk); a slower load generator in Python stood in.")
    async with workplace() as children:
        processes.pin([os.getpid()], {cores.load})
        upstream = await start_upstream(children, cores)
        stage = Stage(children=children, folder=children.folder, cores=cores, upstream=upstream)
        bench = Bench(stage=stage, plan=plan, results=results, has_wrk=has_wrk)
        contestants = await _start(bench, [name for name in ORDER if name not in without])
        results.note(_setting(bench, contestants))
        await _once_before(bench, contestants, only)
        for number, (title, measure) in _ROUNDS.items():
            if number in only:
                await _in_turns(bench, contestants, title, measure, rounds=_rounds(plan, number))
        ours = [contestant for contestant in contestants if contestant.name == ALI]
        if 6 in only and ours:
            _say("growth")
            await measures.growth(bench, ours[0])
    measures.disk(results, RESULTS / "disk.json")
    return results


async def _start(bench: Bench, names: list[str]) -> list[Contestant]:
    """Everybody who can be started and gives a right answer; the others are named in the results."""
    started: list[Contestant] = []
    for name in names:
        _say(f"starting {name}")
        try:
            contestant = await STARTERS[name](bench.stage)
            await measures.check(contestant)
        except (StartFailed, OSError) as error:
            bench.results.missing[name] = str(error)
            _say(f"{name} is left out: {error}")
            continue
        if contestant.start_s is not None and name != ALI:
            bench.results.add(Measure.START_S, name, contestant.start_s)
        started.append(contestant)
    return started


async def _once_before(bench: Bench, contestants: list[Contestant], only: AbstractSet[int]) -> None:
    """Start-up and idle memory: before any load."""
    if 5 not in only:
        return
    for contestant in contestants:
        if contestant.name == ALI:
            _say("Ali's second start")
            for _ in range(bench.plan.start_ups):
                await measures.restart(bench, contestant)
        await measures.idle_memory(bench, contestant)


async def _in_turns(
    bench: Bench,
    contestants: list[Contestant],
    title: str,
    measure: Callable[[Bench, Contestant], Awaitable[None]],
    *,
    rounds: int,
) -> None:
    """A B C D, A B C D …: what the machine does meanwhile falls on all alike."""
    for this_round in range(1, rounds + 1):
        for contestant in list(contestants):
            _say(f"{title}, round {this_round} of {rounds}: {contestant.name}")
            try:
                await measure(bench, contestant)
            except (OSError, ValueError) as error:
                # Gone in the middle: the others are worth measuring still, and it is said that this one broke.
                bench.results.missing[contestant.name] = f"it failed at {title}, round {this_round}: {error}"
                contestants.remove(contestant)


def _rounds(plan: Plan, number: int) -> int:
    return min(plan.rounds, plan.stream_rounds) if number == 4 else plan.rounds


def _setting(bench: Bench, contestants: list[Contestant]) -> str:
    """Who ran where, in one sentence."""
    cores = bench.stage.cores
    apart = "on its own" if cores.service not in {cores.upstream, cores.load, cores.postgres} else "shared by all"
    text = (
        f"The measured service's core (number {cores.service}) is {apart}; upstream on core {cores.upstream}, load "
        f"generator on {cores.load}, PostgreSQL on {cores.postgres}. MB are 1,000,000 bytes."
    )
    for contestant in contestants:
        if contestant.name == ALI and contestant.tree.postgres:
            with contextlib.suppress(OSError):
                where = Path(f"/proc/{contestant.tree.postgres[0]}/cwd").readlink()
                text += f" PostgreSQL's data lies on {filesystem(where)}, with its durable defaults."
        if contestant.name == LITELLM:
            text += f" LiteLLM is release {litellm_version()}."
    return text


def _write_documents(results: Results, report: str) -> None:
    blocks = {
        "docs/reference/performance.md": report,
        "README.md": render_readme(results, "en"),
        "README.pt-BR.md": render_readme(results, "pt-BR"),
    }
    for name, block in blocks.items():
        page = _ROOT / name
        try:
            page.write_text(replace_block(page.read_text(encoding="utf-8"), block), encoding="utf-8")
        except (OSError, ValueError) as error:
            print(f"{name} is left as it is: {error}", file=sys.stderr)
        else:
            print(f"{name} is written.", file=sys.stderr)


def _say(text: str) -> None:
    print(f"· {text}", file=sys.stderr, flush=True)
