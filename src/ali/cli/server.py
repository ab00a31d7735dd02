"""One process that serves: uvicorn on a socket that is bound already, until it is told to stop.

`python -m ali.cli.server` is a worker of `ali.cli.supervisor`: it gets the listening socket and a link to its parent
as inherited file descriptors.
"""

import argparse
import asyncio
import contextlib
import ctypes
import gc
import math
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from types import FrameType
from typing import Any

import uvicorn

from ali.cli import importing
from ali.cli.protocol import HttpProtocol
from ali.cli.supervisor import READY, STOP_SIGNALS, StartFailed, ignore_stop_signals
from ali.kernel.log import configure_logging
from ali.kernel.settings import Settings

App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[MutableMapping[str, Any]], Awaitable[None]]],
    Awaitable[None],
]
"""An ASGI application."""

BACKLOG = 2048
_KEEP_ALIVE_S = 75
"""Longer than the 60 s of the usual load balancers: whoever closes first must not be us (502s at random)."""


def _collect_seldom() -> None:
    """Search for garbage every 10,000 new objects rather than every 700, and never among those of the start.

    A request leaves few cycles behind, and searching for them costs 5 % of its CPU otherwise (measured, in turns);
    memory stays level.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _give_back() -> None:
    """Hand back to the system what the start has freed: glibc would keep some 3 MB of it. A few milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in macOS' libc, nor in musl
    if trim is not None:
        trim(0)


class Server(uvicorn.Server):
    """Uvicorn's server with our end: drain, then return. A second Ctrl-C cancels what still runs.

    `on_ready` is called once the socket accepts. With a `link`, its end (the parent is gone) counts as SIGTERM.
    """

    def __init__(
        self, app: App, *, settings: Settings, on_ready: Callable[[], None], link: socket.socket | None = None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=HttpProtocol,
                ws="none",  # `HttpProtocol` sees to WebSockets
                ws_max_size=settings.max_body_bytes,
                lifespan="on",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=math.ceil(settings.drain_s),
            )
        )
        self._on_ready = on_ready
        self._link = link
        self._serving: asyncio.Task[Any] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and accept connections."""
        self._serving = asyncio.current_task()
        loop = asyncio.get_running_loop()
        if self._link is not None:
            loop.add_reader(self._link, self._parent_is_gone)
        await super().startup(sockets)
        if self.started:
            _collect_seldom()
            _give_back()
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are ours while serving. Unlike uvicorn's own, they are not raised once more at the end."""
        before = {sign: signal.signal(sign, self.handle_exit) for sign in STOP_SIGNALS}
        try:
            yield
        finally:
            if self.should_exit:
                ignore_stop_signals()
            else:
                for sign, handler in before.items():
                    signal.signal(sign, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin the drain, or, at a second Ctrl-C, cut it short."""
        if self.should_exit and sig == signal.SIGINT and self._serving is not None:
            self.force_exit = True
            self._serving.get_loop().call_soon_threadsafe(self._serving.cancel)
        self.should_exit = True

    def _parent_is_gone(self) -> None:
        if self._link is not None:
            asyncio.get_running_loop().remove_reader(self._link)
        self.should_exit = True


def serve_until_stopped(server: Server, listener: socket.socket) -> None:
    """Serve on `listener` until a signal or the parent's end; closes it. Raises `StartFailed`."""
    try:
        server.run(sockets=[listener])
    except SystemExit as error:  # uvicorn's word for a failed start of the application
        raise StartFailed from error
    except asyncio.CancelledError:  # the second Ctrl-C
        pass
    finally:
        listener.close()


def _worker(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--listener", type=int, required=True)
    parser.add_argument("--link", type=int, required=True)
    given = parser.parse_args(arguments)
    listener, link = socket.socket(fileno=given.listener), socket.socket(fileno=given.link)
    link.setblocking(False)
    settings = Settings()
    configure_logging(level=settings.log_level, log_format=settings.log_format)

    with importing():
        from ali.app import create_app_from_environment  # noqa: PLC0415 - so that a worker's start is as quick as ours

    server = Server(create_app_from_environment(), settings=settings, on_ready=lambda: _tell(link), link=link)
    try:
        serve_until_stopped(server, listener)
    except StartFailed:
        return 3
    return 0


def _tell(link: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the parent has just ended; its end is read from the link
        link.send(READY)


if __name__ == "__main__":
    sys.exit(_worker(sys.argv[1:]))
