"""The server's log: its stderr, drained by a thread into files that together stay within a bound.

PostgreSQL's own collector would be one more process and bounds its files by time, never by size; a file that the server
writes by itself is bounded by nothing.
"""

import contextlib
import os
import threading
from collections import deque
from pathlib import Path
from typing import IO

_FILE_BYTES = 8 * 1024 * 1024
_TAIL_LINES = 40


class Journal:
    """Copies lines from `source` to `folder/postgresql.log`, keeping one older file; remembers the last lines."""

    def __init__(self, source: IO[bytes], *, folder: Path) -> None:
        self._source = source
        self._path = folder / "postgresql.log"
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._thread = threading.Thread(target=self._drain, name="postgres-log", daemon=True)
        self._thread.start()

    def tail(self, *, lines: int = _TAIL_LINES) -> str:
        """The last lines that the server wrote."""
        return "\n".join(list(self._tail)[-lines:])

    def close(self, *, timeout_s: float = 2.0) -> None:
        """Wait until the server's last words are written; call it when the server has ended."""
        self._thread.join(timeout_s)

    def _drain(self) -> None:
        with self._source:
            for line in self._source:
                self._tail.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._keep(line)

    def _keep(self, line: bytes) -> None:
        """Append a line. A full disk must not stop the draining, or the server would block on its own log."""
        with contextlib.suppress(OSError):
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                os.write(handle, line)
                if os.fstat(handle).st_size > _FILE_BYTES:
                    self._path.replace(self._path.with_suffix(".log.1"))
            finally:
                os.close(handle)
