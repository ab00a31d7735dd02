"""The requests of a message batch as they come in: cut out, judged one by one, and passed on as lines."""

from collections.abc import AsyncIterator
from hashlib import blake2b

from ali.features.batches.elements import Elements
from ali.features.batches.lines import LineFault, read_message
from ali.features.batches.naming import MOST_MESSAGES
from ali.kernel.errors import InvalidRequest


class MessageIntake:
    """Read `lines` to its end; `total` is known then. `most_bytes`: of one request."""

    def __init__(self, *, most_bytes: int) -> None:
        self._elements = Elements(most_bytes=most_bytes)
        self._names: set[bytes] = set()
        self.total = 0

    async def lines(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A line for each request in `body`. Raises `InvalidRequest` for the first thing that is wrong."""
        async for data in body:
            for element in self._elements.feed(data):
                self._judge(element)
                yield element + b"\n"
        self._elements.finish()
        if not self.total:
            raise InvalidRequest("`requests` has at least one request.", param="requests")

    def _judge(self, element: bytes) -> None:
        where = f"requests.{self.total}"
        try:
            asked = read_message(element)
        except LineFault as fault:
            param = f"{where}.{fault.param}" if fault.param else where
            raise InvalidRequest(f"{param}: {fault.message}", param=param, code=fault.error_code) from fault
        name = blake2b(asked.custom_id.encode(), digest_size=16).digest()
        if name in self._names:
            raise InvalidRequest(
                f"{where}.custom_id is that of a request before. Give each its own.",
                param=f"{where}.custom_id",
                code="duplicate_custom_id",
            )
        self._names.add(name)
        self.total += 1
        if self.total > MOST_MESSAGES:
            raise InvalidRequest(f"A batch has at most {MOST_MESSAGES} requests. Split it.", param="requests")
