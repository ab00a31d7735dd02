"""A folder of this process for files that are being read, gone with it: what a killed one left, the next clears away.

A process holds a lock on its folder's lock file as long as it lives, so a folder whose lock can be had is nobody's.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from ali.kernel import log

_LOCK: Final = "lock"


class Scratch:
    """The folder, under `home`. Blocking; for the start and the end of a process."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock: int | None = None
        self.folder: Path | None = None

    def open(self) -> Path:
        """Make the folder, and clear away those of dead processes."""
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = Path(tempfile.mkdtemp(prefix="process-", dir=self._home))
        self._lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        for other in self._home.glob("process-*"):
            if other != self.folder:
                _clear(other)
        return self.folder

    def close(self) -> None:
        """Delete the folder."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _clear(folder: Path) -> None:
    """Delete the folder of a process that is dead. One that is just being made has no lock yet, and is left."""
    with suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            log.info("ingestion.scratch_cleared")
        finally:
            os.close(lock)
