"""Providers reached over HTTP: exact base URL, pooled connections, deadlines on everything, no redirects.

Bodies are asked for uncompressed and refused otherwise, so that a compressed bomb is never opened and bytes can pass as
they come.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

from ali.providers.connection import Connection, ConnectionBroken, Headers, NotHttp
from ali.providers.contract import (
    Deadlines,
    Dialect,
    UpstreamCall,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnreachable,
)

_KEEP_IDLE_S = 30.0
_MOST_IDLE = 512
_MOST_HEADS = 64


class HttpUpstream:
    """A provider at a fixed base URL. `close` when done; connects when first used."""

    def __init__(
        self, *, name: str, dialect: Dialect, base_url: str, headers: Mapping[str, str], speaks_responses: bool = False
    ) -> None:
        parts = urlsplit(base_url)
        if not parts.hostname:
            raise ValueError("a base URL names a host")
        self._name = name
        self._dialect = dialect
        self._speaks_responses = speaks_responses
        self._host = parts.hostname
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._path = parts.path.rstrip("/")
        self._fixed_headers = {
            "host": parts.netloc,
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": "ali-api",
            **headers,
        }
        self._heads: dict[tuple[object, ...], bytes] = {}
        self._idle: deque[Connection] = deque()
        self._closed = False

    @property
    def name(self) -> str:
        """The configured name."""
        return self._name

    @property
    def dialect(self) -> Dialect:
        """The language spoken."""
        return self._dialect

    @property
    def speaks_responses(self) -> bool:
        """Whether it offers OpenAI's Responses API."""
        return self._speaks_responses

    async def send(self, call: UpstreamCall, deadlines: Deadlines) -> "HttpReply":
        """Send `call` and wait for the head of the answer. The connection is the reply's to close."""
        started_s = asyncio.get_running_loop().time()
        connection = self._take_idle(now_s=started_s) or await self._connect(deadlines)
        request = b"%s%d\r\n\r\n%s" % (self._head(call), len(call.body), call.body)
        begins_by_s = connection.clock_s() + min(deadlines.first_byte_s, deadlines.total_s)
        try:
            headers = await connection.exchange(request, by_s=begins_by_s)
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"Provider {self._name} did not begin to answer within {deadlines.first_byte_s:g} s.",
                provider=self._name,
            ) from error
        except (OSError, NotHttp) as error:
            raise self.failure(error) from error
        except BaseException:
            connection.abort()
            raise
        encoding = headers.get("content-encoding", "identity")
        if encoding != "identity" or 300 <= connection.status < 400:
            connection.abort()
            what = f"a redirect ({connection.status})" if encoding == "identity" else f"a body in {encoding[:20]!r}"
            raise UpstreamMalformed(
                f"Provider {self._name} answered with {what}, which this service does not follow. "
                "Check the provider's base URL.",
                provider=self._name,
            )
        return HttpReply(self, connection, headers, deadlines=deadlines, started_s=started_s)

    def failure(self, error: Exception) -> UpstreamError:
        """What went wrong on a connection, as the provider's failure."""
        if isinstance(error, NotHttp):
            return UpstreamMalformed(
                f"Provider {self._name} answered with something that is not HTTP. Check the provider's base URL.",
                provider=self._name,
            )
        if isinstance(error, ConnectionBroken):
            return UpstreamUnreachable(
                f"Provider {self._name} broke the connection before its answer was whole. Try again.",
                provider=self._name,
            )
        return UpstreamUnreachable(
            f"Provider {self._name} cannot be reached ({type(error).__name__}). "
            "If this lasts, its base URL or the network of this service is wrong, or the provider is down.",
            provider=self._name,
        )

    def _take_idle(self, *, now_s: float) -> Connection | None:
        """The connection used last that is still good."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if not connection.closed and now_s - connection.idle_since_s < _KEEP_IDLE_S:
                return connection
            connection.abort()
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose answer was read to its end; the oldest idle ones go."""
        now_s = connection.clock_s()
        idle = self._idle
        while idle and (len(idle) >= _MOST_IDLE or now_s - idle[0].idle_since_s > _KEEP_IDLE_S or idle[0].closed):
            idle.popleft().abort()
        if self._closed:
            connection.abort()
            return
        connection.idle_since_s = now_s
        idle.append(connection)

    async def _connect(self, deadlines: Deadlines) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadlines.connect_s):
                _, connection = await loop.create_connection(
                    Connection,
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"Provider {self._name} accepted no connection within {deadlines.connect_s:g} s.", provider=self._name
            ) from error
        except OSError as error:
            raise self.failure(error) from error
        return connection

    def _head(self, call: UpstreamCall) -> bytes:
        """Request line and headers, up to the value of content-length; the same for most calls, so kept."""
        key = (call.method, call.path, call.headers)
        head = self._heads.get(key)
        if head is None:
            headers = {**dict(call.headers), **self._fixed_headers}
            lines = [f"{call.method} {self._path}{call.path} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            if any("\r" in line or "\n" in line for line in lines):
                raise ValueError("a header of a provider's request holds a line break")
            head = "\r\n".join([*lines, "content-length: "]).encode("latin-1")
            if len(self._heads) < _MOST_HEADS:
                self._heads[key] = head
        return head

    async def close(self) -> None:
        """Close every idle connection; those in use close with their replies."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()


class HttpReply:
    """An answer whose head has arrived."""

    __slots__ = ("_closed", "_connection", "_deadlines", "_headers", "_started_s", "_upstream", "status")

    def __init__(
        self,
        upstream: HttpUpstream,
        connection: Connection,
        headers: Headers,
        *,
        deadlines: Deadlines,
        started_s: float,
    ) -> None:
        self._upstream = upstream
        self._connection = connection
        self._headers = headers
        self._deadlines = deadlines
        self._started_s = started_s
        self._closed = False
        self.status = connection.status

    @property
    def headers(self) -> Headers:
        """Response headers; looking one up ignores case."""
        return self._headers

    async def read(self, *, limit_bytes: int) -> bytes:
        """The whole body; a body over `limit_bytes` is cut off and refused."""
        declared = self._headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit_bytes:
            raise self._too_large(limit_bytes)
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit_bytes:
                raise self._too_large(limit_bytes)
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self, limit_bytes: int) -> UpstreamTooLarge:
        name = self._upstream.name
        return UpstreamTooLarge(
            f"Provider {name} answered with more than {limit_bytes} bytes; the answer was cut off.", provider=name
        )

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises when the provider is silent too long, takes too long, or breaks off."""
        silence_s = self._deadlines.silence_s
        end_s = self._started_s + self._deadlines.total_s
        connection = self._connection
        clock_s = connection.clock_s
        while not connection.ended:
            chunk = connection.buffered()  # what is here already needs no timer
            if not chunk:
                try:
                    chunk = await connection.read(by_s=min(clock_s() + silence_s, end_s))
                except TimeoutError as error:
                    raise self._too_late() from error
                except (OSError, NotHttp) as error:
                    raise self._upstream.failure(error) from error
            elif clock_s() > end_s:
                raise self._too_late()
            if chunk:
                yield chunk

    def _too_late(self) -> UpstreamTimeout:
        name, deadlines = self._upstream.name, self._deadlines
        return UpstreamTimeout(
            f"Provider {name} stopped in the middle of its answer: "
            f"nothing came for {deadlines.silence_s:g} s, or it took longer than {deadlines.total_s:g} s.",
            provider=name,
        )

    async def close(self) -> None:
        """Give the connection back where the body was read to its end, else cut it. Never raises."""
        if self._closed:
            return
        self._closed = True
        connection = self._connection
        if connection.ended and connection.reusable and not connection.closed:
            self._upstream.give_back(connection)
        else:
            connection.abort()
