"""ZIP containers, looked at before anything is unpacked, and unpacked part by part, never to the disk.

What the directory says is checked first: how many parts, how large they grow, whether they share bytes, are locked, or
have names that lead elsewhere. The parts that are read then cannot grow beyond what the directory said of them.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ali.features.knowledge.reading.failures import INVALID, UNSUPPORTED, ReadingFailed

_MAX_PARTS = 10_000
_MAX_DIRECTORY_BYTES = 4 << 20
_MAX_RATIO = 100
_SMALL_BYTES = 4 << 20
"""Up to this size a part may be packed as tightly as can be; empty sheets are."""
_MAX_TOTAL_BYTES = 4 << 30
_LOCAL_HEADER_BYTES = 30
_BLOCK_BYTES = 64 * 1024
_END = struct.Struct("<4s4H2LH")
_DRAWN = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".emf", ".wmf", ".webp", ".svg")


class Archive:
    """An open container. Part names are as in its directory."""

    def __init__(self, file: zipfile.ZipFile, *, name: str) -> None:
        self._file = file
        self._name = name
        self._parts = {info.filename: info for info in file.infolist()}

    def __contains__(self, part: str) -> bool:
        return part in self._parts

    @property
    def text_bytes(self) -> int:
        """How large all its parts are together, pictures left out."""
        return sum(info.file_size for name, info in self._parts.items() if not name.lower().endswith(_DRAWN))

    def blocks(self, part: str) -> Iterator[bytes]:
        """The bytes of a part, piece by piece. Raises `ReadingFailed` where it is missing or damaged."""
        info = self._parts.get(part)
        if info is None:
            raise ReadingFailed(INVALID, f"{self._name} is damaged: it lacks {part[:80]}. Save it anew.")
        try:
            with self._file.open(info) as stream:
                while block := stream.read(_BLOCK_BYTES):
                    yield block
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
            raise damaged(self._name) from error

    def read(self, part: str, *, most_bytes: int) -> bytes:
        """A part as a whole. Raises `ReadingFailed`, also where it has more than `most_bytes`."""
        if part in self._parts and self._parts[part].file_size > most_bytes:
            raise damaged(self._name)
        return b"".join(self.blocks(part))


@contextmanager
def opened_archive(path: Path, *, name: str) -> Iterator[Archive]:
    """A container whose directory holds no surprise. Raises `ReadingFailed`."""
    _check_end(path, name=name)
    try:
        file = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        raise damaged(name) from error
    with file:
        _check_parts(file.infolist(), size_bytes=path.stat().st_size, name=name)
        yield Archive(file, name=name)


def damaged(name: str) -> ReadingFailed:
    """What is said of a container that cannot be unpacked."""
    return ReadingFailed(INVALID, f"{name} is damaged or truncated: it cannot be unpacked. Save or download it again.")


def _check_end(path: Path, *, name: str) -> None:
    """Refuse a directory that is too large to be looked at, before it is."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 65_536 - _END.size))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise damaged(name)
    _, disk, _, _, parts, directory_bytes, _, comment = _END.unpack_from(tail, at)
    if disk or comment != len(tail) - at - _END.size:
        raise damaged(name)
    if parts > _MAX_PARTS or directory_bytes > _MAX_DIRECTORY_BYTES:
        raise ReadingFailed(INVALID, f"{name} has too many parts: at most {_MAX_PARTS:,} are read. Save it anew.")


def _check_parts(parts: list[zipfile.ZipInfo], *, size_bytes: int, name: str) -> None:
    seen: set[str] = set()
    reached = 0
    total = 0
    for info in sorted(parts, key=lambda each: each.header_offset):
        part = info.orig_filename
        if (
            part in seen
            or "\\" in part
            or "\x00" in part
            or PurePosixPath(part).is_absolute()
            or ".." in part.split("/")
        ):
            raise ReadingFailed(
                INVALID, f"{name} has parts whose names lead elsewhere, which is not read. Save it anew."
            )
        if info.flag_bits & 0x41:
            raise ReadingFailed(INVALID, f"{name} is encrypted: save it without a password and add that.")
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise ReadingFailed(UNSUPPORTED, f"{name} is packed in a way that is not read. Save it anew.")
        if info.header_offset < reached or (info.header_offset and not seen):
            raise ReadingFailed(INVALID, f"{name} has parts that overlap, which is not read. Save it anew.")
        reached = info.header_offset + _LOCAL_HEADER_BYTES + len(part) + info.compress_size
        seen.add(part)
        total += info.file_size
        if info.file_size > max(_SMALL_BYTES, _MAX_RATIO * info.compress_size):
            raise _bomb(name)
    if reached > size_bytes or total > min(_MAX_TOTAL_BYTES, max(16 * _SMALL_BYTES, _MAX_RATIO * size_bytes)):
        raise _bomb(name)


def _bomb(name: str) -> ReadingFailed:
    return ReadingFailed(INVALID, f"{name} unpacks to far more than its size, which is not read. Save it anew.")
