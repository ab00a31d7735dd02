"""The hot operations as data: path, dialect, what they need of a model and of the caller."""

from dataclasses import dataclass

from ali.features.identity import Permission
from ali.kernel.envelopes import Envelope
from ali.providers.contract import Dialect

ANTHROPIC_VERSIONS = ("2023-06-01", "2026-10-21")
"""Values of `anthropic-version` that are understood. Source: Anthropic's API reference, "Versions"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One endpoint of the hot path."""

    name: str
    """As usage records and metrics call it."""
    path: str
    dialect: Dialect
    needs: str
    """What a model must offer, as the catalog says it: `chat`, `embeddings`, `moderations`."""
    summary: str
    permission: Permission = Permission.INFERENCE
    counts_only: bool = False
    """Counts tokens, answers nothing."""
    lists_kept: bool = False
    """Its path takes GET as well, an ordinary route's, for the list of what was kept."""

    @property
    def envelope(self) -> Envelope:
        """In which form this operation's errors are answered."""
        return "anthropic" if self.dialect is Dialect.ANTHROPIC else "openai"

    def upstream_path(self, dialect: Dialect) -> str:
        """Where a provider of `dialect` takes this operation, after its base URL."""
        if dialect is Dialect.ANTHROPIC:
            return "/v1/messages/count_tokens" if self.counts_only else "/v1/messages"
        return {"chat": "/chat/completions", "embeddings": "/embeddings", "moderations": "/moderations"}[self.needs]


CHAT_COMPLETIONS = Operation(
    name="chat.completions",
    path="/v1/chat/completions",
    dialect=Dialect.OPENAI,
    needs="chat",
    summary="Create a chat completion",
    lists_kept=True,
)
EMBEDDINGS = Operation(
    name="embeddings", path="/v1/embeddings", dialect=Dialect.OPENAI, needs="embeddings", summary="Create embeddings"
)
MODERATIONS = Operation(
    name="moderations",
    path="/v1/moderations",
    dialect=Dialect.OPENAI,
    needs="moderations",
    summary="Classify text and images",
)
MESSAGES = Operation(
    name="messages", path="/v1/messages", dialect=Dialect.ANTHROPIC, needs="chat", summary="Create a message"
)
COUNT_TOKENS = Operation(
    name="messages.count_tokens",
    path="/v1/messages/count_tokens",
    dialect=Dialect.ANTHROPIC,
    needs="chat",
    summary="Count a message's tokens",
    counts_only=True,
)

RESPONSES = Operation(
    name="responses", path="/v1/responses", dialect=Dialect.OPENAI, needs="chat", summary="Create a response"
)
RESPONSE_INPUT_TOKENS = Operation(
    name="responses.input_tokens",
    path="/v1/responses/input_tokens",
    dialect=Dialect.OPENAI,
    needs="chat",
    summary="Count a response's input tokens",
    counts_only=True,
)
RESPONSE_COMPACT = Operation(
    name="responses.compact",
    path="/v1/responses/compact",
    dialect=Dialect.OPENAI,
    needs="chat",
    summary="Compact what was said",
)

OPERATIONS = (
    *(CHAT_COMPLETIONS, EMBEDDINGS, MODERATIONS, MESSAGES, COUNT_TOKENS),
    *(RESPONSES, RESPONSE_INPUT_TOKENS, RESPONSE_COMPACT),
)
