"""An event is a line; those of one round of the event loop are written together, and what is urgent at once."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ali.kernel import log
from ali.kernel.log import _LineWriter


class Counting(io.BytesIO):
    """A file that counts its writes."""

    writes = 0

    def write(self, data: Any) -> int:  # noqa: ANN401 - BytesIO's own
        self.writes += 1
        return super().write(data)


async def test_the_lines_of_one_round_are_one_write_in_order() -> None:
    file = Counting()
    writer = _LineWriter(file)
    for number in range(5):
        writer.write(b"%d" % number)
    assert file.writes == 0
    await asyncio.sleep(0)
    assert (file.getvalue(), file.writes) == (b"0\n1\n2\n3\n4\n", 1)


async def test_an_error_takes_what_waits_along_at_once() -> None:
    file = Counting()
    writer = _LineWriter(file)
    writer.write(b"before")
    writer.write_now(b"wrong")
    assert file.getvalue() == b"before\nwrong\n"
    await asyncio.sleep(0)
    assert file.writes == 1


def test_without_an_event_loop_each_line_is_written_at_once() -> None:
    file = Counting()
    writer = _LineWriter(file)
    writer.write(b"first")
    writer.write(b"second")
    assert (file.getvalue(), file.writes) == (b"first\nsecond\n", 2)


@pytest.fixture
def told(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Callable[[], list[str]]]:
    """Gives the lines on standard error; the log and the root logger are put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(log, "_output", log._output)
    yield lambda: capsysbinary.readouterr().err.decode().splitlines()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_line_of_json_with_its_fields_level_and_time(told: Callable[[], list[str]]) -> None:
    log.configure_logging(level="info", log_format="json")
    log.debug("seen.by.nobody")
    log.info("request.ended", status=200, event_bytes=7, project=UUID(int=1))
    [event] = map(json.loads, told())
    assert datetime.now(UTC) - datetime.fromisoformat(event.pop("timestamp")) < timedelta(minutes=1)
    project = "00000000-0000-0000-0000-000000000001"
    assert event == {
        "event": "request.ended",
        "level": "info",
        "status": 200,
        "event_bytes": 7,
        "project": project,
    }


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_crash_is_told_with_its_traceback_and_never_with_local_variables(
    told: Callable[[], list[str]], log_format: log.Format
) -> None:
    log.configure_logging(level="info", log_format=log_format)
    secret = "hunter" + "2"
    try:
        int(secret[:-1])
    except ValueError:
        log.exception("request.crashed", operation="chat")
    text = "".join(told())
    assert "test_log_lines.py" in text
    assert "request.crashed" in text
    assert secret not in text


def test_a_person_reads_one_line_an_event_whatever_its_fields_hold(told: Callable[[], list[str]]) -> None:
    log.configure_logging(level="info", log_format="console")
    log.warning("model.unknown", model="a\nforged line", project=None, name="café \ud800")
    [line] = told()
    assert line.endswith(r"Z warning  model.unknown model='a\nforged line' project=None name='café \ud800'")


def test_what_libraries_warn_of_comes_along(told: Callable[[], list[str]]) -> None:
    log.configure_logging(level="info", log_format="json")
    logging.getLogger("uvicorn.error").info("not this")
    try:
        int("three")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("lost %d", 3)
    [event] = map(json.loads, told())
    assert (event["event"], event["level"]) == ("library.message", "error")
    assert (event["logger"], event["message"]) == ("uvicorn.error", "lost 3")
    assert "ValueError" in event["exception"]
