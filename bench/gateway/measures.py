"""The measurements: each runs one contestant once and adds what it saw to the results."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.gateway import processes, wrk
from bench.gateway.children import StartFailed
from bench.gateway.client import Load, closed_loop, encode_request
from bench.gateway.contestants import ALI, LITELLM, Contestant, Stage, start_ali
from bench.gateway.figures import growth_per
from bench.gateway.machine import durable_write_ms
from bench.gateway.results import Measure, Results
from bench.gateway.streams import Schedule, Streamed, run_streams
from bench.gateway.upstream import request_body

MEGABYTE = 1_000_000
CONNECTIONS = 32
FEW_CONNECTIONS = 4
SLOW_UPSTREAM_MS = 50
LITELLM_STREAMS = (200, 100, 50, 25, 10, 5)


_FULL_STREAMS = Schedule(streams=500, interval_ms=50, ramp_s=2.0, settle_s=1.0, window_s=15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. Everything ends by itself: by time, or by count and time."""

    rounds: int = 5
    start_ups: int = 5
    connections: int = CONNECTIONS
    load_s: float = 5.0
    latency_s: float = 4.0
    schedule: Schedule = _FULL_STREAMS
    stream_rounds: int = 3
    growth_requests: int = 100_000
    growth_sample_every: int = 5_000
    growth_limit_s: float = 300.0

    @classmethod
    def quick(cls) -> "Plan":
        """About a minute: shows that everything works, and proves nothing."""
        return cls(
            rounds=1,
            start_ups=1,
            load_s=2.0,
            latency_s=1.0,
            schedule=Schedule(streams=50, interval_ms=50, ramp_s=0.5, settle_s=0.5, window_s=2.0),
            stream_rounds=1,
            growth_requests=4_000,
            growth_sample_every=200,
            growth_limit_s=20.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every measurement needs."""

    stage: Stage
    plan: Plan
    results: Results
    has_wrk: bool


@dataclass(slots=True)
class _Cost:
    """CPU seconds used between the two ends of a block."""

    service_s: float = 0.0
    postgres_s: float = 0.0
    wall_s: float = 0.0


@contextmanager
def _cost(bench: Bench, contestant: Contestant) -> Iterator[_Cost]:
    cost = _Cost()
    before, began = contestant.refresh(bench.stage.cores), time.monotonic()
    service_s, postgres_s = processes.cpu_s(before.service), processes.cpu_s(before.postgres)
    yield cost
    cost.wall_s = time.monotonic() - began
    after = contestant.refresh(bench.stage.cores)
    cost.service_s = processes.cpu_s(after.service) - service_s
    cost.postgres_s = processes.cpu_s(after.postgres) - postgres_s


async def check(contestant: Contestant) -> None:
    """One plain answer and one stream, before anything is measured. Raises StartFailed with what came instead."""
    for chunks in (0, 2):
        body = request_body(chunks=chunks, interval_ms=1)
        request = encode_request(port=contestant.port, headers=contestant.headers, body=body)
        reader, writer = await asyncio.open_connection("127.0.0.1", contestant.port)
        try:
            writer.write(request)
            async with asyncio.timeout(30):
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"HTTP/1.1 200") and chunks:
                    await reader.readuntil(b"[DONE]")
                elif not head.startswith(b"HTTP/1.1 200"):
                    raise StartFailed(f"it answered {head.splitlines()[0]!r} {(await reader.read(2000))!r}")
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            raise StartFailed(f"no whole answer: {error!r}") from error
        finally:
            writer.close()


async def throughput(bench: Bench, contestant: Contestant) -> None:
    """As many small, whole answers as its core yields, and what each costs."""
    plan, results, name = bench.plan, bench.results, contestant.name
    await _load(bench, contestant, delay_ms=0, connections=plan.connections, duration_s=1.0)
    with _cost(bench, contestant) as cost:
        load = await _load(bench, contestant, delay_ms=0, connections=plan.connections, duration_s=plan.load_s)
        await asyncio.sleep(0.2)  # what is still being settled belongs to the bill
    served = load.requests - load.errors
    results.add(Measure.REQUESTS_PER_S, name, served / load.duration_s)
    if contestant.child and served:
        results.add(Measure.CPU_US, name, cost.service_s / served * 1e6)
        results.add(Measure.BUSY_PERCENT, name, cost.service_s / cost.wall_s * 100)
        if contestant.tree.postgres:
            results.add(Measure.POSTGRES_CPU_US, name, cost.postgres_s / served * 1e6)


async def latency(bench: Bench, contestant: Contestant) -> None:
    """Four callers, each waiting for its answer: from an upstream that answers at once, and one that takes 50 ms."""
    plan, results, name = bench.plan, bench.results, contestant.name
    await _load(bench, contestant, delay_ms=0, connections=FEW_CONNECTIONS, duration_s=1.0)
    with _cost(bench, contestant) as cost:
        load = await _load(bench, contestant, delay_ms=0, connections=FEW_CONNECTIONS, duration_s=plan.latency_s)
    if contestant.tree.postgres:
        results.add(Measure.SYNC_MS, name, durable_write_ms(bench.stage.folder))
    results.add(Measure.P50_MS, name, load.p50_ms)
    results.add(Measure.P99_MS, name, load.p99_ms)
    if contestant.child and load.requests:
        results.add(Measure.CALM_CPU_US, name, cost.service_s / load.requests * 1e6)
    load = await _load(
        bench, contestant, delay_ms=SLOW_UPSTREAM_MS, connections=FEW_CONNECTIONS, duration_s=plan.latency_s
    )
    results.add(Measure.SLOW_P50_MS, name, load.p50_ms)
    results.add(Measure.SLOW_P99_MS, name, load.p99_ms)


async def streams(bench: Bench, contestant: Contestant) -> None:
    """Many streams at an even pace: how late each chunk is, and what it costs."""
    results, name = bench.results, contestant.name
    schedule = bench.plan.schedule
    if name == LITELLM:
        bearable = results.values(Measure.STREAMS, LITELLM)
        count = int(bearable[0]) if bearable else await _bearable_streams(bench, contestant)
        schedule = replace(schedule, streams=count)
    seen, cost = await _stream(bench, contestant, schedule)
    results.add(Measure.STREAMS, name, seen.streams)
    results.add(Measure.CHUNKS_PERCENT, name, seen.chunks / seen.expected_chunks * 100)
    results.add(Measure.STREAMS_ENDED_PERCENT, name, seen.ended / seen.streams * 100)
    if seen.chunks:
        results.add(Measure.CHUNK_P50_MS, name, seen.p50_ms)
        results.add(Measure.CHUNK_P99_MS, name, seen.p99_ms)
        if contestant.child:
            results.add(Measure.CHUNK_CPU_US, name, cost.service_s / seen.chunks * 1e6)


async def idle_memory(bench: Bench, contestant: Contestant) -> None:
    """Resident memory two seconds after a few requests, so that what is loaded at the first one counts."""
    if not contestant.child:
        return
    request = encode_request(port=contestant.port, headers=contestant.headers, body=request_body())
    await closed_loop(request, port=contestant.port, connections=2, duration_s=30, limit=20)
    await asyncio.sleep(2)
    found, results, name = contestant.refresh(bench.stage.cores), bench.results, contestant.name
    results.add(Measure.RSS_MB, name, processes.rss_bytes(found.service) / MEGABYTE)
    results.add(Measure.PSS_MB, name, processes.pss_bytes(found.service) / MEGABYTE)
    if found.postgres:
        results.add(Measure.POSTGRES_PSS_MB, name, processes.pss_bytes(found.postgres) / MEGABYTE)


async def restart(bench: Bench, contestant: Contestant) -> None:
    """Stop Ali and start it again in the same home: the second start. Raises StartFailed."""
    if contestant.child is None or contestant.start_s is None:
        raise AssertionError
    await bench.stage.children.stop(contestant.child)
    await start_ali(bench.stage, contestant)
    # All of it ran on one core, where PostgreSQL's start and ours take turns: its CPU is what its start cost us. The
    # time from its first process to its readiness would take off what we did meanwhile, too.
    postgres_s = processes.cpu_s(contestant.tree.postgres)
    bench.results.add(Measure.START_S, ALI, contestant.start_s)
    bench.results.add(Measure.OWN_START_S, ALI, contestant.start_s - postgres_s)


async def growth(bench: Bench, contestant: Contestant) -> None:
    """Resident memory over 100,000 requests; the first fifth is warm-up."""
    plan, results = bench.plan, bench.results
    service = contestant.refresh(bench.stage.cores).service
    samples: list[tuple[int, float]] = []

    def sample(served: int) -> None:
        if served % plan.growth_sample_every == 0:
            samples.append((served, processes.rss_bytes(service) / MEGABYTE))

    request = encode_request(port=contestant.port, headers=contestant.headers, body=request_body())
    load = await closed_loop(
        request,
        port=contestant.port,
        connections=plan.connections,
        duration_s=plan.growth_limit_s,
        limit=plan.growth_requests,
        on_served=sample,
    )
    if load.errors or load.requests < plan.growth_requests:
        results.note(f"Growth: {load.requests} of {plan.growth_requests} requests were served, {load.errors} errors.")
    elif not results.quick:
        results.add(Measure.GROWTH_MB, ALI, growth_per(100_000, samples, warm_up=plan.growth_requests // 5))
        results.add(Measure.LOADED_RSS_MB, ALI, samples[-1][1])
        walk = ", ".join(f"{size:.1f}" for served, size in samples if served % (plan.growth_requests // 10) == 0)
        results.note(f"Growth: resident MB after each tenth of the {plan.growth_requests:,} requests: {walk}.")


def disk(results: Results, kept: Path) -> None:
    """What `./run bench disk` found last, if it was run."""
    if kept.exists():
        found = json.loads(kept.read_text(encoding="utf-8"))
        results.samples[Measure.DISK_MB] = {ALI: [found["total_bytes"] / MEGABYTE]}


async def _load(bench: Bench, contestant: Contestant, *, delay_ms: int, connections: int, duration_s: float) -> Load:
    """One run of the load generator against a plain chat request."""
    body = request_body(delay_ms=delay_ms)
    # wrk drops the requests that are under way at its end: nothing where thousands are served, 7 % of LiteLLM's bill.
    if bench.has_wrk and contestant.name != LITELLM:
        lua = bench.stage.folder / f"{contestant.name}-{delay_ms}.lua"
        lua.write_text(wrk.script(headers=contestant.headers, body=body), encoding="utf-8")
        load = await wrk.run_wrk(lua, port=contestant.port, connections=connections, duration_s=duration_s)
    else:
        request = encode_request(port=contestant.port, headers=contestant.headers, body=body)
        load = await closed_loop(
            request, port=contestant.port, connections=connections, duration_s=duration_s, drain_s=30
        )
    if load.errors:
        bench.results.note(f"{contestant.name}: {load.errors} of {load.requests} requests of a run failed.")
    return load


async def _stream(bench: Bench, contestant: Contestant, schedule: Schedule) -> tuple[Streamed, _Cost]:
    """The CPU is that of the window only: opening and settling streams is another matter than carrying chunks."""
    body = request_body(chunks=schedule.chunks, interval_ms=schedule.interval_ms)
    request = encode_request(port=contestant.port, headers=contestant.headers, body=body)
    service = contestant.refresh(bench.stage.cores).service
    marks: list[float] = []
    seen = await run_streams(
        request,
        port=contestant.port,
        schedule=schedule,
        at_window=lambda: marks.append(processes.cpu_s(service)),
    )
    return seen, _Cost(service_s=marks[1] - marks[0], wall_s=seen.window_s)


async def _bearable_streams(bench: Bench, contestant: Contestant) -> int:
    """The most streams of which LiteLLM delivers 99 % of the chunks at a median delay under 100 ms."""
    for count in LITELLM_STREAMS:
        if count > bench.plan.schedule.streams:
            continue
        probe = replace(bench.plan.schedule, streams=count, ramp_s=1.0, settle_s=1.0, window_s=2.0)
        seen, _ = await _stream(bench, contestant, probe)
        if seen.chunks >= 0.99 * seen.expected_chunks and seen.p50_ms < 100:
            return count
    return LITELLM_STREAMS[-1]
