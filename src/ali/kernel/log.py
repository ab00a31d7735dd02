"""Structured logs: events with fields, one line each, JSON where a machine reads and colours where a person does.

    from ali.kernel import log

    log.info("request.ended", request_id=name, status=200)

Never a secret, a prompt, a completion or a document's text: fields are names, numbers and identifiers.

Our own rather than structlog: that one imports rich and Pygments wherever they are installed, 5 MB of each
process that serves, and takes 5 µs an event where this takes 2 (measured).
"""

import asyncio
import atexit
import logging
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final, Literal

import orjson

Format = Literal["auto", "json", "console"]
Fields = dict[str, Any]
Write = Callable[[bytes], None]

_COLOURS: Final = {"debug": 34, "info": 32, "warning": 33, "error": 31, "critical": 31}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Output:
    """Which events are written, as what, and where to: `write` may wait for the end of the event loop's round."""

    threshold: int
    render: Callable[[Fields], bytes]
    write: Write
    write_now: Write


def configure_logging(*, level: str, log_format: Format) -> None:
    """Say which events are written and how; the standard library's warnings and errors (uvicorn, asyncio) come along.

    Writes to standard error. Where an event loop runs, ordinary events of one of its rounds are written together at the
    next; warnings and errors at once, with what waits.
    """
    global _output  # noqa: PLW0603 - one log a process
    at_terminal = sys.stderr.isatty()
    as_console = log_format == "console" or (log_format == "auto" and at_terminal)
    threshold = getattr(logging, level.upper())
    writer = _LineWriter(sys.stderr.buffer)
    _output = _Output(
        threshold=threshold,
        render=(_coloured if at_terminal else _plain) if as_console else _json,
        write=writer.write,
        write_now=writer.write_now,
    )
    root = logging.getLogger()
    root.handlers[:] = [_FromLibraries()]
    root.setLevel(max(threshold, logging.WARNING))


def debug(event: str, /, **fields: object) -> None:
    """What only somebody who looks for a fault wants to see."""
    if _output.threshold <= logging.DEBUG:
        _output.write(_rendered("debug", event, fields))


def info(event: str, /, **fields: object) -> None:
    """What happens in the ordinary course. About 2 µs as JSON."""
    if _output.threshold <= logging.INFO:
        _output.write(_rendered("info", event, fields))


def warning(event: str, /, **fields: object) -> None:
    """What an operator should look at, some time."""
    if _output.threshold <= logging.WARNING:
        _output.write_now(_rendered("warning", event, fields))


def error(event: str, /, **fields: object) -> None:
    """What has gone wrong."""
    if _output.threshold <= logging.ERROR:
        _output.write_now(_rendered("error", event, fields))


def exception(event: str, /, **fields: object) -> None:
    """What has gone wrong, with the traceback of the exception that is being handled."""
    # Plain, not rich: that would print local variables, where secrets and prompts may stand.
    error(event, **fields, exception=traceback.format_exc().rstrip())


def _rendered(level: str, event: str, fields: Fields) -> bytes:
    fields["event"] = event
    fields["level"] = level
    fields["timestamp"] = datetime.now(UTC)
    return _output.render(fields)


def _json(fields: Fields) -> bytes:
    return orjson.dumps(fields, default=str, option=orjson.OPT_UTC_Z)


def _plain(fields: Fields) -> bytes:
    return _for_people(fields, colour="{}".format)


def _coloured(fields: Fields) -> bytes:
    return _for_people(fields, colour=f"\x1b[{_COLOURS[fields['level']]}m{{}}\x1b[0m".format)


def _for_people(fields: Fields, *, colour: Callable[[str], str]) -> bytes:
    """`2026-11-24T12:00:00.000000Z warning  limiter.degraded store=redis`, then the traceback if there is one."""
    level, event, at = fields.pop("level"), fields.pop("event"), fields.pop("timestamp")
    trace = fields.pop("exception", None)
    words = [f"{at:%Y-%m-%dT%H:%M:%S.%fZ}", colour(f"{level:8}"), event]
    words += [f"{name}={_shown(value)}" for name, value in fields.items()]
    return (" ".join(words) + (f"\n{trace}" if trace else "")).encode(errors="backslashreplace")


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else repr(value)


class _LineWriter:
    """Writes rendered lines, in the order in which they come."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting: list[bytes] = []
        atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        """A line that may wait for the end of the event loop's round: one write for many costs a fraction."""
        waiting = self._waiting
        if waiting:
            waiting.append(line)
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no loop in this thread
            self.write_now(line)
            return
        waiting.append(line)
        loop.call_soon(self.flush)

    def write_now(self, line: bytes) -> None:
        """A line that is written now, after those that wait."""
        self._waiting.append(line)
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        lines, self._waiting = self._waiting, []
        if lines:
            lines.append(b"")
            self._file.write(b"\n".join(lines))
            self._file.flush()


def _to_stderr(line: bytes) -> None:
    sys.stderr.write(line.decode() + "\n")
    sys.stderr.flush()


_output = _Output(threshold=logging.INFO, render=_plain, write=_to_stderr, write_now=_to_stderr)
"""Until `configure_logging` is called: a command's own, for the person who called it."""


class _FromLibraries(logging.Handler):
    """Takes records of the standard library's loggers, their message as the field `message`."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields: Fields = {"logger": record.name, "message": record.getMessage()}
            if record.exc_info:
                fields["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            level = record.levelname.lower()
            _output.write_now(_rendered(level if level in _COLOURS else "warning", "library.message", fields))
        except Exception:  # noqa: BLE001 - logging's contract: a handler never raises into the program
            self.handleError(record)
