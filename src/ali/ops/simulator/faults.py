"""Everything that can be wrong with a provider's answer, one member each."""

from enum import Enum, StrEnum
from typing import Self


class Applies(Enum):
    """Which answers a fault changes; the others are sent as if there were none."""

    STREAMED = "streamed"
    PLAIN = "plain"
    BOTH = "both"


_STREAMED, _PLAIN, _BOTH = Applies.STREAMED, Applies.PLAIN, Applies.BOTH
_HEALTHY = True
_BROKEN = False


class Fault(StrEnum):
    """A way for an upstream to misbehave. The value is its name in `[[fault:…]]` and `--fault`.

    `applies` says to which answers; `healthy` whether the whole content and the terminal event still arrive, so that a
    careful reader delivers the answer as usual; `usage_is_true` is false where a healthy answer's token counts are
    missing or nonsense; `summary` says what goes over the wire. Whatever never ends is ended after the simulator's
    `fault_limit_s`.
    """

    applies: Applies
    healthy: bool
    summary: str

    def __new__(cls, name: str, applies: Applies, healthy: bool, summary: str) -> Self:  # noqa: FBT001 - an enum's row
        """One row of the table below."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.applies = applies
        member.healthy = healthy
        member.summary = summary
        return member

    @classmethod
    def named(cls, name: str) -> "Fault":
        """The fault of that name. Raises `ValueError`, which lists all, where there is none."""
        for fault in cls:
            if fault.value == name.strip().lower():
                return fault
        raise ValueError(f"There is no fault {name!r}; these exist: {', '.join(cls)}.")

    def changes(self, *, streamed: bool) -> bool:
        """Whether this fault applies to such an answer."""
        return self.applies is _BOTH or self.applies is (_STREAMED if streamed else _PLAIN)

    @property
    def usage_is_true(self) -> bool:
        """Whether the token counts of the answer can be billed as they stand."""
        return self not in (Fault.MISSING_USAGE, Fault.NEGATIVE_USAGE, Fault.ABSURD_USAGE)

    # The content of the stream.
    MISSING_END = "missing_end", _STREAMED, _BROKEN, "all content, then the end of the body without [DONE]/message_stop"
    BAD_JSON = "bad_json", _BOTH, _BROKEN, "JSON cut in its middle: one event of the stream, or the body"
    BAD_UTF8 = "bad_utf8", _BOTH, _BROKEN, "bytes FF FE inside a JSON string: in one event, or in the body"
    ERROR_EVENT = (
        "error_event",
        _STREAMED,
        _BROKEN,
        "half of the content, then an error event in the dialect, then the end",
    )
    ERROR_EVENT_FIRST = "error_event_first", _STREAMED, _BROKEN, "an error event before any content, then the end"
    DUPLICATE_END = "duplicate_end", _STREAMED, _HEALTHY, "the terminal event twice"
    EVENTS_AFTER_END = "events_after_end", _STREAMED, _HEALTHY, "more content events after the terminal one"
    BOM = "bom", _STREAMED, _HEALTHY, "a byte order mark before the first event"
    CRLF = "crlf", _STREAMED, _HEALTHY, "lines that end with CR LF"
    COMMENTS = "comments", _STREAMED, _HEALTHY, "comment lines between events and inside them"
    SPLIT_EVERY_BYTE = (
        "split_every_byte",
        _BOTH,
        _HEALTHY,
        "each byte of the body in a write (and HTTP chunk) of its own",
    )
    JSON_ARRAY = "json_array", _BOTH, _BROKEN, "a JSON array where an object is due: in one event, or as the body"
    DEEP_JSON = "deep_json", _BOTH, _BROKEN, "100,000 nested JSON arrays: in one event, or as the body"

    # Usage.
    MISSING_USAGE = "missing_usage", _BOTH, _HEALTHY, "no usage anywhere"
    NEGATIVE_USAGE = "negative_usage", _BOTH, _HEALTHY, "negative token counts"
    ABSURD_USAGE = "absurd_usage", _BOTH, _HEALTHY, "token counts of 10^18"

    # The wrong kind of answer.
    JSON_FOR_STREAM = "json_for_stream", _STREAMED, _BROKEN, "a plain JSON answer where a stream was asked for"
    STREAM_FOR_JSON = "stream_for_json", _PLAIN, _BROKEN, "an event stream where a plain answer was asked for"
    HTML = "html", _BOTH, _BROKEN, "200 with an HTML page"
    OK_WITH_ERROR = "ok_with_error", _BOTH, _BROKEN, "200 with the dialect's error envelope as JSON"
    OK_EMPTY = "ok_empty", _BOTH, _BROKEN, "200 with the right content type and no body"

    # Statuses.
    HTTP_400 = "http_400", _BOTH, _BROKEN, "400 in the dialect"
    HTTP_401 = "http_401", _BOTH, _BROKEN, "401 in the dialect: the key is not taken"
    HTTP_408 = "http_408", _BOTH, _BROKEN, "408 in the dialect"
    HTTP_429 = "http_429", _BOTH, _BROKEN, "429 in the dialect, with retry-after"
    HTTP_500 = "http_500", _BOTH, _BROKEN, "500 in the dialect"
    HTTP_502_HTML = "http_502_html", _BOTH, _BROKEN, "502 with an HTML page, as a proxy in between makes it"
    HTTP_503 = "http_503", _BOTH, _BROKEN, "503 in the dialect, with retry-after"
    HTTP_529 = "http_529", _BOTH, _BROKEN, "529 in the dialect: overloaded, with retry-after"

    # Silence and slowness.
    STALL_BEFORE_HEAD = "stall_before_head", _BOTH, _BROKEN, "silence instead of an answer"
    STALL_AFTER_HEAD = "stall_after_head", _BOTH, _BROKEN, "status and headers, then silence"
    STALL_MID_STREAM = "stall_mid_stream", _BOTH, _BROKEN, "half of the body, then silence"
    SLOW_HEAD = "slow_head", _BOTH, _BROKEN, "status and headers one byte at a time"
    SLOW_LORIS = "slow_loris", _BOTH, _BROKEN, "the body one byte at a time"
    ENDLESS_PINGS = "endless_pings", _STREAMED, _BROKEN, "the opening, then pings (OpenAI: comments) and no content"

    # Size.
    ENORMOUS_LINE = "enormous_line", _STREAMED, _BROKEN, "one data line of tens of megabytes"
    ENDLESS_BODY = "endless_body", _BOTH, _BROKEN, "content without end, as fast as it is read"
    GZIP_BOMB = "gzip_bomb", _BOTH, _BROKEN, "a gzip body that grows a thousandfold, to gigabytes"

    # The connection and its framing.
    CLOSED_ON_ACCEPT = (
        "closed_on_accept",
        _BOTH,
        _BROKEN,
        "closed as soon as accepted (by directive: once the request is read)",
    )
    RESET_BEFORE_HEAD = "reset_before_head", _BOTH, _BROKEN, "TCP reset instead of an answer"
    RESET_MID_CHUNK = "reset_mid_chunk", _BOTH, _BROKEN, "half of the body, half of an HTTP chunk, TCP reset"
    HALF_CHUNK_THEN_FIN = (
        "half_chunk_then_fin",
        _BOTH,
        _BROKEN,
        "half of the body, half of an HTTP chunk, orderly close",
    )
    CONTENT_LENGTH_TOO_LONG = (
        "content_length_too_long",
        _BOTH,
        _BROKEN,
        "fewer bytes than content-length says, then close",
    )
    WRONG_CHUNKED = "wrong_chunked", _BOTH, _BROKEN, "half of the body, then a chunk size that is no number"
    GARBAGE = "garbage", _BOTH, _BROKEN, "bytes that are not HTTP"
