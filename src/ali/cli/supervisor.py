"""Several serving processes on one socket: started, restarted when they die, drained together.

Ours rather than uvicorn's `Multiprocess`: that one wakes twice a second and asks each worker whether it lives, has its
workers outlive a killed parent, and lets Ctrl-C reach them before the parent has decided anything. Here each worker
has a socket pair with its parent: a byte says that it serves, the end of the stream says that the other side is gone.
Nothing is polled.
"""

import contextlib
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, the platform's way, and a terminal that was closed."""

READY = b"r"
"""What a worker sends on its link once it accepts connections."""

_LONGEST_PAUSE_S = 10.0
_AFTER_DRAIN_S = 3.0
"""What a worker gets beyond its drain to close its connections to the database and the providers."""


def ignore_stop_signals() -> None:
    """From here to the process's end, for what is left of it is bounded. Not undone, not even by Python's exit."""
    for sign in STOP_SIGNALS:
        signal.signal(sign, signal.SIG_IGN)


class StartFailed(Exception):
    """The application did not start; its reason is in the log."""


@dataclass(slots=True, kw_only=True)
class _Worker:
    """One place for a worker: its process and link, or when the next try is due."""

    process: subprocess.Popen[bytes] | None = None
    link: socket.socket | None = None
    ready: bool = False
    failures: int = 0
    due: float = 0.0


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Keeps `count` workers on `listener`. `report` gets a line when one dies; `on_ready` is called when all serve."""

    listener: socket.socket
    count: int
    drain_s: float
    on_ready: Callable[[], None]
    report: Callable[[str], None]
    _workers: list[_Worker] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _signals: list[int] = field(default_factory=list)
    _told: bool = False

    def run(self) -> None:
        """Serve until a signal to stop. Raises `StartFailed` when a worker ends before all have served once."""
        self._workers = [_Worker() for _ in range(self.count)]
        with self._wakened_by_signals(), self._selector:
            try:
                while not self._signals:
                    self._start_due()
                    self._await(self._next_due())
                    self._bury_dead()
            finally:
                self._stop()

    def _start_due(self) -> None:
        for worker in self._workers:
            if worker.process is None and worker.due <= time.monotonic():
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        ours, theirs = socket.socketpair()
        inherited = (self.listener.fileno(), theirs.fileno())
        with theirs:
            worker.process = subprocess.Popen(  # noqa: S603 - this program's own worker
                [
                    *(sys.executable, "-P", "-m", "ali.cli.server"),
                    *("--listener", str(inherited[0]), "--link", str(inherited[1])),
                ],
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C and a closing terminal reach the parent alone
            )
        ours.setblocking(False)
        worker.link, worker.ready = ours, False
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _next_due(self) -> float | None:
        waiting = [worker.due for worker in self._workers if worker.process is None]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _await(self, timeout_s: float | None) -> None:
        """Sleep until a signal, news from a worker, or the time for a restart."""
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    key.fileobj.recv(4096)  # type: ignore[union-attr] # every registered object is a socket
                continue
            worker: _Worker = key.data
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                worker.ready = worker.link is not None and worker.link.recv(16) == READY
            if worker.ready:
                worker.failures = 0
            else:
                self._forget_link(worker)
        if not self._told and not self._signals and all(worker.ready for worker in self._workers):
            self._told = True
            self.on_ready()

    def _bury_dead(self) -> None:
        for worker in self._workers:
            if worker.process is None or worker.process.poll() is None:
                continue
            status = worker.process.returncode
            self._forget_link(worker)
            worker.process, worker.ready = None, False
            if self._signals:
                continue
            if not self._told:
                raise StartFailed
            pause_s = min(_LONGEST_PAUSE_S, 0.1 * 2**worker.failures)
            worker.failures += 1
            worker.due = time.monotonic() + pause_s
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            self.report(f"A worker process {how}; starting another")

    def _forget_link(self, worker: _Worker) -> None:
        if worker.link is not None:
            self._selector.unregister(worker.link)
            worker.link.close()
            worker.link = None

    def _stop(self) -> None:
        """Drain all, then end what has not ended. A second Ctrl-C ends them at once."""
        self.listener.close()  # else connections would wait in its backlog for nobody
        self._send(signal.SIGTERM)
        deadline = time.monotonic() + self.drain_s + _AFTER_DRAIN_S
        already = len(self._signals)
        while any(worker.process for worker in self._workers):
            patience_s = deadline - time.monotonic()
            if patience_s <= 0 or signal.SIGINT in self._signals[already:]:
                self._send(signal.SIGKILL)
                for worker in self._workers:
                    if worker.process:
                        worker.process.wait()
            else:
                self._await(patience_s)
            with contextlib.suppress(StartFailed):
                self._bury_dead()

    def _send(self, sign: int) -> None:
        for worker in self._workers:
            if worker.process is not None:
                worker.process.send_signal(sign)

    @contextlib.contextmanager
    def _wakened_by_signals(self) -> Iterator[None]:
        """Signals to stop are noted, and they and a child's end wake the selector."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        before = {sign: signal.signal(sign, lambda sign, _: self._signals.append(sign)) for sign in STOP_SIGNALS}
        child_handler = signal.signal(signal.SIGCHLD, lambda *_: None)
        descriptor = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        with ours, theirs:
            self._selector.register(ours, selectors.EVENT_READ, None)
            try:
                yield
            finally:
                signal.set_wakeup_fd(descriptor)
                signal.signal(signal.SIGCHLD, child_handler)
                if self._signals:
                    ignore_stop_signals()
                else:
                    for sign, handler in before.items():
                        signal.signal(sign, handler)
