"""What the service's processes cost: a chunk of a stream, a response, and memory over many of them."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from bench.gateway import processes
from bench.gateway.children import StartFailed
from bench.gateway.client import closed_loop, encode_request, response_end
from bench.gateway.contestants import Contestant, Stage
from bench.gateway.streams import Schedule, run_streams
from bench.responses.ways import ANTHROPIC_STORED, ANTHROPIC_UNSTORED, Way

MEGABYTE: Final = 1_000_000
CONNECTIONS: Final = 32
CHUNKS: Final = 8
"""Of each answer whose request is measured, not its chunks."""
_DEADLINE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    rounds: int = 3
    schedule: Schedule = field(
        default_factory=lambda: Schedule(streams=500, interval_ms=50, ramp_s=2.0, settle_s=0.5, window_s=5.0)
    )
    load_s: float = 4.0
    growth_responses: int = 50_000
    growth_warm_up: int = 5_000
    growth_limit_s: float = 400.0
    history: tuple[int, ...] = (100, 1_000, 10_000)
    continued: int = 30
    background: int = 20
    background_chunks: int = 400

    @classmethod
    def quick(cls) -> "Plan":
        """About a minute: shows that everything works, and proves nothing."""
        return cls(
            rounds=1,
            schedule=Schedule(streams=50, interval_ms=50, ramp_s=0.5, settle_s=0.5, window_s=2.0),
            load_s=1.0,
            growth_responses=2_000,
            growth_warm_up=500,
            growth_limit_s=30.0,
            history=(100, 1_000),
            continued=5,
            background=5,
            background_chunks=50,
        )


Samples = dict[str, dict[str, list[float]]]
"""By measure and way, one value a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every measurement needs."""

    stage: Stage
    plan: Plan
    samples: Samples

    def add(self, measure: str, way: str, value: float) -> None:
        """One round's value."""
        self.samples.setdefault(measure, {}).setdefault(way, []).append(value)


@dataclass(slots=True)
class _Cost:
    service_s: float = 0.0
    postgres_s: float = 0.0
    wall_s: float = 0.0


@contextmanager
def cost_of(bench: Bench, contestant: Contestant) -> Iterator[_Cost]:
    """CPU seconds used within the block."""
    cost = _Cost()
    before, began = contestant.refresh(bench.stage.cores), time.monotonic()
    service_s, postgres_s = processes.cpu_s(before.service), processes.cpu_s(before.postgres)
    yield cost
    cost.wall_s = time.monotonic() - began
    after = contestant.refresh(bench.stage.cores)
    cost.service_s = processes.cpu_s(after.service) - service_s
    cost.postgres_s = processes.cpu_s(after.postgres) - postgres_s


def encoded(contestant: Contestant, way: Way, body: bytes) -> bytes:
    """The request as it is sent."""
    return encode_request(port=contestant.port, headers=contestant.headers, body=body, path=way.path)


async def asked(contestant: Contestant, way: Way, body: bytes) -> bytes:
    """One request on a connection of its own: the whole answer. Raises StartFailed for any other than a 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", contestant.port)
    received = b""
    try:
        writer.write(encoded(contestant, way, body))
        async with asyncio.timeout(_DEADLINE_S):
            while response_end(received) < 0:
                data = await reader.read(1 << 20)
                if not data:
                    break
                received += data
    finally:
        writer.close()
    if not received.startswith(b"HTTP/1.1 200") or way.terminal not in received:
        raise StartFailed(f"{way.name}: {received[:2000]!r}")
    return received


async def made(contestant: Contestant, way: Way) -> dict[str, Any]:
    """One response in the foreground, whole: the object of its terminal event."""
    answer = await asked(contestant, way, way.body(chunks=CHUNKS))
    event = answer[answer.index(b"event: response.completed") :].partition(b"data: ")[2].partition(b"\n\n")[0]
    response: dict[str, Any] = orjson.loads(event)["response"]
    return response


async def chunks(bench: Bench, contestant: Contestant, way: Way) -> None:
    """Many streams at an even pace: what a chunk costs, and how late it is. Their beginnings and ends do not count."""
    schedule = bench.plan.schedule
    body = way.body(chunks=schedule.chunks, interval_ms=schedule.interval_ms)
    tree = contestant.refresh(bench.stage.cores)
    marks: list[tuple[float, float]] = []
    seen = await run_streams(
        encoded(contestant, way, body),
        port=contestant.port,
        schedule=schedule,
        at_window=lambda: marks.append((processes.cpu_s(tree.service), processes.cpu_s(tree.postgres))),
        terminal=way.terminal,
    )
    if not seen.chunks:
        return
    (service, postgres), (service_end, postgres_end) = marks
    bench.add("chunk_cpu_us", way.name, (service_end - service) / seen.chunks * 1e6)
    bench.add("chunk_postgres_us", way.name, (postgres_end - postgres) / seen.chunks * 1e6)
    bench.add("chunk_p50_ms", way.name, seen.p50_ms)
    bench.add("chunk_p99_ms", way.name, seen.p99_ms)
    bench.add("chunks_percent", way.name, seen.chunks / seen.expected_chunks * 100)
    bench.add("ended_percent", way.name, seen.ended / seen.streams * 100)


async def requests(bench: Bench, contestant: Contestant, way: Way) -> None:
    """Short answers, as many as its core yields: what each costs from its admission to its settlement."""
    request = encoded(contestant, way, way.body(chunks=CHUNKS))
    port = contestant.port
    await closed_loop(request, port=port, connections=CONNECTIONS, duration_s=0.5, drain_s=10)
    with cost_of(bench, contestant) as cost:
        load = await closed_loop(request, port=port, connections=CONNECTIONS, duration_s=bench.plan.load_s, drain_s=10)
        await asyncio.sleep(0.2)  # what is still being settled belongs to the bill
    served = load.requests - load.errors
    if not served:
        raise StartFailed(f"{way.name}: no request was served")
    bench.add("request_cpu_us", way.name, cost.service_s / served * 1e6)
    bench.add("request_postgres_us", way.name, cost.postgres_s / served * 1e6)
    bench.add("requests_per_s", way.name, served / load.duration_s)
    bench.add("request_errors", way.name, load.errors)


async def growth(bench: Bench, contestant: Contestant) -> None:
    """Resident memory over many responses, half of them kept: after the warm-up, and at the end."""
    plan = bench.plan
    service = contestant.refresh(bench.stage.cores).service
    step = plan.growth_warm_up
    samples: list[float] = []
    served = [0]

    def sample(_: int) -> None:
        served[0] += 1
        if served[0] % step == 0:
            samples.append(processes.rss_bytes(service) / MEGABYTE)

    began = time.monotonic()
    loads = await asyncio.gather(
        *(
            closed_loop(
                encoded(contestant, way, way.body(chunks=CHUNKS)),
                port=contestant.port,
                connections=CONNECTIONS // 2,
                duration_s=plan.growth_limit_s,
                limit=plan.growth_responses // 2,
                on_served=sample,
            )
            for way in (ANTHROPIC_STORED, ANTHROPIC_UNSTORED)
        )
    )
    for size in samples:
        bench.add("growth_rss_mb", "walk", size)
    bench.add("growth_responses", "Ali", served[0])
    bench.add("growth_errors", "Ali", sum(load.errors for load in loads))
    bench.add("growth_s", "Ali", time.monotonic() - began)
    if len(samples) > 1:
        bench.add("growth_mb", "Ali", samples[-1] - samples[0])
