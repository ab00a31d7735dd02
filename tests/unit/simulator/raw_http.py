"""The least HTTP client: what is on the wire, byte for byte."""

import asyncio
import json
from dataclasses import dataclass

from ali.ops.simulator import Simulator
from ali.providers.contract import Dialect
from tests.simulators.fixtures import KEY

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
PROMPT = "The quick brown fox jumps over the lazy dog"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What came: all bytes, and how it ended (`reset`, or `silent` where the waiting was given up)."""

    data: bytes
    reset: bool
    silent: bool

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def rest(self) -> bytes:
        """The body as framed."""
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def content(self) -> bytes:
        """The body without its framing, as far as it came."""
        if b"transfer-encoding: chunked" not in self.head:
            return self.rest
        return unchunked(self.rest)


def unchunked(data: bytes) -> bytes:
    """The content of HTTP chunks; stops where they do."""
    content = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        content += data[:length]
        if length == 0:
            break
        data = data[length + 2 :]
    return content


def request(
    dialect: Dialect,
    *,
    stream: bool = False,
    text: str = PROMPT,
    path: str | None = None,
    key: str | None = KEY,
    version: str | None = "2023-06-01",
    **fields: object,
) -> bytes:
    """A whole request that asks for the connection to be closed after it."""
    messages = [{"role": "user", "content": text}]
    if dialect is Dialect.OPENAI:
        body: dict[str, object] = {"model": "gpt-4o-mini", "messages": messages}
        headers = {"authorization": f"Bearer {key}"}
        path = path or CHAT
    else:
        body = {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": messages}
        headers = {"x-api-key": str(key), **({"anthropic-version": version} if version else {})}
        path = path or MESSAGES
    if stream:
        body["stream"] = True
    body |= fields
    data = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
    lines = [f"POST {path} HTTP/1.1", "host: simulator", "connection: close", f"content-length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if key is not None or name == "anthropic-version"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


async def talk(simulator: Simulator, data: bytes, *, wait_s: float = 5.0, most_bytes: int = 1 << 20) -> Wire:
    """Send, and read until the end, a silence of `wait_s`, or `most_bytes`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    received = bytearray()
    reset = silent = False
    try:
        writer.write(data)
        while len(received) < most_bytes:
            chunk = await asyncio.wait_for(reader.read(65536), wait_s)
            if not chunk:
                break
            received += chunk
    except ConnectionResetError:
        reset = True
    except TimeoutError:
        silent = True
    finally:
        writer.transport.abort()
    return Wire(data=bytes(received), reset=reset, silent=silent)
