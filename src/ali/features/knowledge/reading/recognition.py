"""Text recognition (OCR) by tesseract: a program of its own, run for one picture at a time, and killed if slow."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ali.features.knowledge.reading.failures import INVALID, ReadingFailed

MAX_PIXELS = 40_000_000
_LANGUAGES = ("por", "eng")
_PAGE_S = 120
_MEMORY_BYTES = 2 << 30
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Gray:
    """A picture in shades of grey, a byte a pixel, `stride` bytes a line."""

    width: int
    height: int
    stride: int
    pixels: bytes
    dpi: int

    def as_pgm(self) -> bytes:
        """The picture in the plainest format there is (portable graymap)."""
        head = b"P5 %d %d 255\n" % (self.width, self.height)
        if self.stride == self.width:
            return head + self.pixels
        lines = (self.pixels[n * self.stride : n * self.stride + self.width] for n in range(self.height))
        return head + b"".join(lines)


class Recognition:
    """What this machine has for text recognition."""

    missing = (
        "its pages are pictures, and text recognition is not installed here. Ask the operator to install tesseract "
        "with Portuguese and English (Debian: apt-get install tesseract-ocr tesseract-ocr-por), or add a file with "
        "text."
    )

    @cached_property
    def _program(self) -> str | None:
        return shutil.which("tesseract")

    @cached_property
    def languages(self) -> Sequence[str]:
        """Those of Portuguese and English that are installed."""
        if self._program is None:
            return ()
        listed = self._run(["--list-langs"], b"")
        return [language for language in _LANGUAGES if language in listed.split()]

    @property
    def available(self) -> bool:
        """Whether pictures can be read."""
        return bool(self.languages)

    def text_of(self, picture: Gray | Path, *, name: str) -> str:
        """The text that is seen in a picture, or in a file of one. Raises `ReadingFailed` where it takes too long."""
        source, data = (str(picture), b"") if isinstance(picture, Path) else ("stdin", picture.as_pgm())
        resolution = ["--dpi", str(picture.dpi)] if isinstance(picture, Gray) else []
        try:
            text = self._run([source, "stdout", "-l", "+".join(self.languages), *resolution], data)
        except subprocess.TimeoutExpired as error:
            raise ReadingFailed(
                INVALID, f"{name} has a picture whose text was not recognised within {_PAGE_S} s. Leave it out."
            ) from error
        return text.replace("\f", "").replace("\x00", "").strip()

    def _run(self, arguments: Sequence[str], data: bytes) -> str:
        done = subprocess.run(  # noqa: S603 - the program that the operator installed, with arguments made here
            [self._program or "tesseract", *arguments],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=_PAGE_S,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            preexec_fn=_confined,
        )
        return done.stdout.decode("utf-8", "replace")


def _confined() -> None:
    """Limit the program that is about to run, and let it die with this process."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_PAGE_S, _PAGE_S))
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
