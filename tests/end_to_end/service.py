"""The real program as a subprocess: started, watched and ended the way an operator would."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

ALI: Final = [sys.executable, "-P", "-m", "ali"]
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without any setting of the service, and with `variables`."""
    ours = re.compile(r"ALI_|OPENAI_|ANTHROPIC_|PORT$|DATABASE_URL$|REDIS_URL$")
    return {name: value for name, value in os.environ.items() if not ours.match(name)} | variables


def wait_for(condition: Callable[[], object], *, what: str, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Return once `condition` holds; fail after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs (one that has ended and is not reaped yet does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass(slots=True, kw_only=True)
class Program:
    """A started `ali` command with its two outputs."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    @property
    def printed(self) -> str:
        """Its standard output until now."""
        return self.out.read_text(encoding="utf-8")

    @property
    def said(self) -> str:
        """Its standard error until now."""
        return self.err.read_text(encoding="utf-8")

    def wait_until_printed(self, pattern: str) -> str:
        """The first group of `pattern` in its standard output, once it is there."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (found := re.search(pattern, self.printed)):
            ended = self.process.poll() is not None
            assert not ended, f"it ended with {self.process.returncode}:\n{self.said}"
            assert time.monotonic() < deadline, f"it did not print {pattern}:\n{self.printed}\n{self.said}"
            time.sleep(0.02)
        return found.group(1)

    def end(self, sign: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(sign)
        return self.process.wait(STOP_TIMEOUT_S)


@contextmanager
def started(*arguments: str, environment: Mapping[str, str], stderr: int | None = None) -> Iterator[Program]:
    """`ali` with these arguments, gone when the block ends. `stderr`: a file descriptor instead of the kept file."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        with out.open("wb") as to_out, err.open("wb") as to_err:
            process = subprocess.Popen(  # noqa: S603 - the program under test
                [*ALI, *arguments],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=to_out,
                stderr=to_err if stderr is None else stderr,
            )
        try:
            yield Program(process=process, out=out, err=err)
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_TIMEOUT_S)
                process.kill()
            process.wait()


@dataclass(slots=True, kw_only=True)
class Service:
    """A running `ali serve` that says it is ready."""

    program: Program
    home: Path
    port: int

    @property
    def key(self) -> str:
        """The owner's API key."""
        return (self.home / "credentials" / "owner-api-key").read_text(encoding="utf-8").strip()

    def request(self, method: str, path: str, body: object = None, *, key: str | None = None) -> tuple[int, Any]:
        """Status and decoded JSON of one request."""
        connection = self.send(method, path, body, key=key)
        try:
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def send(self, method: str, path: str, body: object = None, *, key: str | None = None) -> HTTPConnection:
        """A connection on which one request was sent; its answer is the caller's to read."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"content-type": "application/json", "authorization": f"Bearer {key or self.key}"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection

    def postgres_pid(self) -> int:
        """The process of its embedded PostgreSQL."""
        location = self.home / "postgres" / "location"
        site = Path(location.read_text("utf-8").strip()) if location.exists() else self.home / "postgres"
        return int((site / "server" / "data" / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])

    def worker_pids(self) -> list[int]:
        """Its worker processes."""
        children = Path(f"/proc/{self.program.process.pid}/task/{self.program.process.pid}/children")
        pids = [int(pid) for pid in children.read_text(encoding="ascii").split()]
        return [pid for pid in pids if b"ali.cli.server" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@contextmanager
def serving(
    home: Path, *arguments: str, variables: Mapping[str, str] | None = None, stderr: int | None = None
) -> Iterator[Service]:
    """A service on a free port, ready for requests."""
    environment = clean_environment(ALI_HOME=str(home), **(variables or {}))
    with started("serve", "--port", "0", *arguments, environment=environment, stderr=stderr) as program:
        port = program.wait_until_printed(r"serves on http://127\.0\.0\.1:(\d+)")
        yield Service(program=program, home=home, port=int(port))


def question(text: str, *, model: str = "ali-extractive", **more: object) -> dict[str, object]:
    """A request that both dialects take."""
    return {"model": model, "max_tokens": 300, "messages": [{"role": "user", "content": text}], **more}


WARRANTY: Final = "The warranty lasts 24 months from delivery. Repairs take two weeks. How long does the warranty last?"
