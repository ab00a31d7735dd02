"""Server-sent events as bytes: splitting a stream into whole events, reading their data, writing new ones.

Source: WHATWG HTML, "Server-sent events", section 9.2.6 (parsing an event stream).
"""

from ali.providers.contract import UpstreamTooLarge

_DATA = b"data:"
_NAMED = b"event: "
_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Cuts arriving chunks into whole events.

    An event is returned with the blank line that ends it, so that joining all of them (and `rest`) gives the input byte
    for byte, but for a byte order mark at its start, which is no part of the stream. `limit_bytes` caps one event: a
    longer one raises `UpstreamTooLarge` and is not kept. Cost: one scan.
    """

    __slots__ = ("_at_start", "_limit", "_pending")

    def __init__(self, *, limit_bytes: int) -> None:
        self._pending = b""
        self._limit = limit_bytes
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes, in order."""
        buffer = self._pending + chunk if self._pending else chunk
        if self._at_start:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._pending = buffer
                return []
            self._at_start = False
            buffer = buffer.removeprefix(_BOM)
        if b"\r" in buffer:
            events, self._pending = _split_any_newline(buffer)
        else:
            parts = buffer.split(b"\n\n")
            self._pending = parts.pop()
            events = [part + b"\n\n" for part in parts]
        if len(self._pending) > self._limit or any(len(event) > self._limit for event in events):
            self._pending = b""
            raise UpstreamTooLarge(f"The provider sent one event of more than {self._limit} bytes; it was cut off.")
        return events

    @property
    def rest(self) -> bytes:
        """Bytes after the last whole event: not empty at the end of a stream that was cut."""
        return self._pending


def _split_any_newline(buffer: bytes) -> tuple[list[bytes], bytes]:
    """As `EventSplitter.feed`, for lines that end with CRLF or CR. A final CR is kept back: its LF may follow."""
    events: list[bytes] = []
    start = position = 0
    blank = True
    end = len(buffer)
    while position < end:
        byte = buffer[position]
        if byte == 0x0D and position + 1 == end:
            break
        if byte in (0x0A, 0x0D):
            position += 2 if byte == 0x0D and buffer[position + 1] == 0x0A else 1
            if blank:
                events.append(buffer[start:position])
                start = position
            blank = True
        else:
            blank = False
            newline = _next_newline(buffer, position)
            position = end if newline < 0 else newline
    return events, buffer[start:]


def _next_newline(buffer: bytes, position: int) -> int:
    """Index of the next CR or LF at or after `position`, or -1."""
    feed, carriage = buffer.find(b"\n", position), buffer.find(b"\r", position)
    if feed < 0 or carriage < 0:
        return max(feed, carriage)
    return min(feed, carriage)


def event_data(event: bytes) -> bytes | None:
    """The `data` of one whole event, its lines joined by LF; None where there is none (a comment, a bare `event:`)."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2:
        return event[6:-2]
    if event.startswith(_NAMED) and b"\r" not in event:
        start = event.find(b"\n") + 1
        if event.startswith(b"data: ", start) and event.find(b"\n", start) == len(event) - 2:
            return event[start + 6 : -2]
    lines = [
        line[6:] if line[5:6] == b" " else line[5:]
        for line in event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if line.startswith(_DATA)
    ]
    return b"\n".join(lines) if lines else None


def openai_event(data: bytes) -> bytes:
    """`data` as an OpenAI chat stream sends it: a data line alone."""
    return b"data: " + data + b"\n\n"


def anthropic_event(name: bytes, data: bytes) -> bytes:
    """`data` as Anthropic sends it: the event's name on a line of its own, which its SDK requires."""
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
