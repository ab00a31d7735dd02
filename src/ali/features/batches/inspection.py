"""A batch's whole input, read once before anything runs: where each line stands, and all that is wrong with any."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from ali.features.batches.lines import Asked, LineFault

MOST_FAULTS: Final = 100
"""More are not told: whoever has these has the rest to find as well."""
GROUP: Final = 1000


@dataclass(slots=True, kw_only=True)
class Inspection:
    """What came out. `faults` empty: the batch may run."""

    total: int = 0
    model: str | None = None
    faults: list[LineFault] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """Some lines in a row: positions from `first`, where each begins and how many bytes it has."""

    first: int
    starts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


class Inspector:
    """Judges lines as they come. `read` judges one by itself; what they must be together is judged here."""

    def __init__(
        self, read: Callable[[bytes], Asked], *, most_lines: int, most_line_bytes: int, one_model: bool
    ) -> None:
        self._read = read
        self._most_lines = most_lines
        self._most_line_bytes = most_line_bytes
        self._one_model = one_model
        self._names: set[bytes] = set()
        self.found = Inspection()

    async def groups(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[Group]:
        """The lines of the input in groups, as far as there is nothing wrong. Ask `found` at the end."""
        group = Group(first=0)
        number = 0
        async for start, line in self._lines(pieces):
            number += 1
            if not line.strip():
                continue
            if self.found.total >= self._most_lines:
                self._fault(
                    LineFault(f"A batch has at most {self._most_lines} requests. Split it.", code="too_many_requests"),
                    line=None,
                )
                break
            self._judge(line, number=number)
            group.starts.append(start)
            group.sizes.append(len(line))
            self.found.total += 1
            if len(self.found.faults) >= MOST_FAULTS:
                break
            if len(group.starts) == GROUP:
                if not self.found.faults:
                    yield group
                group = Group(first=self.found.total)
        if not self.found.total and not self.found.faults:
            self._fault(LineFault("The file has no request in it.", code="empty_file"), line=None)
        if group.starts and not self.found.faults:
            yield group

    async def _lines(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
        """Where each line begins, and the line without its end. Ends early at one that is too long."""
        rest, start = b"", 0
        async for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n")
            if max(map(len, (*whole, rest))) > self._most_line_bytes:
                self._fault(
                    LineFault(
                        f"A request has more than the {self._most_line_bytes} bytes that this service takes.",
                        code="request_too_large",
                    ),
                    line=None,
                )
                return
            for line in whole:
                yield start, line
                start += len(line) + 1
        if rest:
            yield start, rest

    def _judge(self, line: bytes, *, number: int) -> None:
        try:
            asked = self._read(line)
            self._check_name(asked)
            self._check_model(asked)
        except LineFault as fault:
            self._fault(fault, line=number)

    def _check_name(self, asked: Asked) -> None:
        name = blake2b(asked.custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if name in self._names:
            raise LineFault(
                "custom_id is that of a line before. Give each its own.", code="duplicate_custom_id", param="custom_id"
            )
        self._names.add(name)

    def _check_model(self, asked: Asked) -> None:
        if not self._one_model:
            return
        if len(self._names) == 1:
            self.found.model = asked.model
        elif asked.model != self.found.model:
            raise LineFault(
                "All requests of a batch ask for one model. Make a batch for each.",
                code="mismatched_model",
                param="body.model",
            )

    def _fault(self, fault: LineFault, *, line: int | None) -> None:
        fault.line = line
        self.found.faults.append(fault)
