"""Migrating in a process that ends: Alembic and SQLAlchemy would stay in the memory of one that serves for months.

`python -m ali.cli.migration` migrates the database of `DATABASE_URL`.
"""

import contextlib
import os
import subprocess
import sys

from ali.cli import fail_explained
from ali.kernel.settings import Settings
from ali.ops import database


def report(message: str) -> None:
    """A line of progress, on standard error: standard output has the address and the first key alone."""
    with contextlib.suppress(OSError):  # a terminal that was closed; stopping must go on
        print(f"ali: {message}", file=sys.stderr, flush=True)


def migrate_apart(dsn: str) -> int:
    """Migrate in a process of its own and return its exit code; its reasons stand on standard error."""
    command = [sys.executable, "-P", "-m", "ali.cli.migration"]
    return subprocess.run(command, check=False, env={**os.environ, "DATABASE_URL": dsn}).returncode  # noqa: S603 - this program


if __name__ == "__main__":
    with fail_explained():
        database.migrate(Settings().database_dsn(), report=report)
