"""`ali serve`: prepare what is missing, serve, and stop everything again.

The start is on a budget (docs/how-to/run.md): PostgreSQL comes up in its own process while this one imports the
application, and what only a first start needs (Alembic) is done by a process that ends.
"""

import contextlib
import errno
import os
import shlex
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ali.cli import importing
from ali.cli.migration import migrate_apart, report
from ali.cli.supervisor import STOP_SIGNALS, StartFailed, Supervisor, ignore_stop_signals
from ali.kernel.settings import Settings
from ali.ops import bootstrap, database, embedded
from ali.ops.sign_in import check_settings, ensure_signing_key

_SPARE_CONNECTIONS = 16
"""For the command line and an operator's psql, beside the workers' pools."""


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to serve on. [env: ALI_HOST; default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to serve on; 0 picks a free one. [env: PORT; default: 8000]"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Service processes. [env: ALI_WORKERS; default: 1]")
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Folder for everything that is kept. [env: ALI_HOME; default: ~/.local/share/ali]"
        ),
    ] = None,
) -> None:
    """Prepare what is missing and start the service.

    Without DATABASE_URL it brings its own PostgreSQL, kept in the home folder. Ctrl-C or SIGTERM lets running requests
    end (ALI_DRAIN_S), then stops everything; a second Ctrl-C stops at once.
    """
    # Through the environment, so that the worker processes and whatever else is started have the same.
    given = {"ALI_HOST": host, "PORT": port, "ALI_WORKERS": workers, "ALI_HOME": home and home.absolute()}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    settings = Settings()
    check_settings(settings)
    listener = bound(settings.host, settings.port)
    try:
        interrupt_at_stop_signals()
        with contextlib.ExitStack() as stack:
            stack.callback(listener.close)
            try:
                _run(settings, listener, stack)
            finally:
                ignore_stop_signals()  # what is left is stopping, which is bounded
    except Interrupted as stop:
        report("stopped before it was ready")
        raise typer.Exit(128 + stop.signal) from None
    report("stopped")


class Interrupted(BaseException):
    """A signal to stop came while preparing."""

    def __init__(self, sign: int) -> None:
        super().__init__(sign)
        self.signal = sign


def interrupt_at_stop_signals() -> None:
    """From here the first signal to stop raises `Interrupted`, so that what was started is stopped.

    Later ones change nothing. Nothing is put back, for the end of the verb is the end of the process: a late signal
    must not make a clean stop look like a crash.
    """

    def interrupt(sign: int, _frame: FrameType | None) -> None:
        ignore_stop_signals()
        raise Interrupted(sign)

    for sign in STOP_SIGNALS:
        signal.signal(sign, interrupt)


def bound(host: str, port: int) -> socket.socket:
    """A socket bound to the address, not listening yet: a client is refused until the service is ready."""
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        report(_why_not_bound(error, host=host, port=port))
        raise typer.Exit(2) from error
    return listener


