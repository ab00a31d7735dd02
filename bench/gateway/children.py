"""The programs that a benchmark starts: each on its cores, its output in a file, and none left behind."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.gateway import processes


class StartFailed(Exception):
    """A program did not get ready; the message ends with the last lines of its output."""


class Children:
    """Starts and stops programs. Leaving the block stops all of them, whatever happened inside."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o711)  # started by root, PostgreSQL runs as another user, who has to get to its data
        self.folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._names: dict[int, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(list(self._running.values())):
            await self.stop(child)

    def start(
        self, name: str, command: Sequence[str], *, cores: Iterable[int], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start in a process group of its own, so that Ctrl-C reaches it through `stop` only, in order."""
        with processes.pinned(cores), self.log(name).open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
            )
        self._running[child.pid] = child
        self._names[child.pid] = name
        return child

    def log(self, name: str) -> Path:
        """Where the program's output goes."""
        return self.folder / f"{name}.log"

    async def wait_until_ready(
        self, child: subprocess.Popen[bytes], *, port: int, path: str, timeout_s: float, poll_s: float = 0.01
    ) -> float:
        """Seconds from now to the first 200 on `path`.

        Raises StartFailed when the child ends or the time is over; it is stopped then.
        """
        began = time.monotonic()
        while time.monotonic() - began < timeout_s:
            if answers_200(port, path):
                return time.monotonic() - began
            if child.poll() is not None:
                break
            await asyncio.sleep(poll_s)
        what = f"no 200 on {path} within {timeout_s:.0f} s" if child.poll() is None else "it ended by itself"
        await self.stop(child)
        raise StartFailed(f"{what} (status {child.returncode}): {self._last_lines(child)}")

    async def stop(self, child: subprocess.Popen[bytes], *, grace_s: float = 15.0) -> None:
        """SIGTERM, then SIGKILL for whatever of its tree is left after `grace_s`."""
        if self._running.pop(child.pid, None) is None:
            return
        found = processes.tree(child.pid)
        # A process is its number and its start: the kernel may give the number to somebody else's process meanwhile.
        before = {pid: processes.started_at_s(pid) for pid in (*found.service, *found.postgres)}
        child.terminate()
        deadline = time.monotonic() + grace_s
        while child.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.02)
        child.kill()
        child.wait()
        # What it leaves behind may be on its way out by itself.
        await _until_gone(before, timeout_s=2)
        for pid in _still_running(before):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await _until_gone(before, timeout_s=5)

    def _last_lines(self, child: subprocess.Popen[bytes]) -> str:
        text = self.log(self._names[child.pid]).read_text(encoding="utf-8", errors="replace")
        return " | ".join(" ".join(line.split()) for line in text.strip().splitlines()[-3:])


@asynccontextmanager
async def workplace() -> AsyncIterator[Children]:
    """Children in a folder that is removed in the end, with their logs and data."""
    with tempfile.TemporaryDirectory(prefix="ali-bench-") as name:
        async with Children(Path(name)) as children:
            yield children


def _still_running(before: Mapping[int, float | None]) -> list[int]:
    """Those of the processes, given with their starts, that have not ended."""
    return [pid for pid, start in before.items() if start is not None and processes.started_at_s(pid) == start]


async def _until_gone(before: Mapping[int, float | None], *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while _still_running(before) and time.monotonic() < deadline:  # noqa: ASYNC110 - other processes set no event
        await asyncio.sleep(0.05)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers_200(port: int, path: str) -> bool:
    """Whether a GET is answered with 200, within 2 s."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
            return connection.recv(12)[8:] == b" 200"
    except OSError:
        return False
