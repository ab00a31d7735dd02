"""Log lines of one round of the event loop are written together; what is urgent is not kept waiting."""

import asyncio
import io
from typing import Any

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
        writer.info(b"%d" % number)
    assert file.writes == 0
    await asyncio.sleep(0)
    assert (file.getvalue(), file.writes) == (b"0\n1\n2\n3\n4\n", 1)


async def test_an_error_takes_what_waits_along_at_once() -> None:
    file = Counting()
    writer = _LineWriter(file)
    writer.info(b"before")
    writer.error(b"wrong")
    assert file.getvalue() == b"before\nwrong\n"
    await asyncio.sleep(0)
    assert file.writes == 1


def test_without_an_event_loop_each_line_is_written_at_once() -> None:
    file = Counting()
    writer = _LineWriter(file)
    writer.info(b"first")
    writer.info(b"second")
    assert (file.getvalue(), file.writes) == (b"first\nsecond\n", 2)
