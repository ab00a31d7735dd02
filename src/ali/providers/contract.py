"""What the hot path and the providers agree on: dialects, usage, calls, replies, streams, and the upstream's failures.

UpstreamError                    502
├── UpstreamUnreachable          502  no connection, or it broke before the first byte
├── UpstreamTimeout              504  first byte, silence between bytes, or the whole took too long
├── UpstreamMalformed            502  not the protocol: bad JSON, bad UTF-8, wrong content type, truncated stream
├── UpstreamTooLarge             502  a line or body over the cap, compressed bombs included
├── UpstreamRefused              the provider's own error answer, its 4xx relayed, its 5xx as 502
└── UpstreamCredentialRefused    502  the provider does not take the operator's key
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from ali.kernel.errors import AliError


class Dialect(StrEnum):
    """A wire language: OpenAI's (Chat Completions and its siblings) or Anthropic's (Messages)."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(slots=True, kw_only=True)
class Usage:
    """Tokens of one call, in one normal form whatever the provider counts.

    `input_tokens` is all of the prompt: cached reads and cache writes are *included* (OpenAI's way; Anthropic's wire
    excludes both and is added up on reading). `output_tokens` includes reasoning. `reported` is false while the
    upstream has not said anything, so that zero and unknown differ.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    reported: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamCall:
    """One HTTP request to a provider.

    `path` (with query) is appended to the provider's base URL; `headers` come after the provider's own (credential,
    version) and never override them.
    """

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    stream: bool = False
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds allowed for: connecting, the first byte of the answer, silence between bytes, and the whole call."""

    connect_s: float = 5.0
    first_byte_s: float = 120.0
    silence_s: float = 60.0
    total_s: float = 900.0


class UpstreamReply(Protocol):
    """The head of a provider's answer, its body still to be read. `close` is idempotent and frees the connection."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers; looking one up ignores case."""
        ...

    async def read(self, *, limit_bytes: int) -> bytes:
        """The whole body, decompressed. Raises `UpstreamTooLarge`, `UpstreamTimeout`, `UpstreamUnreachable`."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, decompressed; each chunk within the deadline for silence."""
        ...

    async def close(self) -> None:
        """Give the connection back, or cut it where the body was not read to its end. Never raises."""
        ...


class Upstream(Protocol):
    """A provider as this installation is configured to reach it."""

    @property
    def name(self) -> str:
        """`openai`, `anthropic`, `extractive`, or the operator's name for a compatible server."""
        ...

    @property
    def dialect(self) -> Dialect:
        """The language this provider is spoken to in."""
        ...

    @property
    def speaks_responses(self) -> bool:
        """Whether it offers OpenAI's Responses API beside Chat Completions."""
        ...

    async def send(self, call: UpstreamCall, deadlines: Deadlines) -> UpstreamReply:
        """Raises `UpstreamUnreachable` or `UpstreamTimeout`; an HTTP error status is an ordinary reply."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class StreamRelay(Protocol):
    """Reads one upstream event stream and says what the caller gets: the same bytes, or their translation.

    The caller's terminal event (`[DONE]`, `message_stop`) is withheld: `finish` returns it, after settlement.
    """

    usage: Usage
    finished: bool
    """The upstream's own terminal event was seen; without it the end of the bytes is a truncated stream."""
    stop_reason: str | None
    progress: int
    """Events that carried something: pings and comments do not count, so that a stalled stream is told from a live one.
    """
    output_chars: int
    """Characters of text, thinking and tool arguments so far: for an estimate where the upstream reports no usage."""

    def feed(self, event: bytes) -> bytes:
        """One whole upstream event, its blank line included, to the bytes due to the caller now (perhaps none).

        Raises `UpstreamMalformed` for bytes that are not the protocol and `UpstreamRefused` for an in-band error.
        """
        ...

    def finish(self) -> bytes:
        """What ends the caller's stream. Call once, after `finished`."""
        ...


Body = TypeVar("Body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated(Generic[Body]):
    """A request said in the other dialect; `dropped` names parameters that have no counterpart and were left out."""

    body: Body
    dropped: tuple[str, ...] = field(default=())


class UpstreamError(AliError):
    """The provider failed; the message names it by its configured name and says what can be done.

    `retryable`: the same call to another target may succeed. `retry_after_s` is the provider's own word, if any.
    """

    status = 502
    code = "upstream_error"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        retry_after_s: float | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message, code=code, param=param, headers=headers)
        self.provider = provider
        self.retry_after_s = retry_after_s


class UpstreamUnreachable(UpstreamError):
    """502: no connection to the provider, or it broke."""

    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """504: the provider did not answer, or fell silent, within the deadline."""

    status = 504
    code = "upstream_timeout"


class UpstreamMalformed(UpstreamError):
    """502: what came is not the protocol: bad JSON, bad UTF-8, wrong content type, a stream without its end."""

    code = "upstream_malformed"


class UpstreamTooLarge(UpstreamError):
    """502: a line or body over the cap."""

    code = "upstream_too_large"
    retryable = False


class UpstreamCredentialRefused(UpstreamError):
    """502: the provider does not take the key that the operator configured; not the caller's fault."""

    code = "upstream_credential_refused"


class UpstreamRefused(UpstreamError):
    """The provider's own error answer, in a normal form. A 4xx is relayed with its status, 503 and 529 become 503,
    any other 502.

    `kind` is Anthropic's error type word (`invalid_request_error`, `rate_limit_error`, `overloaded_error` …), which
    `kernel.envelopes` maps to either dialect.
    """

    code = "upstream_refused"

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int,
        kind: str,
        provider: str = "",
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(
            message, provider=provider, code=code, param=param, retry_after_s=retry_after_s, headers=headers
        )
        self.upstream_status = upstream_status
        self.kind = kind

    @property
    def http_status(self) -> int:
        """The provider's 4xx as it is; 503 for 503 and 529; 502 for any other."""
        if 400 <= self.upstream_status < 500:
            return self.upstream_status
        return 503 if self.upstream_status in (503, 529) else 502
