"""The server's process: found again after a crash, guarded against outliving us, and ended."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ali.ops.embedded.account import Account
from ali.ops.embedded.errors import EmbeddedPostgresFailed

_ORPHAN_FAST_S = 10.0
_IMMEDIATE_S = 7.0
"""Above the 5 s after which the server kills those of its children that do not end."""
_TICK_S = 0.02
_GUARD = 'read -r _; kill -s INT "$1" 2>/dev/null'
"""Waits for the end of a pipe whose other end only we hold, then asks for a fast shutdown."""


def guard(pid: int, *, account: Account) -> subprocess.Popen[bytes]:
    """A tiny process that shuts the server down when we are gone, however we went.

    A pipe rather than PR_SET_PDEATHSIG: that one fires when the thread that forked ends, and exists on Linux alone.
    """
    return subprocess.Popen(  # noqa: S603 - a constant script; the pid is an argument, not part of it
        ["/bin/sh", "-c", _GUARD, "ali-postgres-guard", str(pid)],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **account.identity,
    )


def dismiss(guarding: subprocess.Popen[bytes]) -> None:
    """End a guard without its effect."""
    guarding.kill()
    guarding.wait()
    if guarding.stdin:
        guarding.stdin.close()


def left_behind(data: Path) -> int | None:
    """The process that `postmaster.pid` names, or None where there is no such file."""
    try:
        return int((data / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def is_server_of(data: Path, pid: int) -> bool:
    """Whether the process `pid` is a server on `data`, and not a stranger that got a dead server's number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    if Path("/proc/self").exists():
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cwd").resolve(strict=True) == data.resolve()
        return False
    ps = shutil.which("ps") or "/bin/ps"
    listed = subprocess.run(  # noqa: S603 - a number as its only variable argument
        [ps, "-ww", "-o", "command=", "-p", str(pid)], check=False, capture_output=True, text=True, timeout=10
    )
    return str(data) in listed.stdout


def end_orphan(data: Path, *, report: Callable[[str], None]) -> int | None:
    """Shut down a server that an earlier run left on `data`. Returns the pid that `postmaster.pid` still names, if any.

    Stopped rather than adopted: a server has the settings, log and guard of the run that started it.
    """
    pid = left_behind(data)
    if pid is None or not is_server_of(data, pid):
        return pid
    report("Ending the PostgreSQL that an earlier run left behind")
    for sign, patience_s in ((signal.SIGINT, _ORPHAN_FAST_S), (signal.SIGQUIT, _IMMEDIATE_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        if wait_for(lambda: not is_server_of(data, pid), timeout_s=patience_s):
            return left_behind(data)
    raise EmbeddedPostgresFailed(
        f"A PostgreSQL that an earlier run left behind (process {pid}) does not end. End it by `kill -9 {pid}`, and "
        "start again."
    )


def end(server: subprocess.Popen[bytes], *, timeout_s: float) -> None:
    """Fast shutdown; after `timeout_s` an immediate one, from which the next start recovers; then a kill."""
    for sign, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, _IMMEDIATE_S), (signal.SIGKILL, 5.0)):
        if server.poll() is not None:
            return
        server.send_signal(sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(patience_s)
            return


def launch(command: Sequence[str], *, account: Account, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, so that Ctrl-C reaches us and not it; its stderr is a pipe."""
    return subprocess.Popen(  # noqa: S603 - our own program and arguments
        command,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        umask=0o077,
        **account.identity,
    )


def wait_for(condition: Callable[[], bool], *, timeout_s: float) -> bool:
    """Whether `condition` came true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_TICK_S)
    return True
