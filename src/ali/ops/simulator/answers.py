"""What a simulated model says: frozen descriptions that tests queue and directives build."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from ali.ops.simulator.faults import Fault
from ali.providers.contract import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool. `arguments` as a string is sent as it stands, so that broken JSON can be scripted too.

    Without an `id`, one is made from the request's serial number.
    """

    name: str
    arguments: Mapping[str, object] | str = "{}"
    id: str | None = None

    @property
    def arguments_json(self) -> str:
        """The arguments as the text that travels."""
        if isinstance(self.arguments, str):
            return self.arguments
        return orjson.dumps(dict(self.arguments)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """A thinking block of Anthropic's; `text` is empty where the provider omits it and sends the signature alone.

    On the wire of OpenAI's Responses API: a reasoning item with `text` as its summary.
    """

    text: str
    signature: str = "c2ltdWxhdGVkLXNpZ25hdHVyZQ=="


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedThinking:
    """A thinking block of Anthropic's whose content is encrypted; on the Responses wire, reasoning with no summary."""

    data: str = "c2ltdWxhdGVkLXJlZGFjdGVkLXRoaW5raW5n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a simulated model is: seconds to the head, tokens a second after it (None: all at once), and how many
    tokens an echo has.
    """

    latency_s: float = 0.0
    tokens_per_second: float | None = None
    tokens: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. Every field left out takes the simulator's default.

    Content: `text` (None: an echo of the last user text, `tokens` words long), `thinking` (not on the
    Chat Completions wire), `tool_calls` (`interleaved` alternates the argument deltas of parallel calls, on the Chat
    Completions wire only; on the Responses wire a call is a custom tool's where the request has such a tool of that
    name), `refusal`, `finish_reason` in the wire's own word, `usage` in the normal form of `providers.contract`.
    On the Responses wire `finish_reason` is `max_output_tokens` or `content_filter` for an incomplete response, and
    `failed`, or the code of the error, for one that fails.

    Errors: a `status` of 400 and more sends the dialect's error envelope with `message`; 429, 503 and 529 carry
    `retry-after` (`retry_after_s`, 1 by default; 0 leaves it out).

    Replay: `body` is sent as it is, without any check of the request, under `status` and `headers` (framing headers are
    dropped; so should be a recording's `content-encoding` where its body is decoded). A tuple is sent as one HTTP chunk
    a piece, spaced like tokens; bytes under a content type of `text/event-stream` as one chunk; other bytes with
    `content-length`.

    `headers` are added to the usual ones otherwise.
    """

    text: str | None = None
    tokens: int | None = None
    thinking: tuple[Thinking | RedactedThinking, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    interleaved: bool = False
    refusal: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    status: int = 200
    message: str | None = None
    retry_after_s: float | None = None
    body: bytes | tuple[bytes, ...] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    latency_s: float | None = None
    tokens_per_second: float | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What one request is answered with, free of dialect and ready to be written.

    `words` is the text in token-sized pieces, `text` their join; `usage` is None where none may be sent; `truncated`
    says that the request's own maximum cut the text.
    """

    serial: int
    created_s: int
    model: str
    answer: Answer
    words: tuple[str, ...]
    usage: Usage | None
    truncated: bool

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.words)
