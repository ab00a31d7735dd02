"""Faults in what a stream or a body says, the transport being sound."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from ali.ops.simulator import anthropic_wire, openai_wire, responses_events
from ali.ops.simulator.faults import Fault
from ali.ops.simulator.reply import Events, Reply
from ali.providers.contract import Dialect
from ali.providers.sse import anthropic_event, openai_event

_DEPTH = 100_000
_DEEP = b"[" * _DEPTH + b"]" * _DEPTH
_TEXT_STARTS = (b'"delta":"', b'"content":"', b'"text":"', b'"partial_json":"', b'"arguments":"', b'":"')


def spoiled(reply: Reply, fault: Fault) -> Reply | None:
    """`reply` with the fault in its content; None where the fault is none of content."""
    if reply.events is not None:
        change = _STREAMED.get(fault)
        return None if change is None else replace(reply, events=change(reply.dialect, reply.events))
    spoil = _PLAIN.get(fault)
    return None if spoil is None else replace(reply, body=spoil(reply.body))


def _missing_end(_: Dialect, events: Events) -> Events:
    return replace(events, closing=events.closing[:-1])


def _bad_json(dialect: Dialect, events: Events) -> Events:
    return _insert(events, _delta(dialect, b'{"id":"chatcmpl-cut","type":"content_block_delta","choices":[{"index":'))


def _bad_utf8(_: Dialect, events: Events) -> Events:
    sound = next(reversed((*events.opening, *events.deltas)), b"")
    return _insert(events, _spoil_text(sound))


def _json_array(dialect: Dialect, events: Events) -> Events:
    return _insert(events, _delta(dialect, b'[{"type":"content_block_delta"}]'))


def _deep_json(dialect: Dialect, events: Events) -> Events:
    return _insert(events, _delta(dialect, _DEEP))


def _error_event(dialect: Dialect, events: Events) -> Events:
    half = events.deltas[: len(events.deltas) // 2]
    return Events(
        opening=events.opening, deltas=half, closing=(_error(dialect, events, sent=(*events.opening, *half)),)
    )


def _error_event_first(dialect: Dialect, events: Events) -> Events:
    return Events(opening=(), deltas=(), closing=(_error(dialect, events, sent=()),))


def _duplicate_end(_: Dialect, events: Events) -> Events:
    return replace(events, closing=(*events.closing, *events.closing[-1:]))


def _events_after_end(_: Dialect, events: Events) -> Events:
    return replace(events, closing=(*events.closing, *events.deltas[:1], *events.closing[:1]))


def _bom(_: Dialect, events: Events) -> Events:
    return replace(events, opening=(b"\xef\xbb\xbf", *events.opening))


def _crlf(_: Dialect, events: Events) -> Events:
    return _each(events, lambda event: event.replace(b"\n", b"\r\n"))


def _comments(_: Dialect, events: Events) -> Events:
    return _each(events, lambda event: b": keep-alive\n\n:\n" + event.replace(b"\ndata:", b"\n: between lines\ndata:"))


_STREAMED: dict[Fault, Callable[[Dialect, Events], Events]] = {
    Fault.MISSING_END: _missing_end,
    Fault.BAD_JSON: _bad_json,
    Fault.BAD_UTF8: _bad_utf8,
    Fault.JSON_ARRAY: _json_array,
    Fault.DEEP_JSON: _deep_json,
    Fault.ERROR_EVENT: _error_event,
    Fault.ERROR_EVENT_FIRST: _error_event_first,
    Fault.DUPLICATE_END: _duplicate_end,
    Fault.EVENTS_AFTER_END: _events_after_end,
    Fault.BOM: _bom,
    Fault.CRLF: _crlf,
    Fault.COMMENTS: _comments,
    Fault.OK_EMPTY: lambda _dialect, _events: Events(opening=(), deltas=(), closing=()),
}


def _spoil_text(data: bytes) -> bytes:
    """`data` with two bytes that are not UTF-8 inside the text that it carries."""
    for start in _TEXT_STARTS:
        if start in data:
            return data.replace(start, start + b"\xff\xfe", 1)
    return b"\xff\xfe" + data


_PLAIN: dict[Fault, Callable[[bytes], bytes]] = {
    Fault.BAD_JSON: lambda body: body[: len(body) // 2],
    Fault.BAD_UTF8: _spoil_text,
    Fault.JSON_ARRAY: lambda body: b"[" + body + b"]",
    Fault.DEEP_JSON: lambda _: _DEEP,
    Fault.OK_EMPTY: lambda _: b"",
}


def _insert(events: Events, event: bytes) -> Events:
    """`event` in the middle of the deltas."""
    middle = len(events.deltas) // 2
    return replace(events, deltas=(*events.deltas[:middle], event, *events.deltas[middle:]))


def _each(events: Events, change: Callable[[bytes], bytes]) -> Events:
    return Events(
        opening=tuple(map(change, events.opening)),
        deltas=tuple(map(change, events.deltas)),
        closing=tuple(map(change, events.closing)),
    )


def _delta(dialect: Dialect, data: bytes) -> bytes:
    """An event that a reader takes for content."""
    return openai_event(data) if dialect is Dialect.OPENAI else anthropic_event(b"content_block_delta", data)


def _error(dialect: Dialect, events: Events, *, sent: Iterable[bytes]) -> bytes:
    """The event of an error in the stream's own language, after what was sent."""
    if events.numbered:
        return responses_events.error_event(sum(event.count(b"\ndata: ") for event in sent))
    if dialect is Dialect.OPENAI:
        return openai_event(openai_wire.error_body(500, "The server had an error while processing your request."))
    return anthropic_event(b"error", anthropic_wire.error_body(529, "Overloaded"))
