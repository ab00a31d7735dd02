"""`ali database`: look after the database's schema."""

import sys
from typing import Annotated

import typer

from ali.kernel.settings import Settings
from ali.ops import database

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def _group() -> None:
    """Look after the database's schema."""


@app.command()
def migrate() -> None:
    """Bring the schema to what this release needs. Safe to repeat, and to run from several machines at once."""
    with database.reached(Settings(), report=_report) as dsn:
        database.migrate(dsn, report=_report)
        print(f"The schema is at {database.status(dsn).revision}.")


@app.command()
def status(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Fail unless the schema is the one this release needs.")
    ] = False,
) -> None:
    """Show the versions of the server and the schema, and the database's size."""
    settings = Settings()
    if settings.embedded and not (settings.credentials / "database-url").exists():
        print(f"There is no database in {settings.home} yet. `ali serve` or `ali database migrate` makes one.")
        raise typer.Exit(1)
    with database.reached(settings, report=_report) as dsn:
        found = database.status(dsn)
        print(f"server    PostgreSQL {found.server_version}{' (embedded)' if settings.embedded else ''}")
        print(f"schema    {found.revision or 'none'}{'' if found.current else f', this release needs {found.head}'}")
        print(f"size      {found.size_bytes / 1024**2:.1f} MB in {found.tables} tables of the schema")
        if check:
            database.require_current(dsn)


def _report(message: str) -> None:
    print(message, file=sys.stderr)
