"""What the reading process and its parent say to each other: a length (4 bytes, big-endian), then so much MessagePack.

Chunks do not pass through the pipe: the child writes them to a file of the parent's, one after the other, and after the
last where each begins.
"""

import struct
from typing import Literal

import msgspec

LENGTH = struct.Struct(">I")
PLACES = "Q"
PLACE_BYTES = 8
MAX_FRAME_BYTES = 64 * 1024


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Read the file `source`, write its chunks to the file `result`. `key` is the project's, for the index."""

    source: str
    result: str
    name: str
    chunking: str
    key: bytes


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`progress`: `done` of `pages`. `done`: all is written. `failed`: `code` and `message` say why.

    `last`: the process ends with it.
    """

    kind: Literal["ready", "progress", "done", "failed"]
    done: int = 0
    pages: int | None = None
    chunks: int = 0
    characters: int = 0
    code: Literal["unsupported_file", "invalid_file", "server_error"] = "server_error"
    message: str = ""
    last: bool = False


def framed(body: bytes) -> bytes:
    """A frame with this body."""
    return LENGTH.pack(len(body)) + body
