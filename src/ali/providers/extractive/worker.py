"""The child process in which documents are read: one request in, one reply out, until its input ends.

Started by `upstream` with an environment that holds no secrets. Memory is limited, and each request's time by an alarm
that ends the process even where its parent is gone. Frames: a kind or status (2 bytes), a flag (1 byte), a length
(8 bytes), all big-endian, then so many bytes.
"""

import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from typing import IO, Any

import orjson

from ali.kernel.envelopes import error_body
from ali.kernel.errors import AliError, InvalidRequest
from ali.kernel.ids import new_id
from ali.providers.extractive.message import count_tokens, message_for, stream_of

HEADER = struct.Struct(">HBQ")
MESSAGES, COUNT_TOKENS = 1, 2
READY = 0
MEMORY_BYTES = 1536 * 1024 * 1024
_GRACE_S = 5


class _Failed(AliError):
    """500: a fault of this program; its message says so and holds nothing of the request."""


def main() -> None:
    """Serve the parent's requests. `argv[1]`: seconds allowed to each."""
    deadline_s = int(float(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not break the framing
    with suppress(ValueError, OSError):  # not every system can limit address space
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no document on the disk
    _reply(replies, status=READY, stream=False, body=b"")
    while (head := requests.read(HEADER.size)) and len(head) == HEADER.size:
        kind, _, length = HEADER.unpack(head)
        body = requests.read(length)
        if len(body) < length:
            return
        signal.alarm(deadline_s + _GRACE_S)
        out_of_memory = _serve(replies, kind, body)
        signal.alarm(0)
        if out_of_memory:
            return  # what is left of the heap is unknown; the parent starts another


def _serve(replies: IO[bytes], kind: int, body: bytes) -> bool:
    """Answer one request; true when memory ran out on it."""
    out_of_memory = False
    try:
        _reply(replies, status=200, **_answered(kind, body))
    except AliError as failure:
        error: AliError = failure
    except (MemoryError, RecursionError):
        out_of_memory = True
        error = InvalidRequest("The documents need more memory than reading is allowed. Send fewer pages.")
    except Exception as failure:  # noqa: BLE001 - the boundary of the process: whatever it is, the parent must hear
        error = _Failed(
            f"ali-extractive failed on this request ({type(failure).__name__}). This is a fault of the service."
        )
    else:
        return False
    _reply(
        replies,
        status=error.http_status,
        stream=False,
        body=error_body(error, envelope="anthropic", request_id=new_id("req")),
    )
    return out_of_memory


def _answered(kind: int, body: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("The body is not valid JSON.") from error
    if not isinstance(request, dict):
        raise InvalidRequest("The body must be a JSON object.")
    if kind == COUNT_TOKENS:
        return {"stream": False, "body": orjson.dumps({"input_tokens": count_tokens(request)})}
    message = message_for(request, message_id=new_id("msg"))
    if request.get("stream") is True:
        return {"stream": True, "body": b"".join(stream_of(message))}
    return {"stream": False, "body": orjson.dumps(message)}


def _reply(replies: IO[bytes], *, status: int, stream: bool, body: bytes) -> None:
    replies.write(HEADER.pack(status, stream, len(body)))
    replies.write(body)
    replies.flush()
