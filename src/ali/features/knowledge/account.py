"""What knowledge asks of models, and on whose account: which models those are, it does not know."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose limits and budgets hold for a call of a model, and whose usage it is.

    Without a key and a user it is the project's own, as when documents are read in the background.
    """

    organization_id: UUID
    project_id: UUID
    api_key_id: UUID | None = None
    user_id: UUID | None = None


class ModelCalls(Protocol):
    """Models as this installation reaches them. Both take and give JSON in OpenAI's dialect.

    Each call is within the account's limits and budgets and leaves a usage record. Raises `AliError` for whatever is
    refused or fails, a deadline that passed included.
    """

    async def embeddings(self, body: bytes, *, account: Account, deadline_s: float) -> bytes:
        """`/v1/embeddings`."""
        ...

    async def completion(self, body: bytes, *, account: Account, deadline_s: float) -> bytes:
        """`/v1/chat/completions`, not streamed."""
        ...
