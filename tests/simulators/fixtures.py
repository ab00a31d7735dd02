"""Simulated providers for tests: in the test's own loop, in a thread (for synchronous clients), or as a process.

A `conftest.py` imports the fixtures that it wants: `from tests.simulators.fixtures import simulator`.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from ali.ops.simulator import Answer, FaultLimits, Pace, Simulator

KEY = "sk-simulated"
QUICK = FaultLimits(
    fault_limit_s=2.0,
    drip_s=0.02,
    enormous_bytes=24 * 1024 * 1024,
    endless_bytes=256 * 1024 * 1024,
    bomb_bytes=256 * 1024 * 1024,
)
"""Faults that end soon, yet are larger and longer than any cap or deadline that a test sets."""
_READY_S = 10.0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A fresh simulator in the test's loop, which takes only `KEY`."""
    async with Simulator(api_key=KEY, limits=QUICK) as started:
        yield started


@pytest.fixture
async def second_simulator() -> AsyncIterator[Simulator]:
    """Another provider, to fail over to."""
    async with Simulator(api_key=KEY, limits=QUICK) as started:
        yield started


@contextlib.contextmanager
def threaded_simulator(*, default: Answer | None = None, pace: Pace | None = None) -> Iterator[Simulator]:
    """A simulator in a thread and loop of its own, for tests that block. Queueing answers from outside is safe."""
    simulator = Simulator(api_key=KEY, default=default, pace=pace, limits=QUICK)
    ready = threading.Event()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stopped = asyncio.Event()
        stop.append((asyncio.get_running_loop(), stopped))
        async with simulator:
            ready.set()
            await stopped.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(_READY_S):
        raise TimeoutError("The simulator's thread did not start.")
    try:
        yield simulator
    finally:
        loop, stopped = stop[0]
        loop.call_soon_threadsafe(stopped.set)
        thread.join(_READY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorProcess:
    """A simulator that runs as a program; `exit_codes` gets its exit code once it was stopped."""

    url: str
    pid: int
    exit_codes: list[int]

    @property
    def openai_base_url(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return self.url + "/v1"

    @property
    def anthropic_base_url(self) -> str:
        """What ANTHROPIC_BASE_URL is set to."""
        return self.url


@contextlib.contextmanager
def simulator_process(*arguments: str) -> Iterator[SimulatorProcess]:
    """`python -m ali.ops.simulator` on a free port, with further arguments; stopped by SIGINT at the end."""
    command = [sys.executable, "-m", "ali.ops.simulator", "--port", "0", "--api-key", KEY, *arguments]
    exit_codes: list[int] = []
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603 - our own program
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = next(word for word in line.split() if word.startswith("http://"))
            yield SimulatorProcess(url=url, pid=process.pid, exit_codes=exit_codes)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                exit_codes.append(process.wait(_READY_S))
            except subprocess.TimeoutExpired:
                process.kill()
