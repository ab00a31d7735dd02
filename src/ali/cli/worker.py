"""`ali worker`: the work that goes on without a request, in a process that takes none (docs/adr/0017)."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from ali.app import Edge, create_app
from ali.cli.migration import report
from ali.cli.supervisor import STOP_SIGNALS
from ali.kernel.log import configure_logging
from ali.kernel.settings import Settings
from ali.ops import database


def worker(
    *,
    home: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Folder for everything that is kept. [env: ALI_HOME; default: ~/.local/share/ali]"
        ),
    ] = None,
) -> None:
    """Run background responses and batches, and clear away files, for an `ali serve` whose ALI_BACKGROUND is worker.

    It runs until stopped, prepares nothing and serves nothing: the database must be up and its schema current. Ctrl-C
    or SIGTERM lets the requests under way end (ALI_DRAIN_S); what is left is taken by the next worker.
    """
    if home is not None:
        os.environ["ALI_HOME"] = str(home.absolute())
    settings = Settings()
    try:
        dsn, secret = settings.service_dsn(), settings.hmac_secret()
    except FileNotFoundError:
        report(f"there is no installation in {settings.home} yet. Start `ali serve` first, or set DATABASE_URL.")
        raise typer.Exit(1) from None
    database.wait_until_up(dsn, timeout_s=30, report=report)
    database.require_current(dsn)
    database.require_bound_role(dsn)
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    app = create_app(settings.model_copy(update={"background": "here"}), hmac_secret=secret)
    if not uvloop.run(_work(app, settings)):
        report("the worker did not start; its reason stands above")
        raise typer.Exit(1)
    report("stopped")


async def _work(app: Edge, settings: Settings) -> bool:
    """Live from the start of the application's lifespan to its end, at a signal. False where it did not start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in STOP_SIGNALS:
        loop.add_signal_handler(sign, stop.set)
    told: asyncio.Queue[str] = asyncio.Queue()
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive() -> dict[str, Any]:
        return {"type": await told.get()}

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's messages
        await heard.put(dict(message))

    life = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send))
    await told.put("lifespan.startup")
    started = await heard.get()
    if started["type"] != "lifespan.startup.complete":
        print(started.get("message", ""), file=sys.stderr)
        await asyncio.gather(life, return_exceptions=True)
        return False
    print("Ali API's worker runs", flush=True)
    await stop.wait()
    for sign in STOP_SIGNALS:
        signal.signal(sign, signal.SIG_IGN)  # what is left is bounded
    await app.api.state.batches.drain(deadline_s=settings.drain_s)
    await told.put("lifespan.shutdown")
    await life
    return True
