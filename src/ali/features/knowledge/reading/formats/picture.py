"""Pictures of text, by text recognition. How large one is, is read from its header before anything decodes it."""

import struct
from pathlib import Path
from typing import IO

from ali.features.knowledge.reading.content import Content
from ali.features.knowledge.reading.failures import INVALID, UNSUPPORTED, ReadingFailed
from ali.features.knowledge.reading.recognition import MAX_PIXELS, Recognition

_MOST_SEGMENTS = 10_000
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


def read_picture(path: Path, *, name: str, recognition: Recognition) -> Content:
    """The text that is seen in a picture. Raises `ReadingFailed`."""
    with path.open("rb") as file:
        try:
            width, height = _size(file)
        except (struct.error, ValueError, IndexError) as error:
            raise ReadingFailed(INVALID, f"{name} is damaged: it is no whole picture. Save it anew.") from error
    if width * height > MAX_PIXELS:
        raise ReadingFailed(
            INVALID, f"{name} has {width} by {height} pixels; at most {MAX_PIXELS:,} are read. Make it smaller."
        )
    if not recognition.available:
        raise ReadingFailed(UNSUPPORTED, f"{name} is a picture: {recognition.missing}")
    text = recognition.text_of(path, name=name)
    if not text:
        raise ReadingFailed(INVALID, f"{name} is a picture in which no text was recognised.")
    return Content(pages=[text], bodies=[(0, len(text))])


def _size(file: IO[bytes]) -> tuple[int, int]:
    """Width and height. Raises `ValueError`, `struct.error` or `IndexError` where the header is not whole."""
    head = file.read(32)
    if head.startswith(b"\x89PNG"):
        width, height = struct.unpack_from(">II", head, 16)
    elif head.startswith(b"GIF8"):
        width, height = struct.unpack_from("<HH", head, 6)
    elif head.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", head, 18)
        height = abs(height)
    elif head.startswith(b"RIFF"):
        width, height = _webp(head)
    elif head.startswith(b"\xff\xd8"):
        width, height = _jpeg(file)
    else:
        width, height = _tiff(file, "<" if head.startswith(b"II") else ">")
    if width < 1 or height < 1:
        raise ValueError("a picture without pixels")
    return width, height


def _webp(head: bytes) -> tuple[int, int]:
    if head[12:16] == b"VP8X":
        return (int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1)
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack_from("<HH", head, 26)
    return (width & 0x3FFF, height & 0x3FFF)


def _jpeg(file: IO[bytes]) -> tuple[int, int]:
    """From the frame's header (ITU-T T.81, B.2.2), over the segments before it."""
    file.seek(2)
    for _ in range(_MOST_SEGMENTS):
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF:
            break
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">xHH", file.read(5))
            return width, height
        file.seek(length - 2, 1)
    raise ValueError("a JPEG without a frame")


def _tiff(file: IO[bytes], order: str) -> tuple[int, int]:
    """The largest width and height among its pages, of which 64 are looked at; more are refused."""
    widest, highest = 0, 0
    file.seek(4)
    (at,) = struct.unpack(order + "I", file.read(4))
    for _ in range(64):
        if not at:
            return widest, highest
        file.seek(at)
        (entries,) = struct.unpack(order + "H", file.read(2))
        for _ in range(entries):
            tag, kind, _, value = struct.unpack(order + "HHI4s", file.read(12))
            if tag in {_TIFF_WIDTH, _TIFF_HEIGHT}:
                (number,) = struct.unpack_from(order + ("H" if kind == 3 else "I"), value)
                widest, highest = (
                    (max(widest, number), highest) if tag == _TIFF_WIDTH else (widest, max(highest, number))
                )
        (at,) = struct.unpack(order + "I", file.read(4))
    raise ValueError("a TIFF of too many pages")
