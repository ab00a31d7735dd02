"""A request as the simulator got it, and what became of its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from ali.ops.simulator.faults import Fault


@dataclass(slots=True, kw_only=True)
class ReceivedRequest:
    """One request, whole, and what became of its answer.

    Times are the event loop's clock. `finished_at_s` is set once the whole answer was handed to the socket;
    `disconnected_at_s` where the client went away before that. Neither is set where a fault ended the connection.
    """

    method: str
    path: str
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    received_at_s: float
    status: int | None = None
    fault: Fault | None = None
    finished_at_s: float | None = None
    disconnected_at_s: float | None = None
    _parsed: Mapping[str, object] | None = field(default=None, repr=False)

    def header(self, name: bytes) -> bytes | None:
        """The first header of that lower-case name."""
        for key, value in self.raw_headers:
            if key == name:
                return value
        return None

    @property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case; the last of equal names wins."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.raw_headers}

    @property
    def json(self) -> Mapping[str, object]:
        """The body as a JSON object. Raises `ValueError` where it is none."""
        if self._parsed is None:
            parsed = orjson.loads(self.body)
            if not isinstance(parsed, dict):
                raise ValueError("The body is no JSON object.")
            self._parsed = parsed
        return self._parsed

    @property
    def disconnected(self) -> bool:
        """The client went away before the answer was whole."""
        return self.disconnected_at_s is not None
