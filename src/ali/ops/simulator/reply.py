"""A healthy answer that is ready to be sent, and the steps in which a connection sends it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import TypeAlias

from ali.providers.contract import Dialect

EVENT_STREAM = b"text/event-stream; charset=utf-8"
JSON = b"application/json"
HTML = b"text/html; charset=utf-8"
LAST_CHUNK = b"0\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"

_REASONS = {int(status): status.phrase.encode() for status in HTTPStatus} | {529: b"Overloaded"}


class Ending(Enum):
    """What becomes of the connection after an answer."""

    KEEP = "keep"  # ready for the next request
    CLOSE = "close"  # what is buffered, then FIN
    RESET = "reset"  # RST


@dataclass(frozen=True, slots=True)
class Paced:
    """Events as HTTP chunks, one every `interval_s`, the first after one interval. `backwards` is used up from its end.

    What many streams at once do most: a step of its own costs a third of a wait and a write.
    """

    backwards: list[bytes]
    interval_s: float


Step: TypeAlias = bytes | float | Paced | Ending
"""Bytes are written; a float is a wait in seconds (0.0: until the loop's next turn, so that writes stay apart); an
`Ending` is the last step. Steps come from generators, so that an endless answer takes no memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """A whole stream in three parts: what is sent with the head, the paced deltas, and what ends it (terminal event
    last). `numbered`: the events carry numbers, as those of the Responses API do.
    """

    opening: tuple[bytes, ...]
    deltas: tuple[bytes, ...]
    closing: tuple[bytes, ...]
    numbered: bool = False

    def __iter__(self) -> Iterator[bytes]:
        """Every event in order."""
        yield from self.opening
        yield from self.deltas
        yield from self.closing


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: `events` where it is streamed, else `body`. `headers` are whole lines, without those of framing."""

    dialect: Dialect
    status: int = 200
    content_type: bytes = JSON
    headers: bytes = b""
    body: bytes = b""
    events: Events | None = None
    latency_s: float = 0.0
    interval_s: float = 0.0

    def head(self, framing: bytes) -> bytes:
        """Status line and header lines; `framing` is one whole header line, or nothing."""
        return b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n%b%b\r\n" % (
            self.status,
            _REASONS.get(self.status, b"Unknown"),
            self.content_type,
            self.headers,
            framing,
        )

    def sized_head(self, extra_bytes: int = 0) -> bytes:
        """The head with the body's content-length, which `extra_bytes` makes a lie."""
        return self.head(b"content-length: %d\r\n" % (len(self.body) + extra_bytes))

    def steps(self) -> Iterator[Step]:
        """The answer sent as it should be: the head after `latency_s`, then a delta every `interval_s`."""
        if self.latency_s:
            yield self.latency_s
        if self.events is None:
            yield self.sized_head() + self.body
        elif self.interval_s:
            yield from self._paced(self.events)
        else:
            yield self.head(CHUNKED) + chunks(self.events) + LAST_CHUNK
        yield Ending.KEEP

    def _paced(self, events: Events) -> Iterator[Step]:
        start = self.head(CHUNKED) + chunks(events.opening)
        yield start + chunks(events.deltas[:1])
        if len(events.deltas) > 1:
            yield Paced(list(events.deltas[:0:-1]), self.interval_s)
        yield chunks(events.closing) + LAST_CHUNK


def chunks(events: Iterable[bytes]) -> bytes:
    """Each event as one HTTP chunk, as the providers send them."""
    return b"".join([b"%x\r\n%b\r\n" % (len(event), event) for event in events])
