"""Between the service and PostgreSQL: every byte handed on, and counted what was asked, how often, what came back.

Source: PostgreSQL documentation, "Frontend/Backend Protocol": the server says ReadyForQuery once for each trip.
"""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

OPENING: Final = "opening"
"""A batch of the ledger's that only opens records: for a crash to leave one; no request waits for it."""
_NAME: Final = re.compile(rb"ali\.(\w+)")
_SETTLED: Final = re.compile(rb'"outcome":"(?!open")')
_READ: Final = 1 << 20


@dataclass(slots=True)
class Counts:
    """What crossed since the last `reset`."""

    trips: int = 0
    rows: int = 0
    row_bytes: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    """Round trips by the function or table that the statement names first; `other` for those that name none."""

    def reset(self) -> None:
        """Begin again at nothing."""
        self.trips = self.rows = self.row_bytes = 0
        self.asked.clear()


class _Connection:
    """One connection of the service: whose trip it is, is known by the last statement that was sent."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._asks: str | None = None
        self._prepared = "other"
        self._ready = False

    def sent(self, data: bytes) -> None:
        """Bytes to the server. Statements come whole: a client writes one in one piece."""
        found = _NAME.search(data)
        if found:
            self._asks = self._prepared = found[1].decode()
        elif self._asks is None:
            self._asks = self._prepared if data[:1] == b"B" else "other"
        if self._asks == "settle_usage" and not _SETTLED.search(data):
            self._asks = OPENING

    async def received(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand on the server's messages, each a byte of kind and a length, until its end."""
        counts, buffer = self._counts, b""
        while data := await reader.read(_READ):
            buffer += data
            at = 0
            while len(buffer) - at >= 5 and len(buffer) - at > (size := int.from_bytes(buffer[at + 1 : at + 5])):
                if buffer[at : at + 1] == b"D":
                    counts.rows += 1
                    counts.row_bytes += size
                elif buffer[at : at + 1] == b"Z":
                    if self._ready:  # the first ends the greeting
                        counts.trips += 1
                        counts.asked[self._asks or "other"] += 1
                    self._ready, self._asks = True, None
                at += size + 1
            buffer = buffer[at:]
            writer.write(data)  # once it is counted


@contextmanager
def counted(dsn: str, counts: Counts) -> Iterator[str]:
    """A connection string that leads to the same database, past `counts`. `dsn` names a socket's folder as `host`.

    A thread of its own hands the bytes on: a benchmark that waits for the service must not hold up its database.
    """
    parts = urlsplit(dsn)
    folder = parse_qs(parts.query)["host"][0]
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)

    async def carry(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        connection = _Connection(counts)
        server, forth = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        answers = asyncio.create_task(connection.received(server, back))
        try:
            with suppress(ConnectionError):
                while data := await client.read(_READ):
                    connection.sent(data)
                    forth.write(data)
        finally:
            answers.cancel()
            forth.close()
            back.close()

    thread.start()
    listen = asyncio.start_server(carry, "127.0.0.1", 0, limit=_READ)
    listening = asyncio.run_coroutine_threadsafe(listen, loop).result()
    port = listening.sockets[0].getsockname()[1]
    place = f"{parts.username}:{parts.password}@127.0.0.1:{port}"
    try:
        yield urlunsplit((parts.scheme, place, parts.path, "sslmode=disable&gssencmode=disable", ""))
    finally:
        asyncio.run_coroutine_threadsafe(_ended(listening), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
