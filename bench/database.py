"""A PostgreSQL for one benchmark, as an embedded installation starts it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ali.ops import database, embedded


@contextmanager
def migrated() -> Iterator[embedded.EmbeddedPostgres]:
    """A running server with every migration and no rows; gone at the end."""
    home = Path(tempfile.mkdtemp(prefix="ali-bench-"))
    if os.geteuid() == 0:
        home.chmod(0o711)  # the user whom PostgreSQL runs as must reach it
    try:
        with embedded.start(home, report=lambda _: None) as server:
            database.migrate(server.dsn, report=lambda _: None)
            yield server
    finally:
        shutil.rmtree(home)
