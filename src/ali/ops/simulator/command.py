"""The simulator as a program: options in, a served port and a few lines of advice out."""

import asyncio
import gc
import signal
import sys
from dataclasses import dataclass

import uvloop

from ali.ops.simulator.answers import Answer, Pace
from ali.ops.simulator.fault_plans import FaultLimits
from ali.ops.simulator.faults import Fault
from ali.ops.simulator.server import Simulator

DEFAULT_PORT = 8100


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOptions:
    """What the command line says. `tokens_per_second` 0 sends answers at once; `api_key` "" takes any."""

    port: int = DEFAULT_PORT
    latency_ms: float = 0.0
    tokens_per_second: float = 0.0
    tokens: int = 16
    fault: Fault | None = None
    fault_limit_s: float = 30.0
    api_key: str = ""
    models: tuple[str, ...] = ()


def run(options: SimulationOptions) -> None:
    """Serve until SIGINT or SIGTERM. Raises `OSError` where the port is taken."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options))


def faults_table() -> str:
    """Every fault with what it changes and does, a line each."""
    lines = [
        f"{fault:<24} {fault.applies.value:<9} {'healthy' if fault.healthy else 'broken':<8} {fault.summary}"
        for fault in Fault
    ]
    return "\n".join(lines)


async def _serve(options: SimulationOptions) -> None:
    simulator = Simulator(
        port=options.port,
        api_key=options.api_key or None,
        default=Answer(fault=options.fault),
        pace=Pace(
            latency_s=options.latency_ms / 1000,
            tokens_per_second=options.tokens_per_second or None,
            tokens=options.tokens,
        ),
        models=options.models,
        limits=FaultLimits(fault_limit_s=options.fault_limit_s),
        remembered=1,
    )
    async with simulator:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        # Nothing here lives in cycles but closed connections: full collections would only add to the chunks' delay.
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        sys.stdout.write(_advice(simulator, options))
        sys.stdout.flush()
        await stop.wait()


def _advice(simulator: Simulator, options: SimulationOptions) -> str:
    key = options.api_key or "sk-simulated"
    return (
        f"Simulated OpenAI and Anthropic on {simulator.url} (Ctrl-C stops it). Point the service, or any SDK, at it:\n"
        f"  export OPENAI_BASE_URL={simulator.openai_base_url} OPENAI_API_KEY={key}\n"
        f"  export ANTHROPIC_BASE_URL={simulator.anthropic_base_url} ANTHROPIC_API_KEY={key}\n"
        "Directives in the last user message choose the answer: [[tokens:200]] [[rate:20]] [[latency:1.5]]\n"
        '[[tool:get_weather {"city":"Recife"}]] [[status:429]] [[fault:stall_mid_stream]] (--list-faults).\n'
    )
