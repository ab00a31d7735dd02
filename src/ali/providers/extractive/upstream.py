"""`ali-extractive` as an upstream: requests go to one child process, so that the event loop never waits for a parser.

A document that crashes, hangs or fills the reader ends the child alone; the caller gets a 400 in Anthropic's dialect,
and the next request a new child. The child is a program of its own, with an environment that holds no secrets;
`multiprocessing` would import the service's main module into it.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import ali
from ali.kernel.envelopes import error_body
from ali.kernel.errors import AliError, InvalidRequest, MethodNotAllowed, NotFound, Unavailable
from ali.kernel.ids import new_id
from ali.providers.contract import (
    Deadlines,
    Dialect,
    UpstreamCall,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from ali.providers.extractive.worker import COUNT_TOKENS, HEADER, MESSAGES

_KINDS = {"/v1/messages": MESSAGES, "/v1/messages/count_tokens": COUNT_TOKENS}
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_START_S = 20.0
_PROGRAM = "from ali.providers.extractive.worker import main; main()"
_SOURCE = str(Path(ali.__file__).resolve().parent.parent)
_PIPE_BYTES = 1 << 20


class _ChildDied(Exception):
    """The child ended before it replied."""


class ExtractiveUpstream:
    """The model as this process reaches it. Start-up is lazy: the child begins with the first request.

    At most `queue` requests wait for the child; one more is answered 503. A request has `call_s` seconds of the child.
    """

    def __init__(self, *, queue: int = 32, call_s: float = 60.0) -> None:
        self._queue = queue
        self._call_s = call_s
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._child: asyncio.subprocess.Process | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """`extractive`."""
        return "extractive"

    @property
    def dialect(self) -> Dialect:
        """Anthropic's Messages."""
        return Dialect.ANTHROPIC

    @property
    def speaks_responses(self) -> bool:
        """No."""
        return False

    async def send(self, call: UpstreamCall, deadlines: Deadlines) -> "ExtractiveReply":
        """Answer `call`: POST /v1/messages or /v1/messages/count_tokens. What is wrong with it comes as a reply.

        Raises `UpstreamTimeout` when no turn came in `deadlines.first_byte_s`, `UpstreamUnreachable` when no child
        starts. When cancelled while the child works, the child is ended.
        """
        kind = _KINDS.get(urlsplit(call.path).path)
        if kind is None:
            return _refusal(NotFound(f"ali-extractive has no {call.path[:80]}; it answers /v1/messages."))
        if call.method != "POST":
            return _refusal(MethodNotAllowed("Use POST."))
        if self._closed or self._waiting >= self._queue:
            return _refusal(
                Unavailable("ali-extractive is busy with other requests. Try again in a few seconds."),
                headers={"retry-after": "2"},
            )
        self._waiting += 1
        try:
            await asyncio.wait_for(self._turn.acquire(), min(deadlines.first_byte_s, deadlines.total_s))
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"ali-extractive was busy for {deadlines.first_byte_s:g} s. Try again later.", provider=self.name
            ) from error
        finally:
            self._waiting -= 1
        try:
            return await self._answered(kind, call.body)
        finally:
            self._turn.release()

    async def _answered(self, kind: int, body: bytes) -> "ExtractiveReply":
        """One exchange with the child, which is ended unless the exchange was whole."""
        whole = False
        try:
            async with asyncio.timeout(self._call_s):
                status, stream, answer = await self._exchange(kind, body)
            whole = True
        except TimeoutError:
            return _refusal(
                InvalidRequest(f"Reading the documents took more than {self._call_s:g} s. Send fewer pages at once.")
            )
        except _ChildDied:
            return _refusal(
                InvalidRequest(
                    "Reading the documents failed: one of them crashes the reader. Save it again as PDF or text."
                )
            )
        finally:
            if not whole:
                await asyncio.shield(self._end_child())
        return ExtractiveReply(status, answer, stream=stream)

    async def _exchange(self, kind: int, body: bytes) -> tuple[int, bool, bytes]:
        """Send a request to the child and read its reply. A child found dead is replaced, once.

        Raises `_ChildDied` and `UpstreamUnreachable`.
        """
        idle = self._child
        if idle is not None and idle.returncode is None:
            try:
                return await _exchange_with(idle, kind, body)
            except _ChildDied:  # perhaps before this request reached it: one more try tells
                await self._end_child()
        return await _exchange_with(await self._start(), kind, body)

    async def _start(self) -> asyncio.subprocess.Process:
        """A child that said it is ready."""
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = _SOURCE
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-c",
                _PROGRAM,
                str(self._call_s),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
                limit=_PIPE_BYTES,
            )
            self._child = child
            assert child.stdout is not None  # noqa: S101 - it was asked for
            async with asyncio.timeout(_START_S):
                await child.stdout.readexactly(HEADER.size)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise UpstreamUnreachable(
                f"The process that reads documents does not start ({type(error).__name__}).", provider=self.name
            ) from error
        return child

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
        await child.wait()
        if child.stdin is not None:
            child.stdin.close()

    async def close(self) -> None:
        """End the child. Requests that come after are answered 503."""
        self._closed = True
        await self._end_child()


async def _exchange_with(child: asyncio.subprocess.Process, kind: int, body: bytes) -> tuple[int, bool, bytes]:
    """(status, stream or not, body) of the child's reply. Raises `_ChildDied`."""
    assert child.stdin is not None  # noqa: S101 - it was started with pipes
    assert child.stdout is not None  # noqa: S101 - as above
    try:
        child.stdin.write(HEADER.pack(kind, 0, len(body)))
        child.stdin.write(body)
        await child.stdin.drain()
        status, stream, length = HEADER.unpack(await child.stdout.readexactly(HEADER.size))
        return status, bool(stream), await child.stdout.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise _ChildDied from error


class ExtractiveReply:
    """A whole reply; `chunks` gives its events one by one."""

    __slots__ = ("_body", "_stream", "headers", "status")

    def __init__(
        self, status: int, body: bytes, *, stream: bool = False, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {
            "content-type": "text/event-stream; charset=utf-8" if stream else "application/json",
            **(headers or {}),
        }
        self._body = body
        self._stream = stream

    async def read(self, *, limit_bytes: int) -> bytes:
        """The whole body. Raises `UpstreamTooLarge`."""
        if len(self._body) > limit_bytes:
            raise UpstreamTooLarge(f"The answer has more than {limit_bytes} bytes.", provider="extractive")
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, an event at a time where it is a stream."""
        if not self._stream:
            yield self._body
            return
        start = 0
        while (end := self._body.find(b"\n\n", start)) >= 0:
            yield self._body[start : end + 2]
            start = end + 2
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Nothing is held."""


def _refusal(error: AliError, *, headers: Mapping[str, str] | None = None) -> ExtractiveReply:
    """An error as a reply in the dialect."""
    body = error_body(error, envelope="anthropic", request_id=new_id("req"))
    return ExtractiveReply(error.http_status, body, headers=headers)
