"""Many streams at once, each chunk's delay read from the time that the upstream wrote into it."""

import asyncio
import contextlib
import gc
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from bench.gateway.figures import percentile
from bench.gateway.upstream import STAMP, STAMP_BYTES

_GOLDEN = 0.6180339887498949
_LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What one run saw in its window; delays from the upstream's write to this process's read."""

    streams: int
    ended: int
    """Streams that came to their terminal event."""
    chunks: int
    expected_chunks: int
    """What the upstream was asked to send within the window."""
    p50_ms: float
    p99_ms: float
    window_s: float


@dataclass(slots=True)
class _Run:
    request: bytes
    everything: asyncio.Event
    streams: int
    terminal: bytes
    counting: bool = False
    ended: int = 0
    gone: int = 0
    delays_ns: "array[int]" = field(default_factory=lambda: array("q"))


class _Stream(asyncio.Protocol):
    """One connection, one stream."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._tail = b""
        self._done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        run = self._run
        buffer = self._tail + data
        end = 0
        for stamp in STAMP.finditer(buffer):
            end = stamp.end()
            if run.counting:
                run.delays_ns.append(now - int(stamp[1]))
        # The tail may be the first part of a stamp, or of the terminal event; a counted stamp is never kept.
        self._tail = buffer[max(end, len(buffer) - STAMP_BYTES + 1) :]
        if not self._done and run.terminal in buffer:
            self._done = True
            run.ended += 1
        if self._done and _LAST_CHUNK in buffer:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._run.gone += 1
        if self._run.gone == self._run.streams:
            self._run.everything.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long what takes. All streams live through the whole window."""

    streams: int
    interval_ms: int
    ramp_s: float
    settle_s: float
    window_s: float

    @property
    def chunks(self) -> int:
        """How many chunks each stream needs to outlive the window, whenever in the ramp it was opened."""
        return round((self.ramp_s + self.settle_s + self.window_s + 0.5) * 1000 / self.interval_ms)

    def opening_s(self, index: int) -> float:
        """When to open stream `index`: evenly over the ramp, its phase within the interval spread by the golden ratio.

        Streams in step would send all their chunks at once and measure a queue of our own making.
        """
        phase = (index * _GOLDEN) % 1 * self.interval_ms / 1000
        return index / self.streams * self.ramp_s + phase


async def run_streams(
    request: bytes,
    *,
    port: int,
    schedule: Schedule,
    at_window: Callable[[], None],
    terminal: bytes = b"[DONE]",
    grace_s: float = 15.0,
) -> Streamed:
    """Open the streams, count within the window, wait for their ends. `at_window` is called as it opens and closes.

    `terminal`: what the last event of each holds, no longer than a stamp.
    """
    loop = asyncio.get_running_loop()
    run = _Run(request, asyncio.Event(), schedule.streams, terminal)
    gc.collect()
    gc.disable()
    start = loop.time()
    opened: list[asyncio.Transport] = []
    try:
        for index in range(schedule.streams):
            await _until(start + schedule.opening_s(index))
            transport, _ = await loop.create_connection(lambda: _Stream(run), "127.0.0.1", port)
            opened.append(transport)
        await _until(start + schedule.ramp_s + schedule.settle_s)
        at_window()
        opening, run.counting = time.monotonic(), True
        await asyncio.sleep(schedule.window_s)
        run.counting, window_s = False, time.monotonic() - opening
        at_window()
        with contextlib.suppress(TimeoutError):  # told by `ended`
            await asyncio.wait_for(run.everything.wait(), schedule.ramp_s + grace_s)
    finally:
        gc.enable()
        for transport in opened:
            transport.abort()
    ordered = sorted(run.delays_ns)
    return Streamed(
        streams=schedule.streams,
        ended=run.ended,
        chunks=len(ordered),
        expected_chunks=round(schedule.streams * window_s * 1000 / schedule.interval_ms),
        p50_ms=percentile(ordered, 0.5) / 1e6 if ordered else float("inf"),
        p99_ms=percentile(ordered, 0.99) / 1e6 if ordered else float("inf"),
        window_s=window_s,
    )


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))
