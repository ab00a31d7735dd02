"""What a connection remembers of responses that are not stored, so that its later requests can go on from them."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import orjson

Json = dict[str, Any]

MOST_RESPONSES: Final = 32


class ConnectionMemory:
    """The latest responses of one connection, bounded in number and in bytes of JSON. Gone with the connection."""

    def __init__(self, *, most_bytes: int, most_responses: int = MOST_RESPONSES) -> None:
        self._most_bytes = most_bytes
        self._most_responses = most_responses
        self._kept: OrderedDict[UUID, tuple[Sequence[Json], int]] = OrderedDict()
        self._bytes = 0

    def keep(self, response_id: UUID, said: Sequence[Json]) -> None:
        """Remember all that was said up to the response's end; the longest unused are forgotten for it.

        What is larger than the whole memory is not kept.
        """
        size = len(orjson.dumps(said))
        if size > self._most_bytes:
            return
        self._kept[response_id] = (said, size)
        self._bytes += size
        while self._bytes > self._most_bytes or len(self._kept) > self._most_responses:
            _, (_, freed) = self._kept.popitem(last=False)
            self._bytes -= freed

    def recall(self, response_id: UUID) -> Sequence[Json] | None:
        """What was said up to the response's end, oldest first; None where it is not remembered."""
        found = self._kept.get(response_id)
        if found is None:
            return None
        self._kept.move_to_end(response_id)
        return found[0]