def _why_not_bound(error: OSError, *, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use. Stop what uses it, or choose another: --port {port + 1}, or --port 0."
    if error.errno == errno.EACCES:
        return f"port {port} may be used by root only. Choose one from 1024 on: --port 8000."
    return f"cannot serve on {host}: {error.strerror or error}. Choose an address of this machine: --host 127.0.0.1."


def _run(settings: Settings, listener: socket.socket, stack: contextlib.ExitStack) -> None:
    report(f"the home folder is {settings.home}")
    if settings.workers > 1:
        dsn = _database(settings, stack, meanwhile=lambda: None)
    else:
        dsn = _database(settings, stack, meanwhile=_import_application)
    key = _prepare_database(dsn, settings)
    database.require_bound_role(settings.service_dsn())

    def ready() -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody reads it, and that is no reason not to serve
            print(welcome(settings, listener, key=key), flush=True)

    if settings.workers > 1:
        _serve_in_several(settings, listener, ready)
    else:
        _serve_here(settings, listener, ready)


def _import_application() -> None:
    with importing():
        import ali.app.edge  # noqa: PLC0415 - while PostgreSQL starts
        import ali.cli.server  # noqa: F401, PLC0415 - as above


def _database(settings: Settings, stack: contextlib.ExitStack, *, meanwhile: Callable[[], None]) -> str:
    """The connection string of a database that is up; `meanwhile` is done while the embedded one starts."""
    if not settings.embedded:
        meanwhile()
        database.wait_until_up(settings.database_dsn(), timeout_s=30, report=report)
        return settings.database_dsn()

    report("starting PostgreSQL")
    connections = settings.workers * settings.database_pool_size * 2 + _SPARE_CONNECTIONS
    started: list[embedded.EmbeddedPostgres] = []
    # Pushed before anything is started, so that an interruption at any point finds something to stop.
    stack.callback(_stop, started)
    with ThreadPoolExecutor(1, thread_name_prefix="postgres-start") as executor:
        starting = executor.submit(embedded.start, settings.home, report=report, max_connections=connections)
        starting.add_done_callback(lambda done: None if done.exception() else started.append(done.result()))
        meanwhile()
        return starting.result().dsn


def _stop(started: list[embedded.EmbeddedPostgres]) -> None:
    for postgres in started:
        report("stopping PostgreSQL")
        postgres.stop()


def _prepare_database(dsn: str, settings: Settings) -> str | None:
    """The schema and the first tenant as they must be. Returns the owner's API key if it was made now."""
    try:
        database.require_current(dsn)
    except database.SchemaBehind:
        status = migrate_apart(dsn)
        if status != 0:
            raise typer.Exit(status) from None
    key = bootstrap.ensure_first_tenant(dsn, settings, report=report)
    ensure_signing_key(dsn, hmac_secret=bootstrap.api_key_hmac_secret(settings), report=report)
    return key


def _serve_here(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    from ali.app import create_app  # noqa: PLC0415 - imported while PostgreSQL started
    from ali.cli.server import Server, serve_until_stopped  # noqa: PLC0415 - as above
    from ali.kernel.log import configure_logging  # noqa: PLC0415 - as above

    configure_logging(level=settings.log_level, log_format=settings.log_format)
    app = create_app(settings, hmac_secret=bootstrap.api_key_hmac_secret(settings))
    try:
        serve_until_stopped(Server(app, settings=settings, on_ready=ready), listener)
    except StartFailed:
        report("the service did not start; its reason stands above")
        raise typer.Exit(1) from None


def _serve_in_several(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    supervisor = Supervisor(
        listener=listener, count=settings.workers, drain_s=settings.drain_s, on_ready=ready, report=report
    )
    try:
        supervisor.run()
    except StartFailed:
        report("a worker process did not start; its reason stands above")
        raise typer.Exit(1) from None


def welcome(settings: Settings, listener: socket.socket, *, key: str | None) -> str:
    """What to tell the person who has started the service: where it is, the key, and two lines to paste.

    The key itself is shown when it was made just now, and never again.
    """
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    address = f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
    key_file = settings.credentials / "owner-api-key"
    credential = f"$(cat {shlex.quote(str(key_file))})"
    body = (
        '{"model": "ali-extractive", "max_tokens": 300, "messages": [{"role": "user", "content": '
        '"The warranty lasts 24 months from delivery. Repairs take two weeks. How long does the warranty last?"}]}'
    )
    lines = ["", f"Ali API serves on {address}", ""]
    if key is not None:
        lines += [f"The owner's API key, shown this once: {key}"]
    if key_file.exists():
        lines += [f"The owner's API key is in {key_file}", "", "Try it:", ""]
    else:
        lines += ["", "Try it, with your API key:", ""]
        credential = "YOUR_API_KEY"
    for path, header in (("/v1/chat/completions", "authorization: Bearer "), ("/v1/messages", "x-api-key: ")):
        lines += [
            f"curl {address}{path} -H \"{header}{credential}\" \\\n  -H 'content-type: application/json' -d '{body}'",
            "",
        ]
    return "\n".join(lines)
