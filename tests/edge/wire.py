"""Raw bytes to the running service, and what comes back: no client that would mend a malformed request."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from tests.fixtures.service import Service

END: Final = b"\r\n\r\n"
HOST: Final = b"Host: ali.test\r\n"
MARK: Final = b"GET /smuggled HTTP/1.1\r\nHost: ali.test\r\n\r\n"
"""A second request behind the first: answered only where both agree on the first one's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Everything that came, and whether the service then closed the connection."""

    data: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", self.data)]

    @property
    def headers(self) -> dict[str, str]:
        """Of the first answer; equal names joined."""
        found: dict[str, str] = {}
        for line in self.data.partition(END)[0].decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(": ")
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def document(self) -> Any:  # noqa: ANN401 - any JSON
        """The first answer's body."""
        length = int(self.headers["content-length"])
        return json.loads(self.data.partition(END)[2][:length])


async def talk(service: Service, *parts: bytes, wait_s: float = 0.3, pause_s: float = 0.01) -> Answers:
    """Send `parts` one after the other; read until the connection is closed, or nothing has come for `wait_s`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    received = bytearray()
    closed = False
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_s)
        while True:
            chunk = await asyncio.wait_for(reader.read(65536), wait_s)
            if not chunk:
                closed = True
                break
            received += chunk
    except ConnectionError:
        closed = True
    except TimeoutError:
        pass
    finally:
        writer.transport.abort()
    return Answers(data=bytes(received), closed=closed)


def request(
    method: str = "GET", path: str = "/healthz", *headers: str, body: bytes = b"", host: str = "ali.test"
) -> bytes:
    """A well-formed request that asks for the connection to be closed after it."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + END + body
